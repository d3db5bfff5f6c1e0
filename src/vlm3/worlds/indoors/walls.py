"""Walls of a rectangular room: where they stand, the openings in them, their inner surface."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.primitives import Floats


@dataclass(frozen=True)
class Opening:
    """A hole in a wall: from `along_m` over `width_m`, between two heights."""

    wall: int
    kind: Literal["door", "passage", "window"]
    along_m: float
    width_m: float
    low_m: float
    high_m: float

    @property
    def middle_m(self) -> float:
        """Where its middle is along the wall."""
        return self.along_m + self.width_m / 2

    @property
    def end_m(self) -> float:
        """Where it ends along the wall."""
        return self.along_m + self.width_m

    @property
    def tall_m(self) -> float:
        """Its height."""
        return self.high_m - self.low_m

    def meets(self, s: float, half_m: float, gap_m: float) -> bool:
        """Whether something about s along the wall comes within `gap_m` of it."""
        return self.along_m - half_m - gap_m < s < self.end_m + half_m + gap_m


@dataclass(frozen=True)
class WallFrame:
    """One wall of a rectangular room: inner surface from `start` along `along`; `inward` normal."""

    start: Floats
    along: Floats
    inward: Floats
    length_m: float

    def at(self, s: float, z: float, out: float = 0.0) -> Floats:
        """The point s metres along, z up, `out` metres behind the inner surface."""
        point = self.start + self.along * s - self.inward * out
        return np.array([point[0], point[1], z])

    @property
    def yaw_rad(self) -> float:
        """Yaw that turns a piece's back (+y) to this wall."""
        return float(np.arctan2(self.inward[0], -self.inward[1]))

    def box_size(self, length: float, depth: float, height: float) -> tuple[float, float, float]:
        """Size of a box with its length along this wall, which is parallel to an axis."""
        if abs(self.along[0]) > 0.5:
            return (length, depth, height)
        return (depth, length, height)


@dataclass(frozen=True)
class Band:
    """The lowest part of a wall, up to `high_m`, in another material: skirting, or tiles."""

    row: int
    high_m: float


def wall_frames(x0: float, y0: float, x1: float, y1: float) -> tuple[WallFrame, ...]:
    """South, east, north, west walls of a rectangle, counter-clockwise."""
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)
    frames = []
    for k in range(4):
        step = corners[(k + 1) % 4] - corners[k]
        length = float(np.linalg.norm(step))
        along = step / length
        frames.append(WallFrame(corners[k], along, np.array([-along[1], along[0]]), length))
    return tuple(frames)


def draw_surface(
    b: MeshBuilder,
    frame: WallFrame,
    height: float,
    openings: Sequence[Opening],
    row: int,
    dado: Band | None,
) -> None:
    """The inner surface with its holes, in another material up to the dado's height."""
    xs = {0.0, frame.length_m, *(o.along_m for o in openings), *(o.end_m for o in openings)}
    zs = {0.0, height, *(o.low_m for o in openings), *(o.high_m for o in openings)}
    if dado:
        zs.add(dado.high_m)
    levels = sorted(z for z in zs if 0.0 <= z <= height)
    for s0, s1 in pairwise(sorted(xs)):
        for z0, z1 in pairwise(levels):
            s, z = (s0 + s1) / 2, (z0 + z1) / 2
            if any(o.along_m < s < o.end_m and o.low_m < z < o.high_m for o in openings):
                continue
            uv = np.array([[s0, z0], [s1, z0], [s1, z1], [s0, z1]])
            corners = np.array([frame.at(*point) for point in uv.tolist()])
            b.quad(corners, dado.row if dado and z < dado.high_m else row, uv=uv)


def draw_reveals(
    b: MeshBuilder, frame: WallFrame, openings: Sequence[Opening], thickness: float, row: int
) -> None:
    """The sides of the holes: left, right, top, and bottom unless it is the floor."""
    for o in openings:
        a, e = o.along_m, o.end_m
        for p, q in (
            ((a, o.low_m), (a, o.high_m)),
            ((e, o.low_m), (e, o.high_m)),
            ((a, o.high_m), (e, o.high_m)),
            ((a, o.low_m), (e, o.low_m)),
        ):
            if p[1] == q[1] == 0.0:
                continue
            corners = [frame.at(*p), frame.at(*q), frame.at(*q, thickness), frame.at(*p, thickness)]
            b.quad(np.array(corners), row)


def draw_skirting(
    b: MeshBuilder, frame: WallFrame, openings: Sequence[Opening], skirting: Band
) -> None:
    """A board along the floor, with gaps at what opens down to it."""
    cuts = sorted((o.along_m, o.end_m) for o in openings if o.low_m == 0.0)
    start = 0.0
    for a, e in [*cuts, (frame.length_m, frame.length_m)]:
        if a - start > 0.02:
            at = frame.at((start + a) / 2, skirting.high_m / 2, -0.006)
            b.box(at, frame.box_size(a - start, 0.012, skirting.high_m), skirting.row)
        start = e
