"""Which pictures of one's own shards are kept for evaluation: whole scenes, by a hash of the name.

One rule for both sides: training on folders (`vlm3 train RECIPE --folders`) never draws what
`vlm3 eval shards --split heldout` asks about. A scene's side depends on its name alone, so it stays
there when pictures are added, and in every folder it was curated into.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3.data.manifests import read_joined, read_unit
from vlm3.data.shards import Shards
from vlm3.errors import InputError

SHARE = 1 / 20
"""Of the scenes, in the long run; at least one scene of two or more."""
TAIL = 64
"""Of a folder of one scene the last twentieth is kept, at most so many pictures or pairs."""


def held_out_scenes(names: Sequence[str]) -> frozenset[str]:
    """Those of the scenes that are kept for evaluation: none of one, some of more, never all."""
    marks = {name: _mark(name) for name in names}
    if len(marks) < 2:
        return frozenset()
    order = sorted(marks, key=lambda name: (marks[name], name))
    count = sum(mark < SHARE for mark in marks.values())
    return frozenset(order[: min(max(count, 1), len(order) - 1)])


def kept_line(shards: Shards) -> str:
    """Which pictures are kept for evaluation, as a line for people.

    Raises:
        InputError: a record cannot be read.
    """
    chosen, count = sorted(held_out_scenes(scenes_of(shards))), int(held_out_pictures(shards).sum())
    of = f"{count} of {len(shards)} pictures"
    if not chosen:
        return f"kept from training: the last {of}, all of one scene"
    more = f" and {len(chosen) - 5} more" if len(chosen) > 5 else ""
    plural = "s" * (len(chosen) > 1)
    return f"kept from training: scene{plural} {', '.join(chosen[:5])}{more}, {of}"


def tail_of(count: int) -> int:
    """How many samples at the end of `count` of one scene are kept."""
    return min(TAIL, count // 20)


def held_out_pictures(shards: Shards) -> NDArray[np.bool_]:
    """(n,) whether each picture is kept for evaluation.

    Raises:
        InputError: a record cannot be read.
    """
    scenes = scenes_of(shards)
    chosen = held_out_scenes(scenes)
    if chosen:
        return np.array([scene in chosen for scene in scenes])
    kept = np.zeros(len(shards), bool)
    kept[len(shards) - tail_of(len(shards)) :] = True
    return kept


def held_out_pairs(shards: Shards) -> NDArray[np.bool_]:
    """(n,) whether each pair is kept for evaluation: it shows a picture of a scene that is.

    Raises:
        InputError: a record cannot be read.
    """
    scenes = scenes_of(shards)
    chosen = held_out_scenes(scenes)
    kept = np.zeros(shards.pairs, bool)
    if chosen:
        for place in range(shards.pairs):
            kept[place] = any(scenes[k] in chosen for k in shards.places(place))
    else:
        kept[shards.pairs - tail_of(shards.pairs) :] = True
    return kept


def scenes_of(shards: Shards) -> tuple[str, ...]:
    """The scene of each picture; "" where its record names none.

    Raises:
        InputError: a record cannot be read.
    """
    return _scenes(shards.store.root, len(shards))


@lru_cache(maxsize=64)
def _scenes(root: str, count: int) -> tuple[str, ...]:
    if (found := _from_manifests(root, count)) is not None:
        return found
    shards = Shards(root)
    names = []
    for place in range(count):
        scene = shards.notes(place).get("scene", "")
        if not isinstance(scene, str):
            raise InputError(f"{shards.name(place)}: scene is {scene!r}; give a text")
        names.append(scene)
    return tuple(names)


def _from_manifests(root: str, count: int) -> tuple[str, ...] | None:
    """From what `vlm3 data curate` wrote beside the shards; None where it is not all there."""
    if "://" in root:
        return None
    names: list[str] = []
    for shard in read_joined(Path(root)):
        for scene in shard["scenes"]:
            if (unit := read_unit(Path(root), scene)) is None:
                return None
            names += [scene] * unit.samples
    return tuple(names) if len(names) == count else None


def _mark(scene: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    digest = hashlib.sha256(json.dumps(scene, allow_nan=False).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
