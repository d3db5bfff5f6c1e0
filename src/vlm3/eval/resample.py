"""Intervals and paired differences by bootstrap over pictures.

Questions about one picture rise and fall together, so whole pictures are drawn, never questions:
an interval over questions would be far too narrow. A measure is a mean of per-sample values, or a
mean of its groups' means (macro), so one resample costs two small matrix products, whatever the
number of answers. Knows no metric and no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK = 50


@dataclass(frozen=True)
class Interval:
    """Where 95 % of the resampled values lie."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """One run's value minus another's on the same samples.

    Attributes:
        value: the difference.
        interval: where 95 % of the resampled differences lie; None from a single picture.
        samples: how many samples both have.
        clusters: of how many pictures.
    """

    value: float
    interval: Interval | None
    samples: int
    clusters: int


@dataclass(frozen=True, eq=False)
class Sums:
    """Per group and picture: the sum and the number of its values, each (groups, clusters)."""

    totals: NDArray[np.float64]
    counts: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        values: ArrayLike,
        clusters: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        over_clusters: bool = False,
    ) -> "Sums":
        """From (n,) values, the picture of each, and for a macro mean the group of each.

        With `over_clusters` each picture counts once, with the mean of its values.

        Raises:
            InputError: nothing there, or lengths that differ.
        """
        flat = np.asarray(values, dtype=np.float64)
        names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
        kinds, group = np.unique(
            np.zeros(len(flat), int) if groups is None else np.asarray(groups), return_inverse=True
        )
        if not len(flat) or len(cluster) != len(flat) or len(group) != len(flat):
            raise InputError(
                f"{len(flat)} values, {len(cluster)} pictures, {len(group)} groups; "
                "give as many of each, at least one"
            )
        cell = group * len(names) + cluster
        shape = (len(kinds), len(names))
        size = shape[0] * shape[1]
        totals = np.bincount(cell, flat, size).reshape(shape).astype(np.float64)
        counts = np.bincount(cell, minlength=size).reshape(shape).astype(np.float64)
        if over_clusters:
            return cls(totals / np.maximum(counts, 1), np.minimum(counts, 1))
        return cls(totals, counts)

    def mean(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The mean under how often each picture was drawn (r, clusters) -> (r,).

        A group that a resample happens to miss is left out of that resample's macro mean.
        """
        drawn = np.ones((1, self.totals.shape[1])) if weights is None else weights
        with np.errstate(invalid="ignore"):
            return np.asarray(np.nanmean((drawn @ self.totals.T) / (drawn @ self.counts.T), axis=1))


def interval(sums: Sums, *, root: bool = False, seed: int = 0) -> Interval | None:
    """The percentile bootstrap interval of the mean, or of its root; None from one picture."""
    drawn = resampled([sums], seed=seed)
    if drawn is None:
        return None
    return _percentiles(np.sqrt(drawn[0]) if root else drawn[0])


def difference(a: Sums, b: Sums, *, root: bool = False, seed: int = 0) -> Difference:
    """Mean of `a` minus mean of `b` over the same pictures in the same order.

    Raises:
        InputError: they are not of the same samples.
    """
    if a.counts.shape != b.counts.shape or not np.array_equal(a.counts, b.counts):
        raise InputError("a paired difference needs the same samples in both runs")
    shape = np.sqrt if root else np.asarray
    drawn = resampled([a, b], seed=seed)
    between = None if drawn is None else _percentiles(shape(drawn[0]) - shape(drawn[1]))
    value = float(shape(a.mean())[0] - shape(b.mean())[0])
    return Difference(value, between, int(a.counts.sum()), a.counts.shape[1])


def resampled(parts: Sequence[Sums], *, seed: int = 0) -> list[NDArray[np.float64]] | None:
    """Means of each part under the same draws of pictures; None where there is only one."""
    pictures = parts[0].totals.shape[1]
    if pictures < 2:
        return None
    rng = np.random.default_rng(seed)
    found: list[list[NDArray[np.float64]]] = [[] for _ in parts]
    for _ in range(0, RESAMPLES, _BLOCK):
        drawn = rng.integers(0, pictures, (_BLOCK, pictures))
        drawn += np.arange(_BLOCK)[:, None] * pictures
        times = np.bincount(drawn.ravel(), minlength=_BLOCK * pictures)
        weights = times.reshape(_BLOCK, pictures).astype(np.float64)
        for out, part in zip(found, parts, strict=True):
            out.append(part.mean(weights))
    return [np.concatenate(out) for out in found]


def _percentiles(drawn: NDArray[np.float64]) -> Interval:
    edge = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(drawn, [edge, 100 - edge])
    return Interval(float(low), float(high))
