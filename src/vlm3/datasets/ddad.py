"""DDAD, and anything in the layout of TRI-ML/dgp.

    ROOT/[SCENE/]scene_HASH.json       samples: which data belong together; data: files and poses
    ROOT/SCENE/rgb/CAMERA_01/TIME.png (or .jpg), point_cloud/LIDAR/TIME.npz, calibration/HASH.json
    ROOT/ddad.json                     optional: the scenes of each split

Poses are world_from_sensor at each sensor's own time, so the car's move between laser and camera is
in them. Pictures are rectified; x, y, z stand in the first columns of "data" in the .npz.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from vlm3.datasets.base import Floats, Frames, LaserPoints, RawFrame, Reader, each, need_scenes
from vlm3.datasets.files import picture_size, read_json
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.files.arrays import read_arrays
from vlm3.files.reading import below
from vlm3.files.schema import fields, list_of, number, table_of, text
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, rigid_from_quaternion, transform_points

_LAYOUT = facts("ddad").layout
_SPLITS = {"0": "train", "1": "val", "2": "test", "3": "train_overfit"}
# nuScenes' rule, good for any car: nearer points are the car itself.
NEAREST_M = 1.0


_SCENE = fields(
    {
        "data": list_of(
            fields({"key": text(), "id": fields({"name": text()}), "datum": table_of(fields({}))})
        ),
        "samples": list_of(fields({"datum_keys": list_of(text()), "calibration_key": text(200)})),
    }
)
_K = fields({name: number() for name in ("fx", "fy", "cx", "cy")})
# A laser has an entry without numbers.
_CALIBRATION = fields({"names": list_of(text()), "intrinsics": list_of(fields({}))})


def scenes(root: Path) -> list[str]:
    """Folders with a scene_*.json that has samples."""
    listed = {p.parent.relative_to(root).as_posix() for p in root.glob("**/scene_*.json")}
    found = (name for name in listed if _scene_file(root / name) is not None)
    return need_scenes(root, found, "scene_*.json", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """Every picture, sample by sample."""
    folder = root / scene
    path = _scene_file(folder)
    if path is None:
        raise InputError(f"{str(folder)!r} has no scene_*.json with samples")
    described = read_json(path, _SCENE)
    data = {entry["key"]: entry for entry in described["data"]}
    split = _splits(root).get(path.name, "train")
    things = []
    for sample in described["samples"]:
        entries = [data[key] for key in sample["datum_keys"] if key in data]
        lasers = [e["datum"]["point_cloud"] for e in entries if "point_cloud" in e["datum"]]
        things += [
            (e["datum"]["image"]["filename"], e, lasers, sample["calibration_key"])
            for e in entries
            if "image" in e["datum"]
        ]

    def make(thing: tuple[str, dict[str, Any], list[dict[str, Any]], str]) -> RawFrame:
        filename, entry, lasers, calibration = thing
        K = _intrinsics(folder / "calibration" / f"{calibration}.json")[entry["id"]["name"]]
        _K(K, f"calibration {calibration}")
        picture = below(folder, filename, str(path))
        width, height = picture_size(picture)
        camera = Camera(K["fx"], K["fy"], K["cx"] + 0.5, K["cy"] + 0.5, width, height)
        world_from_cam = _pose(entry["datum"]["image"]["pose"])
        return RawFrame(
            str(Path(filename).with_suffix("")),
            picture,
            camera,
            (lambda: _points(folder, lasers[0], world_from_cam)) if lasers else None,
            world_from_cam,
            split=split,
        )

    return each(things, make)


def _points(folder: Path, laser: dict[str, Any], world_from_cam: Floats) -> LaserPoints:
    path = below(folder, laser["filename"], "its scene")
    points = read_arrays(path, {"data": ("f", (None, None))})["data"][:, :3].astype("f8")
    cam_from_laser = invert(world_from_cam) @ _pose(laser["pose"])
    return LaserPoints(transform_points(cam_from_laser, points), NEAREST_M)


def _pose(pose: dict[str, dict[str, float]]) -> Floats:
    r, t = pose["rotation"], pose["translation"]
    return rigid_from_quaternion([r["qw"], r["qx"], r["qy"], r["qz"]], [t["x"], t["y"], t["z"]])


@lru_cache(8)
def _intrinsics(path: Path) -> dict[str, dict[str, float]]:
    found = read_json(path, _CALIBRATION)
    return dict(zip(found["names"], found["intrinsics"], strict=True))


def _scene_file(folder: Path) -> Path | None:
    for path in sorted(folder.glob("scene_*.json")):
        found = read_json(path)
        if isinstance(found, dict) and "samples" in found:
            return path
    return None


@lru_cache(8)
def _splits(root: Path) -> dict[str, str]:
    """The split of each scene, by the name of its JSON."""
    found: dict[str, str] = {}
    for path in sorted(root.glob("*.json")):
        described = read_json(path)
        splits = described.get("scene_splits") if isinstance(described, dict) else None
        for split, listed in (splits or {}).items():
            for name in listed["filenames"]:
                # The first split that names it: dgp's own test set lists its scenes twice.
                found.setdefault(Path(name).name, _SPLITS.get(str(split), "train"))
    return found


DDAD = Reader(scenes, frames)
