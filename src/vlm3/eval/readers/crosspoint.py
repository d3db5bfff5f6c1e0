"""CrossPoint-Bench: points and choices across two pictures.

    {"idx": 0, "type": "Correspondence-Pointing", "level": "part", "images": ["origin_image/a.jpg",
     "origin_image/b.jpg"], "question": "...", "answer": "<base64 of a mask>"}

From WangYipu2002/CrossPoint: the README has the folder, eval/eval_opensource.py the question, and
eval/extract_answers.py with eval/calc_score.py the scores. A point is right where the mask is
brighter than 128; it is read as `relative_1000`, which scripts/eval/cal_metric.sh sets, in the size
of the first picture. A letter is right where it is the answer's.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.curation.intrinsics import calibrate_by
from vlm3.datasets.files import json_lines, one_file, picture_size
from vlm3.errors import InputError
from vlm3.eval.items import Item, Query, free_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.files import opener
from vlm3.files.reading import below, short
from vlm3.files.schema import fields, list_of, text
from vlm3.tasks.free_questions import POINT_SCALE, mask_of

POINTS = ("Fine-grained Grounding", "Correspondence-Pointing")
SUFFIX = " Output the point coordinates in JSON format."
_LONGEST = 4_000_000
_ROW = fields(
    {
        "type": text(100),
        "images": list_of(text(1024), least=1, most=20),
        "question": text(20_000),
        "answer": text(_LONGEST),
    }
)


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a question, in the order of the file."""
    path = one_file(wanted.folder, "CrossPoint-Bench*.jsonl", "CrossPoint-Bench file")
    calibrate = calibrate_by(wanted.calibrator)
    images = wanted.folder / "image"
    for place, (line, row) in enumerate(json_lines(path)):
        if place >= wanted.count:
            return
        _ROW(row, f"{path.name}, line {line}")
        files = [below(images, name, "CrossPoint-Bench") for name in row["images"]]
        pictures = tuple(opener(file, None, calibrate) for file in files)
        yield Item("+".join(row["images"]), pictures, (_query(f"{place:05d}", row, files),))


def _query(ident: str, row: dict[str, Any], files: list[Path]) -> Query:
    kind, question, answer = row["type"], row["question"], row["answer"]
    if kind in POINTS:
        size = picture_size(files[0])
        mask = mask_of(answer)
        truth = {"mask_png": answer, "hit": float(mask.mean()), "xy_px": inner_point(mask, size)}
        form = {"kind": "point", "size_px": list(size)}
        return free_query(ident, kind, question + SUFFIX, form, truth)
    options = options_of(question)
    labels = list(options)
    letter = answer.strip().upper().strip("()")
    if letter not in options:
        raise InputError(f"question {ident}: the answer {short(answer)} is none of its options")
    choice = {"kind": "choice", "labels": labels, "options": list(options.values())}
    return free_query(ident, kind, question, choice, {"option": labels.index(letter)})


def options_of(question: str) -> dict[str, str]:
    """The options that stand in a question as "A.Yes B.No"; A to D without words where none do."""
    found = re.findall(r"\b([A-D])[.)]\s*(.+?)(?=\s*\b[A-D][.)]|\s*\Z)", question, re.DOTALL)
    return dict(found) or dict.fromkeys("ABCD", "")


def inner_point(mask: NDArray[np.bool_], size_px: tuple[int, int]) -> list[float]:
    """A pixel of a mask, near its middle, that is still inside when written in thousandths.

    Raises:
        InputError: there is none.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        raise InputError("a mask that allows no point")
    xy = np.column_stack([columns, rows]) + 0.5
    # As `norm_of` writes them and a reader takes them back.
    back = np.round(xy / size_px * POINT_SCALE) / POINT_SCALE * size_px
    column, row = back.astype(int).T
    there = (column < mask.shape[1]) & (row < mask.shape[0])
    there[there] = mask[row[there], column[there]]
    if not there.any():
        raise InputError("a mask so small that no thousandth of the picture lies in it")
    far = np.where(there, np.hypot(*(xy - xy.mean(axis=0)).T), np.inf)
    found: list[float] = xy[far.argmin()].tolist()
    return found
