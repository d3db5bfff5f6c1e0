"""Tiny data sets in the original formats, written from rendered worlds, so the truth is known.

Each writer makes one and says what its frames are. Foreign conventions are written out here a
second time, from their documentation, by other code than what reads them.
"""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import rotation_from_ypr_deg
from vlm3.worlds.frame import Frame
from vlm3.worlds.world import World

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What a frame shows, and where from."""

    frame: Frame
    split: str = "train"


@dataclass
class Raw:
    """A written set: its world, its frames by (scene, key), and how exact its depth is.

    `absolute_m` and `relative` bound the error; `share` of the labels must keep it.
    """

    world: World
    frames: dict[tuple[str, str], Truth] = field(default_factory=dict)
    absolute_m: float = 1e-3
    relative: float = 1e-5
    share: float = 0.99


Writer = Callable[[Path], Raw]
WRITERS: dict[str, Writer] = {}


def writes(name: str) -> Callable[[Writer], Writer]:
    def keep(function: Writer) -> Writer:
        WRITERS[name] = function
        return function

    return keep


@lru_cache(2)
def world(kind: str) -> World:
    return World(11, 3, split="heldout", kind=kind)  # type: ignore[arg-type]


def shots(kind: str, camera: Camera, count: int = 2) -> list[Frame]:
    """Frames that look at the same things from places a step apart."""
    scene = world(kind)
    rng = np.random.default_rng(5)
    pose = scene.pose(rng, camera)
    found = []
    for k in range(count):
        step = np.eye(4)
        step[:3, :3] = rotation_from_ypr_deg([4.0 * k, 1.0 * k, 0.5 * k])
        step[:3, 3] = [0.08 * k, 0.01 * k, 0.05 * k]
        found.append(scene.frame(camera, pose @ step, rng, plain=True))
    return found


def depth_at(frame: Frame, camera: Camera, kind: str = "z") -> Floats:
    """Depth of the frame's view through another camera; NaN for the sky."""
    grid = np.stack(
        np.meshgrid(np.arange(camera.width_px) + 0.5, np.arange(camera.height_px) + 0.5), -1
    )
    rays = camera.unproject(grid)
    return along(frame, rays) * (rays[..., 2] if kind == "z" else 1.0)


def along(frame: Frame, rays: Floats, scene: World | None = None) -> Floats:
    """Distances (*n,) of unit rays (*n, 3) in the camera's frame."""
    turned = rays.reshape(-1, 3) @ frame.world_from_cam[:3, :3].T
    renderer = (scene or world(frame.kind)).renderer
    good = np.isfinite(turned).all(axis=1)
    distance = np.full(len(turned), np.nan)
    distance[good] = renderer.cast(frame.world_from_cam[:3, 3], turned[good])[0]
    return np.where(np.isfinite(distance), distance, np.nan).reshape(rays.shape[:-1])


def laser(frame: Frame, count: int = 1500) -> Floats:
    """Points (n, 3) in the world that the frame sees."""
    rng = np.random.default_rng(1)
    camera = frame.camera
    xy = rng.uniform(0, 1, (count, 2)) * (camera.width_px, camera.height_px)
    rays = camera.unproject(xy)
    distance = along(frame, rays)
    good = np.isfinite(distance) & (distance * rays[:, 2] > 1.0) & (distance < 150)
    points = rays[good] * distance[good, None]
    return points @ frame.world_from_cam[:3, :3].T + frame.world_from_cam[:3, 3]


def moved(a_from_b: Floats, points: Floats) -> Floats:
    return points @ a_from_b[:3, :3].T + a_from_b[:3, 3]


def rigid(ypr_deg: tuple[float, ...], t: tuple[float, ...]) -> Floats:
    found = np.eye(4)
    found[:3, :3] = rotation_from_ypr_deg(ypr_deg)
    found[:3, 3] = t
    return found


def wxyz(pose: Floats) -> list[float]:
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return [w, x, y, z]


