"""Prepared pairs, one a line of pairs.jsonl: how correspondence and pose sets come in.

    {"image_a": "a.jpg", "image_b": "b.jpg", "intrinsics_a": [fx, fy, cx, cy, W, H],
     "intrinsics_b": [...], "matches": [[xa, ya, xb, yb], ...], "cam1_from_cam2": [[...], ...],
     "metric": true}

Pixels are continuous, (0.5, 0.5) is the centre of the first; `matches` or `cam1_from_cam2` may be
absent. The EPE is that of the pictures as they are here, so sets that are published at 560x420
(UFM's ETH3D, DTU, TA-WB) must lie here at that size.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.datasets.files import json_lines, one_file
from vlm3.errors import InputError
from vlm3.eval.items import Item, Query, match_query, pose_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.files import opener
from vlm3.files.reading import below, short, why
from vlm3.files.schema import fields, flag, list_of, numbers, text
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a pair; of matches, the same number from each until `count` are together."""
    path = one_file(wanted.folder, "pairs.jsonl", "list of pairs")
    rows = list(json_lines(path))
    matches_wanted = "correspondence" in wanted.benchmark.tasks
    per_pair = -(-wanted.count // max(len(rows), 1))
    rng = np.random.default_rng(wanted.seed)
    left = wanted.count
    for number, row in rows:
        try:
            _ROW(row, "it")
            item = _item(path.parent, number, row, matches_wanted, min(per_pair, left), rng)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            text = why(error) if isinstance(error, InputError) else short(error)
            raise InputError(f"{path}, line {number} is no pair ({text})") from error
        if item.queries:
            yield item
        left -= len(item.queries)
        if left <= 0:
            return


_CAMERA = numbers(6)
_ROW = fields(
    {
        "image_a": text(1024),
        "image_b": text(1024),
        "intrinsics_a": _CAMERA,
        "intrinsics_b": _CAMERA,
    },
    {"matches": numbers(None, 4), "cam1_from_cam2": list_of(numbers(None)), "metric": flag},
)


def _item(
    folder: Path,
    number: int,
    row: dict[str, Any],
    matches_wanted: bool,
    most: int,
    rng: np.random.Generator,
) -> Item:
    key = f"{row['image_a']}-{row['image_b']}"
    cameras = [_camera(row[f"intrinsics_{which}"]) for which in "ab"]
    pictures = tuple(
        opener(below(folder, row[f"image_{which}"], f"image_{which}"), camera)
        for which, camera in zip("ab", cameras, strict=True)
    )
    queries: list[Query] = []
    if matches_wanted:
        matches = np.asarray(row["matches"], dtype=np.float64).reshape(-1, 4)
        size_a, size_b = ((c.width_px, c.height_px) for c in cameras)
        for k in np.sort(rng.permutation(len(matches))[:most]):
            ident = f"{number:05d}/{k:05d}"
            queries.append(match_query(ident, matches[k, :2], matches[k, 2:], size_a, size_b))
    else:
        pose = RelativePose.from_matrix(row["cam1_from_cam2"])
        queries.append(pose_query(f"{number:05d}/pose", pose, metric=bool(row["metric"])))
    return Item(key, pictures, tuple(queries))


def _camera(intrinsics: list[float]) -> Camera:
    fx, fy, cx, cy, width, height = intrinsics
    return Camera(fx, fy, cx, cy, int(width), int(height))
