"""One model, many clients: questions wait in line and run together, picture by picture.

A request runs in a thread of its own with a `Predictor` whose engine is a `Seat` here: calling it
waits in line. One thread has the model; it takes what is oldest and, with it, everything else that
waits for the same pictures, so that those are encoded once. Long jobs run in turns. Knows no
HTTP, no task and no camera.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from vlm3.infer.decoding.grammar import Grammar
from vlm3.infer.engines.base import Engine, RecordingEngine, Reply, Scene, UInt8
from vlm3.server.jobs import Key, QueuedJob, Ticket, digest_of
from vlm3.server.limits import Limits, RefusedError, busy, stopping
from vlm3.server.reply_cache import ReplyCache

_LONGEST_ADVICE_S = 30
# The engine cannot be interrupted; at the end it is waited for so long.
_SECONDS_TO_CLOSE = 5


@dataclass(frozen=True)
class Turn:
    """One call of the engine, as the metrics show it.

    Attributes:
        questions: in this call.
        requests: whose they were.
        seconds: it took.
    """

    questions: int
    requests: int
    seconds: float


class Broker:
    """The line in front of an engine, and the one thread that asks it.

    Args:
        engine: what answers; used by this thread alone from now on.
        limits: how much may wait.
        observe: called with every turn, from the model's thread.
    """

    def __init__(
        self, engine: Engine, limits: Limits, observe: Callable[[Turn], None] | None = None
    ) -> None:
        self._engine, self._limits, self._observe = engine, limits, observe
        self._jobs: deque[QueuedJob] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._remembered = ReplyCache(limits.remembered_bytes)
        self._rate = 0.0
        self.from_memory = 0
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """What answers."""
        return self._engine.name

    @property
    def waiting(self) -> int:
        """Questions that are not answered yet."""
        # A copy, which is made in one step, and no lock: the event loop asks, and must not wait.
        jobs = tuple(self._jobs)
        return sum(len(job.questions) for job in jobs if not job.ticket.ended)

    @property
    def alive(self) -> bool:
        """Whether the model's thread is there and questions are taken."""
        return self._thread.is_alive() and not self._closing

    def seat(self, ticket: Ticket) -> Engine:
        """An engine whose questions wait in line under that ticket."""
        kind = RecordingSeat if isinstance(self._engine, RecordingEngine) else Seat
        return kind(self, ticket)

    def close(self) -> None:
        """Ends the model's thread; what still waits is refused."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=_SECONDS_TO_CLOSE)
        self._refuse_all()

    def submit(
        self,
        images: tuple[UInt8, ...],
        questions: Sequence[str],
        max_new_tokens: int,
        grammar: Grammar | None,
        ticket: Ticket,
    ) -> list[Reply]:
        """Waits in line, and for the answers.

        Raises:
            RefusedError: too much waits already, time is up, the client has gone, the server stops.
        """
        key = (digest_of(images), max_new_tokens, grammar)
        job = QueuedJob(key, images, [], ticket)
        with self._changed:
            for question in dict.fromkeys(questions):
                known = self._remembered.get(key, question)
                if known is None:
                    job.questions.append(question)
                else:
                    job.replies[question] = known
            self.from_memory += len(job.replies)
            if job.questions:
                self._admit(job)
        if ticket.progress is not None and job.replies:
            ticket.progress(len(job.replies))
        if job.questions:
            ticket.hold(job)
            self._wait(job)
        return [job.replies[question] for question in questions]

    def _admit(self, job: QueuedJob) -> None:
        if self._closing:
            raise stopping()
        waiting = sum(len(other.questions) for other in self._jobs if not other.ticket.ended)
        if waiting + len(job.questions) > self._limits.questions:
            seconds = waiting / self._rate if self._rate else 1.0
            raise busy(f"{waiting} questions wait", max(1, min(round(seconds), _LONGEST_ADVICE_S)))
        # Sorted, what begins alike stands together, whatever the order of a grid was.
        job.questions.sort()
        self._jobs.append(job)
        self._changed.notify_all()

    def _wait(self, job: QueuedJob) -> None:
        job.done.wait(max(job.ticket.until - time.monotonic(), 0))
        if job.error is not None:
            raise job.error
        if job.questions:
            gone = job.ticket.ended
            job.ticket.end()
            raise RefusedError(
                504,
                "the client has gone"
                if gone
                else "the time for this request is up: ask for less "
                "at once, or come again when less is going on",
                code="gone" if gone else "timeout",
            )

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                taken = self._take()
            if taken:
                self._turn(taken)

    def _refuse_all(self) -> None:
        with self._changed:
            for job in self._jobs:
                job.error = stopping()
                job.done.set()

    def _take(self) -> dict[QueuedJob, list[str]]:
        """The next questions: of the oldest job, and of all others about the same pictures."""
        self._jobs = deque(job for job in self._jobs if not job.ticket.ended)
        if not self._jobs:
            return {}
        key, room = self._jobs[0].key, self._limits.turn_questions
        taken: dict[QueuedJob, list[str]] = {}
        # Short ones first: they are done in this turn, and a long one has others.
        for job in sorted((j for j in self._jobs if j.key == key), key=lambda j: len(j.questions)):
            part = job.questions[:room]
            if part:
                taken[job] = part
                room -= len(part)
        return taken

    def _turn(self, taken: dict[QueuedJob, list[str]]) -> None:
        began = time.perf_counter()
        first = next(iter(taken))
        questions = list(dict.fromkeys(q for part in taken.values() for q in part))
        try:
            replies = dict(zip(questions, self._ask(first, questions), strict=True))
        except Exception as error:
            if len(taken) > 1:
                # One request's fault is not the others'.
                for job, part in taken.items():
                    # What a turn before had in common with this one is answered by then.
                    if rest := [question for question in part if question in job.questions]:
                        self._turn({job: rest})
                return
            with self._changed:
                first.error = error
                self._jobs.remove(first)
            first.done.set()
            return
        seconds = time.perf_counter() - began
        with self._changed:
            speed = len(questions) / max(seconds, 1e-6)
            self._rate = speed if not self._rate else 0.8 * self._rate + 0.2 * speed
            for question, reply in replies.items():
                self._remembered.put(first.key, question, reply)
            answered = self._hand_out(first.key, replies, taken)
        for job, count in answered.items():
            if job.ticket.progress is not None and not job.ticket.ended:
                job.ticket.progress(count)
            if not job.questions:
                job.done.set()
        if self._observe is not None:
            self._observe(Turn(len(questions), len(taken), seconds))

    def _hand_out(
        self, key: Key, replies: Mapping[str, Reply], taken: Collection[QueuedJob]
    ) -> dict[QueuedJob, int]:
        """Gives replies to all who wait for them, who came during the turn too.

        So the same question is not put twice, and the same request has the same answer to its last
        digit, which depends on what was asked together.

        Returns:
            How many replies each job was given.
        """
        answered: dict[QueuedJob, int] = {}
        for job in [job for job in self._jobs if job.key == key]:
            known = [question for question in job.questions if question in replies]
            if not known:
                continue
            answered[job] = len(known)
            job.replies.update((question, replies[question]) for question in known)
            job.questions[:] = [question for question in job.questions if question not in replies]
            if job in taken or not job.questions:
                self._jobs.remove(job)
            if job in taken and job.questions:
                # To the back of the line, behind who came meanwhile.
                self._jobs.append(job)
        return answered

    def _ask(self, job: QueuedJob, questions: Sequence[str]) -> list[Reply]:
        _, longest, grammar = job.key
        with self._engine.open(job.images) as scene:
            if isinstance(self._engine, RecordingEngine):
                return self._engine.reply(scene, questions, max_new_tokens=longest, grammar=grammar)
            return [
                Reply(text) for text in self._engine.ask(scene, questions, max_new_tokens=longest)
            ]


class Seat:
    """The engine as one request sees it.

    Args:
        broker: the line.
        ticket: the request's place in it.
    """

    def __init__(self, broker: Broker, ticket: Ticket) -> None:
        self._broker, self._ticket = broker, ticket

    @property
    def name(self) -> str:
        """What answers."""
        return self._broker.name

    def open(self, images: Sequence[UInt8]) -> Scene:
        """Keeps the pictures until their questions come."""
        return Scene(tuple(images))

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """Waits in line; see `Broker.submit`."""
        return [
            reply.text
            for reply in self._broker.submit(
                scene.images, questions, max_new_tokens, None, self._ticket
            )
        ]


class RecordingSeat(Seat):
    """A seat before an engine that also gives the probabilities of other answers."""

    def reply(
        self,
        scene: Scene,
        questions: Sequence[str],
        *,
        max_new_tokens: int,
        grammar: Grammar | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Reply]:
        """Waits in line; see `Broker.submit`. Progress goes to the ticket."""
        return self._broker.submit(scene.images, questions, max_new_tokens, grammar, self._ticket)