def save(path: Path, image: NDArray[Any], **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        kind = "PNG" if path.suffix == ".png" else "JPEG"
        Image.fromarray(image).save(file, kind, **({} if kind == "PNG" else {"quality": 97} | how))


def png16(path: Path, depth: Floats, per_m: float, unknown: int = 0) -> None:
    known = np.isfinite(depth)
    raw = np.where(known, np.rint(np.where(known, depth, 0) * per_m), unknown)
    assert raw.max() <= 65535
    save(path, raw.astype(np.uint16))


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def centred(camera: Camera) -> Floats:
    """K with pixel centres at whole numbers."""
    K = camera.K.copy()
    K[:2, 2] -= 0.5
    return K


ROOM = Camera(150.0, 152.0, 81.0, 59.0, 160, 120)
STREET = Camera(130.0, 130.0, 96.5, 62.0, 192, 128)


@writes("folder")
def folder(root: Path) -> Raw:
    raw = Raw(world("room"), absolute_m=6e-4)
    lines = []
    for k, frame in enumerate(shots("room", ROOM, 3)):
        save(root / "kitchen" / "images" / f"{k}.png", frame.image)
        png16(root / "kitchen" / "depth" / f"{k}.png", depth_at(frame, ROOM), 1000)
        numbers = " ".join(map(repr, frame.world_from_cam.ravel().tolist()))
        lines.append(f"{k}.png {numbers}")
        raw.frames["kitchen", str(k)] = Truth(frame, "val")
    text(root / "kitchen" / "poses.txt", "\n".join(lines))
    text(root / "kitchen" / "format.json", '{"split": "val"}')
    np.savetxt(root / "kitchen" / "K.txt", centred(ROOM))
    return raw


@writes("depthlm")
def depthlm(root: Path) -> Raw:
    raw = Raw(world("room"), absolute_m=1e-4)
    rows = []
    for k, frame in enumerate(shots("room", ROOM)):
        save(root / "rgb" / f"{k}.png", frame.image)
        rng = np.random.default_rng(k)
        xy = np.stack([rng.integers(0, 160, 50), rng.integers(0, 120, 50)], 1)
        depth = frame.distance_m[xy[:, 1], xy[:, 0]]
        K = [ROOM.fx_px, ROOM.fy_px, ROOM.cx_px, ROOM.cy_px, 160, 120]
        row = {"image": f"rgb/{k}.png", "intrinsics": K}
        rows.append(row | {"pixel_coords": xy.tolist(), "depth": depth.tolist()})
        raw.frames["argoverse.jsonl:0", f"{k + 1:07d}/{k}"] = Truth(frame)
    text(root / "argoverse.jsonl", "\n".join(map(json.dumps, rows)))
    return raw


@writes("ibims1")
def ibims1(root: Path) -> Raw:
    raw = Raw(world("room"), absolute_m=5e-4)
    for k, frame in enumerate(shots("room", ROOM)):
        name = f"office_{k:02d}"
        top = root / "ibims1_core_raw"
        save(top / "rgb" / f"{name}.png", frame.image)
        png16(top / "depth" / f"{name}.png", depth_at(frame, ROOM), 65535 / 50)
        K = centred(ROOM)
        text(top / "calib" / f"{name}.txt", f"{K[0, 0]},{K[1, 1]},{K[0, 2]},{K[1, 2]}\n")
        mask = np.full((120, 160), 255, np.uint8)
        # Nonsense below the mask must not come through.
        mask[:40] = 0
        save(top / "mask_invalid" / f"{name}.png", mask)
        raw.frames["ibims1_core_raw", name] = Truth(frame, "test")
    return raw


@writes("nyuv2")
def nyuv2(root: Path) -> Raw:
    import h5py
    from scipy.io import savemat

    camera = Camera(518.857901 / 4, 519.469611 / 4, 326.082449 / 4, 254.236166 / 4, 160, 120)
    raw = Raw(world("room"), absolute_m=1e-4)
    frames = shots("room", camera, 3)
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.stack([f.image.transpose(2, 1, 0) for f in frames])
        depth = np.stack([depth_at(f, camera).T for f in frames]).astype(np.float32)
        file["depths"] = depth + 99
        depth[:, :20] = 0
        depth[:, 20:25] = 10
        file["rawDepths"] = depth
        names = ["kitchen_0001", "kitchen_0001", "den_0002"]
        refs = file.create_dataset("scenes", (1, 3), h5py.ref_dtype)
        for k, name in enumerate(names):
            chars = np.array([[ord(c)] for c in name], np.uint16)
            refs[0, k] = file.create_dataset(f"#refs#/{k}", data=chars).ref
            split = "test" if k == 1 else "train"
            raw.frames[name, f"{k + 1:04d}"] = Truth(frames[k], split)
    splits = {"trainNdxs": np.array([[1], [3]]), "testNdxs": np.array([[2]])}
    savemat(root / "splits.mat", splits)
    return raw


@writes("sunrgbd")
def sunrgbd(root: Path) -> Raw:
    from scipy.io import savemat

    raw = Raw(world("room"), absolute_m=6e-4)
    for k, frame in enumerate(shots("room", ROOM)):
        inner = "kv1/b3dodata/img_0001" if k == 0 else "xtion/sun3ddata/mit/room/0000001"
        top = root / "SUNRGBD" / inner
        save(top / "image" / "a.jpg", frame.image)
        millimetres = np.rint(np.nan_to_num(depth_at(frame, ROOM)) * 1000).astype(np.uint32)
        # The toolbox reads (v >> 3) | (v << 13), so it is written turned the other way.
        turned = ((millimetres << 3) | (millimetres >> 13)) & 0xFFFF
        save(top / "depth_bfx" / "a.png", turned.astype(np.uint16))
        text(top / "intrinsics.txt", " ".join(map(str, centred(ROOM).ravel())))
        scene = "/".join(inner.split("/")[:2])
        key = inner.removeprefix(f"{scene}/")
        raw.frames[scene, key] = Truth(frame, "test" if k else "train")
    cells = np.empty((1, 1), object)
    cells[0, 0] = "/n/fs/sun3d/data/SUNRGBD/xtion/sun3ddata/mit/room/0000001/"
    toolbox = root / "SUNRGBDtoolbox" / "traintestSUNRGBD"
    toolbox.mkdir(parents=True)
    savemat(toolbox / "allsplit.mat", {"alltest": cells})
    return raw


def omnidata(root: Path, component: str, info: str) -> Raw:
    raw = Raw(world("room"), absolute_m=1.5e-3)
    camera = Camera.from_fov(61.0, width_px=128, height_px=128)
    for k, frame in enumerate(shots("room", camera)):
        stem = f"point_{k}_view_3_domain_"
        building = "ackermanville" if k == 0 else "wando"

        def path(task: str, ending: str, stem: str = stem, building: str = building) -> Path:
            name = f"{stem}{ending}"
            return root / task / component / building / name

        save(path("rgb", "rgb.png"), frame.image)
        depth = depth_at(frame, camera)
        depth[:5] = np.nan
        png16(path("depth_zbuffer", "depth_zbuffer.png"), depth, 512, unknown=65535)
        png16(path("depth_euclidean", "depth_euclidean.png"), depth * 2, 512, unknown=65535)
        about = {"field_of_view_rads": float(np.radians(61.0)), "resolution": 128}
        text(path("point_info", f"{info}.json"), json.dumps(about))
        split = "train" if k == 0 else "val"
        raw.frames[building, f"point_{k}_view_3"] = Truth(frame, split)
    return raw


@writes("taskonomy")
def taskonomy(root: Path) -> Raw:
    raw = omnidata(root, "taskonomy", "point_info")
    rows = "id,train,val,test\nackermanville,1,0,0\nwando,0,1,0\n"
    text(root / "splits_taskonomy" / "train_val_test_fullplus.csv", rows)
    return raw


@writes("hm3d")
def hm3d(root: Path) -> Raw:
    raw = omnidata(root, "hm3d", "fixatedpose")
    text(root / "metadata.csv", "scene,split\nackermanville,train\nwando,val\n")
    return raw


@writes("matterport3d")
def matterport3d(root: Path) -> Raw:
    raw = Raw(world("room"), absolute_m=2e-4)
    house = root / "17DRP5sb8fy"
    lines = ["dataset matterport", "n_images 3"]
    for k, frame in enumerate(shots("room", ROOM, 3)):
        save(house / "undistorted_color_images" / f"u_i0_{k}.jpg", frame.image)
        depth = depth_at(frame, ROOM)
        png16(house / "undistorted_depth_images" / f"u_d0_{k}.png", depth, 4000)
        # Counted from the bottom; the camera looks along -Z.
        K = [ROOM.fx_px, 0, ROOM.cx_px, 0, ROOM.fy_px, ROOM.height_px - ROOM.cy_px, 0, 0, 1]
        lines.append("intrinsics_matrix " + " ".join(map(str, K)))
        pose = frame.world_from_cam @ np.diag([1, -1, -1, 1])
        numbers = " ".join(map(repr, pose.ravel().tolist()))
        lines.append(f"scan u_d0_{k}.png u_i0_{k}.jpg {numbers}")
        raw.frames["17DRP5sb8fy", f"u_i0_{k}"] = Truth(frame)
    text(house / "undistorted_camera_parameters" / "17DRP5sb8fy.conf", "\n".join(lines))
    return raw


# The car's frame has X forward, Y left, Z up: this is car_from_cam of a camera that looks ahead.
_AHEAD = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])


