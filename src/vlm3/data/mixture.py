"""Which sample comes when (paper, section 4.2): a pure function of the seed and a count.

Sources are drawn in their shares, exactly over every block; each source runs through all its
samples, in an order of its own for each epoch, before any comes again. So the state of a run is one
integer, and any number of processes can share it. Independent draws would show two thirds of a
source in an epoch.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError

_MASK = (1 << 64) - 1
ENDLESS = 1 << 40
"""The length of a source that renders samples on demand."""


@dataclass(frozen=True)
class Draw:
    """One sample of the run: which source, which of its samples, in which epoch of it."""

    source: int
    place: int
    epoch: int


@dataclass(frozen=True)
class Mixture:
    """The plan of a run.

    Attributes:
        sizes: samples in each source.
        weights: their shares, up to a common factor; 0 leaves a source out.
        seed: of all orders.
        block: draws over which the shares are exact.

    Raises:
        InputError: nothing to draw, or a share too small for the block.
    """

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    seed: int = 0
    block: int = 100_000

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.weights) or not self.sizes:
            raise InputError(f"{len(self.sizes)} sources have {len(self.weights)} weights")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; give 0 or more")
        bad = [w for w in self.weights if not (math.isfinite(w) and w >= 0)]
        if bad or not sum(self.weights) > 0:
            raise InputError(f"weights are {self.weights}; give 0 or more, and one above 0")
        for size, weight, count in zip(self.sizes, self.weights, self.counts, strict=True):
            if weight > 0 and size < 1:
                raise InputError("a source with a weight has no samples; leave it out")
            if weight > 0 and count == 0:
                raise InputError(f"the weight {weight:g} is below one in {self.block} draws")

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """How often each source comes in a block: largest remainders."""
        exact = np.asarray(self.weights) / sum(self.weights) * self.block
        counts = np.floor(exact).astype(int)
        short = self.block - int(counts.sum())
        counts[np.argsort(counts - exact, kind="stable")[:short]] += 1
        return tuple(counts.tolist())

    def __getitem__(self, count: int) -> Draw:
        """Draw number `count` of the run, from 0."""
        block, place = divmod(count, self.block)
        sources, ranks = _block(self.counts, self.seed, block)
        source = int(sources[place])
        turn = block * self.counts[source] + int(ranks[place])
        epoch, at = divmod(turn, self.sizes[source])
        return Draw(source, permuted(at, self.sizes[source], _key(self.seed, source, epoch)), epoch)

    def drawn(self, count: int) -> tuple[int, ...]:
        """How many samples of each source are among the first `count` draws."""
        blocks, rest = divmod(count, self.block)
        sources, _ = _block(self.counts, self.seed, blocks)
        last = np.bincount(sources[:rest], minlength=len(self.sizes))
        return tuple(blocks * c + int(r) for c, r in zip(self.counts, last, strict=True))


@lru_cache(4)
def _block(
    counts: tuple[int, ...], seed: int, block: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The sources of one block in order, and how often each came before within it."""
    sources = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, block])).shuffle(sources)
    ranks = np.empty(len(sources), np.int32)
    for source, count in enumerate(counts):
        ranks[sources == source] = np.arange(count)
    return sources, ranks


def _key(*parts: int) -> int:
    text = ",".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def permuted(at: int, size: int, key: int) -> int:
    """Where `at` goes in permutation `key` of range(size), without making the permutation.

    Four Feistel rounds on the next even power of two, walked until the result is inside.
    """
    bits = max(2, (size - 1).bit_length())
    half = (bits + 1) // 2
    mask = (1 << half) - 1
    while True:
        left, right = at >> half, at & mask
        for turn in range(4):
            mixed = (right * 0x9E3779B97F4A7C15 + key + turn * 0xD1B54A32D192ED03) & _MASK
            mixed = ((mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9) & _MASK
            left, right = right, left ^ ((mixed ^ (mixed >> 32)) & mask)
        at = (left << half) | right
        if at < size:
            return at


def weights_of(mode: str, sizes: Sequence[int], table: Sequence[float | None]) -> tuple[float, ...]:
    """Weights by name: "uniform", "size", or "table5" (the paper's).

    Raises:
        InputError: another name, or a source that is not in the table.
    """
    if mode == "uniform":
        return (1.0,) * len(sizes)
    if mode == "size":
        return tuple(float(size) for size in sizes)
    if mode != "table5":
        raise InputError(f"weights are {mode!r}; choose uniform, size or table5")
    known: list[Any] = list(table)
    if None in known:
        raise InputError("a source is not in Table 5; give weights uniform or size")
    return tuple(known)
