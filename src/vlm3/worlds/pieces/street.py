"""The built-in models of streets, by category."""

from functools import partial

from vlm3.worlds.pieces import people, plants, posts, vehicles
from vlm3.worlds.pieces.piece import Makers

STREET_PIECES: Makers = {
    **{name: partial(vehicles.car, category=name) for name in vehicles.CARS},
    **{name: partial(vehicles.big_vehicle, category=name) for name in vehicles.BIG_VEHICLES},
    **{name: partial(posts.post, category=name) for name in posts.POSTS},
    "bicycle": people.bicycle,
    "cyclist": people.cyclist,
    "person": people.person,
    "tree": plants.tree,
}
"""Category -> what makes a model of it."""
