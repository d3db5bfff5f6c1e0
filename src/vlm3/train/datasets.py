"""Finds a run's data: shards, worlds rendered while training, and mosaics.

Everything is opened and checked here, before any model is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vlm3.data.dataset import ShardDataset, lacking_labels
from vlm3.data.heldout import kept_line
from vlm3.data.mixture import ENDLESS, Mixture, weights_of
from vlm3.data.paper_tables import SetPlan, table
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.geometry.focal import PixelLimits
from vlm3.tasks.protocol import Protocol, get_protocol
from vlm3.tasks.question_writer import QuestionWriter
from vlm3.tasks.references import question_writer
from vlm3.tasks.registry import TASKS, in_order, paired
from vlm3.train.config import PromptConfig
from vlm3.train.curriculum import AskedDataset, ConversationSource, Curriculum, OpeningStage
from vlm3.train.mosaics import Colors, Mosaics
from vlm3.train.parts import (
    RENDERED,
    ColorMosaics,
    DataConfig,
    ObjectsFolder,
    OwnFolders,
    RenderedWorlds,
    Stage,
    TableSets,
)


def curriculum(
    config: DataConfig,
    prompt: PromptConfig,
    *,
    seed: int,
    multiple_px: int,
    limits: PixelLimits | None = None,
) -> Curriculum:
    """Finds a run's data.

    Args:
        config: what to find.
        prompt: how it is shown and its questions worded.
        seed: of all orders.
        multiple_px: pixels a token of the model spans.
        limits: fewest and most pixels that the model's own processor gives it.

    Raises:
        InputError: a set is missing, or its shards cannot be used.
    """
    finder = _Finder(config, prompt, protocol_of(prompt).within(limits), multiple_px, seed)
    *before, last = config.stages
    sources, mixture, absent = finder.stage(last)
    openings = []
    for stage in before:
        found, own, missing = finder.stage(stage)
        in_order = len(found) == 1 and len(found[0]) == ENDLESS
        openings.append(OpeningStage(stage.samples, len(sources), None if in_order else own))
        sources += found
        absent += missing
    return Curriculum(tuple(sources), mixture, tuple(absent), tuple(openings))


def kept_lines(found: Curriculum) -> list[str]:
    """What of one's own folders is kept from training, one line a folder."""
    lines = [
        # A source is called by its folder and its tasks.
        f"{source.name.rsplit(' ', 1)[0]}: {kept_line(source.dataset.shards)}"
        for source in found.sources
        if isinstance(source, AskedDataset)
        and isinstance(source.dataset, ShardDataset)
        and source.dataset.by_scene
    ]
    return list(dict.fromkeys(lines))


def protocol_of(prompt: PromptConfig) -> Protocol:
    """The protocol of a run, at its focal length or its length of the longer side."""
    protocol = get_protocol(prompt.protocol)
    if prompt.long_side_px is not None:
        return protocol.with_long_side(prompt.long_side_px)
    return protocol if prompt.f_px is None else protocol.with_focal(prompt.f_px)