def rig(frame: Frame) -> tuple[Floats, Floats, Floats, Floats]:
    """car_from_cam, world_from_car at the picture's time, car_from_laser, world_from_car then."""
    car_from_cam = rigid((3, 0, 0), (1.5, 0.3, 1.4)) @ _AHEAD
    car_from_laser = rigid((0, 0, 90), (0.9, 0.0, 1.8))
    world_from_car = frame.world_from_cam @ np.linalg.inv(car_from_cam)
    # The car moved on while the laser turned.
    world_from_car_then = world_from_car @ rigid((0, 0, 2), (0.7, 0.05, 0.0))
    return car_from_cam, world_from_car, car_from_laser, world_from_car_then


@writes("ddad")
def ddad(root: Path) -> Raw:
    raw = Raw(world("street"), absolute_m=2e-3, relative=1e-4)
    for k, frame in enumerate(shots("street", STREET)):
        scene = f"00000{k}"
        mark = f"{k:040d}"
        _, _, car_from_laser, then = rig(frame)
        world_from_laser = then @ car_from_laser
        points = moved(np.linalg.inv(world_from_laser), laser(frame))
        here = root / scene
        save(here / "rgb" / "CAMERA_01" / "15.png", frame.image)
        (here / "point_cloud" / "LIDAR").mkdir(parents=True)
        data = np.concatenate([points, np.ones((len(points), 1))], 1).astype(np.float32)
        np.savez(here / "point_cloud" / "LIDAR" / "15.npz", data=data)

        def pose(T: Floats) -> dict[str, Any]:
            q = dict(zip(("qw", "qx", "qy", "qz"), wxyz(T), strict=True))
            return {"rotation": q, "translation": dict(zip("xyz", T[:3, 3], strict=True))}

        image = {"filename": "rgb/CAMERA_01/15.png", "pose": pose(frame.world_from_cam)}
        sweep = {"filename": "point_cloud/LIDAR/15.npz", "pose": pose(world_from_laser)}
        described = {
            "samples": [{"datum_keys": ["a", "b"], "calibration_key": "c"}],
            "data": [
                {"key": "a", "id": {"name": "LIDAR"}, "datum": {"point_cloud": sweep}},
                {"key": "b", "id": {"name": "CAMERA_01"}, "datum": {"image": image}},
            ],
        }
        text(here / f"scene_{mark}.json", json.dumps(described))
        K = centred(STREET)
        lens = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "skew": 0.0}
        calibration = {"names": ["LIDAR", "CAMERA_01"], "intrinsics": [{}, lens]}
        text(here / "calibration" / "c.json", json.dumps(calibration))
        raw.frames[scene, "rgb/CAMERA_01/15"] = Truth(frame, "val" if k else "train")
    files = {str(k): {"filenames": [f"00000{k}/scene_{k:040d}.json"]} for k in range(2)}
    text(root / "ddad.json", json.dumps({"scene_splits": files}))
    return raw


