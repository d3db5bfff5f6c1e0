"""Worlds, frames and pairs: world (seed, index) can be made alone and is always the same.

`sample_view` and `sample_pair` are what training calls; `World` gives any number of views of one
scene. Every truth comes from rays cast at the very triangles that were drawn.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose, invert, relative_pose, transform_points
from vlm3.worlds import cameras, looks
from vlm3.worlds.mesh import yaw_matrix
from vlm3.worlds.pack import load_pack
from vlm3.worlds.render import Renderer, pixel_rays
from vlm3.worlds.rooms import make_room
from vlm3.worlds.scene import Scene, SceneObject
from vlm3.worlds.streets import make_street

Split = Literal["train", "heldout"]
Kind = Literal["room", "street"]
Floats = NDArray[np.float64]

_SPLITS = {"train": 1, "heldout": 2}
_MIN_VISIBLE_PX = 12


@dataclass(frozen=True)
class WorldObject:
    """An object that a frame shows.

    Attributes:
        category: what it is, as people call it.
        name: the same, or more exactly (the model's catalogue name).
        instance: its id in `Frame.instance`.
        size_wdh_m: true width, depth and height.
        center_m: (3,) centre of its box, world frame.
        world_from_object: (4, 4); own axes x width, y depth, z up, origin at the box's centre.
        box_xyxy_px: smallest box around its visible pixels, pixel edges.
        visible_share: visible part of its outline inside the picture, 0..1.
    """

    category: str
    name: str
    instance: int
    size_wdh_m: tuple[float, float, float]
    center_m: Floats
    world_from_object: Floats
    box_xyxy_px: tuple[float, float, float, float]
    visible_share: float


@dataclass(frozen=True)
class Frame:
    """One rendered picture with its truth, at pixel centres.

    Attributes:
        image: (H, W, 3) uint8.
        distance_m: (H, W) float32 straight distance to the camera; the sky is inf.
        depth_z_m: (H, W) float32 along the optical axis; the sky is inf.
        normal: (H, W, 3) float32 unit normal in camera axes, towards the camera; sky 0.
        instance: (H, W) int32; 0 is shell, ground or sky, others are `objects`.
        world_from_cam: (4, 4).
    """

    image: NDArray[np.uint8]
    camera: Camera
    distance_m: NDArray[np.float32]
    depth_z_m: NDArray[np.float32]
    normal: NDArray[np.float32]
    instance: NDArray[np.int32]
    objects: tuple[WorldObject, ...]
    world_from_cam: Floats
    kind: str


class World:
    """Scene `index` of `seed`; pickles as its address, not as its triangles.

    Pictures are rendered on `device`. Poses are looked for by many small casts, which the CPU does
    sooner than a GPU has work.
    """

    def __init__(
        self,
        seed: int,
        index: int,
        *,
        split: Split = "train",
        kind: Kind | None = None,
        device: str = "cpu",
        pack: str | None = None,
    ) -> None:
        """Make the world; `kind` None lets the seed choose, `pack` adds catalogue furniture.

        Raises:
            InputError: an unknown split or kind, or a negative seed or index.
        """
        if split not in _SPLITS:
            raise InputError(f"split is {split!r}; choose train or heldout")
        if kind not in (None, "room", "street"):
            raise InputError(f"kind is {kind!r}; choose room, street or None for either")
        if seed < 0 or index < 0:
            raise InputError(f"seed {seed}, index {index}; both must be 0 or more")
        self.address: dict[str, Any] = {"split": split, "kind": kind, "device": device}
        self.address["pack"] = pack
        self.seed, self.index = seed, index
        rng = self.rng(0)
        chosen = kind or ("room" if rng.random() < 0.7 else "street")
        self.kind: str = chosen
        self.scene: Scene = _MAKERS[chosen](rng, split, load_pack(pack) if pack else None)
        self.renderer = Renderer(self.scene)
        self._pictures = self.renderer if device == "cpu" else Renderer(self.scene, device)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_world, (self.seed, self.index, self.address))

    def rng(self, stream: int) -> np.random.Generator:
        """Generator number `stream` of this world; 0 makes the scene, 1 + k view k."""
        split = _SPLITS[self.address["split"]]
        return np.random.default_rng([stream, split, self.index, self.seed])

    def camera(
        self, rng: np.random.Generator, width_px: int, height_px: int, f_px: float | None
    ) -> Camera:
        """The requested focal length, or a free one of 40 to 110 degrees."""
        if f_px is None:
            return cameras.free_camera(rng, width_px=width_px, height_px=height_px)
        return Camera(f_px, f_px, width_px / 2, height_px / 2, width_px, height_px)

    def frame(
        self,
        camera: Camera,
        world_from_cam: Floats,
        rng: np.random.Generator,
        *,
        plain: bool = False,
    ) -> Frame:
        """Render one view; `rng` draws the look, `plain` leaves noise, blur and JPEG out."""
        buffers = self._pictures.render(camera, world_from_cam)
        rays = pixel_rays(camera)
        mesh = self.scene.mesh
        hit = buffers.face >= 0
        instance = np.where(hit, mesh.instance[np.maximum(buffers.face, 0)], 0).astype(np.int32)
        depth = (buffers.distance_m * rays[..., 2]).astype(np.float32)
        normal = (buffers.normal @ world_from_cam[:3, :3].astype(np.float32)).astype(np.float32)
        return Frame(
            image=looks.photograph(buffers.radiance, rng, plain=plain),
            camera=camera,
            distance_m=buffers.distance_m,
            depth_z_m=depth,
            normal=normal,
            instance=instance,
            objects=self._objects(instance, camera, world_from_cam),
            world_from_cam=world_from_cam,
            kind=self.kind,
        )

    def pose(self, rng: np.random.Generator, camera: Camera) -> Floats:
        """(4, 4) world_from_cam that sees something: no cupboard's inside and no bare wall."""
        rays = _coarse_rays(camera, 16, 12)
        best, best_score = np.eye(4), -1.0
        for _ in range(12):
            pose = cameras.sample_pose(self.scene, rng)
            distance, face = self.renderer.cast(pose[:3, 3], rays @ pose[:3, :3].T)
            seen = distance[np.isfinite(distance)]
            if len(seen) < 0.25 * len(distance):
                continue
            low, middle = np.quantile(seen, [0.03, 0.5])
            things = len(np.unique(self.scene.mesh.instance[face[face >= 0]]))
            score = (
                min(things / 4, 1.0) + min(float(low) / 0.35, 1.0) + min(float(middle) / 1.1, 1.0)
            )
            if score > best_score:
                best, best_score = pose, score
            if score > 2.7:
                break
        return best

    def view(
        self, number: int = 0, *, width_px: int, height_px: int, f_px: float | None = None
    ) -> Frame:
        """View `number` of this world."""
        rng = self.rng(1 + number)
        camera = self.camera(rng, width_px, height_px, f_px)
        return self.frame(camera, self.pose(rng, camera), rng)

    def pair(
        self, number: int = 0, *, width_px: int, height_px: int, f_px: float | None = None
    ) -> "Pair":
        """Pair `number` of this world: two views that share more than a quarter."""
        rng = self.rng(1_000_001 + number)
        camera1 = self.camera(rng, width_px, height_px, f_px)
        camera2 = camera1 if f_px is not None else self.camera(rng, width_px, height_px, None)
        pose1 = pose2 = np.eye(4)
        share = 0.0
        for _ in range(4):
            pose1 = self.pose(rng, camera1)
            pose2, share = self._second(rng, pose1, camera1, camera2)
            if share > 0.25:
                break
        frame1 = self.frame(camera1, pose1, rng)
        frame2 = self.frame(camera2, pose2, rng)
        motion = RelativePose.from_matrix(relative_pose(pose1, pose2))
        return Pair(frame1, frame2, motion, share, self)

    def _second(
        self, rng: np.random.Generator, pose1: Floats, camera1: Camera, camera2: Camera
    ) -> tuple[Floats, float]:
        rays = _coarse_rays(camera1, 20, 15) @ pose1[:3, :3].T
        distance, _ = self.renderer.cast(pose1[:3, 3], rays)
        good = np.isfinite(distance)
        seen = pose1[:3, 3] + rays[good] * distance[good, None]
        if not len(seen):
            return pose1, 0.0
        reach = float(np.median(distance[good]))
        wanted = float(rng.uniform(0.28, 0.8))
        best, best_share = pose1, 0.0
        gap = np.inf
        for _ in range(14):
            pose2 = cameras.second_pose(self.scene, rng, pose1, seen, reach)
            share = self.covisibility(pose1, camera1, pose2, camera2)
            if share > 0.25 and abs(share - wanted) < gap and self._stands_free(pose2):
                best, best_share, gap = pose2, share, abs(share - wanted)
                if gap < 0.15:
                    break
        return best, best_share

    def _stands_free(self, pose: Floats) -> bool:
        """Whether nothing is within 0.15 m of the camera, looked for in 26 directions."""
        grid = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3), -1).reshape(-1, 3)
        grid = grid[np.abs(grid).sum(1) > 0]
        distance, _ = self.renderer.cast(pose[:3, 3], grid / np.linalg.norm(grid, axis=1)[:, None])
        return bool(distance.min() > 0.15)

    def visible(self, points_m: Floats, world_from_cam: Floats) -> NDArray[np.bool_]:
        """Which points (n, 3) nothing hides from a camera centre: one ray each, to 0.1 %."""
        away = points_m - world_from_cam[:3, 3]
        length = np.linalg.norm(away, axis=1)
        rays = away / np.maximum(length, 1e-9)[:, None]
        distance, _ = self.renderer.cast(world_from_cam[:3, 3], rays)
        return np.asarray(distance > length * (1 - 1e-3) - 1e-3)

    def covisibility(self, pose1: Floats, camera1: Camera, pose2: Floats, camera2: Camera) -> float:
        """Mean over both directions of the share of pixels whose point the other view sees."""
        shares = []
        for pa, ca, pb, cb in ((pose1, camera1, pose2, camera2), (pose2, camera2, pose1, camera1)):
            rays = _coarse_rays(ca, 20, 15) @ pa[:3, :3].T
            distance, _ = self.renderer.cast(pa[:3, 3], rays)
            good = np.isfinite(distance)
            points = pa[:3, 3] + rays[good] * distance[good, None]
            xy = cb.project(transform_points(invert(pb), points))
            inside = np.asarray(cb.contains(xy), bool)
            ok = inside.copy()
            ok[inside] = self.visible(points[inside], pb)
            shares.append(ok.sum() / len(rays))
        return float(np.mean(shares))

    def _objects(
        self, instance: NDArray[np.int32], camera: Camera, world_from_cam: Floats
    ) -> tuple[WorldObject, ...]:
        counts = np.bincount(instance.ravel(), minlength=int(self.scene.mesh.instance.max()) + 1)
        if not (counts[1:] >= _MIN_VISIBLE_PX).any():
            return ()
        rays = _coarse_rays(camera, 40, 30)
        hits = self.renderer.pierce(world_from_cam[:3, 3], rays @ world_from_cam[:3, :3].T)
        size = int(self.scene.mesh.instance.max()) + 2
        first = np.bincount(hits[:, 0] + 1, minlength=size)
        crossed = np.zeros(size, int)
        ordered = np.sort(hits, axis=1)
        new = np.diff(ordered, axis=1, prepend=-2) != 0
        crossed += np.bincount((ordered[new] + 1), minlength=size)
        found = []
        for thing in self.scene.objects:
            if counts[thing.instance] < _MIN_VISIBLE_PX:
                continue
            mask = instance == thing.instance
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            seen, whole = first[thing.instance + 1], crossed[thing.instance + 1]
            share = float(seen / whole) if whole else 1.0
            found.append(_world_object(thing, box, share))
        return tuple(found)


