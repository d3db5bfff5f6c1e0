"""Streets: road with markings, kerbs, pavements, houses, cars, trees, people, signs, sky.

`make_street(rng, split)` gives a `Scene`; the road runs along +y. Knows no cameras beyond where a
car drives and people walk.
"""

import numpy as np

from vlm3.worlds.materials import MaterialTable
from vlm3.worlds.outdoors.ground import draw_ground
from vlm3.worlds.outdoors.houses import draw_far_end, draw_houses
from vlm3.worlds.outdoors.plan import Profile, StreetPlan, choose_profile
from vlm3.worlds.outdoors.traffic import put_people, put_vehicles
from vlm3.worlds.outdoors.verge import draw_verge
from vlm3.worlds.pack import Pack
from vlm3.worlds.palettes import street_palette
from vlm3.worlds.pieces.piece import Rng
from vlm3.worlds.primitives import Floats
from vlm3.worlds.scene import Scene, Sky, measured

Position = tuple[float, float]


def make_street(rng: Rng, split: str, pack: Pack | None = None) -> Scene:
    """One street."""
    table = MaterialTable()
    palette, road = street_palette(table, rng), choose_profile(rng)
    plan = StreetPlan(
        rng=rng,
        table=table,
        palette=palette,
        split=split,
        pack=pack,
        profile=road,
    )
    draw_ground(plan)
    front_m = road.half_m + road.walk_m + road.setback_m
    for side in (-1, 1):
        draw_houses(plan, side, front_m + float(rng.uniform(0, 1.5)))
        draw_verge(plan, side)
    draw_far_end(plan)
    put_vehicles(plan)
    put_people(plan)
    mesh = plan.builder.build(rng)
    return Scene(
        "street",
        mesh,
        table,
        (),
        _sky(rng),
        measured(plan.objects, mesh),
        _positions(plan),
        (1.25, 1.9),
        _focus(plan),
        forward=np.array([0.0, 1.0]),
        reach_m=400.0,
    )


def _positions(plan: StreetPlan) -> Floats:
    """Where cameras may be: twice as often in a lane as on a pavement."""
    lanes, walks = _in_lanes(plan.profile), _on_pavements(plan.profile)
    driving, walking = _clear(plan, lanes), _clear(plan, walks)
    return np.array(driving + driving + walking or [(0.0, 0.0)], float)


def _in_lanes(road: Profile) -> list[Position]:
    """The middle of every lane, every 2.5 m."""
    return [
        (road.lane_m * (k + 0.5) * s, y)
        for k in range(road.lanes)
        for s in (-1, 1)
        for y in np.arange(-15.0, 40.0, 2.5)
    ]


def _on_pavements(road: Profile) -> list[Position]:
    """The middle of both pavements, or half a metre beside the road, every 3 m."""
    x = road.half_m + max(road.walk_m, 1.0) * 0.5
    return [(s * x, y) for s in (-1, 1) for y in np.arange(-10.0, 35.0, 3.0)]


def _focus(plan: StreetPlan) -> Floats:
    """Points worth looking at: things near by, and three places ahead."""
    half = plan.profile.half_m
    things = [
        o.center_m for o in plan.objects if -5 < o.center_m[1] < 60 and o.category != "building"
    ]
    return np.array([*things, (0.0, 40.0, 1.5), (half, 20.0, 2.0), (-half, 20.0, 2.0)], float)


def _clear(plan: StreetPlan, positions: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places at least 1.2 m from anything, houses measured by their boxes."""
    if not plan.objects:
        return positions
    points = np.array(positions)
    center = np.array([o.center_m[:2] for o in plan.objects])
    yaw = np.array([o.yaw_rad for o in plan.objects])
    gap = [-0.3 * o.size_wdh_m[0] if o.category == "tree" else 1.2 for o in plan.objects]
    half = np.array([o.size_wdh_m[:2] for o in plan.objects]) / 2 + np.array(gap)[:, None]
    away = points[:, None] - center
    c, s = np.cos(yaw), np.sin(yaw)
    along = np.abs(
        np.stack([away[..., 0] * c + away[..., 1] * s, away[..., 1] * c - away[..., 0] * s], -1)
    )
    near = (along < half).all(-1).any(-1)
    return [position for position, hit in zip(positions, near, strict=True) if not hit]


def _sky(rng: Rng) -> Sky:
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(14, 65))
    direction = (
        float(np.cos(azimuth) * np.cos(height)),
        float(np.sin(azimuth) * np.cos(height)),
        float(np.sin(height)),
    )
    if rng.random() < 0.35:  # overcast
        level = float(rng.uniform(0.8, 1.1))
        return Sky(
            direction,
            (0, 0, 0),
            (0.9, 0.93, 1.0),
            (level * 0.85, level * 0.88, level * 0.92),
            (level, level, level),
            cloud=float(rng.uniform(0.3, 0.9)),
            outdoor=True,
        )
    warm = float(np.clip(1.2 - height, 0, 1))
    power = float(rng.uniform(1.8, 3.2))
    sun = (power, power * (0.95 - 0.15 * warm), power * (0.88 - 0.35 * warm))
    zenith = (0.22, 0.40, 0.78) if rng.random() < 0.8 else (0.45, 0.55, 0.7)
    return Sky(
        direction,
        sun,
        (0.55, 0.62, 0.75),
        zenith,
        (0.72, 0.82, 0.95),
        cloud=float(rng.choice([0.0, rng.uniform(0.1, 0.6)])),
        outdoor=True,
    )
