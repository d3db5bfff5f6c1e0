"""SpatialRGPT-Bench: questions about boxes in pictures of Omni3D, with answers in words.

The file is SpatialRGPT-Bench_v1.json (Hugging Face, a8cheng/SpatialRGPT-Bench). Its truth is text;
it is read by the same rules as a model's answer, and a truth that cannot be read is refused here,
by its id, not counted against anyone. It holds no intrinsics: the paper estimates them with
AnyCalib (`--calibrator anycalib`); without it EXIF or the common field of view stands in, unless
`intrinsics` [fx, fy, cx, cy] was added to `image_info`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.curation.intrinsics import calibrate_by
from vlm3.datasets.files import one_file, read_json
from vlm3.errors import InputError
from vlm3.eval.items import Item, Query, object_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.files import opener
from vlm3.files.reading import below, short
from vlm3.files.schema import anything, fields, list_of, number, numbers, text
from vlm3.geometry.camera import Camera
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.object_reading import parse

_QUANTITIES = {
    "distance_data": "direct_distance",
    "horizontal_distance_data": "horizontal_distance",
    "vertical_distance_data": "vertical_distance",
    "width_data": "width",
    "height_data": "height",
    "direction": "direction",
}
# As the published script: by substring, either side of the comparison.
_COMPARISONS = {
    "short": "tall_short",
    "tall": "tall_short",
    "left": "left_right",
    "right": "left_right",
    "below": "below_above",
    "above": "below_above",
    "behind": "behind_front",
    "front": "behind_front",
    "big": "big_small",
    "small": "big_small",
    "wide": "wide_thin",
    "thin": "wide_thin",
}
_REGION = re.compile(r"Region ?\[(\d+)\]", re.IGNORECASE)


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a picture, with its questions in the order of the file."""
    path = one_file(wanted.folder, "SpatialRGPT-Bench*.json", "SpatialRGPT-Bench file")
    rows = read_json(path, list_of(anything))
    calibrate = calibrate_by(wanted.calibrator)
    by_picture: dict[str, list[Any]] = {}
    for entry, row in enumerate(rows[: wanted.count]):
        _ROW(row, f"{path}, entry {entry}")
        by_picture.setdefault(row["image_info"]["file_path"], []).append(row)
    for name, own_rows in by_picture.items():
        info = own_rows[0]["image_info"]
        camera = None
        if "intrinsics" in info:
            fx, fy, cx, cy = info["intrinsics"]
            camera = Camera(fx, fy, cx, cy, int(info["width"]), int(info["height"]))
        queries = tuple(query(row) for row in own_rows)
        yield Item(name, (opener(_picture(path.parent, name), camera, calibrate),), queries)


_SIDE = number(1, 1e6)
_ROW = fields(
    {
        "id": anything,
        "text_q": text(10_000),
        "conversations": list_of(fields({}, {"value": text(10_000)}), least=2),
        "bbox": list_of(numbers(4)),
        "qa_info": fields({"category": text(200)}),
        "image_info": fields(
            {"file_path": text(1024), "width": _SIDE, "height": _SIDE},
            {"intrinsics": numbers(4)},
        ),
    }
)


def column(category: str) -> str:
    """The column of the published table that a category belongs to."""
    if category in _QUANTITIES:
        return _QUANTITIES[category]
    for word, name in _COMPARISONS.items():
        if word in category:
            return name
    raise InputError(f"SpatialRGPT-Bench has no category {short(category)}")


def query(row: dict[str, Any]) -> Query:
    """One entry of the file as a question with {0}, {1} and a truth as a value.

    Raises:
        InputError: the entry is malformed, or its truth cannot be read.
    """
    try:
        ident, question = str(row["id"]), str(row["text_q"])
        truth_text = str(row["conversations"][1]["value"])
        info = row["image_info"]
        boxes = np.asarray(row["bbox"], dtype=np.float64).reshape(-1, 4)
        category = column(row["qa_info"]["category"])
        limit = [info["width"], info["height"]] * 2
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"entry {row.get('id')!s:.80} of SpatialRGPT-Bench: {short(error)}") from (
            error
        )
    truth = parse(question, truth_text, len(boxes))
    if isinstance(truth, ParseFailure):
        raise InputError(
            f"the truth of {ident:.80} cannot be read ({truth.reason:.80}): {short(truth_text)}"
        )
    slots = _REGION.sub(lambda found: "{" + found[1] + "}", question)
    return object_query(ident, category, slots, np.clip(boxes, 0, limit), truth)


def _picture(folder: Path, name: str) -> Path:
    below(folder, name, "SpatialRGPT-Bench")
    for path in (folder / name, folder / "omni3d" / name, folder / "images" / name):
        if path.is_file():
            return path
    raise InputError(f"the picture {short(name)} is not under {str(folder)!r}")