@dataclass(frozen=True)
class Pair:
    """Two frames of one world that share more than a quarter of what they see.

    Attributes:
        cam1_from_cam2: pose of camera 2 in camera 1's frame.
        covisibility: mean share of pixels whose point the other frame sees.
    """

    frame1: Frame
    frame2: Frame
    cam1_from_cam2: RelativePose
    covisibility: float
    world: World

    def matches(self, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Up to n pixel centres of frame 1 and where frame 2 shows the same points.

        Returns:
            xy1_px (m, 2), xy2_px (m, 2), m <= n: only points that both frames see, occlusion
            decided by a ray from camera 2 to the very point.
        """
        frame1, frame2 = self.frame1, self.frame2
        height, width = frame1.distance_m.shape
        order = rng.permutation(height * width)
        rays = pixel_rays(frame1.camera).reshape(-1, 3)
        cam2_from_world = invert(frame2.world_from_cam)
        found1, found2, total = [], [], 0
        for start in range(0, len(order), 4 * n + 64):
            pick = order[start : start + 4 * n + 64]
            distance = frame1.distance_m.reshape(-1)[pick].astype(np.float64)
            pick, distance = pick[np.isfinite(distance)], distance[np.isfinite(distance)]
            points = transform_points(frame1.world_from_cam, rays[pick] * distance[:, None])
            xy2 = frame2.camera.project(transform_points(cam2_from_world, points))
            inside = np.asarray(frame2.camera.contains(xy2), bool)
            pick, points, xy2 = pick[inside], points[inside], xy2[inside]
            if len(pick):
                good = self.world.visible(points, frame2.world_from_cam)
                xy1 = np.stack([pick % width + 0.5, pick // width + 0.5], -1)[good]
                found1.append(xy1)
                found2.append(xy2[good])
                total += len(xy1)
            if total >= n:
                break
        if not found1:
            return np.zeros((0, 2)), np.zeros((0, 2))
        return np.concatenate(found1)[:n], np.concatenate(found2)[:n]


def sample_view(
    seed: int,
    index: int,
    *,
    width_px: int,
    height_px: int,
    f_px: float | None = None,
    split: Split = "train",
    kind: Kind | None = None,
    device: str = "cpu",
    pack: str | None = None,
) -> Frame:
    """View 0 of world (seed, index); `f_px` None draws a lens of 40 to 110 degrees."""
    world = World(seed, index, split=split, kind=kind, device=device, pack=pack)
    return world.view(width_px=width_px, height_px=height_px, f_px=f_px)


def sample_pair(
    seed: int,
    index: int,
    *,
    width_px: int,
    height_px: int,
    f_px: float | None = None,
    split: Split = "train",
    kind: Kind | None = None,
    device: str = "cpu",
    pack: str | None = None,
) -> Pair:
    """Pair 0 of world (seed, index)."""
    world = World(seed, index, split=split, kind=kind, device=device, pack=pack)
    return world.pair(width_px=width_px, height_px=height_px, f_px=f_px)


def _world(seed: int, index: int, address: dict[str, Any]) -> World:
    return World(seed, index, **address)


@lru_cache(maxsize=16)
def _coarse_rays(camera: Camera, columns: int, rows: int) -> Floats:
    """(rows * columns, 3) unit rays of a coarse grid."""
    x = (np.arange(columns) + 0.5) * camera.width_px / columns
    y = (np.arange(rows) + 0.5) * camera.height_px / rows
    return camera.unproject(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))


def _world_object(
    thing: SceneObject, box: tuple[float, float, float, float], share: float
) -> WorldObject:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = yaw_matrix(thing.yaw_rad), thing.center_m
    return WorldObject(
        thing.category,
        thing.name,
        thing.instance,
        thing.size_wdh_m,
        np.array(thing.center_m),
        pose,
        box,
        min(share, 1.0),
    )


_MAKERS = {"room": make_room, "street": make_street}
