"""Camera: intrinsics, distortion and picture size as one frozen value.

Pixels are continuous: the top-left pixel's centre is (0.5, 0.5), so the picture spans
[0, width_px) x [0, height_px) and a resize is a pure scale. Axes are OpenCV's: X right, Y down,
Z forward. Knows no picture, no file and no pose.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError
from vlm3.geometry.lens import COEFFICIENT_COUNTS, LensModel, plane_from_points, rays_from_plane


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, or one with Brown-Conrady or Kannala-Brandt (fisheye) distortion.

    Attributes:
        fx_px: focal length along x; positive.
        fy_px: focal length along y; positive.
        cx_px: principal point, measured from the picture's left edge (pixel centres at +0.5).
        cy_px: principal point, measured from the picture's top edge.
        width_px: picture width.
        height_px: picture height.
        distortion: coefficients in OpenCV's order: k1 k2 p1 p2 [k3 [k4 k5 k6]] for
            `brown_conrady`, k1 k2 k3 k4 for `fisheye`, none for `pinhole`.
        model: which lens the coefficients describe.

    Raises:
        InputError: a focal length or side that is not positive, a value that is not finite, or a
            number of coefficients the model does not have.
    """

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    width_px: int
    height_px: int
    distortion: tuple[float, ...] = ()
    model: LensModel = "pinhole"

    def __post_init__(self) -> None:
        for name in ("fx_px", "fy_px", "cx_px", "cy_px"):
            value = _finite(name, getattr(self, name))
            if name.startswith("f") and value <= 0:
                raise InputError(
                    f"camera {name} is {value:g}; a focal length must be positive: "
                    "give it in pixels of this picture"
                )
            object.__setattr__(self, name, value)
        for name in ("width_px", "height_px"):
            object.__setattr__(self, name, _side(name, getattr(self, name)))
        if self.model not in COEFFICIENT_COUNTS:
            raise InputError(
                f"camera model is {self.model!r}; choose one of {', '.join(COEFFICIENT_COUNTS)}"
            )
        distortion = tuple(_finite("distortion", value) for value in self.distortion)
        allowed = COEFFICIENT_COUNTS[self.model]
        if len(distortion) not in allowed:
            raise InputError(
                f"{len(distortion)} distortion coefficients for a {self.model} camera; "
                f"it takes {' or '.join(map(str, allowed))}: pad with zeros or change `model`"
            )
        object.__setattr__(self, "distortion", distortion)

    @classmethod
    def from_K(  # noqa: N802 - K is the field's own name
        cls,
        K: ArrayLike,
        *,
        width_px: int,
        height_px: int,
        distortion: Sequence[float] = (),
        model: LensModel = "pinhole",
        pixel_origin: Literal["corner", "center"] = "corner",
    ) -> Self:
        """Camera from a 3x3 intrinsic matrix.

        Args:
            K: (3, 3), [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].
            width_px: picture width.
            height_px: picture height.
            distortion: coefficients of `model`.
            model: the lens model.
            pixel_origin: what K calls (0, 0): the picture's corner, as everywhere in vlm3, or the
                centre of the top-left pixel, as OpenCV does; the latter adds 0.5 to cx and cy.

        Raises:
            InputError: K is not 3x3, has skew, or its last row is not 0 0 1.
        """
        try:
            matrix = np.asarray(K, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("K is not numeric; give a 3x3 matrix of numbers") from None
        if matrix.shape != (3, 3):
            raise InputError(
                f"K has shape {matrix.shape}; give 3x3, or Camera(fx_px, fy_px, cx_px, cy_px, ...)"
            )
        if not np.allclose(matrix[2], [0, 0, 1]) or abs(matrix[1, 0]) > 1e-9:
            raise InputError(
                "K is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; divide by K[2, 2] or transpose it"
            )
        if abs(matrix[0, 1]) > 1e-6 * abs(matrix[0, 0]):
            raise InputError(
                f"K has skew {matrix[0, 1]:g}; only zero skew is supported: rectify the picture"
            )
        if pixel_origin not in ("corner", "center"):
            raise InputError(f"pixel_origin is {pixel_origin!r}; choose 'corner' or 'center'")
        shift = 0.5 if pixel_origin == "center" else 0.0
        return cls(
            fx_px=matrix[0, 0],
            fy_px=matrix[1, 1],
            cx_px=matrix[0, 2] + shift,
            cy_px=matrix[1, 2] + shift,
            width_px=width_px,
            height_px=height_px,
            distortion=tuple(distortion),
            model=model,
        )

    @classmethod
    def from_fov(cls, fov_deg: float, *, width_px: int, height_px: int) -> Self:
        """Centred camera with square pixels from its horizontal field of view in degrees.

        Raises:
            InputError: the field of view is not between 0 and 180 degrees.
        """
        fov_deg = _finite("fov_deg", fov_deg)
        if not 0 < fov_deg < 180:
            raise InputError(
                f"fov_deg is {fov_deg:g}; give the horizontal field of view, "
                "more than 0 and less than 180 degrees"
            )
        f_px = _side("width_px", width_px) / 2 / math.tan(math.radians(fov_deg) / 2)
        return cls(f_px, f_px, width_px / 2, height_px / 2, width_px, height_px)

    @property
    def K(self) -> NDArray[np.float64]:  # noqa: N802 - K is the field's own name
        """(3, 3) intrinsic matrix; its origin is the picture's top-left corner."""
        return np.array(
            [[self.fx_px, 0.0, self.cx_px], [0.0, self.fy_px, self.cy_px], [0.0, 0.0, 1.0]]
        )

    @property
    def fov_deg(self) -> tuple[float, float]:
        """Horizontal and vertical field of view through the principal point, edge to edge.

        NaN where the lens model has no ray for an edge.
        """
        ends = self.unproject(
            [
                [0.0, self.cy_px],
                [self.width_px, self.cy_px],
                [self.cx_px, 0.0],
                [self.cx_px, self.height_px],
            ]
        )
        left, right = np.degrees(np.arctan2(ends[:2, 0], ends[:2, 2]))
        top, bottom = np.degrees(np.arctan2(ends[2:, 1], ends[2:, 2]))
        return float(right - left), float(bottom - top)

    def project(self, points_cam_m: ArrayLike) -> NDArray[np.float64]:
        """Points in the camera's frame -> pixels.

        Args:
            points_cam_m: (*n, 3); any unit of length.

        Returns:
            xy_px (*n, 2). NaN behind the camera (z <= 0) and where the lens model folds over; a
            fisheye sees past 90 degrees, up to where its own polynomial ends. Pixels outside the
            picture are returned as they are: see `contains`.
        """
        points = _coordinates("points_cam_m", points_cam_m, 3)
        plane = plane_from_points(points, self.model, self.distortion)
        return self._pixels(plane)

    def unproject(self, xy_px: ArrayLike) -> NDArray[np.float64]:
        """Pixels (*n, 2) -> unit rays (*n, 3), camera's frame; NaN where the lens has none."""
        rays = self._rays(xy_px)
        unit: NDArray[np.float64] = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        return unit

    def unproject_z1(self, xy_px: ArrayLike) -> NDArray[np.float64]:
        """Pixels (*n, 2) -> rays (*n, 3) with z = 1; NaN where the ray does not go forward."""
        rays = self._rays(xy_px)
        if self.model != "fisheye":
            return rays
        z = rays[..., 2:]
        rays_z1: NDArray[np.float64] = rays / np.where(z > 0, z, np.nan)
        return rays_z1

    def resized(self, width_px: int, height_px: int) -> Self:
        """The camera of the picture resized to this size; each axis scales by its own factor."""
        scale_x = _side("width_px", width_px) / self.width_px
        scale_y = _side("height_px", height_px) / self.height_px
        return replace(
            self,
            fx_px=self.fx_px * scale_x,
            fy_px=self.fy_px * scale_y,
            cx_px=self.cx_px * scale_x,
            cy_px=self.cy_px * scale_y,
            width_px=width_px,
            height_px=height_px,
        )

    def cropped(self, x0_px: int, y0_px: int, width_px: int, height_px: int) -> Self:
        """The camera of the crop whose top-left corner is (x0_px, y0_px).

        Raises:
            InputError: the crop does not lie inside the picture.
        """
        right, bottom = x0_px + width_px, y0_px + height_px
        if x0_px < 0 or y0_px < 0 or right > self.width_px or bottom > self.height_px:
            raise InputError(
                f"crop from ({x0_px}, {y0_px}) to ({right}, {bottom}) leaves the "
                f"{self.width_px}x{self.height_px} picture; choose one inside it"
            )
        return replace(
            self,
            cx_px=self.cx_px - x0_px,
            cy_px=self.cy_px - y0_px,
            width_px=width_px,
            height_px=height_px,
        )

    def undistorted(self) -> Self:
        """The pinhole camera with the same K and size, as `undistort_image` renders it."""
        return replace(self, distortion=(), model="pinhole")

    def contains(self, xy_px: ArrayLike) -> NDArray[np.bool_]:
        """Whether pixels (*n, 2) lie in [0, width) x [0, height); NaN does not. -> (*n,)."""
        xy = _coordinates("xy_px", xy_px, 2)
        x, y = xy[..., 0], xy[..., 1]
        inside = (x >= 0) & (x < self.width_px) & (y >= 0) & (y < self.height_px)
        return np.asarray(inside, dtype=np.bool_)

    def _plane(self, xy_px: ArrayLike) -> NDArray[np.float64]:
        xy = _coordinates("xy_px", xy_px, 2)
        plane: NDArray[np.float64] = (xy - [self.cx_px, self.cy_px]) / [self.fx_px, self.fy_px]
        return plane

    def _rays(self, xy_px: ArrayLike) -> NDArray[np.float64]:
        """Rays (*n, 3): of unit length for a fisheye, with z = 1 otherwise."""
        return rays_from_plane(self._plane(xy_px), self.model, self.distortion)

    def _pixels(self, plane: NDArray[np.float64]) -> NDArray[np.float64]:
        xy: NDArray[np.float64] = plane * [self.fx_px, self.fy_px] + [self.cx_px, self.cy_px]
        return xy


def _coordinates(name: str, values: ArrayLike, dimensions: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != dimensions:
        raise InputError(
            f"{name} has shape {array.shape}; its last axis must hold {dimensions} coordinates"
        )
    return array


def _finite(name: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"camera {name} is {value!r}; give a number") from None
    if not math.isfinite(number):
        raise InputError(f"camera {name} is {number}; give a finite number")
    return number


def _side(name: str, value: object) -> int:
    number = _finite(name, value)
    if number < 1 or number != int(number):
        raise InputError(f"camera {name} is {number:g}; a side is a whole number of pixels, 1 up")
    return int(number)
