"""A plain folder: pictures, depth beside them, one K. The layout for what you recorded yourself.

    ROOT/[SCENE/]images/NAME.jpg      or .png
    ROOT/[SCENE/]depth/NAME.png       16 bit, millimetres along the axis, 0 unknown; or .npy, metres
    ROOT/[SCENE/]K.txt                3x3, pixel centres at whole numbers (as OpenCV); optional:
                                      without it, EXIF or `--fov-deg` says
    ROOT/[SCENE/]poses.txt            optional: NAME and 16 numbers, world_from_cam, a line
    ROOT/[SCENE/]format.json          optional, what differs: {"unit_m": 0.001, "kind": "z",
                                      "pixel_origin": "center", "distortion": [],
                                      "model": "pinhole", "split": "train", "metric": true}

Depth may be of another size than its picture, as sensors give it; it covers the same view.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from vlm3.data.files import depth_png_m, matrix, picture_size, read_json
from vlm3.data.sources.base import DepthMap, Floats, Frames, Kind, RawFrame, Source, each
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera, LensModel

_LAYOUT = "[SCENE/]images/, [SCENE/]depth/ (16-bit PNG in mm, or .npy in m), K.txt, poses.txt"
_ONE_SCENE = "."


@dataclass(frozen=True)
class _Format:
    unit_m: float = 0.001
    kind: Kind = "z"
    pixel_origin: Literal["corner", "center"] = "center"
    distortion: tuple[float, ...] = ()
    model: LensModel = "pinhole"
    split: str = "train"
    metric: bool = True


def scenes(root: Path) -> list[str]:
    """The folder itself if it holds images/, else each folder in it that does."""
    if (root / "images").is_dir():
        return [_ONE_SCENE]
    found = sorted(p.parent.name for p in root.glob("*/images") if p.is_dir())
    if not found:
        raise InputError(f"{str(root)!r} has no images/; expected {_LAYOUT}")
    return found


def frames(root: Path, scene: str) -> Frames:
    """Every picture of images/, by name."""
    folder = root / scene
    how = _format(folder / "format.json")
    K = matrix(folder / "K.txt", 3, 3) if (folder / "K.txt").is_file() else None
    poses = _poses(folder / "poses.txt")
    pictures = sorted(p for p in (folder / "images").iterdir() if p.is_file())

    def make(picture: Path) -> RawFrame:
        camera = None
        if K is not None:
            width, height = picture_size(picture)
            camera = Camera.from_K(
                K,
                width_px=width,
                height_px=height,
                distortion=how.distortion,
                model=how.model,
                pixel_origin=how.pixel_origin,
            )
        depth = _depth_file(folder / "depth", picture.stem)
        return RawFrame(
            picture.stem,
            picture,
            camera,
            None if depth is None else lambda: _depth(depth, how),
            poses.get(picture.stem),
            split=how.split,
            metric=how.metric,
        )

    return each(pictures, make)


def _format(path: Path) -> _Format:
    given = read_json(path) if path.is_file() else {}
    known = [field.name for field in fields(_Format)]
    if not isinstance(given, dict) or set(given) - set(known):
        raise InputError(f"{str(path)!r} may hold {', '.join(known)}; found {given!r:.200}")
    if "distortion" in given:
        given["distortion"] = tuple(given["distortion"])
    return _Format(**given)


def _poses(path: Path) -> dict[str, Floats]:
    if not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        name, *values = line.split() or [""]
        if name and len(values) != 16:
            raise InputError(f"{path}, line {number} is no name and 16 numbers")
        if name:
            found[Path(name).stem] = np.array(values, dtype=np.float64).reshape(4, 4)
    return found


def _depth_file(folder: Path, stem: str) -> Path | None:
    for ending in (".png", ".npy"):
        if (folder / f"{stem}{ending}").is_file():
            return folder / f"{stem}{ending}"
    return None


def _depth(path: Path, how: _Format) -> DepthMap:
    if path.suffix == ".png":
        return DepthMap(depth_png_m(path, unit_m=how.unit_m), how.kind)
    values = np.load(path, allow_pickle=False)
    return DepthMap(np.where(np.isfinite(values) & (values > 0), values, np.nan), how.kind)


FOLDER = Source(
    name="folder",
    title="A folder of your own",
    licence="yours",
    url="docs/data.md",
    layout=_LAYOUT,
    tasks=("depth", "correspondence", "pose"),
    scenes=scenes,
    frames=frames,
    verified="real files",
)
