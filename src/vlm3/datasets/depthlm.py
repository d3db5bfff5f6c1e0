"""DepthLM's curated jsonl: one picture a line with some 100 labelled pixels.

    {"image": "rgb/a.png", "intrinsics": [fx, fy, cx, cy, W, H], "pixel_coords": [[x, y], ...],
     "depth": [m, ...]}

Any set curated with facebookresearch/DepthLM_Official utils/curate_*.py reads as it is. Pixels are
integers there: their centres, half a pixel further, are meant. What "depth" is depends on the set
(`vlm3.tasks.depth_labels`): it follows from the file's name (`ibims1_val.jsonl`), and is a straight
distance where the name does not decide, or what `ROOT/label.txt` says.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.datasets.base import Floats, Frames, PixelDepths, RawFrame, Reader, each
from vlm3.datasets.files import json_lines, one_file, read_text
from vlm3.errors import InputError
from vlm3.files.reading import short
from vlm3.geometry.camera import Camera
from vlm3.tasks.depth_labels import cosines, distance_from_label
from vlm3.tasks.truth import MOST_M

# Rows in one unit of work.
_ROWS = 2000
# What the file's name begins with, and what its labels are.
_LABELS = {
    "ibims": "z",
    "ddad": "z",
    "nuscenes": "z",
    "nuscene": "z",
    "sun": "0.8 distance",
    "nyu": "0.8 distance",
    "scannet": "scannetpp",
}


@dataclass(frozen=True, eq=False)
class DepthLMRow:
    """A line: picture, its camera, (n, 2) labelled pixel centres and (n,) labels."""

    image: Path
    camera: Camera
    xy_px: Floats
    label_m: Floats


def scenes(root: Path) -> list[str]:
    """The file in parts of 2000 lines, as it has no scenes."""
    path = _file(root)
    with path.open("rb") as lines:
        count = sum(1 for line in lines if line.strip())
    return [f"{path.name}:{k}" for k in range(0, max(1, count), _ROWS)]


def frames(root: Path, scene: str) -> Frames:
    """Every line."""
    path = _file(root)
    first = int(scene.rpartition(":")[2])
    label = label_of(path)
    rows = list(_part(path, first))

    def make(numbered: tuple[str, dict[str, Any]]) -> RawFrame:
        number, raw = numbered
        row = read_row(path, int(number), raw)
        distance = distance_from_label(row.label_m, cosines(row.xy_px, row.camera), label)
        key = f"{number}/{row.image.stem}"
        return RawFrame(
            key,
            row.image,
            row.camera,
            lambda: PixelDepths(row.xy_px, distance, "distance"),
            split="val" if "val" in path.stem else "train",
        )

    return each(((f"{number:07d}", raw) for number, raw in rows), make)


def read_row(path: Path, number: int, raw: dict[str, Any]) -> DepthLMRow:
    """A line of the file.

    Raises:
        InputError: it lacks something, its numbers are not finite or do not belong together, or it
            names a picture outside the folder.
    """
    try:
        # The Matterport script writes another key.
        name = str(raw["image"] if "image" in raw else raw["image_path"])
        intrinsics = [float(v) for v in raw["intrinsics"]]
        fx, fy, cx, cy, width, height = intrinsics
        xy = np.asarray(raw["pixel_coords"], dtype=np.float64).reshape(-1, 2) + 0.5
        label = np.asarray(raw["depth"], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path}, line {number} is no row of DepthLM's ({short(error)}): it needs image, "
            "intrinsics [fx, fy, cx, cy, W, H], pixel_coords and depth"
        ) from error
    for key, numbers in (("intrinsics", intrinsics), ("pixel_coords", xy), ("depth", label)):
        # NaN is in no range.
        if not (np.abs(numbers) <= MOST_M).all():
            raise InputError(
                f"{path}, line {number}: {key} holds a number that is not finite, or beyond "
                f"{MOST_M:g}; leave the row, "
                "or the pixels without a depth, out"
            )
    image = _picture_below(path, number, name)
    if label.shape != (len(xy),) or not len(label):
        raise InputError(f"{path}, line {number}: {len(xy)} pixels but {len(label)} depths")
    # Their loader takes the other where one is missing.
    camera = Camera(fx or fy, fy or fx, cx, cy, int(width), int(height))
    return DepthLMRow(image, camera, xy, label)


def _picture_below(path: Path, number: int, name: str) -> Path:
    """The picture that a line names, which lies in the folder of the file.

    Their loader takes the slashes off its start, so that `/rgb/a.png` is `rgb/a.png`.
    """
    relative = posixpath.normpath(name.lstrip("/"))
    if (
        relative.split("/")[0] in ("..", ".")
        or "\\" in name
        or len(name) > 1024
        or not name.isprintable()
    ):
        raise InputError(
            f"{path}, line {number} names the picture {short(name)}, which is not below its "
            "folder; put the pictures beside the file and name them from there"
        )
    return path.parent / relative


def label_of(path: Path) -> str:
    """What the labels of a file are."""
    note = path.parent / "label.txt"
    if note.is_file():
        return read_text(note).strip()
    name = path.stem.lower()
    return next((label for start, label in _LABELS.items() if name.startswith(start)), "distance")


def _file(root: Path) -> Path:
    return one_file(root, "*.jsonl", "jsonl of DepthLM")


def _part(path: Path, first: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for place, (number, raw) in enumerate(json_lines(path)):
        if place >= first + _ROWS:
            return
        if place >= first:
            yield number, raw


DEPTHLM = Reader(scenes, frames)
