"""GTA-SfM (Wang and Shen 2020): one HDF5 file a sequence.

    ROOT/[train|test]/SEQUENCE.hdf5   image_K (bytes of a JPEG), depth_K (h, w), K_K (3, 3),
                                      pose_K (4, 4): world_from_cam, OpenCV axes; K = 0, 1, ...

Its own reader (HKUST-Aerial-Robotics/Flow-Motion-Depth, extracted_dataset/read.py) says no more.
Depth is along the axis, as its users take it. Its unit is not documented, though near a metre, so
no question has metres.
"""

from pathlib import Path

import numpy as np

from vlm3.datasets.base import DepthMap, Frames, RawFrame, Reader, each, need_folder, need_scenes
from vlm3.datasets.depth_files import open_hdf5, positive
from vlm3.datasets.published import facts
from vlm3.geometry.camera import Camera

_LAYOUT = facts("gta-sfm").layout
# The sky of the game has no depth; what it is filled with is further than any map.
_FARTHEST = 1e4


def scenes(root: Path) -> list[str]:
    """Every sequence, by its path without the ending."""
    need_folder(root, _LAYOUT)
    found = (p.relative_to(root).with_suffix("").as_posix() for p in root.glob("**/*.hdf5"))
    return need_scenes(root, found, ".hdf5 file", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The frames of a sequence, in its order."""
    path = root / f"{scene}.hdf5"
    with open_hdf5(path) as file:
        numbers = sorted(int(k[len("image_") :]) for k in file if k.startswith("image_"))
    split = "test" if "test" in Path(scene).parts else "train"

    def make(number: int) -> RawFrame:
        with open_hdf5(path) as file:
            K, pose = np.array(file[f"K_{number}"]), np.array(file[f"pose_{number}"])
            height, width = file[f"depth_{number}"].shape
        return RawFrame(
            f"{number:06d}",
            lambda: _picture(path, number),
            Camera.from_K(K, width_px=width, height_px=height),
            lambda: _depth(path, number),
            pose.astype(np.float64),
            split=split,
            metric=False,
        )

    return each(numbers, make)


def _picture(path: Path, number: int) -> bytes:
    with open_hdf5(path) as file:
        return np.asarray(file[f"image_{number}"], np.uint8).tobytes()


def _depth(path: Path, number: int) -> DepthMap:
    with open_hdf5(path) as file:
        values = np.array(file[f"depth_{number}"], np.float64)
    return DepthMap(positive(values, _FARTHEST), "z")


GTA_SFM = Reader(scenes, frames)
