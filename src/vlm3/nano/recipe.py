"""How nano is trained, as values: sizes, crops, stages, rates. A variant is a changed copy.

Everything that takes time is a share of the wall-clock budget, so that one recipe serves a run of
ten minutes and one of an hour.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from vlm3.errors import InputError
from vlm3.model import SmallSize

Kind = Literal["mosaic color", "color", "mosaic match", "boxes", "view", "objects", "pair", "dense"]
"""Kinds of batches; `nano.batches` says what each asks."""
NEEDS_NO_PAIRS: tuple[Kind, ...] = ("mosaic color", "mosaic match")

MAX_TOKENS = 400
"""Most tokens a picture may take at inference."""


@dataclass(frozen=True)
class ViewSize:
    """A size that pairs are rendered in, and what is cut from it: (width, height) in pixels.

    Attributes:
        rendered_px: of the whole picture.
        share: of the rendered pairs.
        cuts_px: as phones and cameras have them, some upright.
        wide_cuts_px: as cameras on vehicles have them. The position table is stretched over every
            shape, so each shape has to be learnt: without these a street cut to 224x64 was read at
            delta1 0.67 where 256x192 was at 0.86.
    """

    rendered_px: tuple[int, int]
    share: float
    cuts_px: tuple[tuple[int, int], ...]
    wide_cuts_px: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class StagePart:
    """One batch of a step: its kind, how many rows of how many questions, and its loss's weight."""

    kind: Kind
    rows: int
    questions: int
    weight: float


@dataclass(frozen=True)
class NanoStage:
    """What is learnt for a part of the time.

    Attributes:
        name: as the log calls it.
        until: share of the budget that is gone when it ends at the latest.
        turns: the batches of each step, in turns.
        gap: it ends sooner when shuffled coordinates cost more than this, in nats; None: never.
        tower_rate: rate of the vision tower over that of the text.
    """

    name: str
    until: float
    turns: tuple[tuple[StagePart, ...], ...]
    gap: float | None = None
    tower_rate: float = 1.0


@dataclass(frozen=True)
class NanoRecipe:
    """A training run of nano but for its budget, folder and machine.

    Attributes:
        size: of the model.
        views: what is rendered.
        stages: in order; the last goes on to the end.
        wide_share: of the cuts.
        large_share: of the batches that show the last of `views`.
        room_share: of the worlds; a street, costly to build, is rendered twice.
        collages: share of single views that are put together from four, at the start and the end.
        motion_weight: of the questions about motion beside those about matches.
        dense_weight: of the tower's own labels beside the text.
        muon_rate: of matrices.
        adam_rate: of the rest.
        fall_from: share of the budget from which the rates fall, linearly, to zero.
        warmup_steps: of each stage.
        clip: largest norm of the gradient.
        keep: of the averaged weights, a step.
        store_gb: memory for rendered pairs.
        most_waiting: rendered pairs that lie unread before the workers pause; one of 256x192
            takes 0.6 MB.
        enough_pairs: before anything is learnt from them.
        held_out: pairs that are rendered for the checks.
        gap_seconds: between looks at the gap while it may end a stage.
        check_seconds: between checks on held-out pairs.
        save_seconds: between saves: what a kill can cost.
    """

    size: SmallSize
    views: tuple[ViewSize, ...]
    stages: tuple[NanoStage, ...]
    wide_share: float = 0.35
    large_share: float = 0.45
    room_share: float = 0.82
    collages: tuple[float, float] = (0.4, 0.1)
    motion_weight: float = 1.5
    dense_weight: float = 0.4
    muon_rate: float = 2e-2
    adam_rate: float = 1e-3
    fall_from: float = 0.6
    warmup_steps: int = 60
    clip: float = 2.0
    keep: float = 0.9995
    store_gb: float = 20.0
    most_waiting: int = 512
    enough_pairs: int = 256
    held_out: int = 150
    gap_seconds: float = 15.0
    check_seconds: float = 200.0
    save_seconds: float = 100.0

    def to_json(self) -> dict[str, Any]:
        """As `--dry-run` prints it and a run's folder keeps it."""
        return asdict(self)

    def rate_at(self, share: float, steps: int) -> float:
        """Share of the full rate.

        Args:
            share: of the budget that is gone.
            steps: of the stage so far.
        """
        rise = (steps + 1) / self.warmup_steps
        return max(0.0, min(1.0, rise, (1 - share) / (1 - self.fall_from)))


