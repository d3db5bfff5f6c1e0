"""RealEstate10K: camera paths through videos of houses; the frames are fetched by those who may.

    ROOT/[train|test/]ID.txt            the video's address, then a line a frame: microseconds,
                                        fx fy cx cy as shares of the sides, two zeros,
                                        cam_from_world (3 x 4), OpenCV axes
    ROOT/[train|test/]ID/MICROSECONDS.png   or .jpg: the frames, in any size of the video's shape

The set has no depth and its scale is that of its SLAM, so no question has metres. The paper
does not say how it got matches. Here they come from the poses: SIFT features of a frame are matched
with those of four others of the same path, held to the known epipolar geometry, and triangulated;
see `tracks`. So a match is a feature that was seen in at least two frames, and where the poses put
it in a third.
"""

from pathlib import Path

import numpy as np

from vlm3.datasets.base import Floats, Frames, RawFrame, Reader, each, need_folder, need_scenes
from vlm3.datasets.files import picture_size
from vlm3.datasets.published import facts
from vlm3.datasets.tracks import path_frames
from vlm3.errors import InputError
from vlm3.files.reading import why
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, nearest_rigid

_LAYOUT = facts("realestate10k").layout
# Frames before and after that features are looked for in.
_STEPS = (-20, -8, 8, 20)


def scenes(root: Path) -> list[str]:
    """The paths whose frames are there."""
    need_folder(root, _LAYOUT)
    found = (
        path.relative_to(root).with_suffix("").as_posix()
        for path in root.glob("**/*.txt")
        if path.with_suffix("").is_dir()
    )
    return need_scenes(root, found, "ID.txt beside a folder ID", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The frames of a path that were fetched, in its order."""
    folder = root / scene
    lines = _path_lines(root / f"{scene}.txt")
    pictures = {p.stem: p for p in folder.iterdir() if p.suffix in (".png", ".jpg")}
    known = [(str(int(line[0])), line) for line in lines if str(int(line[0])) in pictures]
    split = next((p for p in Path(scene).parts if p in ("train", "test")), "train")

    def make(thing: tuple[str, Floats]) -> RawFrame:
        name, line = thing
        width, height = picture_size(pictures[name])
        fx, fy, cx, cy = line[1:5] * [width, height, width, height]
        cam_from_world = np.eye(4)
        cam_from_world[:3] = line[7:].reshape(3, 4)
        return RawFrame(
            name,
            pictures[name],
            Camera(fx, fy, cx, cy, width, height),
            world_from_cam=invert(nearest_rigid(cam_from_world)),
            split=split,
            metric=False,
        )

    return path_frames(each(known, make), _STEPS)


def _path_lines(path: Path) -> Floats:
    """(n, 19) numbers, without the address."""
    try:
        found = np.loadtxt(path, skiprows=1, ndmin=2, dtype=np.float64)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the camera path {str(path)!r} ({why(error)})") from error
    if found.shape[1] != 19:
        raise InputError(f"{str(path)!r} has {found.shape[1]} numbers a line; expected 19")
    return found


REALESTATE10K = Reader(scenes, frames)
