"""One part of a run's data under flat names: its kind, and the settings that its kind has.

The command line knows every setting in every part; a kind reads its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from vlm3.tasks.base import TaskName
from vlm3.train.parts import (
    ColorMosaics,
    ObjectsFolder,
    OwnFolders,
    Part,
    RenderedWorlds,
    TableSets,
)


@dataclass(frozen=True)
class PartSettings:
    """One part of the data.

    Attributes:
        kind: "depth" and "pairs" are the sets of Table 5, "objects" the folder `objects`, "folders"
            those named, all below `--data`; "worlds" and "pointing" (mosaics) are rendered while
            training.
        tasks: the kinds of questions.
        share: of all samples, beside the other parts.
        weights: within the part: table5, size or uniform.
        folders: of kind "folders": names of sets.
        folder_weights: their shares; empty for those of `weights`.
        colors: of kind "worlds": questions for the colour at a point, beside those of the tasks:
            what the mosaics taught is lost where nothing asks for it.
        worlds: of kind "worlds": room, street or both.
        tilt_deg: of kind "worlds": cameras are turned up or down by at most this, so that the
            place in a picture says less of the distance.
        views: of kind "worlds": single views to train on, kept once rendered and shown again,
            mirrored and repainted; 0 for a new world each time. On a CPU, drawing a picture costs
            more than learning from it.
    """

    kind: Literal["depth", "pairs", "objects", "folders", "worlds", "pointing"]
    tasks: tuple[TaskName, ...] = ()
    share: float = 1.0
    weights: Literal["table5", "size", "uniform"] = "table5"
    folders: tuple[str, ...] = ()
    folder_weights: tuple[float, ...] = ()
    colors: int = 0
    worlds: Literal["room", "street", "both"] = "room"
    tilt_deg: float = 0.0
    views: int = 0

    @classmethod
    def of(cls, part: Part) -> "PartSettings":
        """The settings of a part; those of other kinds as they are by default."""
        given = {f.name: getattr(part, f.name) for f in fields(part)}
        if isinstance(part, TableSets):
            return cls(kind=part.table, **{k: v for k, v in given.items() if k != "table"})
        if isinstance(part, ObjectsFolder):
            return cls(kind="objects", weights="size", **given)
        kind = next(kind for kind, made in _KINDS.items() if isinstance(part, made))
        return cls(kind=kind, **given)  # type: ignore[arg-type]

    def part(self) -> Part:
        """The part; what belongs to other kinds is left out."""
        if self.kind == "depth" or self.kind == "pairs":
            return TableSets(self.kind, self.tasks, self.share, self.weights)
        made: Part = _KINDS[self.kind](
            **{name: getattr(self, name) for name in own_names(self.kind)}
        )
        return made


_KINDS: dict[str, Any] = {
    "depth": TableSets,
    "pairs": TableSets,
    "objects": ObjectsFolder,
    "folders": OwnFolders,
    "worlds": RenderedWorlds,
    "pointing": ColorMosaics,
}


def own_names(kind: str) -> list[str]:
    """Names of the settings that a kind of part has beside its kind."""
    return [f.name for f in fields(_KINDS[kind]) if f.name != "table"]


def with_own(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part's settings without those of other kinds; of an unknown kind, all."""
    kind = part.get("kind")
    if kind not in _KINDS:
        return dict(part)
    return {name: value for name, value in part.items() if name in ("kind", *own_names(kind))}
