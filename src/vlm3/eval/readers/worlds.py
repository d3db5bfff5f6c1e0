"""Held-out worlds as a benchmark: all four tasks, truth from rays cast at what was drawn."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vlm3.eval.items import Item
from vlm3.eval.readers import Wanted
from vlm3.tasks.sample import Matches, ObjectQuestions, Points

if TYPE_CHECKING:
    from vlm3.worlds.world import World

WIDTH_PX, HEIGHT_PX = 320, 240
DEPTHS_A_VIEW = 32
OBJECTS_A_VIEW = 12
MATCHES_A_PAIR = 32


def read(wanted: Wanted) -> Iterator[Item]:
    """World by world: one view with distances and objects; in every second one also a pair."""
    from vlm3.worlds.labels import frame_sample
    from vlm3.worlds.questions import object_questions
    from vlm3.worlds.world import World

    for index in range(wanted.count):
        world = World(wanted.seed, index, split="heldout")
        rng = np.random.default_rng([wanted.seed, index])
        f_px = _lens(rng)
        frame = world.view(width_px=WIDTH_PX, height_px=HEIGHT_PX, f_px=f_px)
        key = f"world-{index:05d}"
        rows, columns = np.nonzero(np.isfinite(frame.distance_m))
        chosen = rng.permutation(len(rows))[:DEPTHS_A_VIEW]
        rows, columns = rows[chosen], columns[chosen]
        xy_px = np.stack([columns + 0.5, rows + 0.5], axis=-1)
        sample = replace(
            frame_sample(frame, key),
            points=Points(xy_px, frame.distance_m[rows, columns].astype(np.float64)),
            objects=ObjectQuestions(object_questions(frame, rng, OBJECTS_A_VIEW)),
        )
        yield Item.of(sample)
        if index % 2 == 0:
            yield _pair(world, key, f_px, rng)


def _pair(world: "World", key: str, f_px: float, rng: np.random.Generator) -> Item:
    from vlm3.worlds.labels import pair_sample

    frames = world.pair(width_px=WIDTH_PX, height_px=HEIGHT_PX, f_px=f_px)
    matches = Matches(*world.sight.matches(*frames, MATCHES_A_PAIR, rng))
    sample = pair_sample(world.sight, *frames, f"{key}-pair")
    return Item.of(replace(sample, matches=matches))


def _lens(rng: np.random.Generator) -> float:
    """A focal length for a field of view of 40 to 90 degrees, without distortion."""
    return float(WIDTH_PX / 2 / np.tan(np.radians(rng.uniform(40, 90) / 2)))
