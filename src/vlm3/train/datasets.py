"""A run's data: shards, worlds rendered while training, and mosaics.

Everything is found and checked here, before any model is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol as Interface

import numpy as np

from vlm3.data.dataset import Dataset, ShardDataset
from vlm3.data.mixture import Draw, Mixture, weights_of
from vlm3.data.paper_tables import SetPlan, table
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.geometry.focal import PixelLimits
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.protocol import ImagePrep, Protocol, get_protocol
from vlm3.tasks.question_writer import QuestionWriter
from vlm3.tasks.registry import TASKS, in_order, paired
from vlm3.train.config import RENDERED, Part, Run
from vlm3.train.mosaics import Colors, Mosaics
from vlm3.train.references import question_writer


class Source(Interface):
    """Conversations to train on, made from labelled pictures of one kind."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def __len__(self) -> int:
        """Samples to train on."""

    def conversation(self, place: int, seed: tuple[int, ...]) -> Conversation:
        """Sample `place` asked with the chance of `seed`; from len() on they are held out.

        Raises:
            InputError: this sample is damaged, or has no label that is asked about.
        """

    def describe(self, place: int) -> str:
        """What messages call a sample."""


@dataclass(frozen=True)
class Asked:
    """A data set and the questions that are written about it."""

    dataset: Dataset
    writer: QuestionWriter

    @property
    def name(self) -> str:
        """See `Source`."""
        return self.dataset.name

    def __len__(self) -> int:
        return len(self.dataset)

    def conversation(self, place: int, seed: tuple[int, ...]) -> Conversation:
        """See `Source`."""
        rng = np.random.default_rng(seed)
        return self.writer.write(self.dataset.sample(place, rng), rng)

    def describe(self, place: int) -> str:
        """See `Source`."""
        return self.dataset.describe(place)


@dataclass(frozen=True)
class Curriculum:
    """What a run draws from.

    Attributes:
        sources: of its parts; behind those of the mixture the mosaics it starts with, if any.
        mixture: over the sources of the parts.
        absent: sets of Table 5 that are not there.
        pointing: draws at the start that are mosaics alone.
    """

    sources: tuple[Source, ...]
    mixture: Mixture
    absent: tuple[SetPlan, ...]
    pointing: int = 0

    def draw(self, count: int) -> Draw:
        """Draw number `count` of the run, from 0."""
        if count < self.pointing:
            return Draw(len(self.sources) - 1, count, 0)
        return self.mixture[count - self.pointing]


def curriculum(run: Run, multiple_px: int, limits: PixelLimits | None = None) -> Curriculum:
    """Finds a run's data.

    Args:
        run: what to find.
        multiple_px: pixels a token of the model spans.
        limits: fewest and most pixels that the model's own processor gives it.

    Raises:
        InputError: a set is missing, or its shards cannot be used.
    """
    protocol = protocol_of(run).within(limits)
    sources: list[Source] = []
    weights: list[float] = []
    absent: list[SetPlan] = []
    for part in run.parts:
        wrong = set(part.tasks) - protocol.tasks
        if wrong or not set(part.tasks) <= set(TASKS):
            raise InputError(f"protocol {protocol.name} does not ask about {sorted(wrong)}")
        if part.kind in RENDERED:
            sources.append(_rendered(run, part, protocol, multiple_px))
            weights.append(part.share)
            continue
        found, own, missing = _sets(run, part, protocol, multiple_px)
        sources += found
        weights += [part.share * w / sum(own) for w in own]
        absent += missing
    mixture = Mixture(tuple(len(s) for s in sources), tuple(weights), seed=run.seed)
    if run.pointing:
        sources.append(_rendered(run, Part("pointing", ()), protocol, multiple_px))
    return Curriculum(tuple(sources), mixture, tuple(absent), run.pointing)


def protocol_of(run: Run) -> Protocol:
    """The protocol of a run, at its focal length or its length of the longer side."""
    protocol = get_protocol(run.protocol)
    if run.long_side_px is not None:
        return replace(protocol, prep=ImagePrep("long_side", run.long_side_px))
    return protocol if run.f_px is None else protocol.with_focal(run.f_px)


def _rendered(run: Run, part: Part, protocol: Protocol, multiple_px: int) -> Source:
    f_px = protocol.prep.target_px
    if any(side % multiple_px for side in run.size_px):
        raise InputError(f"size_px is {run.size_px}; give multiples of {multiple_px}")
    if part.kind == "pointing":
        return Mosaics(protocol, run.size_px, multiple_px, run.questions, run.seed, run.reference)
    # Loaded here: worlds need Warp, and shards do not.
    from vlm3.worlds.dataset import RenderedWorlds

    tasks = in_order(part.tasks)
    pairs = paired(part.tasks)
    worlds = RenderedWorlds(
        pairs,
        run.size_px,
        f_px,
        run.seed,
        kind=part.worlds,
        tilt_deg=part.tilt_deg,
        views=part.views,
    )
    colors = (Colors(part.colors),) if part.colors and not pairs else ()
    return Asked(worlds, QuestionWriter(protocol, (*tasks, *colors), multiple_px, run.questions))


def _sets(
    run: Run, part: Part, protocol: Protocol, multiple_px: int
) -> tuple[list[Source], tuple[float, ...], list[SetPlan]]:
    if not run.data:
        raise InputError(
            f"recipe {run.name} reads shards: give --data DIR with a folder for each set "
            "(vlm3 data books lists them)"
        )
    wanted = _wanted(part)
    unknown = set(run.without) - {s.folder for kind in ("depth", "pairs") for s in table(kind)}
    if unknown - {"objects"}:
        raise InputError(f"without names no set of Table 5: {', '.join(sorted(unknown))}")
    writer = question_writer(
        run.reference, protocol, part.tasks, multiple_px, run.questions, run.max_tokens
    )
    pairs = paired(part.tasks)
    found: list[Source] = []
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
        dataset = ShardDataset(name, shards, pairs=pairs, by_scene=part.kind == "folders")
        found.append(Asked(dataset, writer))
        plans.append(one)
    if lost and part.kind == "folders":
        raise InputError(f"{len(lost)} of {len(wanted)} folders cannot be used: {lost[0]}")
    if lost:
        raise InputError(
            f"{len(lost)} sets of Table 5 are not in {run.data}: {lost[0]}; to train on less, "
            "name each with --without"
        )
    if not found:
        raise InputError(f"no set of {part.kind} is left to train on")
    sizes: Sequence[int] = [len(s) for s in found]
    if part.folder_weights:
        return found, part.folder_weights, missing
    weights = weights_of(part.weights, sizes, [p.weight for p in plans])
    return found, weights, missing


def _wanted(part: Part) -> tuple[SetPlan, ...]:
    """The sets a part names."""
    if part.kind == "objects":
        return (SetPlan("Objects", "objects", 1, 1.0),)
    if part.kind != "folders":
        return table(part.kind)
    if not part.folders or part.weights == "table5":
        raise InputError("a part of folders needs their names, and weights size or uniform")
    if part.folder_weights and len(part.folder_weights) != len(part.folders):
        raise InputError(
            f"{len(part.folders)} folders have {len(part.folder_weights)} folder_weights"
        )
    return tuple(SetPlan(name, name, 1, 1.0) for name in part.folders)
