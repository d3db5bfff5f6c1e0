"""Prepare a raw frame: an undistorted picture of the right size, its camera, its labels.

A picture whose focal length is above the one that is trained with is reduced to the very size that
training asks for (`ResizePlan`), so that training finds nothing left to resize. A smaller one is
kept as it is, to the byte if it is a JPEG: enlarging would only cost disk. Depth is never
resampled for labels: its cells are points in space, and go through the lens as points.
"""

import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.curation.intrinsics import Calibration
from vlm3.data.decoding import decode
from vlm3.data.record import Intrinsics
from vlm3.datasets.base import (
    Depth,
    DepthMap,
    Floats,
    LaserPoints,
    PictureData,
    PixelDepths,
    RawFrame,
)
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.depth import distance_from_z, z_from_distance
from vlm3.geometry.focal import plan_focal
from vlm3.geometry.pixels import pixel_centres
from vlm3.geometry.plausible import pose_fault
from vlm3.geometry.undistort import undistort_image, undistort_points
from vlm3.pictures import Picture, read_picture
from vlm3.tasks.sample import ObjectQuestion
from vlm3.view import resize_image

try:
    from simplejpeg import encode_jpeg
except ImportError:  # Pillow writes as good ones, more slowly.
    encode_jpeg = None

JPEG_QUALITY = 95
_ORIENTATION = 0x0112
# Of the points drawn for labels, those that a lens pushes out of the picture are replaced.
_SPARE = 4


@dataclass(frozen=True)
class Size:
    """To what pictures are reduced; see `geometry.focal.plan_focal`. `f_px` 0 keeps every size."""

    f_px: float = 1000.0
    multiple_px: int = 32


