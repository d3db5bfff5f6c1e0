"""DTU, the multi-view stereo set as MVSNet rectified it; only for evaluation here.

    ROOT/Rectified/SCAN/rect_VVV_L_r5000.png      view VVV from 001, light L from 0; 1600x1200
    ROOT/Depths_raw/SCAN/depth_map_VVVV.pfm       view VVVV from 0000; millimetres along the axis
    ROOT/Cameras/VVVVVVVV_cam.txt                 view from 00000000: cam_from_world in mm, and K
    ROOT/Cameras/train/VVVVVVVV_cam.txt           the same, K of what MVSNet was trained on

Light 3 is taken, as robustmvd does (lmb-freiburg/robustmvd). MVSNet's training K is that of the
picture at half size, cut to 640x512 in the middle, at a quarter of that.
"""

from pathlib import Path

import numpy as np

from vlm3.datasets.base import DepthMap, Floats, Frames, RawFrame, Reader, each, folders
from vlm3.datasets.depth_files import positive, read_pfm
from vlm3.datasets.files import mvsnet_camera, picture_size
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert

_LAYOUT = facts("dtu").layout
_LIGHT = 3
_MM = 0.001
# MVSNet's training size and its way there from 1600x1200.
_HALF = (800, 600)
_CUT = (640, 512)
_QUARTER = 4


def scenes(root: Path) -> list[str]:
    """The scans with pictures."""
    return [name.removeprefix("Rectified/") for name in folders(root, "Rectified/*", _LAYOUT)]


def frames(root: Path, scene: str) -> Frames:
    """The views of a scan in light 3."""
    pictures = sorted((root / "Rectified" / scene).glob(f"rect_*_{_LIGHT}_r5000.png"))

    def make(picture: Path) -> RawFrame:
        view = int(picture.name.split("_")[1]) - 1
        cam_from_world, K = _camera_file(root / "Cameras", view, picture_size(picture))
        width, height = picture_size(picture)
        camera = Camera.from_K(K, width_px=width, height_px=height, pixel_origin="center")
        depth = root / "Depths_raw" / scene / f"depth_map_{view:04d}.pfm"
        return RawFrame(
            f"{view:04d}",
            picture,
            camera,
            lambda: _depth(depth),
            invert(cam_from_world),
            split="test",
        )

    return each(pictures, make)


def _depth(path: Path) -> DepthMap:
    return DepthMap(positive(read_pfm(path).astype(np.float64) * _MM), "z")


def _camera_file(folder: Path, view: int, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """cam_from_world in metres, and K of a picture of 1600x1200 with its centres at integers."""
    whole = folder / f"{view:08d}_cam.txt"
    path = whole if whole.is_file() else folder / "train" / whole.name
    cam_from_world, K = mvsnet_camera(path)
    cam_from_world[:3, 3] *= _MM
    if path != whole:
        cut = [(h - c) / 2 for h, c in zip(_HALF, _CUT, strict=True)]
        K[:2] *= _QUARTER
        K[:2, 2] += cut
        K[:2] *= 2
    if size != (1600, 1200):
        raise InputError(f"the picture is {size[0]}x{size[1]}; DTU's rectified ones are 1600x1200")
    return cam_from_world, K


DTU = Reader(scenes, frames)
