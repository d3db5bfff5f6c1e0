"""Hand-held RGB-D with poses: 7-Scenes, and folders in Open3D's layout.

7-Scenes (Microsoft; poses by KinectFusion, raw Kinect depth that is not registered to the colour;
f 585 is the depth camera's, the colour camera's is a Kinect's 525: with it, features of two
pictures lie three times nearer to each other's epipolar lines; the 2.5 cm between both cameras,
which the set does not give, are left out):

    ROOT/[SCENE/seq-01/]frame-000000.color.png     or .jpg
    ROOT/[SCENE/seq-01/]frame-000000.depth.png     millimetres along the axis, 0 or 65535 unknown
    ROOT/[SCENE/seq-01/]frame-000000.pose.txt      world_from_cam; NaN or infinite where it was lost
    ROOT/[SCENE/seq-01/]camera-intrinsics.txt      optional, of the depth; else f 585,
                                                   centre (320, 240)
    ROOT/SCENE/TestSplit.txt                       optional: "sequence1" a line

Open3D (Redwood and kin):

    ROOT/[SCENE/]color/00000.jpg, depth/00000.png  millimetres along the axis, or as in `folder`
    ROOT/[SCENE/]trajectory.log                    three numbers, then world_from_cam, a frame
    ROOT/[SCENE/]camera_primesense.json            optional; else f 525, centre (319.5, 239.5)
    ROOT/[SCENE/]format.json                       optional: {"unit_m": 0.001, "accept": []}

The first of the three numbers is the frame's: it finds the picture of that number, also where
others are missing. Where numbers do not agree, there must be as many pictures as poses.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vlm3.datasets.base import (
    DepthMap,
    Floats,
    Frames,
    RawFrame,
    Reader,
    Remark,
    each,
    need_folder,
    need_scenes,
)
from vlm3.datasets.files import depth_png_m, matrix, picture_size, read_json, read_text
from vlm3.datasets.own import check_camera, check_poses, covering, survey
from vlm3.datasets.own_depth import check_shape, depth_files, matching, read_depth
from vlm3.datasets.own_format import read_format
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.files.reading import why
from vlm3.files.schema import fields, numbers, whole
from vlm3.geometry.camera import Camera

_SEVEN_LAYOUT = facts("7scenes").layout
SEVEN_COLOUR_K = np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]])
_SEVEN_K = np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]])
_LOG_LAYOUT = facts("rgbd-log").layout
_LOG_K = np.array([[525.0, 0, 319.5], [0, 525, 239.5], [0, 0, 1]])
_LOG_LINES = 5
_OWN_LENS = fields(
    {"intrinsic_matrix": numbers(9)}, {name: whole(0, 100_000) for name in ("width", "height")}
)
_COLOUR = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def seven_scenes(root: Path) -> list[str]:
    """Every folder with poses."""
    return _folders_of(root, "frame-*.pose.txt", _SEVEN_LAYOUT)


def seven_frames(root: Path, scene: str) -> Frames:
    """The frames of a sequence."""
    folder = root / scene
    own = folder / "camera-intrinsics.txt"
    K = matrix(own, 3, 3) if own.is_file() else _SEVEN_K
    split = _seven_split(folder)

    def make(path: Path) -> RawFrame:
        name = path.name.removesuffix(".pose.txt")
        pose = matrix(path, 4, 4)
        if not np.isfinite(pose).all():
            raise InputError("the set lost this frame's pose")
        picture = folder / f"{name}.color.png"
        picture = picture if picture.is_file() else picture.with_suffix(".jpg")
        size = picture_size(picture)
        # Given for 640x480, which all pictures of the set have.
        colour_K = SEVEN_COLOUR_K * [[size[0] / 640], [size[1] / 480], [1]]
        depth = folder / f"{name}.depth.png"
        return RawFrame(
            name,
            picture,
            _camera(colour_K, size),
            lambda: DepthMap(depth_png_m(depth), "z", _camera(K, picture_size(depth))),
            pose,
            split=split,
        )

    return each(sorted(folder.glob("frame-*.pose.txt")), make)


def log_scenes(root: Path) -> list[str]:
    """Every folder with a trajectory.log."""
    return _folders_of(root, "trajectory.log", _LOG_LAYOUT)


def log_frames(root: Path, scene: str) -> Frames:
    """The frames of a trajectory, pictures and poses by their numbers."""
    folder = root / scene
    K, K_size = _LOG_K, (0, 0)
    own = folder / "camera_primesense.json"
    if own.is_file():
        # Open3D writes matrices column by column.
        given = read_json(own, _OWN_LENS)
        K = np.array(given["intrinsic_matrix"], np.float64).reshape(3, 3).T
        K_size = given.get("width", 0), given.get("height", 0)
    how = read_format(folder / "format.json")
    poses = _trajectory(folder / "trajectory.log")
    check_poses({str(number): pose for number, pose in poses})
    pictures = sorted(
        p for p in (folder / "color").iterdir() if p.is_file() and p.suffix.lower() in _COLOUR
    )
    depths, remarks = depth_files(folder / "depth")
    remarks += matching((p.stem for p in pictures), depths)
    posed = _posed(pictures, depths, poses)
    if len(posed) < len(pictures):
        remarks.append(f"{len(pictures) - len(posed)} of {len(pictures)} pictures have no pose")

    def make(thing: tuple[str, Path, Floats]) -> RawFrame:
        name, picture, pose = thing
        size = picture_size(picture)
        camera = _camera(K, size)
        if min(K_size) > 0 and K_size != size:
            check_shape(K_size[::-1], *size)
            camera = _camera(K, K_size).resized(*size)
        check_camera(camera, how.accept)
        if name not in depths:
            raise InputError(f"no depth file depth/{name}.*")
        depth = depths[name]
        return RawFrame(
            name,
            picture,
            camera,
            lambda: DepthMap(covering(read_depth(depth, how.unit_m), size, how.accept), "z"),
            pose,
        )

    made = list(each(posed, make))
    raw = [one for one in made if isinstance(one, RawFrame)]
    remarks += survey(raw, depths, unit_m=how.unit_m, metric=True, accept=how.accept)
    yield from map(Remark, remarks)
    yield from made


def _folders_of(root: Path, name: str, layout: str) -> list[str]:
    """The folders, at any depth, that hold such a file."""
    need_folder(root, layout)
    found = (p.parent.relative_to(root).as_posix() for p in root.glob(f"**/{name}"))
    return need_scenes(root, found, name, layout)


def _posed(
    pictures: list[Path], depths: Iterable[str], poses: list[tuple[int, Floats]]
) -> list[tuple[str, Path, Floats]]:
    """Pictures with their poses, by number; by order only where there are as many of both.

    Raises:
        InputError: neither says which pose belongs to which picture.
    """
    by_number = dict(poses)
    numbers = [_number(p.stem) for p in pictures]
    # Depth may still be there where its picture is missing.
    every = {*numbers, *map(_number, depths)}
    apart = len(by_number) == len(poses) and len(set(numbers)) == len(numbers)
    # Numbers of pictures may begin at 1 where those of the log begin at 0.
    shifts = [by for by in (0, 1) if apart and all(n - by in by_number for n in every)]
    if len(shifts) == 2 and min(every) == 1:
        raise InputError(
            f"{len(poses)} poses, numbered from {poses[0][0]}, and pictures numbered from 1: it "
            "does not show whether the first picture is missing or they count from 1; number "
            "trajectory.log as the pictures"
        )
    if shifts:
        return [
            (p.stem, p, by_number[n - shifts[0]]) for p, n in zip(pictures, numbers, strict=True)
        ]
    if len(pictures) == len(poses):
        return [(p.stem, p, pose) for p, (_, pose) in zip(pictures, poses, strict=True)]
    raise InputError(
        f"{len(pictures)} pictures and {len(poses)} poses whose numbers do not agree (pictures "
        f"{min(numbers, default=0)} to {max(numbers, default=0)}, poses {poses[0][0]} to "
        f"{poses[-1][0]}): write the picture's number first in each block of trajectory.log"
        if poses
        else "trajectory.log holds no pose"
    )


def _number(name: str) -> int:
    """The last number in a name; -1 where there is none."""
    found = re.findall(r"\d+", name)
    return int(found[-1]) if found else -1


def _camera(K: Floats, size: tuple[int, int]) -> Camera:
    return Camera.from_K(K, width_px=size[0], height_px=size[1], pixel_origin="center")


def _seven_split(folder: Path) -> str:
    listed = folder.parent / "TestSplit.txt"
    if not listed.is_file():
        return "train"
    tested = {int(n) for n in re.findall(r"\d{1,9}", read_text(listed))}
    numbers = re.findall(r"\d+", folder.name)
    return "test" if numbers and int(numbers[-1]) in tested else "train"


def _trajectory(path: Path) -> list[tuple[int, Floats]]:
    """Numbers of frames and their poses; places where the numbers do not tell frames apart."""
    try:
        lines = [line for line in read_text(path).splitlines() if line.strip()]
        blocks = [lines[k : k + _LOG_LINES] for k in range(0, len(lines), _LOG_LINES)]
        poses = [np.array(" ".join(b[1:]).split(), np.float64).reshape(4, 4) for b in blocks]
        numbers = [int(b[0].split()[0]) for b in blocks]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the trajectory {str(path)!r} ({why(error)})") from error
    if len(set(numbers)) < len(numbers):
        numbers = list(range(len(poses)))
    return list(zip(numbers, poses, strict=True))


SEVEN_SCENES = Reader(seven_scenes, seven_frames)
TRAJECTORY = Reader(log_scenes, log_frames)
