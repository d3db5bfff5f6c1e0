"""What all studies train and are measured on: small rendered pictures on disk, made once.

    DIR/rooms, DIR/streets         pairs of views; single pictures for distances and objects
    DIR/few                        rooms again, but only a few: a set that is easily overfitted
    DIR/held-rooms, DIR/held-streets   other worlds, other furniture

At the studies' focal length of 125 px the pictures are 96 to 144 px wide and 80 to 112 px high,
each world's of its own size: a position in pixels and one in shares of the sides are two different
things. They are kept a quarter larger, so that every arm resizes.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3 import disk
from vlm3.data.pair_rows import pair_row
from vlm3.data.shards import write_pairs, write_shards

F_PX = 125.0
"""What nano was trained at, and what the studies bring pictures to."""
_KEPT = 1.25
"""Size on disk over that in training."""
_WIDTHS_PX = (96, 112, 128, 144)
_HEIGHTS_PX = (80, 96, 112)
_MATCHES = 32
_THEN = "make room; the same command goes on from the sets that are whole"


@dataclass(frozen=True)
class WorldSet:
    """One folder: how many worlds of which kind, two pictures each."""

    folder: str
    kind: str
    worlds: int
    first: int
    held_out: bool = False


SETS = (
    WorldSet("rooms", "room", 120, 0),
    WorldSet("streets", "street", 40, 0),
    WorldSet("few", "room", 8, 10_000),
    WorldSet("held-rooms", "room", 36, 0, held_out=True),
    WorldSet("held-streets", "street", 18, 0, held_out=True),
)


def prepare(folder: Path, say: Callable[[str], None], sets: tuple[WorldSet, ...] = SETS) -> None:
    """Renders what is not there yet; a set is whole or is made again."""
    for one in sets:
        whole = folder / one.folder
        if (whole / "pairs.npy").is_file():
            continue
        say(f"rendering {one.worlds} worlds into {whole}")
        rows: list[NDArray[np.void]] = []
        with disk.new_folder(whole, then=_THEN) as partial:
            write_shards(partial, _samples(one, rows))
            write_pairs(partial, rows)


def _samples(part: WorldSet, rows: list[NDArray[np.void]]) -> Iterator[tuple[str, bytes, bytes]]:
    from vlm3.worlds.frame import motion_between
    from vlm3.worlds.shards import frame_record, sample_files
    from vlm3.worlds.world import World

    split = "heldout" if part.held_out else "train"
    for k in range(part.worlds):
        index = part.first + k
        rng = np.random.default_rng((11, index, part.held_out))
        width_px, height_px = (
            round(_KEPT * int(rng.choice(sides))) for sides in (_WIDTHS_PX, _HEIGHTS_PX)
        )
        world = World(0, index, split=split, kind=part.kind)  # type: ignore[arg-type]
        one, two = world.pair(width_px=width_px, height_px=height_px, f_px=_KEPT * F_PX)
        xy1_px, xy2_px = world.sight.matches(one, two, _MATCHES, rng)
        motion = motion_between(one, two).cam1_from_cam2
        shared = world.sight.covisibility(
            one.world_from_cam, one.camera, two.world_from_cam, two.camera
        )
        rows.append(pair_row(2 * k, 2 * k + 1, motion, xy1_px, xy2_px, covisibility=shared))
        for number, frame in enumerate((one, two)):
            record = frame_record(frame, number, index, split)
            files = sample_files(frame, record)
            yield (
                f"{split}-{index:06d}-{number}",
                files["jpg"],
                json.dumps(record, allow_nan=False).encode(),
            )
