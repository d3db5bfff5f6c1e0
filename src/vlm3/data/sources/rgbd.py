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

    ROOT/[SCENE/]color/00000.jpg, depth/00000.png  millimetres along the axis
    ROOT/[SCENE/]trajectory.log                    three numbers, then world_from_cam, a frame
    ROOT/[SCENE/]camera_primesense.json            optional; else f 525, centre (319.5, 239.5)
"""

import re
from pathlib import Path

import numpy as np

from vlm3.data.files import depth_png_m, matrix, picture_size, read_json
from vlm3.data.sources.base import DepthMap, Floats, Frames, RawFrame, Source, each, need_folder
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera

_SEVEN_LAYOUT = "[SCENE/seq-NN/]frame-NNNNNN.{color.png,depth.png,pose.txt}"
SEVEN_COLOUR_K = np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]])
_SEVEN_K = np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]])
_LOG_LAYOUT = "[SCENE/]color/, depth/ and trajectory.log"
_LOG_K = np.array([[525.0, 0, 319.5], [0, 525, 239.5], [0, 0, 1]])
_LOG_LINES = 5


def seven_scenes(root: Path) -> list[str]:
    """Every folder with poses."""
    need_folder(root, _SEVEN_LAYOUT)
    found = {p.parent.relative_to(root).as_posix() for p in root.glob("**/frame-*.pose.txt")}
    if not found:
        raise InputError(f"{str(root)!r} has no frame-*.pose.txt; expected {_SEVEN_LAYOUT}")
    return sorted(found)


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
    need_folder(root, _LOG_LAYOUT)
    found = {p.parent.relative_to(root).as_posix() for p in root.glob("**/trajectory.log")}
    if not found:
        raise InputError(f"{str(root)!r} has no trajectory.log; expected {_LOG_LAYOUT}")
    return sorted(found)


def log_frames(root: Path, scene: str) -> Frames:
    """The frames of a trajectory, pictures and poses by their order."""
    folder = root / scene
    K = _LOG_K
    own = folder / "camera_primesense.json"
    if own.is_file():
        # Open3D writes matrices column by column.
        K = np.array(read_json(own)["intrinsic_matrix"], np.float64).reshape(3, 3).T
    poses = _trajectory(folder / "trajectory.log")
    pictures = sorted(p for p in (folder / "color").iterdir() if p.suffix in (".jpg", ".png"))

    def make(thing: tuple[str, Path, int]) -> RawFrame:
        name, picture, k = thing
        depth = folder / "depth" / f"{name}.png"
        camera = _camera(K, picture_size(picture))
        return RawFrame(name, picture, camera, lambda: DepthMap(depth_png_m(depth), "z"), poses[k])

    return each(((p.stem, p, k) for k, p in enumerate(pictures[: len(poses)])), make)


def _camera(K: Floats, size: tuple[int, int]) -> Camera:
    return Camera.from_K(K, width_px=size[0], height_px=size[1], pixel_origin="center")


def _seven_split(folder: Path) -> str:
    listed = folder.parent / "TestSplit.txt"
    if not listed.is_file():
        return "train"
    tested = {int(n) for n in re.findall(r"\d+", listed.read_text(encoding="utf-8"))}
    numbers = re.findall(r"\d+", folder.name)
    return "test" if numbers and int(numbers[-1]) in tested else "train"


def _trajectory(path: Path) -> list[Floats]:
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        blocks = [lines[k + 1 : k + _LOG_LINES] for k in range(0, len(lines), _LOG_LINES)]
        return [np.array(" ".join(b).split(), np.float64).reshape(4, 4) for b in blocks]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the trajectory {str(path)!r} ({error})") from error


SEVEN_SCENES = Source(
    name="7scenes",
    title="7-Scenes",
    licence="Microsoft, non-commercial research",
    url="https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes",
    layout=_SEVEN_LAYOUT,
    tasks=("depth", "correspondence", "pose"),
    scenes=seven_scenes,
    frames=seven_frames,
    origin="truth",
    verified="real files",
)
TRAJECTORY = Source(
    name="rgbd-log",
    title="RGB-D in Open3D's layout (Redwood)",
    licence="of the set",
    url="https://www.open3d.org",
    layout=_LOG_LAYOUT,
    tasks=("depth", "correspondence", "pose"),
    scenes=log_scenes,
    frames=log_frames,
    verified="real files",
)
