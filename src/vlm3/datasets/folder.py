"""A plain folder: pictures, depth beside them, one K. The layout for what you recorded yourself.

    ROOT/[SCENE/]images/NAME.jpg      or any picture that vlm3 opens; NAME may have folders in it
    ROOT/[SCENE/]depth/NAME.png       16 bit, millimetres along the axis, 0 unknown; .tif as .png;
                                      .npy, .npz, .exr, .pfm: metres, whole numbers need unit_m
    ROOT/[SCENE/]K.txt                3x3, pixel centres at whole numbers (as OpenCV), of the stored
                                      pixels, whatever EXIF says about turning them; optional:
                                      without it, EXIF or `--fov-deg` says
    ROOT/[SCENE/]poses.txt            optional: NAME and 16 numbers, world_from_cam, a line
    ROOT/[SCENE/]format.json          optional, what differs: {"unit_m": 0.001, "kind": "z",
                                      "pixel_origin": "center", "distortion": [],
                                      "model": "pinhole", "split": "train", "metric": true,
                                      "accept": []}

A scene is one place seen by one lens: one K, poses in one world. Pictures may lie in subfolders of
images/; then depth/ has the same subfolders, and poses.txt names pictures by their paths below
images/. Where all lie in images/ itself, folders in the names of poses.txt are passed over.

Depth may be of another size than its picture, as sensors give it; it covers the same view. What is
checked first, and what `accept` takes back, stands in `vlm3.datasets.own`.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from vlm3.datasets.base import DepthMap, Floats, Frames, RawFrame, Reader, Remark, each, need_scenes
from vlm3.datasets.files import files_in, matrix, picture_size, read_text
from vlm3.datasets.own import check_camera, check_poses, covering, survey
from vlm3.datasets.own_depth import depth_files, matching, read_depth
from vlm3.datasets.own_format import Format, read_format
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera

_LAYOUT = facts("folder").layout
_ONE_SCENE = "."


def scenes(root: Path) -> list[str]:
    """The folder itself if it holds images/, else each folder in it that does."""
    if (root / "images").is_dir():
        return [_ONE_SCENE]
    found = (p.parent.name for p in root.glob("*/images") if p.is_dir())
    return need_scenes(root, found, "images/", f"{_LAYOUT}; images/ may have subfolders")


def frames(root: Path, scene: str) -> Frames:
    """Every picture of images/ and its subfolders, by name."""
    folder = root / scene
    how = read_format(folder / "format.json")
    K = matrix(folder / "K.txt", 3, 3) if (folder / "K.txt").is_file() else None
    pictures, remarks = _pictures(folder / "images")
    poses = _poses(folder / "poses.txt", pictures)
    depths, unread = depth_files(folder / "depth")
    remarks += unread + matching(pictures, depths)
    remarks += _whose_poses(poses, pictures) + _like_depth(folder)

    def make(name: str) -> RawFrame:
        picture = pictures[name]
        size = picture_size(picture)
        camera = None
        if K is not None:
            camera = Camera.from_K(
                K,
                width_px=size[0],
                height_px=size[1],
                distortion=how.distortion,
                model=how.model,
                pixel_origin=how.pixel_origin,
            )
            check_camera(camera, how.accept)
        depth = depths.get(name)
        return RawFrame(
            name,
            picture,
            camera,
            None if depth is None else lambda: _depth(depth, how, size),
            poses.get(name),
            split=how.split,
            metric=how.metric,
        )

    made = list(each(pictures, make))
    raw = [one for one in made if isinstance(one, RawFrame)]
    remarks += survey(raw, depths, unit_m=how.unit_m, metric=how.metric, accept=how.accept)
    yield from map(Remark, remarks)
    yield from made


def _pictures(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The files below images/ by their paths without ending, and a remark on those left out."""
    found: dict[str, Path] = {}
    twice = []
    for path in files_in(folder):
        below = path.relative_to(folder)
        name = (below.parent / below.stem).as_posix()
        if name in found:
            twice.append(name)
        else:
            found[name] = path
    if not twice:
        return found, []
    kept = "one ending is read, the first by name"
    return found, [f"{len(twice)} pictures are there with two endings, as {twice[0]!r}: {kept}"]


def _poses(path: Path, pictures: Collection[str]) -> dict[str, Floats]:
    """world_from_cam of each picture, and of names that are no picture's."""
    if not path.is_file():
        return {}
    nested = any("/" in name for name in pictures)
    found = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        # From the right, as a name may have spaces in it.
        name, *numbers = line.rsplit(None, 16)
        try:
            values = np.array(numbers, dtype=np.float64).reshape(4, 4)
        except ValueError:
            raise InputError(f"{path}, line {number} is no name and 16 numbers") from None
        written = Path(name.strip())
        if not nested:
            written = Path(written.name)
        elif written.parts[:1] == ("images",):
            written = written.relative_to("images")
        found[(written.parent / written.stem).as_posix()] = values
    check_poses(found)
    return found


def _whose_poses(poses: Mapping[str, Floats], pictures: Collection[str]) -> list[str]:
    if not poses:
        return []
    names = set(pictures)
    if not names & set(poses):
        raise InputError(
            f"poses.txt names no picture of images/: it has {next(iter(poses))!r}, "
            f"images/ {min(names, default='nothing')!r}"
        )
    without, alone = len(names - set(poses)), len(set(poses) - names)
    remarks = [f"{without} of {len(names)} pictures have no pose"] if without else []
    return remarks + ([f"{alone} poses have no picture"] if alone else [])


def _like_depth(folder: Path) -> list[str]:
    """A remark where depth lies in a folder of another name."""
    if (folder / "depth").is_dir():
        return []
    near = sorted(p.name for p in folder.iterdir() if p.is_dir() and "depth" in p.name.lower())
    return (
        [f"there is no depth/, but {', '.join(near)}/: call it depth to have it read"]
        if (near)
        else []
    )


def _depth(path: Path, how: Format, size: tuple[int, int]) -> DepthMap:
    read = read_depth(path, how.unit_m)
    return DepthMap(covering(read, size, how.accept), how.kind)


FOLDER = Reader(scenes, frames)
