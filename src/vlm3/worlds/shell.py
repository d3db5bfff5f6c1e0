"""Room shells: floor, ceiling, walls with openings, frames, doors, windows, the world outside.

Works on a `MeshBuilder`; returns openings and lamps. Knows no furniture.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.worlds.materials import (
    ASPHALT,
    GRASS,
    LEAVES,
    WINDOWS,
    Material,
    MaterialTable,
    hsv,
    pick,
    plaster,
    srgb,
)
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.scene import AreaLamp, SceneObject

Rng = np.random.Generator
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Opening:
    """A hole in a wall: from `along_m` over `width_m`, between two heights."""

    wall: int
    kind: Literal["door", "passage", "window"]
    along_m: float
    width_m: float
    low_m: float
    high_m: float


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


def draw_wall(
    b: MeshBuilder,
    frame: WallFrame,
    height: float,
    openings: list[Opening],
    row: int,
    *,
    thickness: float,
    reveal: int,
    skirting: tuple[int, float] | None,
    dado: tuple[int, float] | None = None,
) -> None:
    """Inner surface with holes, reveals around the holes, skirting, a different lower part."""
    xs = sorted(
        {
            0.0,
            frame.length_m,
            *(o.along_m for o in openings),
            *(o.along_m + o.width_m for o in openings),
        }
    )
    zs = {0.0, height, *(o.low_m for o in openings), *(o.high_m for o in openings)}
    if dado:
        zs.add(dado[1])
    levels = sorted(z for z in zs if 0.0 <= z <= height)
    for s0, s1 in pairwise(xs):
        for z0, z1 in pairwise(levels):
            s, z = (s0 + s1) / 2, (z0 + z1) / 2
            if any(
                o.along_m < s < o.along_m + o.width_m and o.low_m < z < o.high_m for o in openings
            ):
                continue
            corners = np.array(
                [frame.at(s0, z0), frame.at(s1, z0), frame.at(s1, z1), frame.at(s0, z1)]
            )
            uv = np.array([[s0, z0], [s1, z0], [s1, z1], [s0, z1]])
            b.quad(corners, dado[0] if dado and z < dado[1] else row, uv=uv)
    for o in openings:
        a, e = o.along_m, o.along_m + o.width_m
        for p, q in (
            ((a, o.low_m), (a, o.high_m)),
            ((e, o.low_m), (e, o.high_m)),
            ((a, o.high_m), (e, o.high_m)),
            ((a, o.low_m), (e, o.low_m)),
        ):
            if p[1] == q[1] == 0.0:
                continue
            b.quad(
                np.array(
                    [frame.at(*p), frame.at(*q), frame.at(*q, thickness), frame.at(*p, thickness)]
                ),
                reveal,
            )
    if skirting:
        row_s, tall = skirting
        cuts = sorted((o.along_m, o.along_m + o.width_m) for o in openings if o.low_m == 0.0)
        start = 0.0
        for a, e in [*cuts, (frame.length_m, frame.length_m)]:
            if a - start > 0.02:
                at = frame.at((start + a) / 2, tall / 2, -0.006)
                b.box(at, _along(frame, a - start, 0.012, tall), row_s)
            start = e


def _along(
    frame: WallFrame, length: float, depth: float, height: float
) -> tuple[float, float, float]:
    """Box size with its length along an axis-aligned wall."""
    if abs(frame.along[0]) > 0.5:
        return (length, depth, height)
    return (depth, length, height)


def draw_window(
    b: MeshBuilder, frame: WallFrame, o: Opening, rng: Rng, rows: dict[str, int], thickness: float
) -> None:
    """Frame bars, sill and sometimes curtains or a blind."""
    bar, out = 0.05, thickness * 0.6
    mid_z = (o.low_m + o.high_m) / 2
    tall = o.high_m - o.low_m
    splits = max(1, round(o.width_m / rng.uniform(0.6, 1.3)))
    for k in range(splits + 1):
        s = o.along_m + bar / 2 + (o.width_m - bar) * k / splits
        b.box(frame.at(s, mid_z, out), _along(frame, bar, 0.06, tall), rows["frame"])
    for z in [o.low_m + bar / 2, o.high_m - bar / 2] + (
        [mid_z + tall * 0.2] if rng.random() < 0.3 else []
    ):
        b.box(
            frame.at(o.along_m + o.width_m / 2, z, out),
            _along(frame, o.width_m, 0.06, bar),
            rows["frame"],
        )
    b.box(
        frame.at(o.along_m + o.width_m / 2, o.low_m - 0.015, -0.05),
        _along(frame, o.width_m + 0.16, 0.2, 0.03),
        rows["frame"],
    )
    style = rng.random()
    if style < 0.35:  # curtains at both sides, in folds
        for side in (0, 1):
            width = o.width_m * rng.uniform(0.12, 0.3)
            folds = max(3, int(width / 0.07))
            low = rng.choice([0.03, o.low_m - 0.15])
            for k in range(folds):
                s = o.along_m - 0.1 + (k + 0.5) * width / folds
                if side:
                    s = 2 * o.along_m + o.width_m - s
                at = frame.at(s, (low + o.high_m + 0.12) / 2, -0.09 - 0.02 * (k % 2))
                b.cylinder(
                    at, width / folds * 1.25, o.high_m + 0.12 - low, rows["curtain"], segments=6
                )
        b.box(
            frame.at(o.along_m + o.width_m / 2, o.high_m + 0.13, -0.09),
            _along(frame, o.width_m + 0.5, 0.02, 0.02),
            rows["metal"],
        )
    elif style < 0.55:  # blind, partly down
        drop = tall * rng.uniform(0.15, 1.0)
        b.box(
            frame.at(o.along_m + o.width_m / 2, o.high_m - drop / 2, 0.01),
            _along(frame, o.width_m - 0.02, 0.008, drop),
            rows["curtain"],
        )


def draw_door(
    b: MeshBuilder, frame: WallFrame, o: Opening, rng: Rng, rows: dict[str, int], leaf: int | None
) -> float:
    """Casing, and a leaf (object id `leaf`) with handle, closed or ajar; returns the swing."""
    for side in (0.0, 1.0):
        s = o.along_m + side * o.width_m + (side - 0.5) * 0.07
        b.box(
            frame.at(s, o.high_m / 2, -0.008),
            _along(frame, 0.07, 0.02, o.high_m),
            rows["door frame"],
        )
    b.box(
        frame.at(o.along_m + o.width_m / 2, o.high_m + 0.035, -0.008),
        _along(frame, o.width_m + 0.14, 0.02, 0.07),
        rows["door frame"],
    )
    if leaf is None:
        return 0.0
    swing = 0.0 if rng.random() < 0.65 else float(rng.uniform(0.5, 1.7))
    hinge = frame.at(o.along_m, 0.0, 0.04 if swing == 0 else 0.12)
    yaw = float(np.arctan2(frame.along[1], frame.along[0])) - swing
    b.place(hinge, yaw, leaf)
    w, h = o.width_m - 0.01, o.high_m - 0.01
    b.box((w / 2, 0, h / 2 + 0.005), (w, 0.04, h), rows["door"])
    panels = int(rng.integers(0, 4))
    for k in range(panels):
        z = h * (k + 0.5) / panels + 0.02
        for face in (-1, 1):
            b.box(
                (w / 2, face * 0.021, z),
                (w * 0.7, 0.006, h / panels * 0.75),
                rows["door"],
                (0.93, 0.93, 0.93),
            )
    for face in (-1, 1):
        b.box((w - 0.09, face * 0.05, 1.02), (0.12, 0.02, 0.02), rows["metal"])
        b.cylinder((w - 0.05, face * 0.03, 1.02), 0.03, 0.06, rows["metal"], segments=6)
    b.place()
    return swing


def window_lamp(frame: WallFrame, o: Opening, light: tuple[float, float, float]) -> AreaLamp:
    """Daylight that enters through a window, as an area lamp."""
    area = o.width_m * (o.high_m - o.low_m)
    center = frame.at(o.along_m + o.width_m / 2, (o.low_m + o.high_m) / 2, -0.03)
    inward = (float(frame.inward[0]), float(frame.inward[1]), -0.15)
    tall = o.high_m - o.low_m
    return AreaLamp(
        (float(center[0]), float(center[1]), float(center[2])),
        (float(frame.along[0] * o.width_m), float(frame.along[1] * o.width_m), 0.0),
        (0.0, 0.0, tall),
        inward,
        (light[0] * area, light[1] * area, light[2] * area),
    )


def draw_outside(
    b: MeshBuilder, table: MaterialTable, rng: Rng, walls: list[WallFrame], storey_m: float
) -> None:
    """Ground, opposite houses and trees behind the walls that have windows."""
    ground = Material(
        GRASS if rng.random() < 0.5 else ASPHALT, srgb("#5c7a3a"), srgb("#7d9450"), vary=0.2
    )
    row = table.add(ground)
    size = 150.0
    b.quad(
        np.array(
            [
                [-size, -size, -storey_m],
                [size, -size, -storey_m],
                [size, size, -storey_m],
                [-size, size, -storey_m],
            ]
        ),
        row,
    )
    leaves = table.add(
        Material(LEAVES, srgb("#41602c"), srgb("#6d8a3e"), seed=int(rng.integers(999)))
    )
    for frame in walls:
        away = float(rng.uniform(9, 40))
        wall = plaster(rng, bright=False)
        facade = table.add(
            Material(
                WINDOWS,
                pick(("#c9b79a", "#b98d6f", "#d8d2c4", "#a9a39a"), rng),
                (0.08, 0.1, 0.13),
                (rng.uniform(1.8, 3.2), rng.uniform(2.8, 3.4), 0.45, 0.5),
                wall.vary,
            )
        )
        x = -30.0
        while x < frame.length_m + 30:
            width, high = float(rng.uniform(8, 20)), float(rng.uniform(4, 16))
            if rng.random() < 0.75:
                at = frame.at(x + width / 2, high / 2 - storey_m, away + 4)
                b.box(at, _along(frame, width, 8.0, high), facade)
            x += width + float(rng.choice([0.0, 3.0]))
        for _ in range(int(rng.integers(0, 4))):
            at = frame.at(
                float(rng.uniform(-5, frame.length_m + 5)), 0.0, away * float(rng.uniform(0.3, 0.9))
            )
            high = float(rng.uniform(4, 8))
            b.cylinder(
                (at[0], at[1], high / 3 - storey_m),
                0.25,
                high / 1.5,
                leaves,
                (0.5, 0.35, 0.25),
                segments=6,
            )
            b.ball(
                (at[0], at[1], high * 0.72 - storey_m),
                (high * 0.55, high * 0.55, high * 0.6),
                leaves,
            )


def object_of_door(instance: int, frame: WallFrame, o: Opening, swing: float) -> SceneObject:
    """The door leaf as an object."""
    yaw = float(np.arctan2(frame.along[1], frame.along[0])) - swing
    hinge = frame.at(o.along_m, 0.0, 0.04 if swing == 0 else 0.12)
    w, h = o.width_m - 0.01, o.high_m - 0.01
    middle = hinge + np.array([np.cos(yaw) * w / 2, np.sin(yaw) * w / 2, h / 2 + 0.005])
    center = (float(middle[0]), float(middle[1]), float(middle[2]))
    return SceneObject(instance, "door", "door", (w, 0.14, h), center, yaw)


def curtain_material(rng: Rng) -> Material:
    """Cloth in a light or strong colour."""
    return Material(
        3,
        hsv(float(rng.random()), float(rng.uniform(0, 0.5)), float(rng.uniform(0.5, 0.95))),
        vary=0.15,
    )
