"""One's own shards, as `vlm3 data curate` writes them: all four tasks, where there are labels.

`--split heldout` asks about the scenes that training on folders never draws, see
`vlm3.data.heldout`; `all` about every picture, which says nothing of what a model trained on them
has learnt.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from vlm3.data.heldout import held_out_pairs, held_out_pictures, scenes_of
from vlm3.data.questions import decode
from vlm3.data.record import ObjectQuestion, Record
from vlm3.data.shards import Shards
from vlm3.datasets.depthlm_labels import cosines
from vlm3.errors import InputError
from vlm3.eval.items import Item, Query, depth_query, match_query, object_query, pose_query
from vlm3.eval.readers import Wanted
from vlm3.geometry.pose import RelativePose
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.objects import ObjectValue, parse
from vlm3.view import View

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
        if (item := _pair(shards, place)) is not None:
            yield item


def _chosen(wanted: Wanted, kept: NDArray[np.bool_], mark: int) -> NDArray[np.intp]:
    """The places asked about, in their order: at most `count`, drawn with the seed."""
    places = np.flatnonzero(kept) if wanted.split == "heldout" else np.arange(len(kept))
    if len(places) <= wanted.count:
        return places
    drawn = np.random.default_rng([wanted.seed, mark]).permutation(len(places))[: wanted.count]
    return np.asarray(places[np.sort(drawn)])


def _picture(shards: Shards, place: int, seed: int) -> Item | None:
    record = shards.record(place)
    key = f"picture-{place:07d}"
    queries: list[Query] = []
    if record.metric:
        rng = np.random.default_rng([seed, place])
        order = rng.permutation(len(record.xy_px))[:DEPTHS_A_PICTURE]
        slant = cosines(record.xy_px, record.camera) if len(record.xy_px) else np.empty(0)
        queries += [
            depth_query(
                f"{key}/depth-{k:03d}",
                record.xy_px[k],
                cosine=float(slant[k]),
                distance_m=float(record.distance_m[k]),
                label_m=float(record.distance_m[k]),
            )
            for k in np.sort(order).tolist()
        ]
    told = [(k, q, truth) for k, q in enumerate(record.questions) if (truth := truth_of(q))]
    for k, q, truth in told[:OBJECTS_A_PICTURE]:
        category = _category(truth)
        boxes = q.boxes_xyxy_px
        queries.append(object_query(f"{key}/object-{k:03d}", category, q.question, boxes, truth))
    return Item(key, (_opener(shards, place, record),), tuple(queries)) if queries else None


def _pair(shards: Shards, place: int) -> Item | None:
    first, second, pair = shards.pair(place)
    key = f"pair-{place:07d}"
    sizes = [(r.camera.width_px, r.camera.height_px) for r in (pair.first, pair.second)]
    queries = [
        match_query(f"{key}/match-{k:02d}", a, b, *sizes)
        for k, (a, b) in enumerate(zip(pair.xy1_px, pair.xy2_px, strict=True))
    ]
    motion = RelativePose.from_matrix(pair.cam1_from_cam2)
    queries.append(pose_query(f"{key}/pose", motion, metric=pair.metric))
    openers = (_opener(shards, first, pair.first), _opener(shards, second, pair.second))
    return Item(key, openers, tuple(queries))


def truth_of(q: ObjectQuestion) -> ObjectValue | None:
    """The answer as a value; None where it is known as a sentence that says none."""
    if (q.value_m, q.clock_hour, q.yes, q.region) != (None,) * 4:
        return ObjectValue(value_m=q.value_m, clock_hour=q.clock_hour, yes=q.yes, region=q.region)
    names = [f"Region [{k}]" for k in range(len(q.boxes_xyxy_px))]
    question, answer = (text.format(*names) for text in (q.question, q.answer or ""))
    found = parse(question, answer, len(names))
    return None if isinstance(found, ParseFailure) else found


def _category(truth: ObjectValue) -> str:
    """The column of a question: its record names none, so the kind of its answer does."""
    for name, value in (("direction", truth.clock_hour), ("length", truth.value_m)):
        if value is not None:
            return name
    return "yes or no" if truth.yes is not None else "which"


def _opener(shards: Shards, place: int, record: Record) -> Callable[[], View]:
    """Opens a picture with its camera when called."""

    def open_view() -> View:
        image = decode(shards.picture(place))
        image.setflags(write=False)
        return View(image, record.camera, intrinsics=record.intrinsics)

    return open_view
