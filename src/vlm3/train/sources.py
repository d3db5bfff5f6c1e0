"""A run's data: shards of Table 5, worlds rendered while training, and the school of nano.

Everything is found and checked here, before any model is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol as Interface
from typing import get_args

import numpy as np
import numpy.typing as npt

from vlm3.data.mixture import Mixture, weights_of
from vlm3.data.questions import Asker
from vlm3.data.shards import Shards
from vlm3.data.source import ShardSource
from vlm3.data.tables import SetPlan, table
from vlm3.errors import InputError
from vlm3.tasks.base import Task
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.protocol import Protocol, get_protocol
from vlm3.train.batch import Lesson
from vlm3.train.config import Part, Run

Image = npt.NDArray[np.uint8]
ENDLESS = 1 << 40
"""The length of a source that renders what it is asked for."""


class LessonSource(Interface):
    """What the stream draws from; see `vlm3.data.source.Source`."""

    @property
    def name(self) -> str:
        """What the books call it."""

    def __len__(self) -> int:
        """Samples to train on."""

    def lesson(self, place: int, seed: tuple[int, int]) -> Lesson:
        """Sample `place`; from len() on they are held out. `seed`: of the run, and the count."""

    def describe(self, place: int) -> str:
        """What messages call a sample."""


@dataclass(frozen=True)
class FromShards:
    """Shards as lessons."""

    inner: ShardSource

    @property
    def name(self) -> str:
        """See `LessonSource`."""
        return self.inner.name

    def __len__(self) -> int:
        return len(self.inner)

    def lesson(self, place: int, seed: tuple[int, int]) -> Lesson:
        """See `LessonSource`."""
        made = self.inner.conversation(place, seed)
        return _lesson(made)

    def describe(self, place: int) -> str:
        """See `LessonSource`."""
        return self.inner.describe(place)


@dataclass(frozen=True)
class Worlds:
    """Rendered views (depth, objects) or pairs (correspondence, pose)."""

    protocol: Protocol
    tasks: tuple[Task, ...]
    size_px: tuple[int, int]
    f_px: float
    questions: int
    seed: int
    name: str = "worlds"

    def __len__(self) -> int:
        return ENDLESS

    def lesson(self, place: int, seed: tuple[int, int]) -> Lesson:
        """See `LessonSource`."""
        from vlm3.worlds import labels, sample_pair, sample_view

        rng = np.random.default_rng(seed)
        width_px, height_px = self.size_px
        held = place >= ENDLESS
        index = (place - ENDLESS if held else place) % (1 << 31)
        if {"correspondence", "pose"} & set(self.tasks):
            pair = sample_pair(
                self.seed,
                index,
                width_px=width_px,
                height_px=height_px,
                f_px=self.f_px,
                split="heldout" if held else "train",
                kind="room",
            )
            qas = labels.match_qas(pair, self.protocol, self.questions, rng)
            if "pose" in self.tasks:
                qas += labels.pose_qas(pair, self.protocol)
            images: tuple[Image, ...] = (pair.frame1.image, pair.frame2.image)
        else:
            frame = sample_view(
                self.seed,
                index,
                width_px=width_px,
                height_px=height_px,
                f_px=self.f_px,
                split="heldout" if held else "train",
                kind="room",
            )
            qas = ()
            if "depth" in self.tasks:
                qas += labels.depth_qas(frame, self.protocol, self.questions, rng)
            if "objects" in self.tasks:
                qas += labels.object_qas(frame, self.protocol, self.questions, rng)
            images = (frame.image,)
        chosen = tuple({qa.question: qa for qa in qas if qa.task in self.tasks}.values())
        if not chosen:
            raise InputError("nothing to ask")
        return Lesson(images, chosen)

    def describe(self, place: int) -> str:
        """See `LessonSource`."""
        return f"world {place} of seed {self.seed}"


@dataclass(frozen=True)
class SchoolSource:
    """Nano's lessons, mosaics alone at first."""

    protocol: Protocol
    f_px: float
    seed: int
    pointing: int
    name: str = "school"

    def __len__(self) -> int:
        return ENDLESS

    def lesson(self, place: int, seed: tuple[int, int]) -> Lesson:
        """See `LessonSource`."""
        from vlm3.train.school import School

        held = place >= ENDLESS
        school = School(
            self.protocol, f_px=self.f_px, seed=self.seed, split="heldout" if held else "train"
        )
        count = seed[1]
        return school.lessons(count, 1, pointing=not held and count < self.pointing)[0]

    def describe(self, place: int) -> str:
        """See `LessonSource`."""
        return f"school lesson {place} of seed {self.seed}"


