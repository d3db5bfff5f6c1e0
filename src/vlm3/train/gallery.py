"""Rendered pairs kept on disk: on a CPU, drawing a picture costs more than learning from it.

Pair `index` of (seed, split) is a function of these alone, so the folder is a cache and nothing
else: what is missing is rendered when it is asked for, and two processes may share a folder. Shown
again, a pair looks another way: mirrored, its pictures swapped, cut to another shape.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose, relative_pose
from vlm3.train.config import Run
from vlm3.worlds import Frame, sample_pair
from vlm3.worlds.render import pixel_rays
from vlm3.worlds.sample import Floats, Split, WorldObject

ROOM_SHARE = 0.75
"""Rooms among the worlds: they cost less to render, and are what most first photos show."""

SIZE_PX = (192, 144)
"""What is rendered, at 125 px focal length: 75 degrees across."""
SHAPES = ((160, 128), (192, 144), (144, 112), (144, 96), (128, 144), (192, 112))
"""What is cut from it: 3:2, 4:3, wide and tall, 54 to 75 degrees across."""

_MATCHES = 96
_MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class StoredPair:
    """Two frames of one world and exact matches between them.

    Attributes:
        xy1_px: (n, 2) pixel centres of frame 1.
        xy2_px: (n, 2) where frame 2 shows the same points.
    """

    frame1: Frame
    frame2: Frame
    xy1_px: Floats
    xy2_px: Floats

    @property
    def cam1_from_cam2(self) -> RelativePose:
        """Pose of camera 2 in camera 1's frame."""
        motion = relative_pose(self.frame1.world_from_cam, self.frame2.world_from_cam)
        return RelativePose.from_matrix(motion)

    def swapped(self) -> "StoredPair":
        """The same pair the other way round; its points are no pixel centres any more."""
        return StoredPair(self.frame2, self.frame1, self.xy2_px, self.xy1_px)

    def matches(self, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Up to n matches, xy1_px (m, 2) and xy2_px (m, 2)."""
        chosen = rng.permutation(len(self.xy1_px))[:n]
        return self.xy1_px[chosen], self.xy2_px[chosen]

    def mirrored(self) -> "StoredPair":
        """The world in a mirror: left is right, distances and sizes are the same."""
        width_px = self.frame1.camera.width_px
        flip = np.array([width_px, 0.0])
        return StoredPair(
            mirrored(self.frame1),
            mirrored(self.frame2),
            np.abs(flip - self.xy1_px),
            np.abs(flip - self.xy2_px),
        )

    def cut(self, width_px: int, height_px: int) -> "StoredPair":
        """The middle of both pictures, and the matches that lie in both."""
        camera = self.frame1.camera
        corner = np.array([camera.width_px - width_px, camera.height_px - height_px]) // 2
        xy1_px, xy2_px = self.xy1_px - corner, self.xy2_px - corner
        size = (width_px, height_px)
        good = ((xy1_px > 0) & (xy1_px < size) & (xy2_px > 0) & (xy2_px < size)).all(1)
        return StoredPair(
            cut(self.frame1, width_px, height_px),
            cut(self.frame2, width_px, height_px),
            xy1_px[good],
            xy2_px[good],
        )


def mirrored(frame: Frame) -> Frame:
    """The frame as a mirror shows it, in a mirrored world."""
    camera = frame.camera
    width_px = camera.width_px
    objects = tuple(
        replace(
            thing,
            center_m=thing.center_m * (-1.0, 1.0, 1.0),
            world_from_object=_MIRROR @ thing.world_from_object @ _MIRROR,
            box_xyxy_px=(
                width_px - thing.box_xyxy_px[2],
                thing.box_xyxy_px[1],
                width_px - thing.box_xyxy_px[0],
                thing.box_xyxy_px[3],
            ),
        )
        for thing in frame.objects
    )
    return replace(
        frame,
        image=np.ascontiguousarray(frame.image[:, ::-1]),
        camera=replace(camera, cx_px=width_px - camera.cx_px),
        distance_m=frame.distance_m[:, ::-1],
        depth_z_m=frame.depth_z_m[:, ::-1],
        normal=frame.normal[:, ::-1] * np.array([-1, 1, 1], np.float32),
        instance=frame.instance[:, ::-1],
        objects=objects,
        world_from_cam=_MIRROR @ frame.world_from_cam @ _MIRROR,
    )


def cut(frame: Frame, width_px: int, height_px: int) -> Frame:
    """The middle of a frame. Its objects are those of the whole frame: do not ask about them."""
    camera = frame.camera
    left, top = (camera.width_px - width_px) // 2, (camera.height_px - height_px) // 2
    rows, columns = slice(top, top + height_px), slice(left, left + width_px)
    return replace(
        frame,
        image=np.ascontiguousarray(frame.image[rows, columns]),
        camera=camera.cropped(left, top, width_px, height_px),
        distance_m=frame.distance_m[rows, columns],
        depth_z_m=frame.depth_z_m[rows, columns],
        normal=frame.normal[rows, columns],
        instance=frame.instance[rows, columns],
    )


def collage(frames: tuple[Frame, Frame, Frame, Frame], rng: np.random.Generator) -> Frame:
    """Four frames of one shape, a corner of each; a frame given twice fills a side.

    In one room the picture as a whole says most of every distance in it. Here only the place does:
    a reason to look where the text points. Objects are left out.
    """
    camera = frames[0].camera
    x, y = (
        int(rng.integers(side // 4, 3 * side // 4)) for side in (camera.width_px, camera.height_px)
    )
    rows, columns = np.arange(camera.height_px) >= y, np.arange(camera.width_px) >= x
    from_frame = 2 * rows[:, None] + columns
    fields: dict[str, NDArray[np.generic]] = {}
    for name in ("image", "distance_m", "depth_z_m", "normal", "instance"):
        whole = getattr(frames[0], name).copy()
        for k in (1, 2, 3):
            whole[from_frame == k] = getattr(frames[k], name)[from_frame == k]
        fields[name] = whole
    return replace(frames[0], objects=(), **fields)  # type: ignore[arg-type]


def repainted(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture as another camera would have it: exposure, contrast, white, gamma, grain."""
    values = image.astype(np.float32) / 255
    values = values ** np.float32(np.exp(rng.normal(0, 0.25)))
    values = values * np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, 3)).astype(np.float32)
    grey = values.mean(-1, keepdims=True)
    values = grey + (values - grey) * np.float32(np.exp(rng.normal(0, 0.35)))
    middle = values.mean()
    values = middle + (values - middle) * np.float32(np.exp(rng.normal(0, 0.2)))
    if rng.random() < 0.5:
        values = values + rng.normal(0, rng.uniform(0, 0.03), values.shape).astype(np.float32)
    return np.asarray(np.clip(values * 255, 0, 255), np.uint8)


