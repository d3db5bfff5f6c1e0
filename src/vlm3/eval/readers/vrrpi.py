"""VRRPI-Bench: to which side did the camera go and turn, in words or as a pose.

Columns, as kdeng03/lost-in-space bench-gen/bench/gen_qa.py pushes them: id, level ("15-20"),
dataset, images (source and target), qa ("zero-shot": prompt, gt_idx, gt_text), poses (camera to
world, 4 x 4, of both), intrinsic, relative_pose_vector. The question is the zero-shot prompt with
its candidates 0 and 1. The same pair asks for its motion: from the source camera to the target
that is inv(source) @ target, as base_frame.py has it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vlm3.errors import InputError
from vlm3.eval.items import Item, Query, free_query, pose_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.tables import picture, rows_of
from vlm3.files.schema import anything, fields, numbers, text, whole
from vlm3.geometry.pose import RelativePose

_ROW = fields(
    {
        "id": anything,
        "level": text(40),
        "qa": fields({"zero-shot": fields({"prompt": text(20_000), "gt_idx": whole(0, 9)})}),
        "poses": numbers(2, 4, 4),
        "intrinsic": numbers(3, 3),
    }
)


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a pair."""
    for place, (where, row) in enumerate(
        rows_of(wanted.folder, wanted.benchmark.data_format, pictures=("images", "depth_images"))
    ):
        if place >= wanted.count:
            return
        _ROW(row, where)
        if "images" not in row:
            raise InputError(f"{where} has no images")
        yield _item(wanted, row)


def _item(wanted: Wanted, row: dict[str, Any]) -> Item:
    ident = f"{row['id']}"
    K = np.asarray(row["intrinsic"], dtype=np.float64)
    fx, fy, cx, cy = (float(K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    pictures = tuple(
        picture(wanted.folder, row["images"], k, intrinsics_px=(fx, fy, cx, cy)) for k in (0, 1)
    )
    source, target = (np.asarray(pose, dtype=np.float64) for pose in row["poses"])
    motion = RelativePose.from_matrix(np.linalg.inv(source) @ target)
    return Item(
        ident, pictures, (_question(ident, row), pose_query(f"{ident}/pose", motion, metric=True))
    )


def _question(ident: str, row: dict[str, Any]) -> Query:
    zero_shot = row["qa"]["zero-shot"]
    options = candidates(zero_shot["prompt"])
    if not 0 <= zero_shot["gt_idx"] < len(options):
        raise InputError(f"pair {ident}: candidate {zero_shot['gt_idx']} is none of its candidates")
    labels = [str(k) for k in range(len(options))]
    form = {"kind": "choice", "labels": labels, "options": options}
    return free_query(
        f"{ident}/qa", row["level"], zero_shot["prompt"], form, {"option": zero_shot["gt_idx"]}
    )


def candidates(prompt: str) -> list[str]:
    """What stands between <ans-candidates> tags, without the numbers."""
    inner = prompt.partition("<ans-candidates>")[2].partition("</ans-candidates>")[0]
    return [line.partition(".")[2].strip() for line in inner.strip().splitlines() if line.strip()]
