"""nuScenes, from its own tables, and from mmdetection3d's infos.

    ROOT/v1.0-{trainval,mini,test}/*.json, ROOT/samples/CAM_*/NAME.jpg, samples/LIDAR_TOP/*.pcd.bin
    ROOT/**/*.json with "data_list" (mmdetection3d's infos, as JSON)          nuscenes-mmdet3d

Key frames only. Laser points go from the laser through the car at its time, the world, and the car
at the camera's time: between the two the car moves, up to a metre or so. Metres, cameras OpenCV's,
pictures rectified. DepthLM leaves the car's move out; `depthlm_frames` does too.
"""

from collections import defaultdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.datasets.base import Floats, Frames, LaserPoints, RawFrame, Reader, each, need_scenes
from vlm3.datasets.files import floats, picture_size, read_json
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.files.reading import below, short
from vlm3.files.schema import fields, list_of, numbers, text, whole
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, rigid_from_quaternion, transform_points

_LAYOUT = facts("nuscenes").layout
_MMDET3D_LAYOUT = facts("nuscenes-mmdet3d").layout
_VERSIONS = ("v1.0-trainval", "v1.0-mini", "v1.0-test")
_NEAREST_M = 1.0

# The scenes of the official validation and test sets (nuscenes-devkit, utils/splits.py), ends
# included.
_VAL = (
    "3 12-18 35-36 38-39 92-110 221 268-278 329-332 344-346 519-524 552-565 625-627 629-630 "
    "632-638 770-771 775 777-778 780-784 794-800 802 904-917 919-931 962-963 966-969 971-972 "
    "1059-1073"
)
_TEST = (
    "77-91 111-119 140 142-148 265-266 279-282 307-314 333-343 481-498 547-551 601-604 606-624 "
    "827-831 833-842 844-846 932-933 935-943 1026-1043"
)


# The large tables, of millions of rows, are not looked through before they are needed.
_TOKEN = text(200)
_SCENES = list_of(fields({"name": text(200), "token": _TOKEN}))
_SENSORS = list_of(fields({"token": _TOKEN, "channel": text(200)}))
_CALIBRATED = list_of(
    fields(
        {
            "token": _TOKEN,
            "sensor_token": _TOKEN,
            "rotation": numbers(4),
            "translation": numbers(3),
            "camera_intrinsic": list_of(numbers(3)),
        }
    )
)
_SAMPLES = list_of(fields({"token": _TOKEN, "scene_token": _TOKEN, "timestamp": whole()}))


def scenes(root: Path) -> list[str]:
    """VERSION/scene-NNNN."""
    found = [
        f"{version}/{scene['name']}"
        for version in _VERSIONS
        if (root / version).is_dir()
        for scene in read_json(root / version / "scene.json", _SCENES)
    ]
    return need_scenes(root, found, ", ".join(_VERSIONS), _LAYOUT)


def frames(root: Path, scene: str, *, compensate: bool = True) -> Frames:
    """The six cameras of every key frame."""
    version, name = scene.split("/")
    tables = _tables(root / version)
    split = split_of(name, version)
    token = next((s["token"] for s in tables["scene"] if s["name"] == name), None)
    if token is None:
        raise InputError(f"{root / version} describes no scene {name!r}")

    def make(pair: tuple[str, dict[str, Any], dict[str, Any]]) -> RawFrame:
        key, camera, laser = pair
        calibrated, image = tables["sensor"][camera["calibrated_sensor_token"]], camera["filename"]
        world_from_cam = _world_from_sensor(tables, camera)
        if compensate:
            cam_from_laser = invert(world_from_cam) @ _world_from_sensor(tables, laser)
        else:
            mount = tables["sensor"][laser["calibrated_sensor_token"]]["mount"]
            cam_from_laser = invert(calibrated["mount"]) @ mount
        sweep = below(root, laser["filename"], "sample_data.json")
        return RawFrame(
            key,
            below(root, image, "sample_data.json"),
            Camera.from_K(
                calibrated["K"],
                width_px=camera["width"],
                height_px=camera["height"],
                pixel_origin="center",
            ),
            lambda: _points(sweep, 5, cam_from_laser),
            world_from_cam,
            split=split,
        )

    return each(_key_frames(tables, token), make)