def shown(pair: StoredPair, rng: np.random.Generator, width_px: int, height_px: int) -> StoredPair:
    """The pair as it is shown this time: cut, perhaps mirrored, perhaps swapped."""
    pair = pair.cut(width_px, height_px)
    pair = pair.mirrored() if rng.random() < 0.5 else pair
    return pair.swapped() if rng.random() < 0.5 else pair


@dataclass(frozen=True)
class Gallery:
    """The stored pairs of one seed and split.

    Attributes:
        folder: where they are kept; made when first written to.
        f_px: focal length of each picture, which are of `SIZE_PX`.
        seed: of the worlds.
        split: "heldout" has other seeds and other furniture.
    """

    folder: Path
    f_px: float
    seed: int
    split: Split = "train"

    def pair(self, index: int) -> StoredPair:
        """Pair `index`, rendered if it is not there yet."""
        path = self._path(index)
        if not path.is_file():
            _write(path, self._render(index))
        # What was rendered just now is rounded like the rest.
        return _read(path)

    def _path(self, index: int) -> Path:
        size = f"{self.split}-{self.seed}-{SIZE_PX[0]}x{SIZE_PX[1]}-{self.f_px:g}"
        return self.folder / size / f"{index // 1000:03d}" / f"{index % 1000:03d}.npz"

    def _render(self, index: int) -> StoredPair:
        rng = np.random.default_rng((self.seed, index))
        pair = sample_pair(
            self.seed,
            index,
            width_px=SIZE_PX[0],
            height_px=SIZE_PX[1],
            f_px=self.f_px,
            split=self.split,
            kind="room" if rng.random() < ROOM_SHARE else "street",
        )
        return StoredPair(pair.frame1, pair.frame2, *pair.matches(_MATCHES, rng))


def gallery_of(run: Run, split: Split = "train") -> Gallery:
    """Where a run keeps its rendered pairs."""
    return Gallery(run.gallery or run.out / "gallery", run.f_px or 125.0, run.seed, split)


def _write(path: Path, pair: StoredPair) -> None:
    arrays: dict[str, NDArray[np.generic]] = {"xy1_px": pair.xy1_px, "xy2_px": pair.xy2_px}
    for name, frame in (("a", pair.frame1), ("b", pair.frame2)):
        about = {
            "camera": asdict(frame.camera),
            "kind": frame.kind,
            "objects": [
                {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(o).items()}
                for o in frame.objects
            ],
        }
        arrays |= {
            f"{name}_image": frame.image,
            f"{name}_distance_m": frame.distance_m,
            f"{name}_normal": np.round(frame.normal * 127).astype(np.int8),
            f"{name}_instance": frame.instance.astype(np.int16),
            f"{name}_world_from_cam": frame.world_from_cam,
            f"{name}_about": np.frombuffer(json.dumps(about, allow_nan=False).encode(), np.uint8),
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def _read(path: Path) -> StoredPair:
    with np.load(path) as arrays:
        frames = [_frame(arrays, name) for name in ("a", "b")]
        return StoredPair(frames[0], frames[1], arrays["xy1_px"], arrays["xy2_px"])


def _frame(arrays: "np.lib.npyio.NpzFile", name: str) -> Frame:
    about = json.loads(arrays[f"{name}_about"].tobytes())
    # What is rendered for the gallery has no distortion.
    camera = Camera(**{k: v for k, v in about["camera"].items() if k != "distortion"})
    distance = arrays[f"{name}_distance_m"]
    normal = arrays[f"{name}_normal"].astype(np.float32) / np.float32(127)
    return Frame(
        image=arrays[f"{name}_image"],
        camera=camera,
        distance_m=distance,
        depth_z_m=(distance * pixel_rays(camera)[..., 2]).astype(np.float32),
        normal=normal,
        instance=arrays[f"{name}_instance"].astype(np.int32),
        objects=tuple(_object(fields) for fields in about["objects"]),
        world_from_cam=arrays[f"{name}_world_from_cam"],
        kind=about["kind"],
    )


def _object(fields: dict[str, object]) -> WorldObject:
    made = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    arrays = {k: np.array(fields[k]) for k in ("center_m", "world_from_object")}
    return WorldObject(**(made | arrays))  # type: ignore[arg-type]
