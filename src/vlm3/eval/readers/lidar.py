"""Driving sets with laser points: KITTI object, dgp scenes (DDAD), mmdet3d's nuScenes infos.

Each gives a picture, its camera, and laser points in the camera's frame; what is asked is the same:
random ones of the points that fall into the picture, the nearest where several share a pixel.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.data.files import picture_size, read_json
from vlm3.errors import InputError
from vlm3.eval.items import Item, depth_query
from vlm3.eval.labels import cosines, label_from_distance
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.files import opener
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, transform_points

Floats = NDArray[np.float64]

POINTS_A_PICTURE = 100
# nuScenes' own rule; nearer points are the car itself.
NEAREST_M = 1.0


@dataclass(frozen=True)
class Sweep:
    """A picture and laser points (n, 3) in its camera's frame."""

    key: str
    image: Path
    camera: Camera
    points_cam_m: Floats


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a picture, until `count` queries are together."""
    rng = np.random.default_rng(wanted.seed)
    left = wanted.count
    for sweep in _SWEEPS[wanted.benchmark.reader](wanted.folder):
        xy, distance_m = seen(sweep)
        pick = rng.permutation(len(xy))[: min(POINTS_A_PICTURE, left)]
        cosine = cosines(xy[pick], sweep.camera)
        label_m = label_from_distance(distance_m[pick], cosine, wanted.benchmark.label)
        queries = tuple(
            depth_query(
                f"{sweep.key}/{k:03d}", xy[i], cosine=c, distance_m=distance_m[i], label_m=label
            )
            for k, (i, c, label) in enumerate(zip(pick, cosine, label_m, strict=True))
        )
        if queries:
            yield Item(sweep.key, (opener(sweep.image, sweep.camera),), queries)
        left -= len(queries)
        if left <= 0:
            return


def seen(sweep: Sweep) -> tuple[Floats, Floats]:
    """The points in the picture, (n, 2) pixels and (n,) distances: the nearest at each pixel."""
    points = sweep.points_cam_m[sweep.points_cam_m[:, 2] >= NEAREST_M]
    xy = sweep.camera.project(points)
    inside = sweep.camera.contains(xy)
    points, xy = points[inside], xy[inside]
    order = np.argsort(points[:, 2], kind="stable")
    cell = xy[order].astype(np.intp) @ [1, sweep.camera.width_px]
    _, first = np.unique(cell, return_index=True)
    keep = order[first]
    return xy[keep], np.linalg.norm(points[keep], axis=1)


def kitti(folder: Path) -> Iterator[Sweep]:
    """KITTI object: image_2, velodyne, calib; P2's fourth column moves from camera 0 to 2."""
    for image in sorted((folder / "image_2").glob("*.png")):
        calib = _kitti_calib(folder / "calib" / f"{image.stem}.txt")
        P2 = calib["P2"].reshape(3, 4)
        rect, velo = np.eye(4), np.eye(4)
        rect[:3, :3] = calib["R0_rect"].reshape(3, 3)
        velo[:3] = calib["Tr_velo_to_cam"].reshape(3, 4)
        shift = np.eye(4)
        shift[:3, 3] = np.linalg.solve(P2[:, :3], P2[:, 3])
        width, height = picture_size(image)
        camera = Camera.from_K(P2[:, :3], width_px=width, height_px=height, pixel_origin="center")
        points = _binary(folder / "velodyne" / f"{image.stem}.bin", 4)
        yield Sweep(image.stem, image, camera, transform_points(shift @ rect @ velo, points))


def _kitti_calib(path: Path) -> dict[str, Floats]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = {
            name: np.array(values.split(), dtype=np.float64)
            for name, _, values in (line.partition(":") for line in lines)
            if values
        }
        return {name: found[name] for name in ("P2", "R0_rect", "Tr_velo_to_cam")}
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"cannot read the calibration {str(path)!r} ({error!r})") from error


