"""UnrealStereo4K (Tosi et al. 2021), rendered stereo, as published or converted to WAI.

    ROOT/0000S/Image0|Image1/00000.png             left and right, with alpha
    ROOT/0000S/Disp0|Disp1/00000.npy               disparity in pixels
    ROOT/0000S/Extrinsics0|Extrinsics1/00000.txt   nine numbers of K; then cam_from_world (3, 4)

Pictures and disparities: its authors' code, fabiotosi92/SMD-Nets (README.md, filenames/*.txt,
lib/data/Loader.py). Extrinsics, of a left-handed world in metres, and what is sky (10 km and more):
facebookresearch/map-anything (conversion/unrealstereo4k.py); CUT3R/CUT3R (preprocess_unreal4k.py)
reads the same numbers. Scene 00008 is the authors' test of another domain. Their training and test
lists mix frames of one scene, so they are not followed. The farthest 5 % are left out, as in WAI.
Not read: the quarter-size release, which does not say whether K was scaled.
"""

from pathlib import Path

import numpy as np

from vlm3.datasets import wai
from vlm3.datasets.base import DepthMap, Floats, Frames, RawFrame, Reader, each, folders_with
from vlm3.datasets.depth_files import of_size, positive, without_far
from vlm3.datasets.files import picture_size, read_text
from vlm3.datasets.foreign_poses import from_left_handed
from vlm3.datasets.published import facts
from vlm3.datasets.raw_or_wai import raw_or_wai
from vlm3.datasets.splits import UNREALSTEREO4K_TEST, named
from vlm3.errors import InputError
from vlm3.files.arrays import read_array
from vlm3.files.reading import why
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import relative_pose

_LAYOUT = facts("unrealstereo4k").layout
_FARTHEST_M = 1e4
_split = named(test=UNREALSTEREO4K_TEST)


def scenes(root: Path) -> list[str]:
    """Every scene with a left camera."""
    return folders_with(root, "*/Extrinsics0", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The frames of a scene, left and right in turn."""
    folder = root / scene
    names = [path.stem for path in sorted((folder / "Image0").glob("*.png"))]

    def make(thing: tuple[str, int]) -> RawFrame:
        name, side = thing
        K, pose = _camera(folder / f"Extrinsics{side}" / f"{name}.txt")
        _, other = _camera(folder / f"Extrinsics{1 - side}" / f"{name}.txt")
        baseline_m = float(np.linalg.norm(relative_pose(pose, other)[:3, 3]))
        picture = folder / f"Image{side}" / f"{name}.png"
        width, height = picture_size(picture)
        camera = Camera.from_K(K, width_px=width, height_px=height)
        disparity = folder / f"Disp{side}" / f"{name}.npy"

        def read() -> DepthMap:
            given = of_size(read_array(disparity, "f", (None, None)), width, height, disparity)
            with np.errstate(divide="ignore", invalid="ignore"):
                depth = camera.fx_px * baseline_m / given.astype(np.float64)
            # Before what is unknown is left out, as MapAnything's zeros count among all pixels.
            known = positive(np.where(depth < _FARTHEST_M, depth, np.nan))
            return DepthMap(positive(without_far(known)), "z")

        return RawFrame(f"{name}_cam{side}", picture, camera, read, pose, split=_split(scene))

    return each([(name, side) for name in names for side in (0, 1)], make)


def _camera(path: Path) -> tuple[Floats, Floats]:
    """K and world_from_cam."""
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if [len(line) for line in lines] != [9, 12]:
        raise InputError(f"{str(path)!r} is no camera: expected a line of 9 numbers, one of 12")
    try:
        K, cam_from_world = (np.array(line, np.float64) for line in lines)
    except ValueError as error:
        raise InputError(f"cannot read the camera {str(path)!r} ({why(error)})") from None
    return K.reshape(3, 3), from_left_handed(cam_from_world.reshape(3, 4))


UNREALSTEREO4K = raw_or_wai(Reader(scenes, frames), wai.UNREALSTEREO4K, _LAYOUT)