def _key_frames(
    tables: dict[str, Any], scene: str
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    found = []
    for sample in sorted(tables["samples"][scene], key=lambda s: int(s["timestamp"])):
        data = tables["data"][sample["token"]]
        laser = data.get("LIDAR_TOP")
        for channel in sorted(data):
            if channel.startswith("CAM_") and laser is not None:
                found.append((f"{sample['timestamp']}/{channel}", data[channel], laser))
    return found


def split_of(name: str, version: str = "v1.0-trainval") -> str:
    """The official split of scene-NNNN."""
    number = int(name.rpartition("-")[2])
    if version == "v1.0-test" or number in _numbers(_TEST):
        return "test"
    return "val" if number in _numbers(_VAL) else "train"


@lru_cache(2)
def _numbers(text: str) -> frozenset[int]:
    ranges = [part.split("-") for part in text.split()]
    return frozenset(k for r in ranges for k in range(int(r[0]), int(r[-1]) + 1))


@lru_cache(1)
def _tables(folder: Path) -> dict[str, Any]:
    """What is needed of the tables, by token; key frames only."""
    names = {s["token"]: s["channel"] for s in read_json(folder / "sensor.json", _SENSORS)}
    sensors = {
        row["token"]: {
            "channel": names[row["sensor_token"]],
            "mount": rigid_from_quaternion(row["rotation"], row["translation"]),
            "K": np.array(row["camera_intrinsic"] or np.eye(3)),
        }
        for row in read_json(folder / "calibrated_sensor.json", _CALIBRATED)
    }
    samples = defaultdict(list)
    for row in read_json(folder / "sample.json", _SAMPLES):
        samples[row["scene_token"]].append(row)
    data: dict[str, dict[str, Any]] = defaultdict(dict)
    needed = set()
    for row in read_json(folder / "sample_data.json"):
        channel = sensors[row["calibrated_sensor_token"]]["channel"]
        if row["is_key_frame"] and channel.startswith(("CAM_", "LIDAR_TOP")):
            data[row["sample_token"]][channel] = row
            needed.add(row["ego_pose_token"])
    poses = {
        row["token"]: rigid_from_quaternion(row["rotation"], row["translation"])
        for row in read_json(folder / "ego_pose.json")
        if row["token"] in needed
    }
    return {
        "scene": read_json(folder / "scene.json", _SCENES),
        "samples": samples,
        "data": data,
        "sensor": sensors,
        "pose": poses,
    }


def _world_from_sensor(tables: dict[str, Any], data: dict[str, Any]) -> Floats:
    pose, mount = tables["pose"], tables["sensor"][data["calibrated_sensor_token"]]["mount"]
    return np.asarray(pose[data["ego_pose_token"]] @ mount)


def _points(path: Path, columns: int, cam_from_laser: Floats) -> LaserPoints:
    points = floats(path, columns)[:, :3]
    return LaserPoints(transform_points(cam_from_laser, points), _NEAREST_M)


def mmdet3d_scenes(root: Path) -> list[str]:
    """The infos."""
    found = [
        path.relative_to(root).as_posix()
        for path in sorted(root.glob("**/*.json"))
        if isinstance(info := read_json(path), dict) and _is_lidar(info.get("data_list"))
    ]
    return need_scenes(
        root, found, "JSON with a data_list of laser sweeps and pictures", _MMDET3D_LAYOUT
    )


def _is_lidar(data: Any) -> bool:
    return bool(data) and any("lidar2cam" in c for c in data[0].get("images", {}).values())


def mmdet3d_frames(root: Path, scene: str) -> Frames:
    """Every picture of every sample; lidar2cam includes the car's move.

    The files lie beside the info or under the names that it gives.
    """
    path = root / scene
    things = [
        (f"{sample['token']}/{name}", sample["lidar_points"], entry)
        for sample in read_json(path)["data_list"]
        for name, entry in sample["images"].items()
    ]

    def make(thing: tuple[str, dict[str, Any], dict[str, Any]]) -> RawFrame:
        key, laser, entry = thing
        image = _named(path.parent, entry["img_path"])
        sweep = _named(path.parent, laser["lidar_path"])
        width, height = picture_size(image)
        K = np.asarray(entry["cam2img"])[:3, :3]
        cam_from_laser = np.asarray(entry["lidar2cam"], dtype=np.float64)
        return RawFrame(
            key,
            image,
            Camera.from_K(K, width_px=width, height_px=height, pixel_origin="center"),
            lambda: _points(sweep, int(laser["num_pts_feats"]), cam_from_laser),
        )

    return each(things, make)


def _named(folder: Path, name: str) -> Path:
    # Infos may hold the path on the machine that made them; what lies here is known by its name.
    for given in (name.lstrip("/"), Path(name).name):
        path = below(folder, given, "an info")
        if path.is_file():
            return path
    raise InputError(f"{short(name)} is not in {str(folder)!r}")


NUSCENES = Reader(scenes, frames, partial(frames, compensate=False))
NUSCENES_MMDET3D = Reader(mmdet3d_scenes, mmdet3d_frames)
