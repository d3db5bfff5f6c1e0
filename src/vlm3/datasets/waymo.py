"""Waymo Open, perception, version 2: tables in parquet, one of each kind for a drive.

    ROOT/{training,validation}/{camera_image,camera_calibration,lidar,lidar_calibration,lidar_pose,
                                vehicle_pose}/CONTEXT.parquet

The laser is a range image; its points follow from the angle of each row and column, as in the
official `range_image_utils`. The top laser turns while the car moves, so each of its pixels has a
pose of its own. From the car at the frame's time, points go through the world to the car at the
camera's time. Camera axes are X forward, Y left, Z up; pictures are distorted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.datasets.base import Floats, Frames, LaserPoints, RawFrame, Reader, each, need_scenes
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.files.reading import short, why
from vlm3.files.schema import Check, fields, number, numbers, whole
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, transform_points

_LAYOUT = facts("waymo").layout
_SPLITS = {"training": "train", "validation": "val", "testing": "test"}
_CAMERAS = {1: "front", 2: "front_left", 3: "front_right", 4: "side_left", 5: "side_right"}
_TOP = 1
_NEAREST_M = 1.0
# X forward, Y left, Z up -> X right, Y down, Z forward.
_OPENCV_FROM_CAR = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
_TIME, _CAMERA, _LASER = "key.frame_timestamp_micros", "key.camera_name", "key.laser_name"
_LENS = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
_OF_CAMERA, _OF_LASER = "[CameraCalibrationComponent]", "[LiDARCalibrationComponent]"
_CAR = "[VehiclePoseComponent].world_from_vehicle.transform"
_IMAGE, _IMAGE_POSE = "[CameraImageComponent].image", "[CameraImageComponent].pose.transform"
_CAMERA_ROW = fields(
    {
        _CAMERA: whole(),
        f"{_OF_CAMERA}.width": whole(1, 100_000),
        f"{_OF_CAMERA}.height": whole(1, 100_000),
        f"{_OF_CAMERA}.extrinsic.transform": numbers(16),
        **{f"{_OF_CAMERA}.intrinsic.{name}": number(-1e7, 1e7) for name in _LENS},
    }
)
_LASER_ROW = fields({_LASER: whole(), f"{_OF_LASER}.extrinsic.transform": numbers(16)})
_CAR_ROW = fields({_TIME: whole(), _CAR: numbers(16)})


def scenes(root: Path) -> list[str]:
    """SPLIT/CONTEXT."""
    found = (
        f"{path.parents[1].relative_to(root).as_posix()}/{path.stem}"
        for path in root.glob("*/camera_image/*.parquet")
    )
    return need_scenes(root, found, "camera_image/*.parquet", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """Each frame's cameras, in time."""
    split, context = scene.split("/")
    folder = root / split

    def table(kind: str) -> Path:
        return folder / kind / f"{context}.parquet"

    cameras = {row[_CAMERA]: row for row in _rows(table("camera_calibration"), _CAMERA_ROW)}
    lasers = {row[_LASER]: row for row in _rows(table("lidar_calibration"), _LASER_ROW)}
    car = {row[_TIME]: _matrix(row[_CAR]) for row in _rows(table("vehicle_pose"), _CAR_ROW)}
    images = _index(table("camera_image"), (_TIME, _CAMERA))
    sweeps = _index(table("lidar"), (_TIME, _LASER))
    turning = _index(table("lidar_pose"), (_TIME, _LASER))
    kept: dict[int, Floats] = {}

    def points(time: int) -> Floats:
        """In the car's frame; the cameras of a frame share them."""
        if time not in kept:
            kept.clear()
            kept[time] = np.concatenate(
                [
                    _laser_points(
                        _row(table("lidar"), sweeps[time, laser]),
                        lasers[laser],
                        _row(table("lidar_pose"), turning[time, laser])
                        if (time, laser) in turning
                        else None,
                        car[time],
                    )
                    for at, laser in sweeps
                    if at == time
                ]
            )
        return kept[time]

    def make(key: tuple[int, int]) -> RawFrame:
        time, number = key
        row = _row(table("camera_image"), images[key])
        if not isinstance(row.get(_IMAGE), bytes):
            raise InputError(f"the table of pictures has {short(row.get(_IMAGE))} for a JPEG")
        camera, mount = _camera(cameras[number])
        world_from_cam = _matrix(row[_IMAGE_POSE]) @ mount
        cam_from_car = invert(world_from_cam) @ car[time]
        return RawFrame(
            f"{time}/{_CAMERAS.get(number, str(number))}",
            row[_IMAGE],
            camera,
            lambda: LaserPoints(transform_points(cam_from_car, points(time)), _NEAREST_M),
            world_from_cam,
            split=_SPLITS.get(split, split),
        )

    return each(sorted(images), make)