@writes("kitti-object")
def kitti_object(root: Path) -> Raw:
    raw = Raw(world("street"), absolute_m=2e-3, relative=1e-4)
    for k, frame in enumerate(shots("street", STREET)):
        # Points are given in the laser's axes; camera 0 is 6 cm left of camera 2.
        cam0_from_laser = rigid((1, 0, 0), (0.0, -0.08, -0.27)) @ np.linalg.inv(_AHEAD)
        rect = rigid((0.4, -0.2, 0.1), (0, 0, 0))
        P2 = centred(STREET) @ np.array([[1, 0, 0, -0.06], [0, 1, 0, 0.001], [0, 0, 1, 0.002]])
        in_cam2 = moved(np.linalg.inv(frame.world_from_cam), laser(frame))
        shift = np.eye(4)
        shift[:3, 3] = [-0.06, 0.001, 0.002]
        points = moved(np.linalg.inv(shift @ rect @ cam0_from_laser), in_cam2)
        top = root / "training"
        save(top / "image_2" / f"{k:06d}.png", frame.image)
        (top / "velodyne").mkdir(parents=True, exist_ok=True)
        rows = np.concatenate([points, np.zeros((len(points), 1))], 1)
        rows.astype("<f4").tofile(top / "velodyne" / f"{k:06d}.bin")

        def line(name: str, values: Floats) -> str:
            return f"{name}: " + " ".join(f"{v:.12e}" for v in values.ravel())

        lines = [line("P2", P2), line("R0_rect", rect[:3, :3])]
        lines += [line("Tr_velo_to_cam", cam0_from_laser[:3]), ""]
        text(top / "calib" / f"{k:06d}.txt", "\n".join(lines))
        raw.frames["training", f"{k:06d}"] = Truth(frame)
    return raw


@writes("kitti-depth")
def kitti_depth(root: Path) -> Raw:
    raw = Raw(world("street"), absolute_m=3e-3, relative=1e-4)
    (frame,) = shots("street", STREET, 1)
    date, drive = "2011_09_26", "2011_09_26_drive_0002_sync"
    save(root / "raw" / date / drive / "image_02" / "data" / "0000000005.png", frame.image)
    P = np.concatenate([centred(STREET), [[44.8], [0.2], [0.002]]], axis=1)
    numbers = " ".join(f"{v:.12e}" for v in P.ravel())
    calibration = f"calib_time: 09-Jan-2012 13:57:47\nP_rect_02: {numbers}\n"
    text(root / "raw" / date / "calib_cam_to_cam.txt", calibration)
    depth = depth_at(frame, STREET)
    depth[depth > 80] = np.nan
    where = root / "val" / drive / "proj_depth" / "groundtruth" / "image_02"
    png16(where / "0000000005.png", depth, 256)
    raw.frames[f"val/{drive}", "image_02/0000000005"] = Truth(frame, "val")
    return raw