_SMALL = ViewSize(
    (176, 128),
    0.65,
    ((176, 128), (160, 128), (160, 112), (144, 112), (144, 96), (128, 96), (112, 128), (96, 80)),
    ((160, 96), (144, 80), (112, 64), (112, 80), (128, 64), (160, 80)),
)
_LARGE = ViewSize(
    (256, 192),
    0.35,
    ((256, 192), (240, 176), (224, 160), (208, 160), (192, 144), (144, 192), (224, 128)),
    ((224, 64), (208, 64), (240, 80), (208, 96), (160, 96), (240, 112), (160, 160)),
)


def _world_turns(rows: int) -> tuple[tuple[StagePart, ...], ...]:
    """Two kinds a step: what a batch costs beside its rows is paid half as often."""
    views = (StagePart("view", 3 * rows, 36, 1.0), StagePart("objects", 3 * rows // 2, 12, 0.7))
    pairs = StagePart("pair", 2 * rows, 24, 1.0)
    # What grounding taught is lost where nothing asks for it.
    kept = [
        StagePart(kind, 2 * rows // 3, 24, 0.2)
        for kind in ("color", "mosaic match", "boxes", "color")
    ]
    return tuple(turn for part in kept for turn in (views, (pairs, part)))


NANO = NanoRecipe(
    size=SmallSize(),
    views=(_SMALL, _LARGE),
    stages=(
        NanoStage(
            "grounding",
            0.10,
            (
                (
                    StagePart("mosaic color", 128, 32, 1.0),
                    StagePart("mosaic match", 48, 16, 0.6),
                    StagePart("boxes", 48, 12, 0.6),
                    StagePart("dense", 48, 0, 0.3),
                ),
            ),
            gap=0.8,
        ),
        NanoStage(
            "tower",
            0.16,
            (
                (
                    StagePart("dense", 192, 0, 1.0),
                    StagePart("color", 64, 24, 0.3),
                    StagePart("mosaic match", 24, 16, 0.3),
                    StagePart("boxes", 32, 12, 0.3),
                ),
            ),
        ),
        NanoStage("worlds", 1.0, _world_turns(96), tower_rate=0.6),
    ),
)
"""The packaged size, in batches twice those its weights were trained in."""

MINIATURE = NanoRecipe(
    size=SmallSize(
        vision_hidden=64,
        vision_layers=3,
        vision_heads=2,
        vision_mlp=192,
        deepstack=(1,),
        text_hidden=96,
        text_layers=3,
        text_heads=3,
        text_kv_heads=1,
        text_mlp=192,
    ),
    views=(ViewSize((112, 80), 1.0, ((96, 80), (80, 64), (64, 80)), ((112, 48),)),),
    stages=(
        NanoStage("grounding", 0.8, ((StagePart("mosaic color", 8, 48, 1.0),),), gap=0.8),
        NanoStage(
            "tower", 0.85, ((StagePart("dense", 4, 0, 1.0), StagePart("color", 8, 24, 0.3)),)
        ),
        NanoStage("worlds", 1.0, _world_turns(3), tower_rate=0.6),
    ),
    warmup_steps=20,
    keep=0.98,
    store_gb=0.01,
    most_waiting=8,
    enough_pairs=4,
    held_out=4,
    gap_seconds=10.0,
    check_seconds=60.0,
    save_seconds=20.0,
)
"""The same on a CPU core: a toy that learns to point in minutes. So the trainer is tested."""


def continued(recipe: NanoRecipe) -> NanoRecipe:
    """The recipe for weights that can point already: worlds, and a rate that falls early."""
    grounding, tower, worlds = recipe.stages
    return replace(
        recipe,
        stages=(replace(grounding, until=0.02), replace(tower, until=0.04), worlds),
        muon_rate=0.8 * recipe.muon_rate,
        adam_rate=0.8 * recipe.adam_rate,
        dense_weight=0.5 * recipe.dense_weight,
        fall_from=0.15,
    )


def checked_minutes(minutes: float) -> float:
    """The budget, if it is one.

    Raises:
        InputError: it is no positive number.
    """
    if not (math.isfinite(minutes) and minutes > 0):
        raise InputError(f"minutes is {minutes:g}; give how long to train, such as 28")
    return minutes
