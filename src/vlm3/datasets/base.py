"""What a source of labelled pictures is: scenes of frames, in vlm3's conventions.

A source reads one data set as it lies on disk, and everything foreign about it ends there: units,
invalid values, axes, the pixel origin, the lens model, whose transform a pose is. What comes out:

    lengths      metres, or the scene's own unit where `metric` is false
    depth        NaN where unknown; `kind` says along the axis ("z") or straight ("distance")
    pixels       continuous, the top left corner is (0, 0): integer pixels are shifted by half
    poses        `world_from_cam`, OpenCV axes
    pictures     as they lie; a lens with distortion is described by the camera, not undone

Nothing is read before it is needed: `picture` and `depth` are opened by curation, and
`depth` more than once where pairs are made. Knows no shards and no tasks' text.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.datasets.published import SetFacts
from vlm3.errors import InputError, MissingDependencyError
from vlm3.geometry.camera import Camera
from vlm3.geometry.depth import z_from_distance
from vlm3.geometry.pixels import pixel_centres
from vlm3.tasks.sample import ObjectQuestion

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Kind = Literal["z", "distance"]
PictureData = Path | bytes | Pixels
"""A file, the bytes of one, or (H, W, 3) RGB."""

Thing = TypeVar("Thing")

# What a damaged or incomplete file of a foreign set may raise; anything else is a mistake of ours.
READ_ERRORS = (
    InputError,
    OSError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    # Pillow, about pictures that are damaged or too large.
    SyntaxError,
    Image.DecompressionBombError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth on a grid that covers the whole picture as it lies, in as many cells as it likes.

    Attributes:
        values: (h, w); NaN where unknown.
        kind: along the axis, or straight.
        camera: of the grid, where it is not the picture's own scaled to it.
    """

    values: NDArray[np.floating]
    kind: Kind
    camera: Camera | None = None

    def grid(self, picture: Camera) -> Camera:
        """The camera of the grid, a pixel a cell, if that is the picture's."""
        height, width = self.values.shape
        camera = self.camera or picture
        same = (camera.width_px, camera.height_px) == (width, height)
        return camera if same else camera.resized(width, height)

    def along_axis(self, picture: Camera) -> Floats:
        """(h, w) depth along the axis; NaN where unknown."""
        values = np.asarray(self.values, np.float64)
        if self.kind == "z":
            return values
        grid = self.grid(picture)
        return z_from_distance(values, grid.unproject(pixel_centres(grid.width_px, grid.height_px)))


@dataclass(frozen=True, eq=False)
class LaserPoints:
    """Points in space; those out of sight and those behind others are left out later.

    Attributes:
        points_cam: (n, 3) in the frame of the picture's camera.
        nearest: what is nearer along the axis is left out: the carrier itself.
    """

    points_cam: Floats
    nearest: float = 0.0


@dataclass(frozen=True, eq=False)
class PixelDepths:
    """Depth at some pixels: (n, 2) of the picture as it lies, (n,) values; NaN where unknown."""

    xy_px: Floats
    values: Floats
    kind: Kind


Depth = DepthMap | LaserPoints | PixelDepths


@dataclass(frozen=True, eq=False)
class RawFrame:
    """One picture of a scene and what its data set knows about it.

    Attributes:
        key: its own within the scene.
        picture: where the picture is; a function where reading it takes more than a path.
        camera: of the picture as it lies, whatever EXIF says about turning it, with its
            distortion; None where the set has no intrinsics.
        depth: reads the depth, each time anew; None where there is none.
        world_from_cam: (4, 4); None where unknown.
        questions: about objects, boxes in pixels of the picture as it lies.
        split: of the data set: "train", "val" or "test".
        metric: whether lengths are metres.
    """

    key: str
    picture: PictureData | Callable[[], PictureData]
    camera: Camera | None
    depth: Callable[[], Depth] | None = None
    world_from_cam: Floats | None = None
    questions: tuple[ObjectQuestion, ...] = ()
    split: str = "train"
    metric: bool = True


@dataclass(frozen=True)
class Skipped:
    """A frame that cannot be used, and why in one line."""

    key: str
    reason: str


