"""MegaDepth (Li and Snavely 2018), as published or converted to WAI.

    ROOT/[MegaDepth_v1/]SCENE/denseK/imgs/NAME.jpg          rectified
    ROOT/[MegaDepth_v1/]SCENE/denseK/depths/NAME.h5         "depth", along the axis, 0 unknown
    ROOT/[MegaDepth_v1_SfM/]SCENE/sparse/manhattan/K/cameras.txt, images.txt    COLMAP's text

Layout of v1 and depth: its authors' code, zhengqili/MegaDepth (data/image_folder.py). The models:
facebookresearch/map-anything (conversion/megadepth.py) and naver/dust3r; that v1 is rectified and
the models are not, and that depth with negative values is an order of things instead:
ubc-vision/COTR (prepare_data.md). The rectified picture's K is taken as both converters take it
(`rectified`); how the authors rectified is not published. Both read only pictures of DUSt3R's list
of pairs; here all that have depth are read, as that list is a pickle. Every model has a scale of
its own.
"""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from vlm3.datasets import wai
from vlm3.datasets.base import DepthMap, Floats, Frames, RawFrame, Reader, each, folders
from vlm3.datasets.depth_files import of_size, positive, read_hdf5
from vlm3.datasets.files import picture_size, read_text
from vlm3.datasets.foreign_poses import inverted
from vlm3.datasets.published import facts
from vlm3.datasets.raw_or_wai import raw_or_wai
from vlm3.datasets.splits import MEGADEPTH_VAL, named
from vlm3.errors import InputError
from vlm3.files.reading import short, why
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import rigid_from_quaternion

_LAYOUT = facts("megadepth").layout
_V1, _SFM = "MegaDepth_v1", "MegaDepth_v1_SfM"
_DENSE = re.compile(r"dense(\d+)")
# Points of a side of the picture, as many as OpenCV takes.
_BORDER = 9
_split = named(MEGADEPTH_VAL)


def scenes(root: Path) -> list[str]:
    """SCENE/denseK of every model with depth."""
    top = _V1 if (root / _V1).is_dir() else "."
    found = folders(root / top, "*/dense*", _LAYOUT)
    return [name for name in found if _DENSE.fullmatch(Path(name).name)]


def frames(root: Path, scene: str) -> Frames:
    """The pictures of a model that have depth, by name."""
    name, dense = scene.split("/")
    number = dense.removeprefix("dense")
    folder = (root / _V1 if (root / _V1).is_dir() else root) / scene
    sfm = root / _SFM if (root / _SFM).is_dir() else root
    model = sfm / name / "sparse" / "manhattan" / number
    cameras = _cameras(model / "cameras.txt")
    poses = _poses(model / "images.txt")
    split = _split(f"{name}_{number}")

    def make(depth: Path) -> RawFrame:
        found = [p for p in poses if Path(p).stem == depth.stem and (folder / "imgs" / p).is_file()]
        if len(found) != 1:
            raise InputError(f"the model {model} has {len(found)} pictures named {depth.stem}")
        camera, pose = poses[found[0]]
        if camera not in cameras:
            raise InputError(f"{found[0]} has camera {camera}, which cameras.txt has not")
        picture = folder / "imgs" / found[0]
        width, height = picture_size(picture)
        return RawFrame(
            depth.stem,
            picture,
            rectified(cameras[camera], width, height),
            lambda: DepthMap(_depth(depth, width, height), "z"),
            pose,
            split=split,
            metric=False,
        )

    return each(sorted((folder / "depths").glob("*.h5")), make)


def rectified(bent: Camera, width_px: int, height_px: int) -> Camera:
    """The pinhole camera of a picture that was rectified to this size.

    As OpenCV's getOptimalNewCameraMatrix with alpha 0 and the centre in the middle: the largest
    view all of whose border is inside the bent picture's, but measured from the pictures' corners.

    Raises:
        InputError: the lens bends the border back.
    """
    along = np.linspace(0, 1, _BORDER)
    width, height = bent.width_px, bent.height_px
    left, right, top, bottom = (
        np.abs(bent.unproject_z1(np.stack(np.broadcast_arrays(x, y), -1))[:, axis]).min()
        for x, y, axis in (
            (0.0, along * height, 0),
            (float(width), along * height, 0),
            (along * width, 0.0, 1),
            (along * width, float(height), 1),
        )
    )
    reach = np.array([min(left, right) / width_px, min(top, bottom) / height_px])
    if not np.isfinite(reach).all() or reach.min() <= 0:
        raise InputError("the lens bends the picture's border back; it cannot be rectified")
    f_px = 0.5 / float(reach.min())
    return Camera(f_px, f_px, width_px / 2, height_px / 2, width_px, height_px)


def _depth(path: Path, width_px: int, height_px: int) -> Floats:
    values = of_size(read_hdf5(path, "depth"), width_px, height_px, path)
    if np.nanmin(values, initial=0) < 0:
        raise InputError(f"{str(path)!r} holds the order of things (negative values), not depth")
    return positive(values)


def _lines(path: Path) -> list[str]:
    # Of images.txt every second line may be empty: a picture without points.
    return [line for line in read_text(path).splitlines() if not line.startswith("#")]


@lru_cache(maxsize=2)
def _cameras(path: Path) -> dict[int, Camera]:
    found = {}
    for line in filter(str.strip, _lines(path)):
        words = line.split()
        if len(words) != 8 or words[1] != "SIMPLE_RADIAL":
            raise InputError(f"{path}: {short(line)} is no SIMPLE_RADIAL camera, as MegaDepth has")
        try:
            width, height = int(words[2]), int(words[3])
            f, cx, cy, k = (float(word) for word in words[4:])
            number = int(words[0])
        except ValueError as error:
            raise InputError(f"{path}: {short(line)} is no camera ({why(error)})") from None
        if not (0 < width < 10**5 and 0 < height < 10**5 and 0 < f < 1e6 and abs(k) < 10):
            raise InputError(f"{path}: {short(line)} is out of range for a camera")
        found[number] = Camera(f, f, cx, cy, width, height, (k, 0, 0, 0), "brown_conrady")
    return found


@lru_cache(maxsize=2)
def _poses(path: Path) -> dict[str, tuple[int, Floats]]:
    """Camera and world_from_cam of each picture, by its name."""
    found = {}
    for line in _lines(path)[::2]:
        words = line.split(maxsplit=9)
        if not words:
            continue
        try:
            numbers = np.array(words[1:8], np.float64)
            if len(words) != 10 or not np.isfinite(numbers).all():
                raise ValueError("expected a number, seven more, a camera and a name")
            pose = inverted(rigid_from_quaternion(numbers[:4], numbers[4:]))
            found[words[9]] = int(words[8]), pose
        except (ValueError, InputError) as error:
            raise InputError(f"{path}: {short(line)} is no picture ({why(error)})") from None
    return found


MEGADEPTH = raw_or_wai(Reader(scenes, frames), wai.MEGADEPTH, _LAYOUT)
