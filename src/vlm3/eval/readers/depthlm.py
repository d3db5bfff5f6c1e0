"""DepthLM's jsonl: one picture a line with some 100 labelled pixels.

    {"image": "rgb/a.png", "intrinsics": [fx, fy, cx, cy, W, H], "pixel_coords": [[x, y], ...],
     "depth": [m, ...]}

Any set curated with facebookresearch/DepthLM_Official utils/curate_*.py reads as it is. Pixels are
integers there: their centres, half a pixel further, are the queries. The samples are those of its
dataset_eval (utils/datasets.py), without its rule about the border, which is for drawn markers.
"""

import random
from collections.abc import Iterator

from vlm3.datasets.depthlm import DepthLMRow, read_row
from vlm3.datasets.files import json_lines, one_file
from vlm3.errors import InputError
from vlm3.eval.items import Item, depth_query
from vlm3.eval.readers import EVERY, Wanted
from vlm3.eval.readers.files import opener
from vlm3.tasks.depth_labels import cosines, distance_from_label

_LAST_ROWS = 0.02


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a picture, in the order of the file; the samples of `sample_list`."""
    if not any(wanted.folder.glob("*.jsonl")):
        name = wanted.benchmark.name
        raise InputError(
            f"{str(wanted.folder)!r} holds no .jsonl of DepthLM's; make it from the set as "
            f"downloaded: vlm3 data curate {name} --root {wanted.folder} -o SHARDS --depthlm, then "
            "vlm3 data export SHARDS --to depthlm -o DIR"
        )
    path = one_file(wanted.folder, "*.jsonl", "jsonl of DepthLM")
    rows = [read_row(path, number, raw) for number, raw in json_lines(path)]
    if not rows:
        raise InputError(f"{str(path)!r} is empty")
    if wanted.benchmark.label == "scannetpp":
        rows = held_out_rows(rows, wanted.seed)
    pixels = [len(row.label_m) for row in rows]
    if wanted.count == EVERY:
        samples = [(picture, k) for picture, n in enumerate(pixels) for k in range(n)]
    else:
        samples = sample_list(pixels, count=wanted.count, seed=wanted.seed)
    by_picture: dict[int, list[tuple[int, int]]] = {}
    for number, (picture, pixel) in enumerate(samples):
        by_picture.setdefault(picture, []).append((number, pixel))
    for picture in sorted(by_picture):
        row = rows[picture]
        cosine = cosines(row.xy_px, row.camera)
        distance_m = distance_from_label(row.label_m, cosine, wanted.benchmark.label)
        queries = tuple(
            depth_query(
                f"{number:05d}",
                row.xy_px[pixel],
                cosine=cosine[pixel],
                distance_m=distance_m[pixel],
                label_m=row.label_m[pixel],
            )
            for number, pixel in by_picture[picture]
        )
        key = row.image.relative_to(path.parent).as_posix()
        yield Item(key, (opener(row.image, row.camera),), queries)


def sample_list(pixels: list[int], *, count: int, seed: int) -> list[tuple[int, int]]:
    """The queries as (picture, pixel), in DepthLM's order.

    One draw for each of the N * n places, n the pixels of the first picture; place i is about
    picture i mod N. The draws are independent, so a pixel may come twice. A picture with fewer
    pixels may miss its draw: then, as there, the next place stands in for it.

    Args:
        pixels: how many labelled pixels each picture has.
        count: the most samples; no more than there are places.
        seed: 42 in the published numbers.
    """
    rng = random.Random(seed)
    size = len(pixels) * pixels[0]
    drawn = [rng.sample(range(pixels[0]), 1)[0] for _ in range(size)]
    found = []
    for place in range(min(count, size)):
        for step in range(size):
            here = (place + step) % size
            picture = here % len(pixels)
            if drawn[here] < pixels[picture]:
                found.append((picture, drawn[here]))
                break
    return found


def held_out_rows(rows: list[DepthLMRow], seed: int) -> list[DepthLMRow]:
    """The last 2 % of the rows, shuffled: DepthLM's ScanNet++ split, by row and not by scene."""
    kept = rows[int(len(rows) * (1 - _LAST_ROWS)) :]
    random.Random(seed).shuffle(kept)
    return kept
