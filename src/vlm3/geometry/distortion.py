"""Lens distortion on the normalised image plane: Brown-Conrady and Kannala-Brandt, both ways.

Works on rays, not on pixels: knows no focal length, no principal point and no picture size.
Coefficients stand in OpenCV's order. A polynomial lens model is one-to-one only up to some angle
from the axis; past it the picture folds over. Both directions return NaN there, not a wrong place.

Formulas: OpenCV's documentation of the camera calibration and of the fisheye module.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Rays flatter than this (0.06 degrees from the image plane's own direction) have no place on z = 1.
_LARGEST_RADIUS = 1e3
_BISECTIONS = 45
_NEWTON_STEPS = 12
_NEWTON_TOLERANCE = 1e-9


def distort_brown_conrady(xy: Array, coefficients: tuple[float, ...]) -> Array:
    """Where the lens puts rays: (*n, 2) on the plane z = 1 -> (*n, 2), NaN where it folds over.

    Args:
        xy: undistorted x/z, y/z.
        coefficients: k1, k2, p1, p2[, k3[, k4, k5, k6]].
    """
    inside = np.hypot(xy[..., 0], xy[..., 1]) < brown_conrady_limit(coefficients)
    xy = np.where(inside[..., None], xy, np.nan)
    return _brown_conrady(xy, coefficients)


def undistort_brown_conrady(xy: Array, coefficients: tuple[float, ...]) -> Array:
    """Inverse of `distort_brown_conrady`; NaN where no ray arrives. Accurate to 1e-9."""
    k, p1, p2 = _unpack(coefficients)
    radius = np.hypot(xy[..., 0], xy[..., 1])
    # Radial part alone first: it is monotone, so the start lies on the right branch.
    start = _invert_monotone(
        lambda r: r * _radial(r * r, k), radius, brown_conrady_limit(coefficients)
    )
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        guess = xy * np.where(radius > 0, start / radius, 1.0)[..., None]
        if p1 == 0 and p2 == 0:
            return guess
        for _ in range(_NEWTON_STEPS):
            residual = _brown_conrady(guess, coefficients) - xy
            jacobian = _brown_conrady_jacobian(guess, coefficients)
            a, b, c, d = (jacobian[..., i, j] for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
            det = a * d - b * c
            step_x = (d * residual[..., 0] - b * residual[..., 1]) / det
            step_y = (a * residual[..., 1] - c * residual[..., 0]) / det
            guess = guess - np.stack([step_x, step_y], axis=-1)
        error = np.abs(_brown_conrady(guess, coefficients) - xy).max(axis=-1)
        converged = error < _NEWTON_TOLERANCE * (1 + radius)
    return np.where(converged[..., None], guess, np.nan)


@lru_cache(maxsize=256)
def brown_conrady_limit(coefficients: tuple[float, ...]) -> float:
    """The radius x/z at which the radial part stops growing (infinity when it never does)."""
    (k1, k2, k3, k4, k5, k6), _, _ = _unpack(coefficients)
    above = np.poly1d([k3, k2, k1, 1.0])
    below = np.poly1d([k6, k5, k4, 1.0])
    # d/dr of r N(s)/D(s) with s = r^2 has the sign of N D + 2 s (N' D - N D').
    two_s = np.poly1d([2.0, 0.0])
    slope = above * below + two_s * (above.deriv() * below - above * below.deriv())
    return float(np.sqrt(min(_smallest_positive_root(slope), _smallest_positive_root(below))))


def distort_fisheye(theta_rad: Array, coefficients: tuple[float, ...]) -> Array:
    """Angle from the axis -> radius on the plane: theta (1 + k1 theta^2 + ... + k4 theta^8)."""
    theta = np.where(theta_rad < fisheye_limit_rad(coefficients), theta_rad, np.nan)
    return _fisheye(theta, coefficients)


def undistort_fisheye(radius: Array, coefficients: tuple[float, ...]) -> Array:
    """Inverse of `distort_fisheye`: radius on the plane -> angle; NaN past the lens."""
    limit = fisheye_limit_rad(coefficients)
    return _invert_monotone(lambda theta: _fisheye(theta, coefficients), radius, limit)


@lru_cache(maxsize=256)
def fisheye_limit_rad(coefficients: tuple[float, ...]) -> float:
    """The angle at which the radius stops growing; pi, straight behind, when it never does."""
    k1, k2, k3, k4 = coefficients
    slope = np.poly1d([9 * k4, 7 * k3, 5 * k2, 3 * k1, 1.0])
    return min(float(np.sqrt(_smallest_positive_root(slope))), float(np.pi))


def _unpack(coefficients: tuple[float, ...]) -> tuple[tuple[float, ...], float, float]:
    k1, k2, p1, p2, *rest = coefficients
    k3, k4, k5, k6 = (*rest, *(0.0,) * (4 - len(rest)))
    return (k1, k2, k3, k4, k5, k6), p1, p2


def _radial(s: Array, k: tuple[float, ...]) -> Array:
    k1, k2, k3, k4, k5, k6 = k
    above: Array = 1 + s * (k1 + s * (k2 + s * k3))
    return above / (1 + s * (k4 + s * (k5 + s * k6)))


def _brown_conrady(xy: Array, coefficients: tuple[float, ...]) -> Array:
    k, p1, p2 = _unpack(coefficients)
    x, y = xy[..., 0], xy[..., 1]
    with np.errstate(over="ignore", invalid="ignore"):
        s = x * x + y * y
        radial = _radial(s, k)
        x_bent = x * radial + 2 * p1 * x * y + p2 * (s + 2 * x * x)
        y_bent = y * radial + p1 * (s + 2 * y * y) + 2 * p2 * x * y
    return np.stack([x_bent, y_bent], axis=-1)


def _brown_conrady_jacobian(xy: Array, coefficients: tuple[float, ...]) -> Array:
    k, p1, p2 = _unpack(coefficients)
    k1, k2, k3, k4, k5, k6 = k
    x, y = xy[..., 0], xy[..., 1]
    s = x * x + y * y
    below = 1 + s * (k4 + s * (k5 + s * k6))
    radial = _radial(s, k)
    slope = (k1 + s * (2 * k2 + s * 3 * k3) - radial * (k4 + s * (2 * k5 + s * 3 * k6))) / below
    xx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
    xy_ = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    yy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
    return np.stack([np.stack([xx, xy_], axis=-1), np.stack([xy_, yy], axis=-1)], axis=-2)


def _fisheye(theta: Array, coefficients: tuple[float, ...]) -> Array:
    k1, k2, k3, k4 = coefficients
    s = theta * theta
    return theta * (1 + s * (k1 + s * (k2 + s * (k3 + s * k4))))


def _smallest_positive_root(polynomial: np.poly1d) -> float:
    """Of a polynomial whose constant term is 1; infinity where there is none."""
    # Through the roots' reciprocals: then the leading coefficient is 1, however small the others.
    inverse = np.atleast_1d(np.roots(polynomial.coeffs[::-1]))
    real = inverse.real[np.abs(inverse.imag) < 1e-9 * (1 + np.abs(inverse.real))]
    largest = real.max(initial=0.0)
    # Roots beyond 1e12 lie past any ray; dividing by less than that might overflow.
    return float(1 / largest) if largest > 1e-12 else float("inf")


def _invert_monotone(function: Callable[[Array], Array], target: Array, limit: float) -> Array:
    """The x in [0, limit) with function(x) = target, by bisection; NaN where there is none."""
    low = np.zeros_like(target)
    # Just inside: the limit itself may be a pole of the rational model.
    high = np.full_like(target, min(limit * (1 - 1e-9), _LARGEST_RADIUS))
    reachable = (target >= 0) & (target < function(high))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = function(middle) < target
        low = np.where(below, middle, low)
        high = np.where(below, high, middle)
    return np.where(reachable, (low + high) / 2, np.nan)
