"""Held-out worlds as a benchmark: all four tasks, truth from rays cast at what was drawn."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from vlm3.eval.items import Item, Query, depth_query, match_query, object_query, pose_query
from vlm3.eval.readers import Wanted
from vlm3.tasks.objects import ObjectValue
from vlm3.view import View

if TYPE_CHECKING:
    from vlm3.worlds.sample import World

WIDTH_PX, HEIGHT_PX = 320, 240
DEPTHS_A_VIEW = 32
OBJECTS_A_VIEW = 12
MATCHES_A_PAIR = 32


def read(wanted: Wanted) -> Iterator[Item]:
    """World by world: one view with distances and objects; in every second one also a pair."""
    from vlm3.worlds.questions import object_questions
    from vlm3.worlds.sample import World

    for index in range(wanted.count):
        world = World(wanted.seed, index, split="heldout")
        rng = np.random.default_rng([wanted.seed, index])
        f_px = _lens(rng)
        frame = world.view(width_px=WIDTH_PX, height_px=HEIGHT_PX, f_px=f_px)
        key = f"world-{index:05d}"
        queries: list[Query] = []
        rows, columns = np.nonzero(np.isfinite(frame.distance_m))
        for k, i in enumerate(rng.permutation(len(rows))[:DEPTHS_A_VIEW]):
            distance = float(frame.distance_m[rows[i], columns[i]])
            queries.append(
                depth_query(
                    f"{key}/depth-{k:02d}",
                    (columns[i] + 0.5, rows[i] + 0.5),
                    cosine=float(frame.depth_z_m[rows[i], columns[i]]) / distance,
                    distance_m=distance,
                    label_m=distance,
                )
            )
        for k, q in enumerate(object_questions(frame, rng, OBJECTS_A_VIEW)):
            truth = ObjectValue(
                value_m=q.value_m, clock_hour=q.clock_hour, yes=q.yes, region=q.region
            )
            queries.append(
                object_query(
                    f"{key}/object-{k:02d}", q.category, q.question, q.boxes_xyxy_px, truth
                )
            )
        view = View(frame.image, frame.camera)
        yield Item(key, (_given(view),), tuple(queries))
        if index % 2 == 0:
            yield _pair(world, key, f_px, rng)


def _pair(world: "World", key: str, f_px: float, rng: np.random.Generator) -> Item:
    pair = world.pair(width_px=WIDTH_PX, height_px=HEIGHT_PX, f_px=f_px)
    key = f"{key}-pair"
    xy_a, xy_b = pair.matches(MATCHES_A_PAIR, rng)
    size = (WIDTH_PX, HEIGHT_PX)
    matches = tuple(
        match_query(f"{key}/match-{k:02d}", a, b, size, size)
        for k, (a, b) in enumerate(zip(xy_a, xy_b, strict=True))
    )
    pose = pose_query(f"{key}/pose", pair.cam1_from_cam2)
    views = tuple(View(frame.image, frame.camera) for frame in (pair.frame1, pair.frame2))
    return Item(key, tuple(_given(view) for view in views), (*matches, pose))


def _lens(rng: np.random.Generator) -> float:
    """A focal length for a field of view of 40 to 90 degrees, without distortion."""
    return float(WIDTH_PX / 2 / np.tan(np.radians(rng.uniform(40, 90) / 2)))


def _given(view: View) -> Callable[[], View]:
    return lambda: view
