"""Spring (Mehl et al. 2023), a rendered film in stereo, as published or converted to WAI.

    ROOT/[spring/]train/SEQUENCE/frame_{left,right}/frame_left_0001.png
    .../disp1_{left,right}/disp1_left_0001.dsp5    HDF5: disparity, four values a pixel, in pixels
    .../maps/skymap_{left,right}/skymap_left_0001.png    not 0 for sky
    .../cam_data/intrinsics.txt                    fx fy cx cy a line
    .../cam_data/extrinsics.txt                    cam_from_world (4, 4) of the left camera a line

Layout, the baseline of 65 mm and depth = fx * baseline / disparity with fx of the picture: its
authors' code, cv-stuttgart/spring_utils (dataloader.py, pointcloud.py); disparity in HDF5:
cv-stuttgart/flow_library (flow_IO.py). Poses, the right camera and the sky map as two readers take
them: facebookresearch/map-anything (conversion/spring.py) and CUT3R/CUT3R (preprocess_spring.py).
The authors read every second disparity; here all four of a pixel are kept, on their own grid. The
test sequences have neither poses nor depth and are not listed.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from vlm3.datasets import wai
from vlm3.datasets.base import DepthMap, Floats, Frames, RawFrame, Reader, each, folders_with
from vlm3.datasets.depth_files import positive, read_hdf5
from vlm3.datasets.files import number_rows, picture_size
from vlm3.datasets.foreign_poses import inverted
from vlm3.datasets.published import facts
from vlm3.datasets.raw_or_wai import raw_or_wai
from vlm3.datasets.splits import SPRING_VAL, named
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera

_LAYOUT = facts("spring").layout
_BASELINE_M = 0.065
_split = named(SPRING_VAL)


def scenes(root: Path) -> list[str]:
    """The training sequences."""
    top = "spring/train/*/cam_data" if (root / "spring").is_dir() else "train/*/cam_data"
    return folders_with(root, top, _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The frames of a sequence, left and right in turn."""
    folder = root / scene
    intrinsics = number_rows(folder / "cam_data" / "intrinsics.txt", 4)
    extrinsics = number_rows(folder / "cam_data" / "extrinsics.txt", 16).reshape(-1, 4, 4)
    split = _split(folder.name)
    pictures = [
        (side, picture)
        for picture in sorted((folder / "frame_left").glob("frame_left_*.png"))
        for side in ("left", "right")
    ]

    def make(thing: tuple[str, Path]) -> RawFrame:
        side, left = thing
        number = left.stem.removeprefix("frame_left_")
        place = int(number) - 1
        if not 0 <= place < min(len(intrinsics), len(extrinsics)):
            raise InputError(
                f"cam_data has {len(intrinsics)} intrinsics and {len(extrinsics)} extrinsics, none "
                f"for frame {number}"
            )
        picture = folder / f"frame_{side}" / f"frame_{side}_{number}.png"
        width, height = picture_size(picture)
        fx, fy, cx, cy = intrinsics[place]
        cam_from_world = extrinsics[place].copy()
        if side == "right":
            cam_from_world[0, 3] -= _BASELINE_M
        disparity = folder / f"disp1_{side}" / f"disp1_{side}_{number}.dsp5"
        sky = folder / "maps" / f"skymap_{side}" / f"skymap_{side}_{number}.png"
        return RawFrame(
            picture.stem,
            picture,
            Camera(fx, fy, cx, cy, width, height),
            lambda: DepthMap(_depth_m(disparity, sky, fx, (width, height)), "z"),
            inverted(cam_from_world),
            split=split,
        )

    return each(pictures, make)


def _depth_m(path: Path, sky: Path, fx_px: float, size: tuple[int, int]) -> Floats:
    disparity = read_hdf5(path, "disparity").astype(np.float64)
    if disparity.shape not in (size[::-1], (2 * size[1], 2 * size[0])):
        raise InputError(
            f"{str(path)!r} is {disparity.shape[1]}x{disparity.shape[0]}; expected the size of "
            f"its picture, {size[0]}x{size[1]}, or twice that"
        )
    try:
        with Image.open(sky) as picture:
            # Over the same grid, whichever of the two sizes it has.
            cells = picture.convert("L").resize(disparity.shape[::-1], Image.Resampling.NEAREST)
            in_sky = np.asarray(cells) > 0
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"cannot read the sky map {str(sky)!r} ({error})") from error
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = fx_px * _BASELINE_M / disparity
    return np.where(in_sky, np.nan, positive(depth))


SPRING = raw_or_wai(Reader(scenes, frames), wai.SPRING, _LAYOUT)
