"""Weighted least squares over differences, and the weights that make it robust.

Residuals far beyond the noise are of another motion: first sums of absolute residuals, which a
share of them cannot pull far, then a redescending weight that lets go of them. Knows no rotation.
"""

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import MissingDependencyError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

OUTLIER = 5.0
"""Residuals beyond this many robust standard deviations are another motion, not noise."""


def solve_differences(count: int, a: Indices, b: Indices, wanted: Array, weight: Array) -> Array:
    """X (n, 3) with x[b] - x[a] nearest to `wanted` (m, 3), x[0] = 0."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import spsolve

    edges = np.arange(len(a))
    ones = np.ones(len(a))
    incidence = coo_matrix(
        (np.concatenate([ones, -ones]), (np.tile(edges, 2), np.concatenate([b, a]))),
        shape=(len(a), count),
    ).tocsc()[:, 1:]
    weighted = incidence.T.multiply(weight).tocsc()
    found = np.asarray(spsolve((weighted @ incidence).tocsc(), weighted @ wanted))
    return np.concatenate([np.zeros((1, 3)), found.reshape(count - 1, 3)])


def robust_spread(count: int, off: Array, weight: Array, least: float) -> float:
    """Standard deviation along one axis at the highest weight, from the median residual (m, 3).

    The n - 1 smallest are left out: a sum of absolute residuals is least where that many are zero.
    """
    scaled = np.sort(np.linalg.norm(off, axis=1) * np.sqrt(weight))[count - 1 :]
    # The median length of a standard normal vector in space is 1.538.
    return max(float(np.median(scaled)) / 1.538, least) if scaled.size else least


def absolute_weight(scaled: Array, spread: float) -> Array:
    """The weight that makes squares a sum of absolute residuals."""
    return np.asarray(1 / np.maximum(scaled, spread / 100))


def redescending_weight(scaled: Array, spread: float) -> Array:
    """Geman and McClure's weight."""
    scale = (OUTLIER / 2 * spread) ** 2
    return np.asarray((scale / (scale + scaled**2)) ** 2)


def require_scipy() -> None:
    """Refuses to go on without scipy.

    Raises:
        MissingDependencyError: with what to install.
    """
    try:
        import scipy  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "scenes need scipy, which is not installed: pip install 'vlm3[scene]'"
        ) from error
