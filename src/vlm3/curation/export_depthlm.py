"""Export shards as DepthLM's jsonl, with what DepthLM calls depth in that set.

`vlm3 data curate --depthlm` also reads the set as DepthLM's scripts do where they differ in
geometry (nuScenes without the car's move, Matterport3D with cy as it stands). Training on vlm3's
own shards never sees these labels.
"""

import json
from collections.abc import Generator
from pathlib import Path

import numpy as np

from vlm3 import disk
from vlm3.curation.export import empty
from vlm3.data.shards import Shards
from vlm3.datasets import get_facts, names
from vlm3.tasks.depth_labels import cosines, label_from_distance


def to_depthlm(folder: Path, out: Path) -> Generator[int]:
    """Writes OUT/SOURCE.jsonl, OUT/label.txt and the pictures; yields the rows so far.

    Sets that DepthLM does not have get the straight distance.

    Raises:
        InputError: `out` is not empty.
    """
    shards = Shards(folder)
    empty(out)
    name = shards.record(0).source or "shards"
    known = get_facts(name).depthlm if name in names() else None
    meaning = known or "distance"
    with disk.whole_folder(out) as partial:
        (partial / "images").mkdir()
        (partial / "label.txt").write_text(meaning, encoding="utf-8")
        with (partial / f"{name}.jsonl").open("w", encoding="utf-8") as lines:
            for place in range(len(shards)):
                record = shards.record(place)
                image = f"images/{place:08d}.jpg"
                (partial / image).write_bytes(shards.picture(place))
                cosine = cosines(record.xy_px, record.camera)
                label = label_from_distance(record.distance_m, cosine, meaning)
                camera = record.camera
                focal, centre = (camera.fx_px, camera.fy_px), (camera.cx_px, camera.cy_px)
                row = {
                    "image": image,
                    "intrinsics": [*focal, *centre, camera.width_px, camera.height_px],
                    "pixel_coords": np.floor(record.xy_px).astype(int).tolist(),
                    "depth": label.round(4).tolist(),
                }
                lines.write(json.dumps(row, allow_nan=False) + "\n")
                yield place + 1
