"""Cameras and points as a COLMAP model, binary and text: what reconstruction tools read.

COLMAP's pixels are vlm3's (the top-left pixel's centre is (0.5, 0.5)), its axes OpenCV's, its
poses cam_from_world with a w-first quaternion. Every point carries the one pixel of its question:
good for looking and for Gaussian splats, too little for bundle adjustment, which needs several.
Writer only.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3 import disk
from vlm3.geometry.pose import invert
from vlm3.view import View

Array = NDArray[np.float64]
_PINHOLE = 1


@dataclass(frozen=True, eq=False)
class Tracked:
    """Points with the pixel of the picture each was seen at.

    Attributes:
        points_m: (n, 3) in the world's frame.
        rgb: (n, 3) uint8.
        view: (n,) number of the picture.
        xy_px: (n, 2) pixel of that picture.
    """

    points_m: Array = field(default_factory=lambda: np.zeros((0, 3)))
    rgb: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    view: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    xy_px: Array = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass(frozen=True, eq=False)
class _Model:
    """What both forms of a model are written from.

    Attributes:
        views: the pictures.
        names: their files.
        poses: (7,) each, cam_from_world; see `_quaternion_and_translation`.
        tracked: the points, which are numbered from 1 through all pictures.
        own: (k,) each, which points a picture lists.
        place: (n,) where in its picture's list a point stands.
    """

    views: Sequence[View]
    names: Sequence[str]
    poses: Sequence[Array]
    tracked: Tracked
    own: Sequence[NDArray[np.intp]]
    place: NDArray[np.intp]


def write_colmap(
    views: Sequence[View],
    world_from_cams: Sequence[Array],
    folder: Path,
    points: Tracked | None = None,
) -> Path:
    """Write `images/` and `sparse/0/` with cameras, images and points3D, .bin and .txt.

    Pictures are written anew, as PNG: they are the undistorted ones that the cameras belong to.

    Args:
        views: the pictures and their cameras.
        world_from_cams: (4, 4) each.
        folder: made if missing; files of these names in it are replaced.
        points: what was seen.

    Raises:
        InputError: a place that cannot be written.
    """
    tracked = points or Tracked()
    names = _names(views)
    poses = [_quaternion_and_translation(invert(pose)) for pose in world_from_cams]
    own = [np.flatnonzero(tracked.view == k) for k in range(len(views))]
    place = np.zeros(len(tracked.view), np.intp)
    for rows in own:
        place[rows] = np.arange(len(rows))
    model = _Model(views, names, poses, tracked, own, place)
    with disk.whole_folder(folder) as partial:
        pictures, sparse = partial / "images", partial / "sparse" / "0"
        pictures.mkdir(parents=True)
        sparse.mkdir(parents=True)
        for view, name in zip(views, names, strict=True):
            Image.fromarray(view.image).save(pictures / name)
        _write_binary(sparse, model)
        _write_text(sparse, model)
    return folder


def _write_binary(folder: Path, model: _Model) -> None:
    tracked, own = model.tracked, model.own
    cameras = [struct.pack("<Q", len(model.views))]
    images = [struct.pack("<Q", len(model.views))]
    for k, view in enumerate(model.views):
        camera = view.camera
        size = (camera.width_px, camera.height_px)
        lens = (camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px)
        cameras.append(struct.pack("<IiQQ4d", k + 1, _PINHOLE, *size, *lens))
        images.append(struct.pack("<I7dI", k + 1, *model.poses[k], k + 1))
        images.append(model.names[k].encode() + b"\0" + struct.pack("<Q", len(own[k])))
        rows = np.empty(len(own[k]), dtype=[("xy", "<f8", 2), ("point", "<u8")])
        rows["xy"], rows["point"] = tracked.xy_px[own[k]], own[k] + 1
        images.append(rows.tobytes())
    points = np.empty(
        len(tracked.view),
        dtype=[
            ("id", "<u8"),
            ("xyz", "<f8", 3),
            ("rgb", "u1", 3),
            ("error", "<f8"),
            ("length", "<u8"),
            ("image", "<u4"),
            ("place", "<u4"),
        ],
    )
    points["id"] = np.arange(len(points)) + 1
    points["xyz"], points["rgb"], points["error"], points["length"] = (
        tracked.points_m,
        tracked.rgb,
        0.0,
        1,
    )
    points["image"], points["place"] = tracked.view + 1, model.place
    (folder / "cameras.bin").write_bytes(b"".join(cameras))
    (folder / "images.bin").write_bytes(b"".join(images))
    (folder / "points3D.bin").write_bytes(struct.pack("<Q", len(points)) + points.tobytes())


def _write_text(folder: Path, model: _Model) -> None:
    tracked, own = model.tracked, model.own
    cameras = ["# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy"]
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", "# X Y POINT3D_ID ..."]
    for k, view in enumerate(model.views):
        camera = view.camera
        lens = (camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px)
        cameras.append(
            f"{k + 1} PINHOLE {camera.width_px} {camera.height_px} {' '.join(map(repr, lens))}"
        )
        images.append(
            f"{k + 1} {' '.join(map(repr, model.poses[k].tolist()))} {k + 1} {model.names[k]}"
        )
        images.append(
            " ".join(
                f"{x!r} {y!r} {p + 1}"
                for p, (x, y) in zip(own[k].tolist(), tracked.xy_px[own[k]].tolist(), strict=True)
            )
        )
    points = ["# POINT3D_ID X Y Z R G B ERROR IMAGE_ID POINT2D_IDX"]
    for p, (xyz, rgb) in enumerate(
        zip(tracked.points_m.tolist(), tracked.rgb.tolist(), strict=True)
    ):
        points.append(
            f"{p + 1} {' '.join(map(repr, xyz))} {' '.join(map(str, rgb))} 0 "
            f"{tracked.view[p] + 1} {model.place[p]}"
        )
    for name, rows in (("cameras", cameras), ("images", images), ("points3D", points)):
        (folder / f"{name}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _names(views: Sequence[View]) -> list[str]:
    """File names, each once, in the order of the views."""
    names: list[str] = []
    for k, view in enumerate(views):
        stem = Path(view.path).stem.replace(" ", "_") if view.path else f"view_{k + 1:03d}"
        names.append(f"{stem}.png" if f"{stem}.png" not in names else f"{stem}_{k + 1}.png")
    return names


def _quaternion_and_translation(cam_from_world: Array) -> Array:
    """(7,) w, x, y, z with w >= 0, then the translation."""
    R = cam_from_world[:3, :3]
    # The eigenvector of the largest eigenvalue: no case is singular.
    K = np.array(
        [
            [R[0, 0] + R[1, 1] + R[2, 2], 0, 0, 0],
            [R[2, 1] - R[1, 2], R[0, 0] - R[1, 1] - R[2, 2], 0, 0],
            [R[0, 2] - R[2, 0], R[0, 1] + R[1, 0], R[1, 1] - R[0, 0] - R[2, 2], 0],
            [R[1, 0] - R[0, 1], R[0, 2] + R[2, 0], R[1, 2] + R[2, 1], R[2, 2] - R[0, 0] - R[1, 1]],
        ]
    )
    _, vectors = np.linalg.eigh(K)
    q = vectors[:, -1]
    return np.concatenate([q if q[0] >= 0 else -q, cam_from_world[:3, 3]])
