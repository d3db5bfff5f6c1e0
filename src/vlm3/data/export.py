"""Shards -> DepthLM's jsonl, with what DepthLM calls depth in that set: for comparison only.

`vlm3 data curate --depthlm` also reads the set as DepthLM's scripts do where they differ in
geometry (nuScenes without the car's move, Matterport3D with cy as it stands). Training on vlm3's
own shards never sees these labels.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vlm3 import disk
from vlm3.data.labels import cosines, label_from_distance
from vlm3.data.shards import Shards
from vlm3.data.sources import get_source
from vlm3.errors import InputError


def to_depthlm(folder: Path, out: Path) -> Iterator[int]:
    """Writes OUT/SOURCE.jsonl, OUT/label.txt and the pictures; yields the rows so far.

    Raises:
        InputError: DepthLM has no such set, or `out` is not empty.
    """
    shards = Shards(folder)
    source = get_source(shards.record(0).source)
    if source.depthlm is None:
        raise InputError(f"DepthLM has no labels of {source.name}: nothing to compare with")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} is not empty; give a new folder")
    disk.make_folder(out / "images")
    with (
        disk.whole(out / f"{source.name}.jsonl") as partial,
        partial.open("w", encoding="utf-8") as lines,
    ):
        (out / "label.txt").write_text(source.depthlm, encoding="utf-8")
        for place in range(len(shards)):
            record = shards.record(place)
            name = f"images/{place:08d}.jpg"
            (out / name).write_bytes(shards.picture(place))
            cosine = cosines(record.xy_px, record.camera)
            label = label_from_distance(record.distance_m, cosine, source.depthlm)
            camera = record.camera
            focal, centre = (camera.fx_px, camera.fy_px), (camera.cx_px, camera.cy_px)
            row = {
                "image": name,
                "intrinsics": [*focal, *centre, camera.width_px, camera.height_px],
                "pixel_coords": np.floor(record.xy_px).astype(int).tolist(),
                "depth": label.round(4).tolist(),
            }
            lines.write(json.dumps(row, allow_nan=False) + "\n")
            yield place + 1
