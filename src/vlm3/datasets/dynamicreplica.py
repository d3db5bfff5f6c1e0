"""DynamicReplica (Karaev et al. 2023), rendered stereo videos, as published or converted to WAI.

    ROOT/[SPLIT/]frame_annotations_SPLIT.jgz           SPLIT is train, valid or test; gzipped JSON:
        [{sequence_name, camera_name, frame_number, image: {path, size: [h, w]}, depth: {path},
          viewpoint: {R, T, focal_length, principal_point, intrinsics_format}}, ...]
    ROOT/[SPLIT/]SEQUENCE_source_left|right/images/SEQUENCE_source_left-0000.png
    .../depths/SEQUENCE_source_left_0000.geometric.png   16 bits: a half float, z in metres

Layout, depth's bits and intrinsics: its authors' code, facebookresearch/dynamic_stereo
(datasets/dynamic_stereo_datasets.py, notebooks/Dynamic_Replica_demo.ipynb); that it is z: the same
(evaluation/utils/eval_utils.py turns it into disparity). Viewpoints are PyTorch3D's,
X_cam = X_world R + T with X left and Y up: facebookresearch/pytorch3d
(implicitron/dataset/types.py, renderer/camera_conversions.py). The folder SPLIT/ is absent where
all lies in one place, as facebookresearch/map-anything (conversion/dynamicreplica.py) has it.
People and animals move, so between two times only what stands still matches. The split "real" has
no depth and is not read.
"""

import gzip
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.datasets import wai
from vlm3.datasets.base import (
    DepthMap,
    Floats,
    Frames,
    RawFrame,
    Reader,
    each,
    need_folder,
    need_scenes,
)
from vlm3.datasets.depth_files import of_size, positive, read_half_png
from vlm3.datasets.files import LARGEST_TABLE, picture_size
from vlm3.datasets.foreign_poses import inverted
from vlm3.datasets.published import facts
from vlm3.datasets.raw_or_wai import raw_or_wai
from vlm3.errors import InputError
from vlm3.files.reading import below, parse_json, short, why
from vlm3.files.schema import fields, list_of, number, numbers, text, whole
from vlm3.geometry.camera import Camera

_LAYOUT = facts("dynamicreplica").layout
_SPLITS = {"train": "train", "valid": "val", "test": "test"}
# PyTorch3D's X left, Y up to X right, Y down.
_TURNED = np.array([-1.0, -1.0, 1.0])
_FORMATS = ("ndc_isotropic", "ndc_norm_image_bounds")
_ANNOTATIONS = list_of(
    fields(
        {
            "sequence_name": text(200),
            "camera_name": text(20),
            "frame_number": whole(0, 10**6),
            "image": fields({"path": text(1000), "size": list_of(whole(1, 10**5), least=2)}),
            "depth": fields({"path": text(1000)}),
            "viewpoint": fields(
                {
                    "R": numbers(3, 3),
                    "T": numbers(3),
                    "focal_length": list_of(number(1e-6, 1e6), least=2),
                    "principal_point": numbers(2),
                    "intrinsics_format": text(40),
                }
            ),
        }
    )
)


@dataclass(frozen=True, slots=True, eq=False)
class _Annotation:
    """A frame: its files below the folder of its split, its camera and its pose."""

    picture: str
    depth: str
    order: tuple[int, str]
    size: tuple[int, int]
    viewpoint: dict[str, Any]


def scenes(root: Path) -> list[str]:
    """SPLIT/SEQUENCE of every annotated sequence whose pictures are there."""
    need_folder(root, _LAYOUT)
    found = []
    for split in _SPLITS:
        path = _table(root, split)
        if path is None:
            continue
        for name, frames in _annotations(path).items():
            first = below(path.parent, frames[0].picture, str(path))
            if first.parent.is_dir():
                found.append(f"{split}/{name}")
    return need_scenes(root, found, "frame_annotations_*.jgz with its pictures", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The frames of a sequence by their time, left and right in turn."""
    split, _, sequence = scene.partition("/")
    path = _table(root, split)
    if path is None:
        raise InputError(f"{str(root)!r} has no frame_annotations_{split}.jgz")
    known = _annotations(path).get(sequence)
    if known is None:
        raise InputError(f"{str(path)!r} has no sequence {short(sequence)}")
    folder = path.parent

    def make(one: _Annotation) -> RawFrame:
        picture = below(folder, one.picture, str(path))
        depth = below(folder, one.depth, str(path))
        width, height = picture_size(picture)
        if one.size != (width, height):
            raise InputError(
                f"the picture is {width}x{height}, its annotation says {one.size[0]}x{one.size[1]}"
            )
        return RawFrame(
            picture.stem,
            picture,
            _camera(one),
            lambda: DepthMap(positive(of_size(read_half_png(depth), width, height, depth)), "z"),
            inverted(_cam_from_world(one.viewpoint)),
            split=_SPLITS[split],
        )

    return each(known, make)


def _camera(one: _Annotation) -> Camera:
    given = one.viewpoint
    if given["intrinsics_format"].lower() not in _FORMATS:
        raise InputError(
            f"intrinsics_format is {short(given['intrinsics_format'])}; PyTorch3D has "
            f"{', '.join(_FORMATS)}"
        )
    half = np.array(one.size) / 2
    unit = half if given["intrinsics_format"].lower() == _FORMATS[1] else half.min()
    fx, fy = np.array(given["focal_length"][:2], np.float64) * unit
    cx, cy = half - np.array(given["principal_point"], np.float64) * unit
    return Camera(fx, fy, cx, cy, *one.size)


def _cam_from_world(viewpoint: dict[str, Any]) -> Floats:
    found = np.eye(4)
    # Rows times R, so its transpose turns columns.
    found[:3, :3] = _TURNED[:, None] * np.array(viewpoint["R"], np.float64).T
    found[:3, 3] = _TURNED * np.array(viewpoint["T"], np.float64)
    return found


def _table(root: Path, split: str) -> Path | None:
    name = f"frame_annotations_{split}.jgz"
    return next((p for p in (root / split / name, root / name) if p.is_file()), None)


@lru_cache(maxsize=1)
def _annotations(path: Path) -> dict[str, list[_Annotation]]:
    """The frames of each sequence, in order."""
    try:
        with gzip.open(path) as file:
            data = file.read(LARGEST_TABLE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {str(path)!r} as gzip ({why(error)})") from error
    if len(data) > LARGEST_TABLE:
        raise InputError(f"{str(path)!r} unpacks to more than {LARGEST_TABLE} bytes")
    found: dict[str, list[_Annotation]] = {}
    for row in parse_json(data, str(path), _ANNOTATIONS):
        height, width = row["image"]["size"][:2]
        one = _Annotation(
            row["image"]["path"],
            row["depth"]["path"],
            (row["frame_number"], row["camera_name"]),
            (width, height),
            row["viewpoint"],
        )
        found.setdefault(row["sequence_name"], []).append(one)
    return {name: sorted(frames, key=lambda one: one.order) for name, frames in found.items()}


DYNAMICREPLICA = raw_or_wai(Reader(scenes, frames), wai.DYNAMICREPLICA, _LAYOUT)
