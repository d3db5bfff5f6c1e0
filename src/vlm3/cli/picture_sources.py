"""Many pictures: files, folders, patterns and videos as one list, in a sensible order.

Nothing is decoded here before it is opened; a video is read frame after frame. Sources are plain
values, so that another process can open them.
"""

import glob
import hashlib
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vlm3.cli.video import video_at
from vlm3.errors import InputError

if TYPE_CHECKING:
    from vlm3.view import View

PICTURES = frozenset(
    f".{ending}"
    for ending in (
        *("jpg", "jpeg", "jpe", "mpo", "png", "webp", "avif"),
        *("tif", "tiff", "bmp", "ppm", "pgm", "gif", "heic", "heif"),
    )
)
"""What is taken from a folder; a file that is named is opened whatever it ends in."""
VIDEOS = frozenset((".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"))


@dataclass(frozen=True)
class PictureSource:
    """One picture to come.

    Attributes:
        name: of the files made from it, without ending; no two sources share one.
        origin: what messages call it.
        content: digest of what it is read from.
        path: the picture or video.
        at_s: the frame's time in a video; None of a picture.
    """

    name: str
    origin: str
    content: str
    path: Path
    at_s: float | None = None

    @property
    def pictures(self) -> tuple["PictureSource", ...]:
        """Itself: what a job on one picture needs opened."""
        return (self,)

    def open(self, **lens: Any) -> "View":
        """The picture with its camera; takes the lens as `View.open` does.

        Raises:
            InputError: it cannot be read, or the lens does not fit it.
        """
        from vlm3.view import View

        if self.at_s is None:
            return View.open(self.path, **lens)
        view = View.open(video_at(self.path).frame(self.at_s), **lens)
        return replace(view, path=self.origin)


class Opener:
    """Opens the pictures of a job, and keeps the last ones: the next pair often has one of them.

    Args:
        lens: as `View.open` takes it, of every picture.
        calibrator: of pictures without a lens.
        grid: of the first picture; None where no question needs one.
    """

    _KEPT_BYTES = 2**28

    def __init__(
        self, lens: Mapping[str, Any], calibrator: str | None, grid: tuple[int, int] | None
    ) -> None:
        from vlm3.curation.intrinsics import calibrate_by

        self._lens = {**lens, "calibrate": calibrate_by(calibrator)}
        self._grid = grid
        self._kept: dict[PictureSource, View] = {}

    def __call__(self, job: "HasPictures") -> list["View"]:
        """The job's pictures with their cameras.

        Raises:
            InputError: one cannot be read, or has fewer pixels than the grid.
        """
        from vlm3.infer.maps import grid_px

        views = [self._view(source) for source in job.pictures]
        if self._grid is not None:
            grid_px(views[0].camera, *self._grid)
        return views

    def _view(self, source: PictureSource) -> "View":
        from vlm3.view import AssumedCameraWarning

        view = self._kept.pop(source, None)
        if view is None:
            with warnings.catch_warnings():
                # The summary says of how many a lens was assumed.
                warnings.simplefilter("ignore", AssumedCameraWarning)
                view = source.open(**self._lens)
        # The last used at the end; the first go when they are too many.
        self._kept[source] = view
        while len(self._kept) > 2 and sum(v.image.nbytes for v in self._kept.values()) > (
            self._KEPT_BYTES
        ):
            del self._kept[next(iter(self._kept))]
        return view


class HasPictures(Protocol):
    """Something made from pictures."""

    @property
    def pictures(self) -> Sequence[PictureSource]:
        """In the order of the questions."""


def are_many(arguments: Sequence[str]) -> bool:
    """Whether these name anything else than one picture file."""
    if len(arguments) != 1:
        return True
    path = Path(arguments[0])
    return path.is_dir() or path.suffix.lower() in VIDEOS or _is_pattern(arguments[0])


def find_sources(arguments: Sequence[str], every_s: float | None) -> list[PictureSource]:
    """All pictures that files, folders, patterns and videos stand for.

    Args:
        arguments: in this order; the pictures of a folder and of a pattern by name, numbers in
            names as numbers.
        every_s: seconds between the frames of a video; one without.

    Raises:
        InputError: a name that is nothing, a folder or pattern without pictures, a video that
            cannot be read, or a time step that is not positive or without a video.
        MissingDependencyError: a video, and OpenCV is not installed.
    """
    if every_s is not None and not (math.isfinite(every_s) and every_s > 0):
        raise InputError(f"--every is {every_s:g}; give seconds above 0")
    paths = [path for argument in arguments for path in picture_paths(argument)]
    if every_s is not None and not any(p.suffix.lower() in VIDEOS for p in paths):
        raise no_video()
    names = _names(paths)
    found: list[PictureSource] = []
    for path in paths:
        if path.suffix.lower() in VIDEOS:
            found += _frames(path, names[path], every_s or 1.0)
        else:
            found.append(PictureSource(names[path], str(path), _digest(path), path))
    return found


def no_video() -> InputError:
    """Refuses --every where nothing given is a video."""
    return InputError("--every is the time between frames of a video, and no video was given")


def _is_pattern(argument: str) -> bool:
    return not Path(argument).exists() and glob.has_magic(argument)


def picture_paths(argument: str) -> list[Path]:
    """Files that a file, a folder or a pattern stands for, in a sensible order.

    Raises:
        InputError: there are none.
    """
    path = Path(argument)
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix.lower() in PICTURES and p.is_file()]
        if not found:
            raise InputError(
                f"the folder {argument!r} holds no pictures (subfolders are not searched); "
                f"give one that does, or a pattern such as '{argument.rstrip('/')}/*/*.jpg'"
            )
    elif _is_pattern(argument):
        found = [Path(p) for p in glob.glob(argument, recursive=True)]  # noqa: PTH207
        found = [p for p in found if p.suffix.lower() in PICTURES | VIDEOS and p.is_file()]
        if not found:
            raise InputError(f"no picture or video matches {argument!r}")
    elif path.is_file():
        found = [path]
    else:
        raise InputError(f"no file {argument!r}; give a picture, a folder, a pattern or a video")
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[Any]:
    """A key that puts frame 9 before frame 10."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", str(path))
        if part
    ]


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """A name for the files made from each path: its stem, longer where two share one."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        if path in names:
            continue
        choices = [path.stem, path.name.replace(".", "_"), f"{path.parent.name}_{path.stem}"]
        numbered = (f"{path.stem}_{k}" for k in range(2, len(paths) + 3))
        name = next(n for n in (*choices, *numbered) if n.lower() not in taken)
        taken.add(name.lower())
        names[path] = name
    return names


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({error.strerror or error})") from error


def _frames(path: Path, name: str, every_s: float) -> list[PictureSource]:
    video = video_at(path)
    content = _digest(path)
    count = max(1, math.ceil(video.seconds / every_s - 1e-9))
    digits = len(str(int(video.seconds)))
    # Two decimals name every frame of a step of 10 ms or more.
    return [
        PictureSource(
            f"{name}_{k * every_s:0{digits + 3}.2f}s",
            f"{path} at {k * every_s:g} s",
            f"{content}@{k * every_s:g}",
            path,
            k * every_s,
        )
        for k in range(count)
    ]
