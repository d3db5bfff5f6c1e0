"""Folders of colour and depth with poses: covisible pairs, matches and relative poses from them.

Two layouts: 7-Scenes' (frame-N.color.jpg, frame-N.depth.png in mm, frame-N.pose.txt,
camera-intrinsics.txt, which is of the depth camera; see `vlm3.datasets.rgbd`), and images/,
depth/, K.txt and poses.txt (a name and world_from_cam a line).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3.datasets.files import depth_png_m, matrix, picture_size, read_text
from vlm3.datasets.rgbd import SEVEN_COLOUR_K
from vlm3.errors import InputError
from vlm3.eval.items import Item, match_query, pose_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.files import opener
from vlm3.files.reading import below
from vlm3.geometry.camera import Camera
from vlm3.geometry.covisibility import correspond, covisibility
from vlm3.geometry.pixels import pixel_centres
from vlm3.geometry.pose import RelativePose, invert, nearest_rigid, relative_pose

Floats = NDArray[np.float64]

MATCHES_A_PAIR = 50
LEAST_COVISIBLE = 0.25
SHORTEST_MOVE_M = 0.05
# Covisibility needs no more than every fourth pixel.
_STRIDE = 4


@dataclass(frozen=True)
class RgbdFrame:
    """One picture with depth and pose; hashes by its path.

    The depth may have a camera of its own; both stand in one place and look one way.
    """

    name: str
    image: Path
    depth: Path
    camera: Camera
    depth_camera: Camera
    pose: tuple[float, ...]

    @property
    def world_from_cam(self) -> Floats:
        """(4, 4)."""
        return np.array(self.pose).reshape(4, 4)

    def depth_z_m(self) -> Floats:
        """(H, W) metres along the axis, NaN where unknown."""
        return depth_png_m(self.depth)


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a pair: its matches, then its pose."""
    frames = frames_of(wanted.folder)
    rng = np.random.default_rng(wanted.seed)
    made = tries = 0
    used: set[tuple[str, str]] = set()
    while made < wanted.count:
        tries += 1
        if tries > 20 * wanted.count:
            if made:
                return
            raise InputError(f"no two frames in {str(wanted.folder)!r} see enough of each other")
        a = frames[int(rng.integers(len(frames)))]
        b = _neighbour(a, frames, rng)
        if b is None or (a.name, b.name) in used:
            continue
        used.add((a.name, b.name))
        item = _item(a, b, rng)
        if item is not None:
            made += 1
            yield item


def frames_of(folder: Path) -> list[RgbdFrame]:
    """The frames of a folder in either layout, by name.

    Raises:
        InputError: it is in neither.
    """
    if (folder / "camera-intrinsics.txt").is_file():
        K = matrix(folder / "camera-intrinsics.txt", 3, 3)
        frames = []
        for pose in sorted(folder.glob("frame-*.pose.txt")):
            name = pose.name.removesuffix(".pose.txt")
            world_from_cam = matrix(pose, 4, 4)
            # 7-Scenes marks frames it lost with -inf or NaN.
            if np.isfinite(world_from_cam).all():
                image = folder / f"{name}.color.jpg"
                depth = folder / f"{name}.depth.png"
                frames.append(_frame(name, image, depth, SEVEN_COLOUR_K, K, world_from_cam))
        return frames
    if (folder / "poses.txt").is_file() and (folder / "K.txt").is_file():
        K = matrix(folder / "K.txt", 3, 3)
        frames = []
        for line in read_text(folder / "poses.txt").splitlines():
            name, *values = line.split() or [""]
            if len(values) != 16:
                raise InputError(f"{folder / 'poses.txt'}: {line[:40]!r} is no name and 16 numbers")
            numbers = np.array(values, dtype=np.float64).reshape(4, 4)
            image = below(folder / "images", name, str(folder / "poses.txt"))
            depth = folder / "depth" / name
            frames.append(_frame(name, image, depth, K, K, numbers))
        return frames
    raise InputError(
        f"{str(folder)!r} has neither camera-intrinsics.txt (7-Scenes) nor K.txt and poses.txt"
    )


def _frame(
    name: str, image: Path, depth: Path, K: Floats, depth_K: Floats, pose: Floats
) -> RgbdFrame:
    width, height = picture_size(image)
    camera, depth_camera = (
        Camera.from_K(k, width_px=width, height_px=height, pixel_origin="center")
        for k in (K, depth_K)
    )
    return RgbdFrame(name, image, depth, camera, depth_camera, tuple(pose.ravel().tolist()))


def _neighbour(a: RgbdFrame, frames: list[RgbdFrame], rng: np.random.Generator) -> RgbdFrame | None:
    for i in rng.permutation(len(frames)):
        b = frames[int(i)]
        moved = np.linalg.norm(a.world_from_cam[:3, 3] - b.world_from_cam[:3, 3])
        if a.name != b.name and moved >= SHORTEST_MOVE_M and _shared(a, b) > LEAST_COVISIBLE:
            return b
    return None


def _shared(a: RgbdFrame, b: RgbdFrame) -> float:
    """The mean over both directions of what is seen of what has depth."""
    shares = []
    for one, two in ((a, b), (b, a)):
        (camera1, depth1), (camera2, depth2) = _small(one), _small(two)
        pose = relative_pose(two.world_from_cam, one.world_from_cam)
        known = float(np.isfinite(depth1).mean())
        share = covisibility(depth1, camera1, depth2, camera2, pose)
        shares.append(share / known if known else 0.0)
    return float(np.mean(shares))


@lru_cache(maxsize=256)
def _small(frame: RgbdFrame) -> tuple[Camera, Floats]:
    depth = frame.depth_z_m()[_STRIDE // 2 :: _STRIDE, _STRIDE // 2 :: _STRIDE]
    return frame.depth_camera.resized(depth.shape[1], depth.shape[0]), depth


def _item(a: RgbdFrame, b: RgbdFrame, rng: np.random.Generator) -> Item | None:
    cam1_from_cam2 = relative_pose(a.world_from_cam, b.world_from_cam)
    centres = pixel_centres(a.camera.width_px, a.camera.height_px)
    xy_b, visible = correspond(
        centres,
        a.depth_z_m(),
        a.depth_camera,
        b.depth_z_m(),
        b.depth_camera,
        invert(cam1_from_cam2),
    )
    # From where the depth camera sees a point to where the picture shows it.
    xy_a = a.camera.project(a.depth_camera.unproject(centres))
    xy_b = b.camera.project(b.depth_camera.unproject(xy_b))
    visible &= a.camera.contains(xy_a) & b.camera.contains(xy_b)
    rows, columns = np.nonzero(visible)
    if len(rows) < MATCHES_A_PAIR:
        return None
    pick = rng.permutation(len(rows))[:MATCHES_A_PAIR]
    key = f"{a.name}-{b.name}"
    size_a, size_b = ((f.camera.width_px, f.camera.height_px) for f in (a, b))
    matches = tuple(
        match_query(f"{key}/{k:02d}", xy_a[r, c], xy_b[r, c], size_a, size_b)
        for k, (r, c) in enumerate(zip(rows[pick], columns[pick], strict=True))
    )
    pose = pose_query(f"{key}/pose", RelativePose.from_matrix(nearest_rigid(cam1_from_cam2)))
    return Item(key, (opener(a.image, a.camera), opener(b.image, b.camera)), (*matches, pose))