@dataclass(frozen=True)
class _Finder:
    """Makes sources of the parts of a run."""

    config: DataConfig
    prompt: PromptConfig
    protocol: Protocol
    multiple_px: int
    seed: int

    def stage(self, stage: Stage) -> tuple[list[ConversationSource], Mixture, list[SetPlan]]:
        """The sources of a stage, how they are mixed, and what is absent."""
        sources: list[ConversationSource] = []
        weights: list[float] = []
        absent: list[SetPlan] = []
        for part in stage.parts:
            wrong = set(part.tasks) - self.protocol.tasks
            if wrong or not set(part.tasks) <= set(TASKS):
                raise InputError(
                    f"protocol {self.protocol.name} does not ask about {sorted(wrong)}"
                )
            if isinstance(part, RENDERED):
                sources.append(self._rendered(part))
                weights.append(part.share)
                continue
            found, own, missing = self._sets(part)
            sources += found
            weights += [part.share * w / sum(own) for w in own]
            absent += missing
        if not sources:
            reasons = "; ".join(f"{one.name}: {one.absent}" for one in absent)
            raise InputError(f"nothing is left to train on: {reasons}")
        mixture = Mixture(tuple(len(s) for s in sources), tuple(weights), seed=self.seed)
        return sources, mixture, absent

    def _rendered(self, part: RenderedWorlds | ColorMosaics) -> ConversationSource:
        prompt = self.prompt
        if any(side % self.multiple_px for side in prompt.size_px):
            raise InputError(f"size_px is {prompt.size_px}; give multiples of {self.multiple_px}")
        if isinstance(part, ColorMosaics):
            return Mosaics(
                self.protocol,
                prompt.size_px,
                self.multiple_px,
                prompt.questions,
                self.seed,
                prompt.reference,
            )
        # Loaded here: worlds need Warp, and shards do not.
        from vlm3.worlds.dataset import WorldDataset

        pairs = paired(part.tasks)
        worlds = WorldDataset(
            pairs,
            prompt.size_px,
            # At a fixed longer side lenses differ; else all pictures have the focal length.
            None if self.protocol.prep.kind == "long_side" else self.protocol.prep.target_px,
            self.seed,
            kind=part.worlds,
            tilt_deg=part.tilt_deg,
            views=part.views,
        )
        colors = (Colors(part.colors),) if part.colors and not pairs else ()
        tasks = (*in_order(part.tasks), *colors)
        return AskedDataset(
            worlds, QuestionWriter(self.protocol, tasks, self.multiple_px, prompt.questions)
        )

    def _sets(
        self, part: TableSets | ObjectsFolder | OwnFolders
    ) -> tuple[list[ConversationSource], tuple[float, ...], list[SetPlan]]:
        root = self.config.root
        if not root:
            raise InputError(
                "the run reads shards: give --data DIR with a folder for each set "
                "(vlm3 data books lists them)"
            )
        wanted, own = _wanted(part), isinstance(part, OwnFolders)
        self._check_without()
        writer = question_writer(
            self.prompt.reference,
            self.protocol,
            part.tasks,
            self.multiple_px,
            self.prompt.questions,
            self.prompt.max_tokens,
        )
        pairs = paired(part.tasks)
        found: list[ConversationSource] = []
        plans: list[SetPlan] = []
        missing: list[SetPlan] = []
        lost: list[str] = []
        for one in wanted:
            if one.folder in self.config.without:
                missing.append(one if one.absent else replace(one, absent="left out by --without"))
                continue
            try:
                shards = Shards(f"{root.rstrip('/')}/{one.folder}")
            except InputError as error:
                if one.absent is None:
                    lost.append(f"{one.folder} ({error})")
                missing.append(one)
                continue
            name = f"{one.folder} {'+'.join(part.tasks)}"
            if own and (lacking := lacking_labels(shards, part.tasks)):
                missing.append(replace(one, name=name, absent=lacking))
                continue
            dataset = ShardDataset(name, shards, pairs=pairs, by_scene=own)
            found.append(AskedDataset(dataset, writer))
            plans.append(one)
        if lost and own:
            raise InputError(f"{len(lost)} of {len(wanted)} folders cannot be used: {lost[0]}")
        if lost:
            raise InputError(
                f"{len(lost)} sets of Table 5 are not in {root}: {lost[0]}; to train on less, "
                "name each with --without"
            )
        if not found and not own:
            names = ", ".join(one.folder for one in wanted)
            raise InputError(f"no set is left to train on, of {names}")
        return found, _weights(part, found, plans), missing

    def _check_without(self) -> None:
        known = {s.folder for kind in ("depth", "pairs") for s in table(kind)} | {"objects"}
        if unknown := set(self.config.without) - known:
            raise InputError(f"without names no set of Table 5: {', '.join(sorted(unknown))}")


def _weights(
    part: TableSets | ObjectsFolder | OwnFolders,
    found: Sequence[ConversationSource],
    plans: Sequence[SetPlan],
) -> tuple[float, ...]:
    """Of the sets of a part, up to a common factor."""
    if isinstance(part, ObjectsFolder):
        return (float(len(found[0])),)
    if isinstance(part, OwnFolders) and part.folder_weights:
        by_folder = dict(zip(part.folders, part.folder_weights, strict=True))
        return tuple(by_folder[plan.folder] for plan in plans)
    return weights_of(part.weights, [len(s) for s in found], [p.weight for p in plans])


def _wanted(part: TableSets | ObjectsFolder | OwnFolders) -> tuple[SetPlan, ...]:
    """The sets a part names."""
    if isinstance(part, TableSets):
        return table(part.table)
    if isinstance(part, ObjectsFolder):
        return (SetPlan("Objects", "objects", 1, 1.0),)
    return tuple(SetPlan(name, name, 1, 1.0) for name in part.folders)
