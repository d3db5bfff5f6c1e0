"""Undistortion: pixels and pictures of a distorted camera -> those of the pinhole with the same K.

Knows no files. Both directions rest on `Camera`; no second lens model lives here.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera

# Rows are done in blocks of about this many pixels: temporaries stay near 50 MB.
_BLOCK_PX = 250_000


def undistort_points(xy_px: ArrayLike, camera: Camera) -> NDArray[np.float64]:
    """Pixels (*n, 2) of the distorted picture -> of the undistorted one; NaN where no ray goes."""
    rays = camera.unproject_z1(xy_px)
    return camera.undistorted().project(rays)


def undistort_image(image: NDArray[np.uint8], camera: Camera) -> tuple[NDArray[np.uint8], Camera]:
    """The picture a pinhole camera with the same K and size would have taken.

    Args:
        image: (height, width, channels) uint8.
        camera: its camera.

    Returns:
        The picture, bilinear, black where the lens saw nothing, and its pinhole camera.

    Raises:
        InputError: picture and camera differ in size.
    """
    if image.ndim != 3 or image.shape[:2] != (camera.height_px, camera.width_px):
        raise InputError(
            f"picture of shape {image.shape} for a {camera.width_px}x{camera.height_px} camera; "
            "give (height, width, channels) of the camera's size"
        )
    straight = camera.undistorted()
    if camera.model == "pinhole":
        return image, straight
    out = np.zeros_like(image)
    rows = max(1, _BLOCK_PX // camera.width_px)
    x = np.arange(camera.width_px) + 0.5
    for top in range(0, camera.height_px, rows):
        y = np.arange(top, min(top + rows, camera.height_px)) + 0.5
        target = np.stack(np.meshgrid(x, y), axis=-1)
        out[top : top + rows] = _sample(image, camera.project(straight.unproject_z1(target)))
    return out, straight


def _sample(image: NDArray[np.uint8], xy_px: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Bilinear values at xy_px (h, w, 2); the edge pixels reach to the border, then black."""
    height, width = image.shape[:2]
    x, y = xy_px[..., 0], xy_px[..., 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    # Array indices count from pixel centres, half a pixel from the corner.
    column = np.clip(np.where(inside, x - 0.5, 0), 0, width - 1)
    row = np.clip(np.where(inside, y - 0.5, 0), 0, height - 1)
    left, top = column.astype(np.intp), row.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    to_right = (column - left).astype(np.float32)[..., None]
    to_bottom = (row - top).astype(np.float32)[..., None]
    pixels = image.reshape(height * width, -1)

    def at(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        values: NDArray[np.uint8] = pixels.take(rows * width + columns, axis=0)
        return values.astype(np.float32)

    upper = at(top, left) * (1 - to_right) + at(top, right) * to_right
    lower = at(bottom, left) * (1 - to_right) + at(bottom, right) * to_right
    values = np.rint(upper * (1 - to_bottom) + lower * to_bottom).astype(np.uint8)
    return np.where(inside[..., None], values, np.uint8(0))
