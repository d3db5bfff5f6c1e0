"""What recipes of many results share: the folder, the lens, and how a model is read.

A recipe says what is made of every picture or pair; see `batch.FolderRecipe` for what else it has.
Plain values, so that another process can have them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vlm3.cli.batch import output_folder
from vlm3.cli.picture_sources import Opener
from vlm3.cli.pipeline import lenses

if TYPE_CHECKING:
    from vlm3.tasks.answers import Readout


@dataclass(frozen=True, kw_only=True)
class PictureRecipe:
    """A recipe about pictures.

    Attributes:
        folder: where.
        lens: of every picture, as `View.open` takes it; without any, what EXIF says.
        calibrator: of pictures without a lens.
        readout: as in `Predictor`.
        int8: whether the model computes in whole numbers.
        same_result: fields that change nothing in a result.
    """

    folder: Path
    lens: Mapping[str, Any]
    calibrator: str | None
    readout: "Readout | None"
    int8: bool
    same_result: ClassVar[frozenset[str]] = frozenset({"folder"})

    def common(self) -> dict[str, Any]:
        """Everything beside pictures and model that changes a result."""
        return {name: value for name, value in vars(self).items() if name not in self.same_result}

    def opener(self) -> Opener:
        """Opens the pictures of a job."""
        return Opener(self.lens, self.calibrator, None)


@dataclass(frozen=True, kw_only=True)
class GridRecipe(PictureRecipe):
    """A recipe that asks about a grid of the first picture.

    Attributes:
        grid: columns and rows.
    """

    grid: tuple[int, int]

    def opener(self) -> Opener:
        """Opens the pictures; InputError also where the first is too small for the grid."""
        return Opener(self.lens, self.calibrator, self.grid)


def recipe_fields(settings: Mapping[str, Any], advice: str = "") -> dict[str, Any]:
    """The fields of a `PictureRecipe` that a command's settings give.

    Args:
        settings: of the command.
        advice: added where -o names a file.
    """
    lens = lenses(settings, 1)[0]
    return {
        "folder": output_folder(settings, advice),
        "lens": {name: value for name, value in lens.items() if name != "calibrate"},
        **{name: settings[name] for name in ("calibrator", "readout", "int8")},
    }