@dataclass(frozen=True)
class Curriculum:
    """The sources of a run, the mixture over them, and the sets of Table 5 that are not there."""

    sources: tuple[LessonSource, ...]
    mixture: Mixture
    absent: tuple[SetPlan, ...]


def curriculum(run: Run, multiple_px: int) -> Curriculum:
    """Finds a run's data.

    Args:
        run: what to find.
        multiple_px: pixels a token of the model spans.

    Raises:
        InputError: a set is missing, or its shards cannot be used.
    """
    protocol = get_protocol(run.protocol)
    if run.f_px is not None:
        protocol = protocol.with_focal(run.f_px)
    sources: list[LessonSource] = []
    weights: list[float] = []
    absent: list[SetPlan] = []
    for part in run.parts:
        wrong = set(part.tasks) - protocol.tasks
        if wrong or not set(part.tasks) <= set(get_args(Task)):
            raise InputError(f"protocol {protocol.name} does not ask about {sorted(wrong)}")
        if part.kind in ("worlds", "school"):
            sources.append(_rendered(run, part, protocol, multiple_px))
            weights.append(part.share)
            continue
        found, own, missing = _sets(run, part, protocol, multiple_px)
        sources += found
        weights += [part.share * w / sum(own) for w in own]
        absent += missing
    mixture = Mixture(tuple(len(s) for s in sources), tuple(weights), seed=run.seed)
    return Curriculum(tuple(sources), mixture, tuple(absent))


def _rendered(run: Run, part: Part, protocol: Protocol, multiple_px: int) -> LessonSource:
    f_px = protocol.prep.target_px
    if any(side % multiple_px for side in run.size_px):
        raise InputError(f"size_px is {run.size_px}; give multiples of {multiple_px}")
    if part.kind == "school":
        return SchoolSource(protocol, f_px, run.seed, pointing=run.samples // 20)
    return Worlds(protocol, part.tasks, run.size_px, f_px, run.questions, run.seed)


def _sets(
    run: Run, part: Part, protocol: Protocol, multiple_px: int
) -> tuple[list[LessonSource], tuple[float, ...], list[SetPlan]]:
    if not run.data:
        raise InputError(
            f"recipe {run.name} reads shards: give --data DIR with a folder for each set "
            "(vlm3 data books lists them)"
        )
    wanted = (
        (SetPlan("Objects", "objects", 1, 1.0),) if part.kind == "objects" else table(part.kind)
    )
    unknown = set(run.without) - {s.folder for kind in ("depth", "pairs") for s in table(kind)}
    if unknown - {"objects"}:
        raise InputError(f"without names no set of Table 5: {', '.join(sorted(unknown))}")
    asker = Asker(protocol, part.tasks, multiple_px, run.questions, run.max_tokens)
    found: list[LessonSource] = []
    plans: list[SetPlan] = []
    missing: list[SetPlan] = []
    lost: list[str] = []
    for one in wanted:
        if one.folder in run.without:
            missing.append(one if one.absent else replace(one, absent="left out by --without"))
            continue
        try:
            shards = Shards(f"{run.data.rstrip('/')}/{one.folder}")
        except InputError as error:
            if one.absent is None:
                lost.append(f"{one.folder} ({error})")
            missing.append(one)
            continue
        name = f"{one.folder} {'+'.join(part.tasks)}"
        found.append(FromShards(ShardSource(name, shards, asker)))
        plans.append(one)
    if lost:
        raise InputError(
            f"{len(lost)} sets of Table 5 are not in {run.data}: {lost[0]}; to train on less, "
            "name each with --without"
        )
    if not found:
        raise InputError(f"no set of {part.kind} is left to train on")
    sizes: Sequence[int] = [len(s) for s in found]
    weights = weights_of(part.weights, sizes, [p.weight for p in plans])
    return found, weights, missing


def _lesson(made: Conversation) -> Lesson:
    return Lesson(tuple(view.image for view in made.views), made.turns)
