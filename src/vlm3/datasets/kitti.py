"""KITTI: the object set with its laser, and the depth set (denser, laser gathered over time).

    ROOT/[training/]image_2/NAME.png, velodyne/NAME.bin, calib/NAME.txt            kitti-object
    ROOT/{train,val}/DRIVE/proj_depth/groundtruth/image_02/NAME.png  16 bit, m * 256, z, 0 unknown
    ROOT/[raw/]DATE/DRIVE/image_02/data/NAME.png, ROOT/[raw/]DATE/calib_cam_to_cam.txt  kitti-depth

P2's fourth column moves from camera 0 to camera 2. Pictures are rectified.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from vlm3.datasets.base import (
    DepthMap,
    Floats,
    Frames,
    LaserPoints,
    RawFrame,
    Reader,
    each,
    folders,
    need_scenes,
)
from vlm3.datasets.files import depth_png_m, floats, picture_size, read_text
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.files.reading import why
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import transform_points

_OBJECT = facts("kitti-object").layout
_DEPTH = facts("kitti-depth").layout
_NEAREST_M = 1.0
_UNIT_M = 1 / 256


def object_scenes(root: Path) -> list[str]:
    """The folder with image_2: KITTI's object set does not say which drive a picture is from."""
    found = [name for name in (".", "training") if (root / name / "image_2").is_dir()]
    return need_scenes(root, found, "image_2", _OBJECT)


def object_frames(root: Path, scene: str) -> Frames:
    """Every picture with its laser sweep."""
    folder = root / scene

    def make(image: Path) -> RawFrame:
        calib = _calibration(folder / "calib" / f"{image.stem}.txt")
        P2 = calib["P2"].reshape(3, 4)
        rect, velo = np.eye(4), np.eye(4)
        rect[:3, :3] = calib["R0_rect"].reshape(3, 3)
        velo[:3] = calib["Tr_velo_to_cam"].reshape(3, 4)
        shift = np.eye(4)
        shift[:3, 3] = np.linalg.solve(P2[:, :3], P2[:, 3])
        laser = folder / "velodyne" / f"{image.stem}.bin"
        if not laser.is_file():
            raise InputError(f"no laser sweep {laser.name}")

        def points() -> LaserPoints:
            in_camera = transform_points(shift @ rect @ velo, floats(laser, 4)[:, :3])
            return LaserPoints(in_camera, _NEAREST_M)

        return RawFrame(image.stem, image, _camera(P2[:, :3], image), points)

    return each(sorted((folder / "image_2").glob("*.png")), make)


def depth_scenes(root: Path) -> list[str]:
    """SPLIT/DRIVE."""
    return folders(root, "*/*_sync", _DEPTH)


def depth_frames(root: Path, scene: str) -> Frames:
    """Both colour cameras of a drive."""
    split, drive = scene.split("/")
    date = drive[:10]
    raw = root / "raw" / date if (root / "raw" / date).is_dir() else root / date
    depths = sorted((root / scene / "proj_depth" / "groundtruth").glob("image_0[23]/*.png"))

    def make(depth: Path) -> RawFrame:
        which = depth.parent.name
        P = _calibration(raw / "calib_cam_to_cam.txt")[f"P_rect_{which[-2:]}"].reshape(3, 4)
        image = raw / drive / which / "data" / depth.name
        return RawFrame(
            f"{which}/{depth.stem}",
            image,
            _camera(P[:, :3], image),
            lambda: DepthMap(depth_png_m(depth, unit_m=_UNIT_M), "z"),
            split=split,
        )

    return each(depths, make)


def _camera(K: Floats, image: Path) -> Camera:
    width, height = picture_size(image)
    return Camera.from_K(K, width_px=width, height_px=height, pixel_origin="center")


@lru_cache(8)
def _calibration(path: Path) -> dict[str, Floats]:
    found = {}
    try:
        for line in read_text(path).splitlines():
            name, _, values = line.partition(":")
            # Dates and times stand among the numbers.
            if values and not set(values) - set("0123456789+-.eE \t"):
                found[name] = np.array(values.split(), dtype=np.float64)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the calibration {str(path)!r} ({why(error)})") from error
    return found


KITTI_OBJECT = Reader(object_scenes, object_frames)
KITTI_DEPTH = Reader(depth_scenes, depth_frames)