def _camera(row: dict[str, Any]) -> tuple[Camera, Floats]:
    """Camera, and car_from_cam with OpenCV's axes."""
    of = {name: row[f"{_OF_CAMERA}.intrinsic.{name}"] for name in _LENS}
    camera = Camera(
        of["f_u"],
        of["f_v"],
        of["c_u"] + 0.5,
        of["c_v"] + 0.5,
        row[f"{_OF_CAMERA}.width"],
        row[f"{_OF_CAMERA}.height"],
        (of["k1"], of["k2"], of["p1"], of["p2"], of["k3"]),
        "brown_conrady",
    )
    mount = _matrix(row[f"{_OF_CAMERA}.extrinsic.transform"])
    return camera, mount @ _OPENCV_FROM_CAR.T


def _laser_points(
    row: dict[str, Any], laser: dict[str, Any], turning: dict[str, Any] | None, car: Floats
) -> Floats:
    """The first returns (n, 3) in the car's frame at the frame's time."""
    ranges = _image(row, "[LiDARComponent].range_image_return1")[..., 0]
    height, width = ranges.shape
    car_from_laser = _matrix(laser[f"{_OF_LASER}.extrinsic.transform"])
    rising = laser[f"{_OF_LASER}.beam_inclination.values"]
    if rising is None or not len(rising):
        low, high = (laser[f"{_OF_LASER}.beam_inclination.{end}"] for end in ("min", "max"))
        rising = low + (np.arange(height) + 0.5) / height * (high - low)
    # Rows go from the top down, columns against the turning, from behind.
    up = np.asarray(rising, np.float64)[::-1, None]
    turn = np.arctan2(car_from_laser[1, 0], car_from_laser[0, 0])
    around = (((np.arange(width, 0, -1) - 0.5) / width * 2 - 1) * np.pi - turn)[None]
    cosine = np.cos(up)
    directions = np.stack(
        np.broadcast_arrays(np.cos(around) * cosine, np.sin(around) * cosine, np.sin(up)), axis=-1
    )
    points = transform_points(car_from_laser, directions * ranges[..., None])
    if turning is not None:
        pose = _image(turning, "[LiDARPoseComponent].range_image_return1")
        in_world = np.einsum("hwij,hwj->hwi", _rotations(pose[..., :3]), points) + pose[..., 3:]
        points = transform_points(invert(car), in_world)
    return points[ranges > 0]


def _rotations(roll_pitch_yaw: Floats) -> Floats:
    """(h, w, 3) about the fixed x, then y, then z -> (h, w, 3, 3)."""
    (cr, cp, cy), (sr, sp, sy) = (np.moveaxis(f(roll_pitch_yaw), -1, 0) for f in (np.cos, np.sin))
    rows = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _image(row: dict[str, Any], name: str) -> Floats:
    shape = [int(n) for n in row[f"{name}.shape"]]
    return np.asarray(row[f"{name}.values"], np.float64).reshape(shape)


def _matrix(values: Any) -> Floats:
    return np.asarray(values, np.float64).reshape(4, 4)


def _rows(path: Path, check: Check) -> Iterator[dict[str, Any]]:
    """The rows of a small table, each as `check` wants it."""
    with _reading(path) as file:
        found: list[dict[str, Any]] = file.read().to_pylist()
    for place, row in enumerate(found):
        check(row, f"{path}, row {place}")
        yield row


def _index(path: Path, keys: tuple[str, str]) -> dict[tuple[int, int], tuple[int, int]]:
    """Row group and row within it of each key: pictures and ranges are read one at a time."""
    found = {}
    with _reading(path) as file:
        for group in range(file.num_row_groups):
            columns = file.read_row_group(group, columns=list(keys)).to_pydict()
            if set(columns) != set(keys):
                raise InputError(f"{path} has no column {' or '.join(set(keys) - set(columns))}")
            for row, (first, second) in enumerate(zip(*(columns[k] for k in keys), strict=True)):
                if type(first) is not int or type(second) is not int:
                    raise InputError(f"{path}, row {row}: {', '.join(keys)} are no whole numbers")
                found[first, second] = (group, row)
    return found


def _row(path: Path, place: tuple[int, int]) -> dict[str, Any]:
    group, row = place
    with _reading(path) as file:
        table = file.read_row_group(group).slice(row, 1)
        # Long lists as arrays, not as a million Python numbers.
        return {
            name: values.values.to_numpy()
            if hasattr(values := column.chunk(0)[0], "values") and values.is_valid
            else values.as_py()
            for name, column in zip(table.column_names, table.columns, strict=True)
        }


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """The table, open; whatever its library says about it is one line."""
    from pyarrow import ArrowException, parquet

    try:
        yield parquet.ParquetFile(path)
    except (OSError, ArrowException) as error:
        raise InputError(f"cannot read {str(path)!r} ({why(error)})") from error


WAYMO = Reader(scenes, frames)
