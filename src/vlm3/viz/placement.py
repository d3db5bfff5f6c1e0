"""Where labels go: beside their points, clear of each other, of the points and of the border.

Arrays in, arrays out, in any one unit with y up or down alike; knows no drawing library.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_DIRECTIONS = np.array(
    [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)], dtype=np.float64
)
_RINGS = (1.0, 1.8, 3.0, 4.5, 6.5)
_SWEEPS = 4


def place_labels(anchors: Array, sizes: Array, bounds: ArrayLike, *, gap: float) -> Array:
    """Centres for labels of the given sizes, near their anchors and not overlapping.

    Every label tries eight sides at growing distances; the cheapest place wins, and a few sweeps
    let early labels move again. Where there is no room, the least overlap is returned.

    Args:
        anchors: (n, 2) the points.
        sizes: (n, 2) width and height of each label.
        bounds: x_min, y_min, x_max, y_max that labels should stay inside.
        gap: the least distance between a label's edge and its point.

    Returns:
        (n, 2) label centres.
    """
    count = len(anchors)
    centres = np.array(anchors, dtype=np.float64)
    placed = np.zeros(count, dtype=bool)
    for _ in range(_SWEEPS):
        before = centres.copy()
        for i in range(count):
            places, effort = _candidates(anchors[i], sizes[i], gap)
            others = placed.copy()
            others[i] = False
            cost = effort + _outside(places, sizes[i], bounds)
            cost += _overlap(places, sizes[i], centres[others], sizes[others])
            dots = np.full((count, 2), 1.6 * gap)
            cost += _overlap(places, sizes[i], anchors, dots)
            centres[i] = places[int(np.argmin(cost))]
            placed[i] = True
        if np.array_equal(before, centres):
            break
    return centres


def _candidates(anchor: Array, size: Array, gap: float) -> tuple[Array, Array]:
    """Places around one anchor and how far each is, in gaps (the cost when all else is equal)."""
    rings = np.repeat(_RINGS, len(_DIRECTIONS))
    sides = np.tile(_DIRECTIONS, (len(_RINGS), 1))
    places = anchor + sides * (size / 2 + gap * rings[:, None])
    preference = np.tile(np.arange(len(_DIRECTIONS)), len(_RINGS)) / 10
    return places, rings + preference


def _overlap(places: Array, size: Array, centres: Array, sizes: Array) -> Array:
    """Shared area with other rectangles, in label areas, weighted to outdo any distance."""
    half = (size + sizes) / 2
    shared = np.clip(half - np.abs(places[:, None] - centres), 0, np.minimum(size, sizes))
    return np.asarray(100 * shared.prod(-1).sum(1) / size.prod())


def _outside(places: Array, size: Array, bounds: ArrayLike) -> Array:
    """How far a label leaves the bounds, in its own size; worse than any overlap."""
    least, most = np.reshape(bounds, (2, 2))
    low = least - (places - size / 2)
    high = (places + size / 2) - most
    return np.asarray(1e6 * (np.clip(low, 0, None) + np.clip(high, 0, None)) @ (1 / size))