@dataclass(frozen=True, eq=False)
class Kept:
    """A frame as it is stored.

    Attributes:
        raw: what the source gave, with `camera` filled in.
        camera: of the stored picture, a pinhole.
        intrinsics: where the camera came from.
        fingerprint: of the picture, see `fingerprint_of`.
        place: of the picture within its scene, as rows of `pairs.npy` name it.
    """

    raw: RawFrame
    camera: Camera
    intrinsics: Intrinsics = "given"
    fingerprint: str = ""
    place: int = 0

    def without_picture(self, place: int) -> "Kept":
        """The same, at its place; only frames wait for their scene's pairs, not pictures."""
        return replace(self, raw=replace(self.raw, picture=b""), place=place)

    def surface(self, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Up to `count` random cells of the depth: pixels (n, 2) of the stored picture, and points.

        The points (n, 3) lie in the camera's frame, at the centres of the raw cells: exact to the
        digits of the file.

        Raises:
            InputError: the depth cannot be read, or there is none.
        """
        return surface(_depth(self.raw), _camera(self.raw), self.camera, count, rng)

    def depth_z(self, camera: Camera | None = None) -> Floats:
        """Depth along the axis (h, w) of the stored picture, NaN where unknown.

        Each pixel holds the nearest value of the raw grid, never a blend; where depth is known at
        some pixels only, planes between them. Read anew each time.

        Args:
            camera: the stored camera at another size, as `kept.camera.resized(w, h)`.

        Raises:
            InputError: the depth cannot be read, or there is none.
        """
        target = camera or self.camera
        depth, raw_camera = _depth(self.raw), _camera(self.raw)
        if isinstance(depth, PixelDepths):
            from vlm3.datasets.tracks import joined

            points = _points(depth, raw_camera)
            return joined(target.project(points), points[:, 2], target)
        if not isinstance(depth, DepthMap):
            return _raster(_points(depth, raw_camera), target)
        grid = _grid_camera(depth, raw_camera)
        values = np.asarray(depth.values, np.float64)
        if depth.kind == "distance":
            centres = pixel_centres(grid.width_px, grid.height_px)
            values = z_from_distance(values, grid.unproject(centres))
        rays = target.unproject_z1(pixel_centres(target.width_px, target.height_px))
        xy = grid.project(rays)
        inside = grid.contains(xy)
        column, row = np.moveaxis(np.where(inside[..., None], xy, 0).astype(np.intp), -1, 0)
        return np.where(inside, values[row, column], np.nan)


def prepare(raw: RawFrame, size: Size, calibration: Calibration) -> tuple[Kept, bytes]:
    """The picture as it is to be stored, JPEG bytes, and the frame with its cameras.

    Raises:
        InputError: a picture that cannot be used or does not fit its camera, a pose that is no
            rigid transform.
    """
    _check_pose(raw.world_from_cam)
    data = raw.picture() if callable(raw.picture) else raw.picture
    same, picture = _opened(data, raw.key, exif=raw.camera is None)
    camera, intrinsics = calibration.camera(picture, raw.camera)
    image, straight = undistort_image(picture.image, camera)
    stored = straight
    if size.f_px:
        plan = plan_focal(straight, f_px=size.f_px, multiple_px=size.multiple_px)
        if max(plan.scale_x, plan.scale_y) < 1:
            image, stored = resize_image(image, plan), plan.camera
    kept = Kept(replace(raw, camera=camera), stored, intrinsics, fingerprint_of(image))
    untouched = image is picture.image
    return kept, same if same is not None and untouched else encode(image)


def questions(kept: Kept) -> tuple[ObjectQuestion, ...]:
    """The object questions with their boxes in the stored picture; boxes outside drop theirs."""
    raw, stored = _camera(kept.raw), kept.camera
    limit = np.array([stored.width_px, stored.height_px] * 2, np.float64)
    found = []
    for question in kept.raw.questions:
        boxes = []
        for box in question.boxes_xyxy_px:
            x1, y1, x2, y2 = box
            corners = np.array([[x1, y1], [x2, y1], [x1, y2], [x2, y2]])
            corners = undistort_points(corners, raw) if raw.distortion else corners
            scale = [stored.width_px / raw.width_px, stored.height_px / raw.height_px]
            xy = corners * scale
            box = np.clip(np.concatenate([xy.min(axis=0), xy.max(axis=0)]), 0, limit)
            boxes.append(tuple(box.tolist()))
        if all(b[0] < b[2] and b[1] < b[3] for b in boxes):
            found.append(replace(question, boxes_xyxy_px=tuple(boxes)))
    return tuple(found)


def surface(
    depth: Depth, raw: Camera, stored: Camera, count: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Random points that the stored picture shows: pixels (n, 2) of it, points (n, 3)."""
    if isinstance(depth, DepthMap):
        values = np.asarray(depth.values)
        known = np.flatnonzero(np.isfinite(values) & (values > 0))
        chosen = known[rng.permutation(len(known))[: _SPARE * count]]
        row, column = np.divmod(chosen, values.shape[1])
        grid = _grid_camera(depth, raw)
        xy = np.stack([column, row], axis=-1) + 0.5
        points = _lifted(xy, values[row, column].astype(np.float64), depth.kind, grid)
    else:
        points = _points(depth, raw)
    if isinstance(depth, LaserPoints):
        xy, points = seen(points, stored)
    else:
        xy = stored.project(points)
        inside = stored.contains(xy)
        xy, points = xy[inside], points[inside]
    order = rng.permutation(len(xy))[:count]
    return xy[order], points[order]


def seen(points_cam: Floats, camera: Camera) -> tuple[Floats, Floats]:
    """Laser points in the picture, (n, 2) pixels and (n, 3) points: the nearest at each pixel."""
    xy = camera.project(points_cam)
    inside = camera.contains(xy)
    points, xy = points_cam[inside], xy[inside]
    order = np.argsort(points[:, 2], kind="stable")
    cell = xy[order].astype(np.intp) @ [1, camera.width_px]
    _, first = np.unique(cell, return_index=True)
    keep = order[first]
    return xy[keep], points[keep]


def fingerprint_of(image: NDArray[np.uint8]) -> str:
    """32 hexadecimal digits that hardly change when a picture is resized or encoded again.

    Which of neighbouring cells of an 8x8 grid is brighter, along rows and along columns (dHash,
    twice 64 bits).
    """
    step = max(1, min(image.shape[:2]) // 144)
    grey = Image.fromarray(image[::step, ::step]).convert("L")
    cells = np.asarray(grey.resize((9, 9), Image.Resampling.BOX)).astype(np.int16)
    bits = np.concatenate(
        [(cells[:8, 1:] > cells[:8, :-1]).ravel(), (cells[1:, :8] > cells[:-1, :8]).ravel()]
    )
    return np.packbits(bits).tobytes().hex()


def encode(image: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) as a JPEG with full colour resolution."""
    if encode_jpeg is not None:
        contiguous = np.ascontiguousarray(image)
        return bytes(encode_jpeg(contiguous, JPEG_QUALITY, "RGB", colorsubsampling="444"))
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return out.getvalue()


def _opened(data: PictureData, name: str, *, exif: bool) -> tuple[bytes | None, Picture]:
    """The picture as stored, and its bytes where they are a JPEG that can be kept as it is.

    Never turned: depth, boxes and cameras of a set are of the stored pixels. Bytes that ask viewers
    to turn them are written anew without that mark.
    """
    if isinstance(data, np.ndarray):
        return None, read_picture(data)
    raw = data if isinstance(data, bytes) else data.read_bytes()
    is_jpeg = raw[:2] == b"\xff\xd8"
    if is_jpeg and not exif:
        try:
            with Image.open(io.BytesIO(raw)) as opened:
                orientation = opened.getexif().get(_ORIENTATION, 1)
        except Exception as error:
            raise InputError(f"the picture is damaged ({error})") from error
        same = raw if orientation == 1 else None
        return same, Picture(decode(raw), name, None)
    picture = read_picture(raw, upright=False)
    return raw if is_jpeg and picture.orientation == 1 else None, picture


def _check_pose(pose: Floats | None) -> None:
    if pose is None:
        return
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise InputError("the pose has values that are not finite")
    if (fault := pose_fault(pose)) is not None:
        raise InputError(fault)


def _depth(raw: RawFrame) -> Depth:
    if raw.depth is None:
        raise InputError(f"{raw.key} has no depth")
    return raw.depth()


def _camera(raw: RawFrame) -> Camera:
    if raw.camera is None:
        raise InputError(f"{raw.key} has no camera")
    return raw.camera


def _grid_camera(depth: DepthMap, raw: Camera) -> Camera:
    height, width = depth.values.shape
    camera = depth.camera or raw
    return (
        camera
        if (camera.width_px, camera.height_px) == (width, height)
        else camera.resized(width, height)
    )


def _lifted(xy_px: Floats, values: Floats, kind: str, camera: Camera) -> Floats:
    rays = camera.unproject(xy_px)
    distance = distance_from_z(values, rays) if kind == "z" else values
    return rays * distance[:, None]


def _points(depth: LaserPoints | PixelDepths, raw: Camera) -> Floats:
    if isinstance(depth, LaserPoints):
        return depth.points_cam[depth.points_cam[:, 2] > depth.nearest]
    known = np.isfinite(depth.values) & (depth.values > 0)
    return _lifted(depth.xy_px[known], depth.values[known], depth.kind, raw)


def _raster(points: Floats, camera: Camera) -> Floats:
    xy, points = seen(points, camera)
    found = np.full((camera.height_px, camera.width_px), np.nan)
    column, row = xy.astype(np.intp).T
    found[row, column] = points[:, 2]
    return found
