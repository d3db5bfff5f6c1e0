"""TartanAir V2 as downloaded: synthetic flights, twelve pinhole cameras at each moment.

    ROOT/ENVIRONMENT/Data_easy|Data_hard/P000/
      image_lcam_front/000000_lcam_front.png         640x640, f 320
      depth_lcam_front/000000_lcam_front_depth.png   metres along the axis, floats in BGRA bytes
      pose_lcam_front.txt                            tx ty tz qx qy qz qw a line: world_from_cam of
                                                     a camera with X ahead, Y right, Z down
    and the same for lcam|rcam and front, back, left, right, top, bottom; any of them may be absent

Documented at castacks/tartanairpy. Environments that TartanAir-WB tests are kept out by name.
"""

import re
from pathlib import Path

import numpy as np

from vlm3.datasets.base import DepthMap, Floats, Frames, RawFrame, Reader, each, folders
from vlm3.datasets.depth_files import positive, read_float_png
from vlm3.datasets.files import picture_size
from vlm3.datasets.published import facts
from vlm3.datasets.splits import TARTANAIR_TEST, TARTANAIR_VAL, named
from vlm3.errors import InputError
from vlm3.files.reading import why
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import rigid_from_quaternion

_LAYOUT = facts("tartanairv2").layout
_CAMERA = re.compile(r"image_([lr]cam_(?:front|back|left|right|top|bottom))")
_F_PX = 320.0
_split = named(TARTANAIR_VAL, TARTANAIR_TEST)
# The sky is filled with ten kilometres and more.
_FARTHEST_M = 1000.0
_NED_FROM_OPENCV = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def scenes(root: Path) -> list[str]:
    """Every flight, as ENVIRONMENT/Data_easy/P000."""
    return folders(root, "*/Data_*/P*", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The frames of a flight, camera by camera."""
    folder = root / scene
    split = _split(scene.split("/")[0])
    names = sorted(m[1] for p in folder.iterdir() if (m := _CAMERA.fullmatch(p.name)))
    for name in names:
        poses = _poses(folder / f"pose_{name}.txt")
        pictures = sorted((folder / f"image_{name}").glob("*.png"))

        def make(picture: Path, name: str = name, poses: Floats = poses) -> RawFrame:
            number = int(picture.name.split("_")[0])
            if number >= len(poses):
                raise InputError(f"pose_{name}.txt has {len(poses)} poses, none for {number}")
            width, height = picture_size(picture)
            f_px = _F_PX * width / 640
            camera = Camera(f_px, f_px, width / 2, height / 2, width, height)
            depth = folder / f"depth_{name}" / f"{picture.stem}_depth.png"
            return RawFrame(
                picture.stem,
                picture,
                camera,
                (lambda: _depth(depth)) if depth.is_file() else None,
                poses[number],
                split=split,
            )

        yield from each(pictures, make)


def _depth(path: Path) -> DepthMap:
    return DepthMap(positive(read_float_png(path), _FARTHEST_M), "z")


def _poses(path: Path) -> Floats:
    """(n, 4, 4) world_from_cam with OpenCV axes."""
    try:
        rows = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the poses {str(path)!r} ({why(error)})") from error
    if rows.shape[1] != 7:
        raise InputError(f"{str(path)!r} has {rows.shape[1]} numbers a line; expected 7")
    turned = [rigid_from_quaternion(row[[6, 3, 4, 5]], row[:3]) for row in rows]
    return np.asarray(np.array(turned) @ _NED_FROM_OPENCV)


TARTANAIR = Reader(scenes, frames)
