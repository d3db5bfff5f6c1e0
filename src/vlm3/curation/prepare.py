"""Prepare a raw frame: an undistorted picture of the right size, its camera, its questions.

A picture whose focal length is above the one that is trained with is reduced to the very size that
training asks for (`ResizePlan`), so that training finds nothing left to resize. A smaller one is
kept as it is, to the byte if it is a JPEG: enlarging would only cost disk. What the picture shows
by its depth is `StoredFrame`'s.
"""

import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.curation.intrinsics import Calibration
from vlm3.curation.stored import StoredFrame
from vlm3.data.decoding import decode
from vlm3.datasets.base import (
    Floats,
    PictureData,
    RawFrame,
)
from vlm3.errors import InputError
from vlm3.geometry.focal import plan_focal
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


@dataclass(frozen=True)
class Size:
    """To what pictures are reduced; see `geometry.focal.plan_focal`. `f_px` 0 keeps every size."""

    f_px: float = 1000.0
    multiple_px: int = 32


def prepare(raw: RawFrame, size: Size, calibration: Calibration) -> tuple[StoredFrame, bytes]:
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
    kept = StoredFrame(replace(raw, camera=camera), stored, intrinsics, fingerprint_of(image))
    untouched = image is picture.image
    return kept, same if same is not None and untouched else encode(image)


def questions(kept: StoredFrame) -> tuple[ObjectQuestion, ...]:
    """The object questions with their boxes in the stored picture; boxes outside drop theirs."""
    raw, stored = kept.raw_camera, kept.camera
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