@dataclass(frozen=True)
class Remark:
    """Something about a scene that its owner should know, in one line; nothing is left out."""

    text: str


Frames = Iterator[RawFrame | Skipped | Remark]


@dataclass(frozen=True)
class Reader:
    """How a set's files are read: functions of `root`, the folder that users downloaded.

    Attributes:
        scenes: names of its scenes, sorted; a scene is the unit of work.
        frames: the frames of a scene in a fixed order; see `each`.
        depthlm_frames: `frames` with DepthLM's deviations in geometry, where it has any.
    """

    scenes: Callable[[Path], list[str]]
    frames: Callable[[Path, str], Frames]
    depthlm_frames: Callable[[Path, str], Frames] | None = None


@dataclass(frozen=True)
class PublishedDataset:
    """A data set that can be curated: what is known about it, and how it is read."""

    facts: SetFacts
    reader: Reader

    def list_scenes(self, root: Path) -> list[str]:
        """Its scenes, whatever is damaged in the set.

        Raises:
            InputError: not in the set's layout, or a file that says which there are is damaged.
        """
        try:
            return self.reader.scenes(root)
        except READ_ERRORS as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{str(root)!r} cannot be read as {self.facts.name} ({reason(error)}); expected "
                f"{self.facts.layout}"
            ) from error

    def read_frames(self, root: Path, scene: str) -> Frames:
        """The frames of a scene, whatever is damaged in it.

        Raises:
            InputError: the scene as a whole cannot be read.
        """
        try:
            yield from self.reader.frames(root, scene)
        except READ_ERRORS as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{str(root / scene)!r} cannot be read as {self.facts.name} ({reason(error)})"
            ) from error

    def check_needs(self) -> None:
        """Looks for the packages it needs.

        Raises:
            MissingDependencyError: one is not installed.
        """
        missing = [name for name in self.facts.needs if find_spec(name) is None]
        if missing:
            raise MissingDependencyError(
                f"{self.facts.name} is read with {', '.join(missing)}: pip install 'vlm3[data]'"
            )


def each(things: Iterable[Thing], make: Callable[[Thing], RawFrame]) -> Frames:
    """A frame of each thing; one that fails is named and left out.

    `make` should read what is cheap (its calibration), so that what is missing shows here.
    """
    for thing in things:
        try:
            yield make(thing)
        except READ_ERRORS as error:
            yield Skipped(_name(thing), reason(error))


def reason(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())[:300]
    # KeyError says only what was looked for.
    return text if isinstance(error, InputError | OSError) else f"{type(error).__name__}: {text}"


def _name(thing: object) -> str:
    if isinstance(thing, Path):
        return thing.stem
    if isinstance(thing, tuple):
        return "/".join(_name(part) for part in thing if isinstance(part, str | Path))
    return str(thing)[:80]


def need_folder(path: Path, what: str) -> Path:
    """`path` if it is a folder.

    Raises:
        InputError: it is not.
    """
    if not path.is_dir():
        raise InputError(f"{str(path)!r} is not a folder; expected {what}")
    return path


def need_scenes(root: Path, names: Iterable[str], lacking: str, what: str) -> list[str]:
    """The names of a set's scenes, each once, sorted.

    Raises:
        InputError: there are none, as `root` has no `lacking`.
    """
    found = sorted(set(names))
    if not found:
        raise InputError(f"{str(root)!r} has no {lacking}; expected {what}")
    return found


def folders(root: Path, pattern: str, what: str) -> list[str]:
    """Names, relative to root, of the folders that match a glob pattern, sorted.

    Raises:
        InputError: there are none.
    """
    need_folder(root, what)
    names = (p.relative_to(root).as_posix() for p in root.glob(pattern) if p.is_dir())
    return need_scenes(root, names, f"folder {pattern!r}", what)


def folders_with(root: Path, pattern: str, what: str) -> list[str]:
    """Names of the folders that hold one that matches: for "*/rgb", of all with an rgb/.

    Raises:
        InputError: there are none.
    """
    return [name.rpartition("/")[0] for name in folders(root, pattern, what)]