def ddad(folder: Path) -> Iterator[Sweep]:
    """Scenes as dgp writes them; poses are world_from_sensor, at each sensor's own time."""
    scenes = sorted(folder.glob("**/scene_*.json"))
    for path in scenes:
        scene = read_json(path)
        if "samples" not in scene:
            continue
        data = {entry["key"]: entry for entry in scene["data"]}
        for sample in scene["samples"]:
            calib = read_json(path.parent / "calibration" / f"{sample['calibration_key']}.json")
            intrinsics = dict(zip(calib["names"], calib["intrinsics"], strict=True))
            entries = [data[key] for key in sample["datum_keys"]]
            lasers = [e["datum"]["point_cloud"] for e in entries if "point_cloud" in e["datum"]]
            for entry in entries:
                if "image" in entry["datum"] and lasers:
                    name = entry["id"]["name"]
                    yield _dgp_sweep(
                        path.parent, entry["datum"]["image"], lasers[0], intrinsics[name]
                    )


def _dgp_sweep(
    folder: Path, picture: dict[str, Any], laser: dict[str, Any], K: dict[str, float]
) -> Sweep:
    image = folder / picture["filename"]
    width, height = picture_size(image)
    camera = Camera(K["fx"], K["fy"], K["cx"] + 0.5, K["cy"] + 0.5, width, height)
    with np.load(folder / laser["filename"]) as stored:
        points = stored["data"][:, :3].astype(np.float64)
    cam_from_laser = invert(_dgp_pose(picture["pose"])) @ _dgp_pose(laser["pose"])
    key = f"{folder.name}/{picture['filename']}"
    return Sweep(key, image, camera, transform_points(cam_from_laser, points))


def _dgp_pose(pose: dict[str, dict[str, float]]) -> Floats:
    r, t = pose["rotation"], pose["translation"]
    T = np.eye(4)
    T[:3, :3] = _rotation(r["qw"], r["qx"], r["qy"], r["qz"])
    T[:3, 3] = t["x"], t["y"], t["z"]
    return T


def _rotation(w: float, x: float, y: float, z: float) -> Floats:
    """A unit quaternion as a matrix."""
    w, x, y, z = np.array([w, x, y, z]) / np.linalg.norm([w, x, y, z])
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def nuscenes(folder: Path) -> Iterator[Sweep]:
    """mmdet3d's infos with the keys of its data_list, as .json; lidar2cam includes the car's move.

    The files lie in the folder itself or under the names that the info gives.
    """
    for path in sorted(folder.glob("**/*.json")):
        info = read_json(path)
        if not (isinstance(info, dict) and "data_list" in info):
            continue
        for sample in info["data_list"]:
            laser = _named(path.parent, sample["lidar_points"]["lidar_path"])
            points = _binary(laser, int(sample["lidar_points"]["num_pts_feats"]))
            for name, entry in sample["images"].items():
                image = _named(path.parent, entry["img_path"])
                width, height = picture_size(image)
                camera = Camera.from_K(
                    np.asarray(entry["cam2img"])[:3, :3],
                    width_px=width,
                    height_px=height,
                    pixel_origin="center",
                )
                cam_from_laser = np.asarray(entry["lidar2cam"], dtype=np.float64)
                yield Sweep(
                    f"{sample['token']}/{name}",
                    image,
                    camera,
                    transform_points(cam_from_laser, points),
                )


def _named(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / Path(name).name):
        if path.is_file():
            return path
    raise InputError(f"{name!r} is not in {str(folder)!r}")


def _binary(path: Path, columns: int) -> Floats:
    """x, y, z (n, 3) from float32 rows."""
    try:
        points = np.fromfile(path, dtype=np.float32).reshape(-1, columns)[:, :3]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the laser points {str(path)!r} ({error})") from error
    return points.astype(np.float64)


_SWEEPS: dict[str, Callable[[Path], Iterator[Sweep]]] = {
    "kitti-object": kitti,
    "ddad-dgp": ddad,
    "nuscenes-mmdet3d": nuscenes,
}
