"""What a run trains on, as values: parts of the data, one type a kind, and stages made of them.

Knows no files: `train.datasets` finds what is named here.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from vlm3.errors import InputError
from vlm3.tasks.base import TaskName


@dataclass(frozen=True)
class TableSets:
    """The published sets of Table 5, each a folder below `DataConfig.root`.

    Attributes:
        table: which half of Table 5: "depth", single pictures, or "pairs", two views.
        tasks: the kinds of questions.
        share: of the stage's samples, beside its other parts.
        weights: within the part: table5, size or uniform.
    """

    table: Literal["depth", "pairs"]
    tasks: tuple[TaskName, ...]
    share: float = 1.0
    weights: Literal["table5", "size", "uniform"] = "table5"


@dataclass(frozen=True)
class ObjectsFolder:
    """The set of pictures with labelled objects: the folder `objects` below `DataConfig.root`.

    Attributes:
        tasks: the kinds of questions.
        share: of the stage's samples, beside its other parts.
    """

    tasks: tuple[TaskName, ...] = ("objects",)
    share: float = 1.0


@dataclass(frozen=True)
class OwnFolders:
    """Sets of one's own, each a folder below `DataConfig.root`.

    Attributes:
        folders: names of sets.
        tasks: the kinds of questions.
        share: of the stage's samples, beside its other parts.
        weights: within the part: size or uniform.
        folder_weights: one a folder; empty for those of `weights`.
    """

    folders: tuple[str, ...]
    tasks: tuple[TaskName, ...]
    share: float = 1.0
    weights: Literal["size", "uniform"] = "size"
    folder_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.folders or self.weights not in ("size", "uniform"):
            raise InputError("a part of folders needs their names, and weights size or uniform")
        if self.folder_weights and len(self.folder_weights) != len(self.folders):
            raise InputError(
                f"{len(self.folders)} folders have {len(self.folder_weights)} folder_weights"
            )


@dataclass(frozen=True)
class RenderedWorlds:
    """Worlds that are rendered while training.

    Attributes:
        tasks: the kinds of questions.
        share: of the stage's samples, beside its other parts.
        colors: questions for the colour at a point, beside those of the tasks: what the mosaics
            taught is lost where nothing asks for it.
        worlds: room, street or both.
        tilt_deg: cameras are turned up or down by at most this, so that the place in a picture
            says less of the distance.
        views: single views to train on, kept once rendered and shown again, mirrored and
            repainted; 0 for a new world each time. On a CPU, drawing a picture costs more than
            learning from it.
    """

    tasks: tuple[TaskName, ...]
    share: float = 1.0
    colors: int = 0
    worlds: Literal["room", "street", "both"] = "room"
    tilt_deg: float = 0.0
    views: int = 0


@dataclass(frozen=True)
class ColorMosaics:
    """Mosaics of plain colours, which teach to look where the text points; `train.mosaics`.

    Attributes:
        share: of the stage's samples, beside its other parts.
    """

    share: float = 1.0
    tasks: ClassVar[tuple[TaskName, ...]] = ()
    """None of the tasks: questions about a mosaic are about its colours."""


Part = TableSets | ObjectsFolder | OwnFolders | RenderedWorlds | ColorMosaics
RENDERED = (RenderedWorlds, ColorMosaics)
"""Kinds of parts that read no files."""


@dataclass(frozen=True)
class Stage:
    """What is drawn for a while.

    Attributes:
        samples: before the next stage begins.
        parts: what they are drawn from, in their shares.
    """

    samples: int
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise InputError(f"a stage has {self.samples} samples; give 0 or more")
        if not self.parts:
            raise InputError("there are no parts: nothing to train on")


@dataclass(frozen=True)
class DataConfig:
    """What a run is drawn from; read by `train.datasets`.

    Attributes:
        stages: in order; the last goes on to the end of the run.
        root: folder or address with one folder of shards a set.
        without: folders of sets to do without.
    """

    stages: tuple[Stage, ...]
    root: str = ""
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.stages:
            raise InputError("there are no stages: nothing to train on")
        if not self.samples > 0:
            raise InputError(f"samples is {self.samples}; give a number above 0")

    @property
    def samples(self) -> int:
        """Of all stages; a sample is one picture, or one pair, with all its questions."""
        return sum(stage.samples for stage in self.stages)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Those of the last stage: what the run is for."""
        return self.stages[-1].parts