@writes("nuscenes")
def nuscenes(root: Path) -> Raw:
    raw = Raw(world("street"), absolute_m=2e-3, relative=1e-4)
    tables: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in ("scene", "sample", "sample_data", "calibrated_sensor", "ego_pose", "sensor")
    }
    tables["sensor"] = [
        {"token": "s0", "channel": "CAM_FRONT"},
        {"token": "s1", "channel": "LIDAR_TOP"},
    ]
    for k, frame in enumerate(shots("street", STREET)):
        car_from_cam, now, car_from_laser, then = rig(frame)
        name = "scene-0061" if k == 0 else "scene-0103"
        image = f"samples/CAM_FRONT/{k}.jpg"
        sweep = f"samples/LIDAR_TOP/{k}.pcd.bin"
        save(root / image, frame.image)
        points = moved(np.linalg.inv(then @ car_from_laser), laser(frame))
        (root / "samples" / "LIDAR_TOP").mkdir(parents=True, exist_ok=True)
        rows = np.concatenate([points, np.zeros((len(points), 2))], 1)
        rows.astype("<f4").tofile(root / sweep)
        tables["scene"].append({"token": f"c{k}", "name": name})
        tables["sample"].append({"token": f"m{k}", "scene_token": f"c{k}", "timestamp": 1000 + k})
        for kind, (mount, car, file) in enumerate(
            [(car_from_cam, now, image), (car_from_laser, then, sweep)]
        ):
            tag = f"{k}{kind}"
            K = centred(STREET).tolist() if kind == 0 else []
            tables["calibrated_sensor"].append(
                {
                    "token": f"k{tag}",
                    "sensor_token": f"s{kind}",
                    "rotation": wxyz(mount),
                    "translation": mount[:3, 3].tolist(),
                    "camera_intrinsic": K,
                }
            )
            tables["ego_pose"].append(
                {"token": f"e{tag}", "rotation": wxyz(car), "translation": car[:3, 3].tolist()}
            )
            for key_frame in (True, False):
                tables["sample_data"].append(
                    {
                        "token": f"d{tag}{key_frame}",
                        "sample_token": f"m{k}",
                        "ego_pose_token": f"e{tag}",
                        "calibrated_sensor_token": f"k{tag}",
                        "filename": file if key_frame else "sweeps/absent.jpg",
                        "is_key_frame": key_frame,
                        "width": 192 if kind == 0 else 0,
                        "height": 128 if kind == 0 else 0,
                    }
                )
        # 61 is in the training part, 103 in the validation part of the official split.
        truth = Truth(frame, "train" if k == 0 else "val")
        raw.frames[f"v1.0-mini/{name}", f"{1000 + k}/CAM_FRONT"] = truth
    for table, rows_of in tables.items():
        text(root / "v1.0-mini" / f"{table}.json", json.dumps(rows_of))
    return raw


@writes("nuscenes-mmdet3d")
def nuscenes_mmdet3d(root: Path) -> Raw:
    raw = Raw(world("street"), absolute_m=2e-3, relative=1e-4)
    (frame,) = shots("street", STREET, 1)
    _, _, car_from_laser, then = rig(frame)
    world_from_laser = then @ car_from_laser
    save(root / "a.jpg", frame.image)
    points = moved(np.linalg.inv(world_from_laser), laser(frame))
    rows = np.concatenate([points, np.zeros((len(points), 2))], 1)
    rows.astype("<f4").tofile(root / "a.bin")
    camera = {
        "img_path": "samples/a.jpg",
        "cam2img": centred(STREET).tolist(),
        "lidar2cam": (np.linalg.inv(frame.world_from_cam) @ world_from_laser).tolist(),
    }
    sample = {
        "token": "t",
        "lidar_points": {"lidar_path": "a.bin", "num_pts_feats": 5},
        "images": {"CAM_FRONT": camera},
    }
    text(root / "infos.json", json.dumps({"metainfo": {}, "data_list": [sample]}))
    raw.frames["infos.json", "t/CAM_FRONT"] = Truth(frame)
    return raw


