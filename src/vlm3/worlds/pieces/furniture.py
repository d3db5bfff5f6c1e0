"""The built-in furniture of rooms, by category."""

from functools import partial

from vlm3.worlds.pieces import bathroom, electric, plants, seats, small, storage, tables
from vlm3.worlds.pieces.piece import Makers

FURNITURE: Makers = {
    **{name: partial(tables.table, category=name) for name in tables.TABLES},
    **{name: partial(storage.cupboard, category=name) for name in storage.CUPBOARDS},
    **{name: partial(bathroom.fixture, category=name) for name in bathroom.FIXTURES},
    **{name: partial(small.small, category=name) for name in small.SMALL},
    **{name: partial(seats.sofa, category=name) for name in ("sofa", "armchair")},
    **{name: partial(electric.screen, category=name) for name in ("television", "monitor")},
    "bed": seats.bed,
    "book": small.book,
    "bookshelf": storage.shelf,
    "chair": seats.chair,
    "lamp": electric.floor_lamp,
    "laptop": electric.laptop,
    "plant": plants.plant,
    "stool": seats.stool,
    "table lamp": electric.table_lamp,
}
"""Category -> what makes a model of it."""
