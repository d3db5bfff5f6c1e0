r"""MultiSPA: depth, correspondence and camera movement in ScanNet, as its data engine writes them.

    {"id": ..., "image": ["scene0011_00/00010.jpg", ...], "question_type": "depth_estimation_coor",
     "gt_value": 1234, "text": "<image>\nGiven ... What is the depth at point [ 12 , 34 ] ...",
     "width_list": [1296], "height_list": [968], ...}

From facebookresearch/Multi-SpatialMLLM, spatial_engine/: evaluation_data/TASK/VERSION/*.jsonl, with
pictures below ScanNet's posed_images/ or, where dots are drawn, in images/ beside the file. Its
depth by coordinates and correspondence by coordinates become vlm3's own questions, at the
thousandths they were written in (labels are z in mm); the others keep its words. Depth
comparisons, object perception and object movement are not read. Its scorer was not published: a
number is right within a quarter, a displacement where it ends within a quarter of its length.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.curation.intrinsics import calibrate_by
from vlm3.datasets.files import json_lines
from vlm3.errors import InputError
from vlm3.eval.items import Item, Query, depth_query, free_query, match_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.files import opener
from vlm3.files.reading import below, short
from vlm3.files.schema import anything, fields, list_of, number, text
from vlm3.tasks.depth_labels import cosines
from vlm3.tasks.task import Json

_DEPTH = "depth_estimation_coor"
_MATCH = "visual_correspondence_coor_2_coor"
_SIDES = {
    "x_movement": ("left", "right"),
    "y_movement": ("up", "down"),
    "z_movement": ("forward", "backward"),
    "yaw_movement": ("left", "right"),
    "pitch_movement": ("up", "down"),
}
_UNITS = {
    "depth_estimation_dot": "mm",
    "total_distance": "mm",
    "yaw_angle": "degrees",
    "pitch_angle": "degrees",
}
_CHOICE = "visual_correspondence_multiple_choice"
_VECTOR = "displacement_vector"
READ = frozenset({_DEPTH, _MATCH, _CHOICE, _VECTOR, *_SIDES, *_UNITS})

_SIDE = list_of(number(1, 1e5), least=1, most=2)
_ROW = fields(
    {
        "id": anything,
        "image": list_of(text(1024), least=1, most=2),
        "question_type": text(100),
        "gt_value": anything,
        "text": text(20_000),
        "width_list": _SIDE,
        "height_list": _SIDE,
    }
)
_POINT = re.compile(r"\[ ([0-9]{1,4}) , ([0-9]{1,4}) \]")


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a line, file by file."""
    root = wanted.folder / "evaluation_data"
    files = sorted((root if root.is_dir() else wanted.folder).rglob("*.jsonl"))
    calibrate = calibrate_by(wanted.calibrator)
    left = wanted.count
    for path in files:
        for line, row in json_lines(path):
            if left <= 0:
                return
            _ROW(row, f"{path.name}, line {line}")
            if row["question_type"] not in READ:
                break
            try:
                yield _item(wanted.folder, path, line, row, calibrate)
            except (TypeError, ValueError, KeyError) as error:
                raise InputError(f"{path.name}, line {line} ({short(error)})") from error
            left -= 1


def _item(folder: Path, path: Path, line: int, row: dict[str, Any], calibrate: Any) -> Item:
    pictures = tuple(opener(_file(folder, path, n), None, calibrate) for n in row["image"])
    ident = f"{path.stem}/{line:05d}"
    kind = row["question_type"]
    if kind == _DEPTH:
        xy = _pixel(_points(row["text"])[0], row, 0)
        z_m = float(row["gt_value"]) / 1000
        cosine = float(cosines([xy], pictures[0]().camera)[0])
        query = depth_query(ident, xy, cosine=cosine, distance_m=z_m / cosine, label_m=z_m)
    elif kind == _MATCH:
        sizes = [(row["width_list"][k], row["height_list"][k]) for k in (0, 1)]
        xy = _pixel(_points(row["text"])[0], row, 0)
        query = match_query(ident, xy, _pixel(row["gt_value"], row, 1), *sizes)
    else:
        query = _free(ident, kind, row)
    return Item("+".join(row["image"]), pictures, (query,))


def _free(ident: str, kind: str, row: dict[str, Any]) -> Query:
    question, truth = row["text"].replace("<image>", "").strip(), row["gt_value"]
    if kind == _VECTOR:
        vector = np.asarray(truth, dtype=np.float64).reshape(3) * 1000
        form: Json = {"kind": "vector", "unit": "mm"}
        return free_query(ident, kind, question, form, {"vector": vector.tolist(), "hit": 0.0})
    if kind in _UNITS:
        form = {"kind": "number", "unit": _UNITS[kind]}
        return free_query(ident, kind, question, form, {"number": float(truth)})
    labels = list(_SIDES.get(kind, "ABCD"))
    form = {"kind": "choice", "labels": labels, "options": labels if kind in _SIDES else [""] * 4}
    return free_query(ident, kind, question, form, {"option": labels.index(truth)})


def _points(question: str) -> list[tuple[int, int]]:
    """The points of a question, after its explanation of coordinates, which has one of its own."""
    found = [(int(x), int(y)) for x, y in _POINT.findall(question.rpartition("\n")[2])]
    if not found:
        raise ValueError("its question names no point")
    return found


def _pixel(thousandths: Any, row: dict[str, Any], place: int) -> list[float]:
    x, y = thousandths
    return [x / 1000 * row["width_list"][place], y / 1000 * row["height_list"][place]]


def _file(folder: Path, path: Path, name: str) -> Path:
    """Where a picture lies: beside its questions, or in ScanNet's pictures."""
    roots = ("posed_images", "data/scannet/posed_images", "images", ".")
    for root in (path.parent / "images", *(folder / r for r in roots)):
        found = below(root, name, "MultiSPA")
        if found.is_file():
            return found
    raise InputError(f"the picture {name[:80]!r} is in none of {', '.join(roots)}")
