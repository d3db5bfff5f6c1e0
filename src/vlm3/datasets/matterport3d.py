"""Matterport3D, undistorted.

    ROOT/HOUSE/undistorted_color_images/UUID_iC_Y.jpg, undistorted_depth_images/UUID_dC_Y.png
    ROOT/HOUSE/undistorted_camera_parameters/HOUSE.conf

Depth is 16 bit, 1/4000 m along the axis, 0 unknown. In the .conf, `intrinsics_matrix` holds for the
`scan DEPTH COLOUR POSE` lines after it; poses are world_from_cam of a camera that looks along -Z
with Y up. Its documentation puts the picture's origin at the bottom left, so cy is turned round.
DepthLM takes cy as it stands.
"""

from functools import partial
from pathlib import Path

import numpy as np

from vlm3.datasets.base import DepthMap, Floats, Frames, RawFrame, Reader, each, folders_with
from vlm3.datasets.files import depth_png_m, picture_size, read_text
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.files.reading import why
from vlm3.geometry.camera import Camera

_LAYOUT = facts("matterport3d").layout
_UNIT_M = 1 / 4000
_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


def scenes(root: Path) -> list[str]:
    """Houses."""
    return folders_with(root, "**/undistorted_camera_parameters", _LAYOUT)


def frames(root: Path, scene: str, *, turn: bool = True) -> Frames:
    """Every scan line of a building."""
    house = root / scene
    confs = sorted((house / "undistorted_camera_parameters").glob("*.conf"))
    if not confs:
        raise InputError(f"{scene} has no .conf")

    def make(line: tuple[str, str, Floats, Floats]) -> RawFrame:
        depth_name, picture_name, K, pose = line
        picture = house / "undistorted_color_images" / picture_name
        depth = house / "undistorted_depth_images" / depth_name
        width, height = picture_size(picture)
        cy = height - K[1, 2] if turn else K[1, 2] + 0.5
        cx = K[0, 2] if turn else K[0, 2] + 0.5
        return RawFrame(
            picture.stem,
            picture,
            Camera(K[0, 0], K[1, 1], cx, cy, width, height),
            lambda: DepthMap(depth_png_m(depth, unit_m=_UNIT_M), "z"),
            pose @ _OPENGL_FROM_OPENCV,
        )

    return each(_lines(confs[0]), make)


def _lines(path: Path) -> list[tuple[str, str, Floats, Floats]]:
    """Depth file, picture file, K and pose of each scan."""
    found = []
    K: Floats | None = None
    for number, text in enumerate(read_text(path).splitlines(), start=1):
        word, *rest = text.split() or [""]
        try:
            if word == "intrinsics_matrix":
                K = np.array(rest, dtype=np.float64).reshape(3, 3)
            elif word == "scan":
                if K is None:
                    raise InputError(f"{path}, line {number}: a scan before any intrinsics")
                pose = np.array(rest[2:], dtype=np.float64).reshape(4, 4)
                found.append((rest[0], rest[1], K, pose))
        except (ValueError, IndexError) as error:
            raise InputError(f"{path}, line {number} cannot be read ({why(error)})") from error
    return found


MATTERPORT3D = Reader(scenes, frames, partial(frames, turn=False))
