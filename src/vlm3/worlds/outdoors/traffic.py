"""What moves in a street: cars that drive and park, people on foot and on bicycles."""

import numpy as np

from vlm3.worlds.outdoors.ground import PAVEMENT_M
from vlm3.worlds.outdoors.plan import StreetPlan

_DRIVING = {"car": 0.58, "suv": 0.22, "van": 0.11, "truck": 0.05, "bus": 0.04}
_PARKED = {"car": 0.66, "suv": 0.24, "van": 0.1}
"""Category -> its share."""


def put_vehicles(plan: StreetPlan) -> None:
    """Cars on every lane and in the parked strip; they drive on the right in four of five."""
    right_hand = 1 if plan.rng.random() < 0.8 else -1
    for side in (-1, 1):
        yaw = np.pi if side * right_hand > 0 else 0.0  # the front is -y
        for lane in range(plan.profile.lanes):
            _put_driving(plan, side, lane, yaw)
        if plan.profile.park_m > 0:
            _put_parked(plan, side, yaw)


def _put_driving(plan: StreetPlan, side: int, lane: int, yaw: float) -> None:
    """One lane, dense or not, with nothing within 9 m of where cameras are."""
    rng, road = plan.rng, plan.profile
    y = road.start_m + float(rng.uniform(0, 30))
    dense = float(rng.choice([9.0, 18.0, 40.0]))
    while y < road.end_m:
        piece = plan.one_of(list(_DRIVING), list(_DRIVING.values()))
        length = piece.size_wdh_m[1]
        y += length / 2
        if not (abs(y) < 9):
            x = side * (lane + 0.5) * road.lane_m + float(rng.normal(0, 0.15))
            turn = yaw + float(rng.normal(0, 0.02))
            plan.put(piece, (x, y, 0.0), turn, min(length / 2, road.lane_m / 2 + 0.1))
        y += length / 2 + 3.0 + float(rng.exponential(dense))


def _put_parked(plan: StreetPlan, side: int, yaw: float) -> None:
    """Cars at the kerb; every fourth place is free."""
    rng, road = plan.rng, plan.profile
    y = road.start_m
    while y < road.end_m:
        piece = plan.one_of(list(_PARKED), list(_PARKED.values()))
        length = piece.size_wdh_m[1]
        y += length / 2 + 0.5
        if rng.random() < 0.75:
            x = side * (road.half_m - road.park_m / 2)
            plan.put(piece, (x, y, 0.0), yaw + float(rng.normal(0, 0.03)), 1.0)
        y += length / 2 + float(rng.uniform(0.3, 2.0))


def put_people(plan: StreetPlan) -> None:
    """People on the pavements, cyclists at the edge of the road, sometimes a group that crosses."""
    rng, half, walk = plan.rng, plan.profile.half_m, plan.profile.walk_m
    if walk > 0:
        for _ in range(int(rng.integers(0, 22))):
            side = float(rng.choice([-1, 1]))
            x = side * (half + 0.4 + float(rng.random()) * max(walk - 0.7, 0.2))
            yaw = float(rng.choice([0, np.pi])) + float(rng.normal(0, 0.3))
            person = plan.model("person")
            plan.put(person, (x, float(rng.uniform(-12, 70)), PAVEMENT_M), yaw, 0.3)
    for _ in range(int(rng.integers(0, 4))):
        side = float(rng.choice([-1, 1]))
        cyclist, yaw = plan.model("cyclist"), np.pi if side > 0 else 0.0
        plan.put(cyclist, (side * (half - 0.8), float(rng.uniform(4, 60)), 0.0), yaw, 0.9)
    if rng.random() < 0.4:
        y = float(rng.uniform(6, 25))
        for _ in range(int(rng.integers(1, 4))):
            person, x = plan.model("person"), float(rng.uniform(-half, half))
            at = (x, y + float(rng.uniform(-1, 1)), 0.0)
            plan.put(person, at, float(rng.choice([-1.5, 1.5])), 0.3)
