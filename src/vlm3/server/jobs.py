"""Requests as they wait in line: a ticket for each, and its questions as jobs.

Knows no engine and no thread but the one that waits.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlm3.infer.decoding.grammar import Grammar
from vlm3.infer.engines.base import Reply, UInt8

Key = tuple[bytes, int, Grammar | None]
"""What questions must have in common to be asked together: pictures, longest answer, form."""


class Ticket:
    """A request's place in line, until it is answered, out of time, or its client has gone.

    Args:
        timeout_s: how long it may take.
        progress: called now and then with how many more answers there are; from another thread.
    """

    def __init__(self, timeout_s: float, progress: Callable[[int], None] | None = None) -> None:
        self.until = time.monotonic() + timeout_s
        self.progress = progress
        self.ended = False
        self._jobs: list[QueuedJob] = []

    def hold(self, job: "QueuedJob") -> None:
        """Ends that job when this ticket ends."""
        self._jobs.append(job)
        if self.ended:
            job.done.set()

    def end(self) -> None:
        """Gives the place up: what waits is dropped."""
        self.ended = True
        for job in self._jobs:
            job.done.set()


@dataclass(eq=False)
class QueuedJob:
    """Questions of one request that can run together.

    Attributes:
        key: what they share.
        images: the pictures.
        questions: those not answered yet, in the order of their turns.
        ticket: whose they are.
        replies: what is answered.
        error: why nothing more will be.
        done: set when all is answered, or never will be.
    """

    key: Key
    images: tuple[UInt8, ...]
    questions: list[str]
    ticket: Ticket
    replies: dict[str, Reply] = field(default_factory=dict)
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


def digest_of(images: Sequence[UInt8]) -> bytes:
    """The same for the same pictures."""
    digest = hashlib.blake2b(digest_size=16)
    for image in images:
        data: Any = image if image.flags.c_contiguous else image.copy()
        digest.update(repr(image.shape).encode())
        digest.update(data)
    return digest.digest()
