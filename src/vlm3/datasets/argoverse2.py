"""Argoverse 2 Sensor.

    ROOT/{train,val,test}/LOG/sensors/cameras/CAMERA/TIME_NS.jpg, sensors/lidar/TIME_NS.feather
    ROOT/SPLIT/LOG/calibration/{intrinsics,egovehicle_SE3_sensor}.feather
    ROOT/SPLIT/LOG/city_SE3_egovehicle.feather

The seven ring cameras (the stereo pair shows the same road again), every picture. Laser points lie
in the car's frame at the sweep's time; they go through the city to the car at the picture's time.
Pictures are undistorted as published, although the table has k1 to k3 (av2-api issues 219, 226).
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.datasets.base import Floats, Frames, LaserPoints, RawFrame, Reader, each, folders_with
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.files.reading import why
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, rigid_from_quaternion, transform_points

_LAYOUT = facts("argoverse2").layout
_NEAREST_M = 1.0
# The laser turns ten times a second; a picture further from a sweep has lost its own.
_MOST_APART_NS = 100_000_000


def scenes(root: Path) -> list[str]:
    """SPLIT/LOG."""
    return folders_with(root, "*/*/sensors", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """Each ring camera's pictures in time, with the nearest sweep."""
    log = root / scene
    city = _table(log / "city_SE3_egovehicle.feather")
    car = {int(t): _rigid(city, i) for i, t in enumerate(city["timestamp_ns"])}
    mounts = _table(log / "calibration" / "egovehicle_SE3_sensor.feather")
    mount = {name: _rigid(mounts, i) for i, name in enumerate(mounts["sensor_name"])}
    lens = _table(log / "calibration" / "intrinsics.feather")
    sweeps = np.array(sorted(int(p.stem) for p in (log / "sensors" / "lidar").glob("*.feather")))
    if not len(sweeps):
        raise InputError(f"{scene} has no laser sweeps")

    def make(image: Path) -> RawFrame:
        name, time = image.parent.name, int(image.stem)
        nearest = int(sweeps[np.abs(sweeps - time).argmin()])
        if abs(nearest - time) > _MOST_APART_NS:
            raise InputError("no laser sweep within 0.1 s")
        world_from_cam = _at(car, time) @ mount[name]
        cam_from_ego = invert(world_from_cam) @ _at(car, nearest)
        sweep = log / "sensors" / "lidar" / f"{nearest}.feather"
        return RawFrame(
            f"{name}/{time}",
            image,
            _camera(lens, name),
            lambda: LaserPoints(transform_points(cam_from_ego, _xyz(sweep)), _NEAREST_M),
            world_from_cam,
            split=scene.split("/")[0],
        )

    return each(sorted((log / "sensors" / "cameras").glob("ring_*/*.jpg")), make)


def _camera(lens: dict[str, Any], name: str) -> Camera:
    found = np.flatnonzero(lens["sensor_name"] == name)
    if not len(found):
        raise InputError(f"no intrinsics of {name}")
    row = {key: float(lens[key][found[0]]) for key in lens if key.endswith("_px")}
    return Camera(
        row["fx_px"],
        row["fy_px"],
        row["cx_px"] + 0.5,
        row["cy_px"] + 0.5,
        int(row["width_px"]),
        int(row["height_px"]),
    )


def _at(poses: dict[int, Floats], time: int) -> Floats:
    if time not in poses:
        raise InputError(f"no pose of the car at {time}")
    return poses[time]


def _rigid(table: dict[str, Any], row: int) -> Floats:
    q = [float(table[name][row]) for name in ("qw", "qx", "qy", "qz")]
    t = [float(table[name][row]) for name in ("tx_m", "ty_m", "tz_m")]
    return rigid_from_quaternion(q, t)


@lru_cache(2)
def _xyz(path: Path) -> Floats:
    table = _table(path)
    return np.stack([table[name] for name in "xyz"], axis=1).astype(np.float64)


def _table(path: Path) -> dict[str, NDArray[Any]]:
    """A feather file's columns."""
    from pyarrow import ArrowException, feather

    try:
        table = feather.read_table(path, memory_map=False)
    except (OSError, ArrowException) as error:
        raise InputError(f"cannot read {str(path)!r} ({why(error)})") from error
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


ARGOVERSE2 = Reader(scenes, frames)
