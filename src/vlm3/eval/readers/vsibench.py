"""VSI-Bench: distances, sizes and directions in rooms, seen in a video.

Columns, as lmms-eval's vsibench/utils.py reads them: dataset, scene_name, question_type, question,
options, ground_truth, and the video at DATASET/SCENE.mp4. The words around the question are those
of its default setting, the frames those of its multi_image_input: 32, evenly from the first to the
last. Of its tasks those are read that want metres, centimetres, square metres, a nearer object or
a direction; counting, route plans and orders of appearance are not.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.curation.intrinsics import calibrate_by
from vlm3.errors import InputError, MissingDependencyError
from vlm3.eval.items import Item, Query, free_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.tables import rows_of
from vlm3.files.reading import below, short
from vlm3.files.schema import anything, fields, text
from vlm3.tasks.task import Json
from vlm3.view import View

FRAMES = 32
BEFORE = "These are frames of a video."
AFTER_NUMBER = "Please answer the question using a single word or phrase."
AFTER_CHOICE = "Answer with the option's letter from the given choices directly."
UNITS = {"object_abs_distance": "m", "object_size_estimation": "cm", "room_size_estimation": "m2"}
CHOICES = frozenset(
    {
        "object_rel_distance",
        *(f"object_rel_direction_{level}" for level in ("easy", "medium", "hard")),
    }
)
# cv2.CAP_PROP_FRAME_COUNT
_FRAME_COUNT = 7
_NAME = text(200)
_ROW = fields(
    {
        "dataset": _NAME,
        "scene_name": _NAME,
        "question_type": _NAME,
        "question": text(20_000),
        "ground_truth": anything,
    }
)


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a question, in the order of the table."""
    calibrate = calibrate_by(wanted.calibrator)
    taken = 0
    for place, (where, row) in enumerate(rows_of(wanted.folder, wanted.benchmark.data_format)):
        if taken >= wanted.count:
            return
        _ROW(row, where)
        if row["question_type"] not in CHOICES and row["question_type"] not in UNITS:
            continue
        taken += 1
        name = f"{row['dataset']}/{row['scene_name']}.mp4"
        video = below(wanted.folder, name, "VSI-Bench")
        if not video.is_file():
            raise InputError(f"the video {name[:120]} is not below {str(wanted.folder)!r}")
        pictures = tuple(_frame(video, k, calibrate) for k in range(frame_count(video)))
        yield Item(name, pictures, (_query(f"{place:05d}", where, row),))


def _query(ident: str, where: str, row: dict[str, Any]) -> Query:
    kind, question, truth = row["question_type"], row["question"], row["ground_truth"]
    if kind in UNITS:
        prompt = "\n".join([BEFORE, question, AFTER_NUMBER])
        form: Json = {"kind": "number", "unit": UNITS[kind]}
        try:
            return free_query(ident, kind, prompt, form, {"number": float(truth)})
        except (TypeError, ValueError):
            raise InputError(f"{where}: {short(truth)} is no number") from None
    options = [str(option) for option in row.get("options") or []]
    prompt = "\n".join([BEFORE, question, "Options:\n" + "\n".join(options), AFTER_CHOICE])
    labels = [option.partition(".")[0].strip() for option in options]
    if truth not in labels:
        raise InputError(f"{where}: the truth {short(truth)} is none of its options")
    words = [option.partition(".")[2].strip() for option in options]
    form = {"kind": "choice", "labels": labels, "options": words}
    return free_query(ident, kind, prompt, form, {"option": labels.index(truth)})


def _frame(path: Path, place: int, calibrate: Any) -> Callable[[], View]:
    return lambda: View.open(frames(path)[place], calibrate=calibrate)


def _video(path: Path) -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError(
            "videos are read with OpenCV: pip install 'vlm3[video]'"
        ) from error
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise InputError(f"cannot read the video {str(path)!r}")
    return video


@lru_cache(maxsize=4096)
def frame_count(path: Path) -> int:
    """How many frames of a video go with a question."""
    return max(1, min(FRAMES, int(_video(path).get(_FRAME_COUNT))))


# The questions about one video follow each other.
@lru_cache(maxsize=1)
def frames(path: Path) -> list[NDArray[np.uint8]]:
    """The frames of the questions, (height, width, 3) each.

    Raises:
        InputError: the video cannot be read, or ends early.
    """
    video = _video(path)
    total = int(video.get(_FRAME_COUNT))
    places = np.linspace(0, total - 1, frame_count(path), dtype=int).tolist()
    found: list[NDArray[np.uint8]] = []
    for number in range(places[-1] + 1):
        if not video.grab():
            break
        for _ in range(places.count(number)):
            found.append(np.ascontiguousarray(video.retrieve()[1][..., ::-1]))
    if len(found) != len(places):
        raise InputError(f"{str(path)!r} has {len(found)} of the {len(places)} frames it counts")
    return found