@writes("argoverse2")
def argoverse2(root: Path) -> Raw:
    import pyarrow as pa
    from pyarrow import feather

    raw = Raw(world("street"), absolute_m=2e-3, relative=1e-4)
    frame, later = shots("street", STREET)
    car_from_cam, now, _, then = rig(frame)
    log = root / "val" / "02678d04"
    points = moved(np.linalg.inv(then), laser(frame))

    def write(path: Path, columns: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(pa.table(columns), str(path), compression="lz4")

    def rows(poses: list[Floats]) -> dict[str, Any]:
        q = np.array([wxyz(p) for p in poses])
        t = np.array([p[:3, 3] for p in poses])
        found = {f"q{n}": q[:, k] for k, n in enumerate("wxyz")}
        return found | {f"t{n}_m": t[:, k] for k, n in enumerate("xyz")}

    camera, sweep, lost = 315968463537902224, 315968463570000000, 315968464537902224
    name = "ring_front_center"
    save(log / "sensors" / "cameras" / name / f"{camera}.jpg", frame.image)
    # A picture a second later has no sweep near it, and one of the stereo pair is not wanted.
    save(log / "sensors" / "cameras" / name / f"{lost}.jpg", later.image)
    save(log / "sensors" / "cameras" / "stereo_front_left" / f"{camera}.jpg", frame.image)
    cloud = {n: points[:, k].astype(np.float32) for k, n in enumerate("xyz")}
    write(log / "sensors" / "lidar" / f"{sweep}.feather", cloud)
    times = {"timestamp_ns": [camera, sweep, lost]}
    write(log / "city_SE3_egovehicle.feather", times | rows([now, then, now]))
    write(
        log / "calibration" / "egovehicle_SE3_sensor.feather",
        {"sensor_name": [name]} | rows([car_from_cam]),
    )
    K = centred(STREET)
    lens = {"fx_px": K[0, 0], "fy_px": K[1, 1], "cx_px": K[0, 2], "cy_px": K[1, 2]}
    lens |= {"k1": -0.3, "k2": 0.1, "k3": 0.0, "height_px": 128, "width_px": 192}
    columns = {"sensor_name": [name]} | {key: [value] for key, value in lens.items()}
    write(log / "calibration" / "intrinsics.feather", columns)
    raw.frames["val/02678d04", f"{name}/{camera}"] = Truth(frame, "val")
    return raw


@writes("waymo")
def waymo(root: Path) -> Raw:
    """The top laser, at the camera's place; each column seen from where the car then was."""
    import io

    import pyarrow as pa
    from pyarrow import parquet

    lens = Camera(
        130.0, 130.0, 96.5, 62.0, 192, 128, (0.04, -0.02, 1e-3, -5e-4, 0.0), "brown_conrady"
    )
    raw = Raw(world("street"), absolute_m=5e-3, relative=1e-3, share=0.93)
    (frame,) = shots("street", lens, 1)
    car_from_cam = rigid((3, 0, 0), (1.5, 0.3, 1.4)) @ _AHEAD
    now = frame.world_from_cam @ np.linalg.inv(car_from_cam)
    # The frame's own time is a little later than the camera's.
    at_frame = now @ rigid((0, 0, 1), (0.1, 0.0, 0.0))
    car_from_laser = rigid((0, 0, 20), tuple(car_from_cam[:3, 3]))
    height, width = 24, 180
    rising = np.radians(np.linspace(-18, 8, height))
    turn = np.arctan2(car_from_laser[1, 0], car_from_laser[0, 0])
    ranges = np.full((height, width, 4), -1.0, np.float32)
    poses = np.zeros((height, width, 6), np.float32)
    yaw = np.arctan2(now[1, 0], now[0, 0])
    for column in range(width):
        # The vehicle's pose while this column was shot: the camera's, but for a little way.
        shot = now.copy()
        shot[:3, 3] = now[:3, :3] @ [0.02 * column / width, 0, 0] + now[:3, 3]
        from scipy.spatial.transform import Rotation

        poses[:, column, :3] = Rotation.from_matrix(shot[:3, :3]).as_euler("xyz")
        poses[:, column, 3:] = shot[:3, 3]
        azimuth = np.pi - 2 * np.pi * (column + 0.5) / width - turn
        up = rising[::-1]
        directions = np.stack(
            [np.cos(azimuth) * np.cos(up), np.sin(azimuth) * np.cos(up), np.sin(up)], 1
        )
        world_from_laser = shot @ car_from_laser
        found, _ = raw.world.renderer.cast(
            world_from_laser[:3, 3], directions @ world_from_laser[:3, :3].T
        )
        ranges[:, column, 0] = np.where(np.isfinite(found) & (found < 75), found, -1)
    assert np.isfinite(yaw)
    context, time = "10017090168044687777_6380_000_6400_000", 1550083467346370

    def write(kind: str, columns: dict[str, Any]) -> None:
        path = root / "validation" / kind / f"{context}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        keys = {"key.segment_context_name": [context]}
        parquet.write_table(pa.table(keys | {k: [v] for k, v in columns.items()}), path)

    picture = io.BytesIO()
    Image.fromarray(frame.image).save(picture, "JPEG", quality=97)
    at = {"key.frame_timestamp_micros": time}
    name = "[CameraImageComponent]"
    columns = {f"{name}.image": picture.getvalue(), f"{name}.pose.transform": now.ravel().tolist()}
    write("camera_image", at | {"key.camera_name": 1} | columns)
    name = "[CameraCalibrationComponent]"
    mount = car_from_cam @ np.linalg.inv(_AHEAD)
    values = (130.0, 130.0, 96.0, 61.5, *lens.distortion)
    keys = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
    columns = {f"{name}.intrinsic.{k}": v for k, v in zip(keys, values, strict=True)}
    columns |= {f"{name}.extrinsic.transform": mount.ravel().tolist()}
    write(
        "camera_calibration",
        {"key.camera_name": 1} | columns | {f"{name}.width": 192, f"{name}.height": 128},
    )
    name = "[VehiclePoseComponent].world_from_vehicle.transform"
    write("vehicle_pose", at | {name: at_frame.ravel().tolist()})
    name = "[LiDARCalibrationComponent]"
    write(
        "lidar_calibration",
        {
            "key.laser_name": 1,
            f"{name}.extrinsic.transform": car_from_laser.ravel().tolist(),
            f"{name}.beam_inclination.min": float(rising[0]),
            f"{name}.beam_inclination.max": float(rising[-1]),
            f"{name}.beam_inclination.values": rising.tolist(),
        },
    )
    for kind, component, array in (
        ("lidar", "LiDARComponent", ranges),
        ("lidar_pose", "LiDARPoseComponent", poses),
    ):
        name = f"[{component}].range_image_return1"
        values_of = {f"{name}.values": array.ravel().tolist(), f"{name}.shape": list(array.shape)}
        write(kind, at | {"key.laser_name": 1} | values_of)
    raw.frames[f"validation/{context}", f"{time}/front"] = Truth(frame, "val")
    return raw


def model(camera: Any, frames: list[Frame], names: list[str], *, points: int = 0) -> Any:
    """A pycolmap model of frames, with points that each of them sees."""
    import pycolmap

    found = pycolmap.Reconstruction()
    camera.camera_id = 1
    found.add_camera_with_trivial_rig(camera)
    cloud = laser(frames[0], points) if points else np.empty((0, 3))
    ids = [found.add_point3D(p, pycolmap.Track(), np.zeros(3, np.uint8)) for p in cloud]
    for k, (frame, name) in enumerate(zip(frames, names, strict=True), start=1):
        cam_from_world = np.linalg.inv(frame.world_from_cam)
        image = pycolmap.Image(name=name, camera_id=1, image_id=k)
        in_cam = moved(cam_from_world, cloud)
        xy = frame.camera.project(in_cam)
        length = np.linalg.norm(in_cam, axis=1)
        visible = np.isfinite(xy).all(1) & frame.camera.contains(xy)
        clear = along(frame, in_cam / length[:, None]) if len(cloud) else length
        visible &= np.abs(clear - length) < 1e-3 * length
        seen = np.flatnonzero(visible)
        image.points2D = [pycolmap.Point2D(xy[i]) for i in seen]
        pose = pycolmap.Rigid3d(cam_from_world[:3])
        found.add_image_with_trivial_frame(image, pose)
        for place, i in enumerate(seen):
            found.add_observation(ids[i], pycolmap.TrackElement(k, place))
    return found


def colmap(root: Path, *, binary: bool) -> Raw:
    import pycolmap

    lens = Camera(150.0, 152.0, 81.0, 59.0, 160, 120, (0.05, -0.03, 1e-3, -2e-3), "brown_conrady")
    raw = Raw(world("room"), absolute_m=1e-3, relative=1e-4)
    frames = shots("room", lens, 3)
    names = [f"{k}.png" for k in range(3)]
    params = [150.0, 152.0, 81.0, 59.0, *lens.distortion]
    camera = pycolmap.Camera(model="OPENCV", width=160, height=120, params=params)
    here = root / "desk" / "sparse" / "0"
    here.mkdir(parents=True)
    made = model(camera, frames, names, points=400)
    made.write_binary(str(here)) if binary else made.write_text(str(here))
    for frame, name in zip(frames, names, strict=True):
        save(root / "desk" / "images" / name, frame.image)
        raw.frames["desk", name[:-4]] = Truth(frame)
    return raw


@writes("colmap")
def colmap_text(root: Path) -> Raw:
    return colmap(root, binary=False)


@writes("colmap ")
def colmap_binary(root: Path) -> Raw:
    return colmap(root, binary=True)


@writes("eth3d")
def eth3d(root: Path) -> Raw:
    import pycolmap

    raw = Raw(world("room"), absolute_m=1e-3, relative=1e-4)
    frames = shots("room", ROOM)
    names = [f"dslr_images_undistorted/DSC_{k:04d}.JPG" for k in range(2)]
    straight = pycolmap.Camera(model="PINHOLE", width=160, height=120, params=[150, 152, 81, 59])
    # Wider than the undistorted picture, and bent: nothing falls on the same pixel.
    params = [120, 121, 92, 66, 0.02, -0.01, 1e-3, -1e-3, 0.002, -0.001, 1e-3, 5e-4]
    bent = pycolmap.Camera(model="THIN_PRISM_FISHEYE", width=180, height=132, params=params)
    grid = np.stack(np.meshgrid(np.arange(180) + 0.5, np.arange(132) + 0.5), -1).reshape(-1, 2)
    plane = np.concatenate([bent.cam_from_img(grid), np.ones((len(grid), 1))], 1)
    rays = plane / np.linalg.norm(plane, axis=1)[:, None]
    scene = root / "courtyard"
    for frame, name in zip(frames, names, strict=True):
        short = Path(name).name
        save(scene / "images" / name, frame.image)
        depth = along(frame, rays) * rays[:, 2]
        path = scene / "ground_truth_depth" / "dslr_images" / short
        path.parent.mkdir(parents=True, exist_ok=True)
        np.where(np.isfinite(depth), depth, np.inf).astype("<f4").tofile(path)
        raw.frames["courtyard", short[:-4]] = Truth(frame, "test")
    for folder_name, camera, inside in (
        ("dslr_calibration_undistorted", straight, "dslr_images_undistorted"),
        ("dslr_calibration_jpg", bent, "dslr_images"),
    ):
        (scene / folder_name).mkdir(parents=True)
        listed = [f"{inside}/{Path(name).name}" for name in names]
        model(camera, frames, listed).write_text(str(scene / folder_name))
    return raw


def scannetpp(root: Path, *, encoding: str) -> Raw:
    """The iPhone with a video and depth.bin, or with what the toolkit extracts; and the DSLR."""
    import cv2
    import pycolmap

    raw = Raw(world("room"), absolute_m=2e-3, relative=1e-3)
    phone = Camera(1427.0, 1428.0, 960.0, 720.0, 1920, 1440)
    small = phone.resized(256, 192)
    # Rendered small and enlarged: nobody compares these pictures.
    frames = [replace(f, camera=phone) for f in shots("room", phone.resized(240, 180), 2)]
    pictures = [f.image.repeat(8, axis=0).repeat(8, axis=1) for f in frames]
    here = root / "data" / "410c470782" / "iphone"
    here.mkdir(parents=True)
    about = {}
    blocks = []
    for number in range(11):
        frame = frames[number // 10]
        depth = depth_at(frame, small).astype(np.float32)
        about[f"frame_{number:06d}"] = {
            "pose": np.eye(4).tolist(),
            "aligned_pose": frame.world_from_cam.tolist(),
            "intrinsic": centred(phone).tolist(),
        }
        if encoding == "lz4":
            import lz4.block

            data = np.rint(np.nan_to_num(depth) * 1000).astype("<u2").tobytes()
            block = lz4.block.compress(data, store_size=False)
            blocks.append(struct.pack("<I", len(block)) + block)
        else:
            blocks.append(np.nan_to_num(depth).astype("<f4").tobytes())
    whole = b"".join(blocks)
    if encoding == "zlib":
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        whole = deflate.compress(whole) + deflate.flush()
    if encoding == "extracted":
        for number in (0, 10):
            name = f"frame_{number:06d}"
            save(here / "rgb" / f"{name}.jpg", pictures[number // 10])
            png16(here / "depth" / f"{name}.png", depth_at(frames[number // 10], small), 1000)
    else:
        (here / "depth.bin").write_bytes(whole)
        code = cv2.VideoWriter_fourcc(*"MJPG")
        video = cv2.VideoWriter(str(here / "rgb.mkv"), code, 60, (1920, 1440))
        assert video.isOpened()
        for number in range(11):
            video.write(np.ascontiguousarray(pictures[number // 10][..., ::-1]))
        video.release()
    text(here / "pose_intrinsic_imu.json", json.dumps(about))
    for number in (0, 10):
        truth = Truth(frames[number // 10], "val")
        raw.frames["410c470782", f"iphone/frame_{number:06d}"] = truth
    if encoding == "extracted":
        fish = Camera(90, 90, 88, 60, 176, 120, (0.03, -0.01, 0.002, 0.0), "fisheye")
        wide = shots("room", fish, 2)
        dslr = here.parent / "dslr"
        names = ["DSC0001.JPG", "DSC0002.JPG"]
        params = [90, 90, 88, 60, *fish.distortion]
        camera = pycolmap.Camera(model="OPENCV_FISHEYE", width=176, height=120, params=params)
        (dslr / "colmap").mkdir(parents=True)
        model(camera, wide, names).write_text(str(dslr / "colmap"))
        for frame, name in zip(wide, names, strict=True):
            save(dslr / "resized_images" / name, frame.image)
            png16(dslr / "render_depth" / f"{name[:-4]}.png", depth_at(frame, fish), 1000)
        flags = [{"file_path": names[0], "is_bad": False}, {"file_path": names[1], "is_bad": True}]
        text(dslr / "nerfstudio" / "transforms.json", json.dumps({"frames": flags}))
        raw.frames["410c470782", "dslr/DSC0001"] = Truth(wide[0], "val")
    text(root / "splits" / "nvs_sem_val.txt", "410c470782\n")
    return raw


for _encoding in ("lz4", "zlib", "extracted"):
    _ending = {"lz4": "", "zlib": " ", "extracted": "  "}[_encoding]
    WRITERS[f"scannetpp{_ending}"] = lambda root, encoding=_encoding: scannetpp(
        root, encoding=encoding
    )
