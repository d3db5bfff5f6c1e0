"""Which doors, passages and windows a room has, and where."""

from collections.abc import Sequence

import numpy as np

from vlm3.worlds.indoors.walls import Opening, WallFrame
from vlm3.worlds.pieces.piece import Rng

_WITH_PASSAGES = ("living", "hall", "kitchen", "corridor")
"""Uses of rooms that may have a wide opening without a leaf."""


class _FreeWalls:
    """What is left of the walls between the openings chosen so far."""

    def __init__(self, walls: Sequence[WallFrame], rng: Rng) -> None:
        self.walls, self.rng = walls, rng
        self.taken: list[list[tuple[float, float]]] = [[] for _ in walls]

    def fit(self, wall: int, width: float) -> float | None:
        """A place along a wall for an opening of that width; None after eight failures."""
        for _ in range(8):
            room = self.walls[wall].length_m - width - 0.5
            if room <= 0:
                return None
            s = 0.25 + float(self.rng.random()) * room
            if all(s + width + 0.3 < a or e + 0.3 < s for a, e in self.taken[wall]):
                self.taken[wall].append((s, s + width))
                return s
        return None


def choose_openings(rng: Rng, use: str, walls: Sequence[WallFrame], height: float) -> list[Opening]:
    """One door or more; then windows in one wall or two, which stores and corridors often lack."""
    free = _FreeWalls(walls, rng)
    openings = _doors(rng, use, free)
    if use not in ("storage", "corridor") or rng.random() >= 0.6:
        openings += _windows(rng, use, free, height)
    return openings


def _doors(rng: Rng, use: str, free: _FreeWalls) -> list[Opening]:
    openings: list[Opening] = []
    long_side = int(np.argmax([f.length_m for f in free.walls])) % 2
    count = 1 + int(rng.random() < 0.4)
    if use in ("corridor", "hall"):
        count += int(rng.integers(1, 4))
    for _ in range(count):
        k = int(rng.integers(4))
        if use == "corridor":
            k = int(rng.choice([long_side, long_side + 2]))
        wide = use in _WITH_PASSAGES and rng.random() < 0.3
        w = float(rng.uniform(1.1, 2.4) if wide else rng.uniform(0.78, 1.0))
        s = free.fit(k, w)
        if s is not None:
            high = float(rng.uniform(1.98, 2.12))
            openings.append(Opening(k, "passage" if wide else "door", s, w, 0.0, high))
    return openings


def _windows(rng: Rng, use: str, free: _FreeWalls, height: float) -> list[Opening]:
    openings: list[Opening] = []
    walls = [int(rng.integers(4))]
    if rng.random() < 0.35:
        walls.append((walls[0] + int(rng.choice([1, 2, 3]))) % 4)
    for k in walls:
        for _ in range(int(rng.integers(1, 4))):
            w = float(rng.uniform(0.7, 2.4))
            s = free.fit(k, w)
            if s is not None:
                low = float(rng.choice([0.85, 0.9, 1.0, 0.45, 0.08], p=[0.3, 0.3, 0.2, 0.1, 0.1]))
                if use == "bathroom":
                    low = 1.2
                high = min(height - 0.15, float(rng.uniform(2.05, 2.35)))
                openings.append(Opening(k, "window", s, w, low, high))
    return openings
