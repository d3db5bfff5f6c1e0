"""One's own shards, as `vlm3 data curate` writes them: all four tasks, where there are labels.

`--split heldout` asks about the scenes that training on folders never draws, see
`vlm3.data.heldout`; `all` about every picture, which says nothing of what a model trained on them
has learnt.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vlm3.data.dataset import pair_sample, single_sample
from vlm3.data.heldout import held_out_pairs, held_out_pictures, scenes_of
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.eval.items import Item
from vlm3.eval.readers import Wanted
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.object_reading import parse
from vlm3.tasks.sample import ObjectQuestion, ObjectQuestions, Points
from vlm3.tasks.truth import ObjectTruth

DEPTHS_A_PICTURE = 32
OBJECTS_A_PICTURE = 12
_PAIR_MARK = 1


def read(wanted: Wanted) -> Iterator[Item]:
    """Pictures with distances and objects, then pairs with matches and their motion."""
    shards = Shards(wanted.folder)
    pictures = _chosen(wanted, held_out_pictures(shards), 0)
    pairs = _chosen(wanted, held_out_pairs(shards), _PAIR_MARK)
    if not len(pictures) and not len(pairs):
        scenes = len(set(scenes_of(shards)))
        raise InputError(
            f"{str(wanted.folder)!r} keeps nothing for evaluation: {len(shards)} pictures of "
            f"{scenes} scene{'s' * (scenes != 1)}; curate two scenes or more, or give --split all "
            "for what no model was trained on"
        )
    for place in pictures.tolist():
        if (item := _picture(shards, place, wanted.seed)) is not None:
            yield item
    for place in pairs.tolist():
        yield _pair(shards, place)


def _chosen(wanted: Wanted, kept: NDArray[np.bool_], mark: int) -> NDArray[np.intp]:
    """The query points, in their order: at most `count`, drawn with the seed."""
    places = np.flatnonzero(kept) if wanted.split == "heldout" else np.arange(len(kept))
    if len(places) <= wanted.count:
        return places
    drawn = np.random.default_rng([wanted.seed, mark]).permutation(len(places))[: wanted.count]
    return np.asarray(places[np.sort(drawn)])


def _picture(shards: Shards, place: int, seed: int) -> Item | None:
    key = f"picture-{place:07d}"
    sample, record = single_sample(shards, place, key), shards.record(place)
    rng = np.random.default_rng([seed, place])
    points = np.sort(rng.permutation(len(record.xy_px))[:DEPTHS_A_PICTURE])
    known = [(k, q, truth) for k, q in enumerate(record.questions) if (truth := truth_of(q))]
    known = known[:OBJECTS_A_PICTURE]
    sample = replace(
        sample,
        points=Points(record.xy_px[points], record.distance_m[points]),
        objects=ObjectQuestions(tuple(replace(q, truth=truth) for _, q, truth in known)),
    )
    numbers = {"depth": points.tolist(), "objects": [k for k, _, _ in known]}
    item = Item.of(sample, numbers=numbers, digits=3)
    return item if item.queries else None


def _pair(shards: Shards, place: int) -> Item:
    return Item.of(pair_sample(shards, place, f"pair-{place:07d}"))


def truth_of(q: ObjectQuestion) -> ObjectTruth | None:
    """The answer as a value; None where it is known as a sentence that says none."""
    if q.truth is not None:
        return q.truth
    names = [f"Region [{k}]" for k in range(len(q.boxes_xyxy_px))]
    question, answer = (text.format(*names) for text in (q.question, q.sentence or ""))
    found = parse(question, answer, len(names))
    return None if isinstance(found, ParseFailure) else found
