"""Driving sets with laser points: KITTI object, dgp scenes (DDAD), mmdet3d's nuScenes infos.

Their files are read by the sources that training uses; the queries are alike for each: random
ones of the points that fall into the picture, the nearest where several share a pixel.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vlm3.curation.stored import StoredFrame
from vlm3.datasets import get_source
from vlm3.datasets.base import READ_ERRORS, RawFrame, Remark, reason
from vlm3.errors import InputError
from vlm3.eval.items import Item, depth_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.files import opener
from vlm3.tasks.depth_labels import cosines, label_from_distance

POINTS_A_PICTURE = 100
_SOURCES = {
    "kitti-object": "kitti-object",
    "ddad-dgp": "ddad",
    "nuscenes-mmdet3d": "nuscenes-mmdet3d",
}


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a picture, until `count` queries are together."""
    rng = np.random.default_rng(wanted.seed)
    left = wanted.count
    for key, frame in frames(_SOURCES[wanted.benchmark.reader], wanted.folder):
        assert frame.camera is not None and isinstance(frame.picture, Path)
        stored = StoredFrame(frame, frame.camera)
        try:
            xy, points = stored.surface(min(POINTS_A_PICTURE, left), rng)
        except READ_ERRORS as error:
            raise InputError(f"{key}: {reason(error)}") from error
        distance_m = np.linalg.norm(points, axis=1)
        cosine = cosines(xy, frame.camera)
        label_m = label_from_distance(distance_m, cosine, wanted.benchmark.label)
        queries = tuple(
            depth_query(f"{key}/{k:03d}", xy[k], cosine=c, distance_m=distance_m[k], label_m=label)
            for k, (c, label) in enumerate(zip(cosine, label_m, strict=True))
        )
        if queries:
            yield Item(key, (opener(frame.picture, frame.camera),), queries)
        left -= len(queries)
        if left <= 0:
            return


def frames(source: str, folder: Path) -> Iterator[tuple[str, RawFrame]]:
    """The frames of a set with their keys; evaluation leaves none out.

    Raises:
        InputError: one cannot be used.
    """
    found = get_source(source)
    for scene in found.list_scenes(folder):
        for frame in found.read_frames(folder, scene):
            if isinstance(frame, Remark):
                continue
            key = f"{scene}/{frame.key}"
            if not isinstance(frame, RawFrame):
                raise InputError(f"{key}: {frame.reason}")
            yield key, frame
