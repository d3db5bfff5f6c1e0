"""Where things stand in a room: a plan that keeps what is taken, and puts pieces on free floor.

Knows no uses of rooms; `furnish` does.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from vlm3.worlds.indoors.walls import Opening, WallFrame
from vlm3.worlds.pieces.furniture import FURNITURE
from vlm3.worlds.pieces.piece import Makers, Piece
from vlm3.worlds.plan import WorldPlan

Rect = tuple[float, float, float, float]


@dataclass(frozen=True)
class OnWall:
    """A stretch of a wall that something stands at or hangs on: along it, and in height."""

    wall: int
    from_m: float
    to_m: float
    low_m: float
    high_m: float


@dataclass(kw_only=True)
class FloorPlan(WorldPlan):
    """What has been put where, while a room is furnished."""

    makers: ClassVar[Makers] = FURNITURE
    pack_share: ClassVar[float] = 0.7

    use: str
    width: float
    depth: float
    height: float
    walls: tuple[WallFrame, ...]
    openings: list[Opening]
    taken: list[Rect] = field(default_factory=list)
    tops: list[tuple[Piece, tuple[float, float, float], float]] = field(default_factory=list)
    on_walls: list[OnWall] = field(default_factory=list)

    @property
    def area_m2(self) -> float:
        """Area of the floor."""
        return self.width * self.depth

    def free(self, rect: Rect, gap: float = 0.04) -> bool:
        """Whether a rectangle is inside the room and clear of what stands there."""
        x0, y0, x1, y1 = rect
        if x0 < 0.01 or y0 < 0.01 or x1 > self.width - 0.01 or y1 > self.depth - 0.01:
            return False
        return all(
            x1 + gap <= a or c + gap <= x0 or y1 + gap <= b or d + gap <= y0
            for a, b, c, d in self.taken
        )

    def put(
        self, piece: Piece, at: tuple[float, float, float], yaw: float, *, solid: bool = True
    ) -> None:
        """Draw a piece and note its object, footprint and top."""
        self.add_piece(piece, at, yaw)
        w, d, _ = piece.size_wdh_m
        if solid:
            self.taken.append(footprint(at[0], at[1], w, d, yaw))
        if piece.top_m > 0:
            self.tops.append((piece, at, yaw))

    def against_wall(
        self, piece: Piece, *, wall: int | None = None, tries: int = 14
    ) -> tuple[int, float] | None:
        """Put a piece with its back to a wall; returns (wall, place along) or None."""
        w, d, h = piece.size_wdh_m
        for _ in range(tries):
            k = int(self.rng.integers(4)) if wall is None else wall
            frame = self.walls[k]
            if frame.length_m < w + 0.1:
                continue
            if self.rng.random() < 0.4:
                s = float(self.rng.choice([w / 2 + 0.03, frame.length_m - w / 2 - 0.03]))
            else:
                s = float(self.rng.uniform(w / 2 + 0.02, frame.length_m - w / 2 - 0.02))
            if any(
                o.wall == k
                and o.meets(s, w / 2, 0.05)
                and (o.kind != "window" or h > o.low_m + 0.05)
                for o in self.openings
            ):
                continue
            base = frame.at(s, 0.0, -(d / 2 + 0.025))
            if self.free(footprint(base[0], base[1], w, d, frame.yaw_rad)):
                self.put(piece, (float(base[0]), float(base[1]), 0.0), frame.yaw_rad)
                self.on_walls.append(OnWall(k, s - w / 2, s + w / 2, 0.0, h))
                return k, s
        return None

    def some_against_walls(self, chances: Iterable[tuple[str, float]], *, tries: int = 14) -> None:
        """Put a model of each category at a wall, with the chance that stands beside it."""
        for category, chance in chances:
            if self.rng.random() < chance:
                self.against_wall(self.model(category), tries=tries)

    def anywhere(
        self, piece: Piece, yaw: float, *, tries: int = 14, margin: float = 0.3
    ) -> tuple[float, float] | None:
        """Put a piece on free floor; a room narrower than two margins has none."""
        w, d, _ = piece.size_wdh_m
        if min(self.width, self.depth) <= 2 * margin:
            return None
        for _ in range(tries):
            x = float(self.rng.uniform(margin, self.width - margin))
            y = float(self.rng.uniform(margin, self.depth - margin))
            if self.free(footprint(x, y, w, d, yaw)):
                self.put(piece, (x, y, 0.0), yaw)
                return x, y
        return None


def footprint(x: float, y: float, w: float, d: float, yaw: float) -> Rect:
    """Axis-aligned rectangle around a turned one."""
    c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
    hx, hy = float(w * c + d * s) / 2, float(w * s + d * c) / 2
    return (x - hx, y - hy, x + hx, y + hy)
