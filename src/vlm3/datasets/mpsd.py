"""Mapillary Planet-Scale Depth and its reconstructions, as published or converted to WAI.

    ROOT/train|val/KEY.jpg, KEY.png       the picture; its depth in 16-bit centimetres, 0 unknown
    ROOT/train.json, val.json             {KEY: {focal, ...}}: over the longer side
    ROOT/reconstruction_data/GROUP/TIME/image_list.txt        a path a line, whose last part is KEY
    ROOT/reconstruction_data/GROUP/TIME/reconstruction.json   OpenSfM's

The set comes by request; its own readme_mpsd.md could not be read. Layout, unit and intrinsics are
those of facebookresearch/map-anything (conversion/mpsd.py), whose makers also publish the set, and
of nobody else: that pictures are free of distortion and that depth is z is taken from there and
not verified. Poses (cam_from_world, axis times angle, OpenCV's axes) are mapillary/OpenSfM's
(doc/source/dataset.rst, geometry.rst). A scene is a reconstruction; one with any picture of the
validation set is held out whole.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.datasets import wai
from vlm3.datasets.base import DepthMap, Floats, Frames, RawFrame, Reader, each, folders
from vlm3.datasets.files import depth_png_m, picture_size, read_json, read_text
from vlm3.datasets.foreign_poses import inverted
from vlm3.datasets.published import facts
from vlm3.datasets.raw_or_wai import raw_or_wai
from vlm3.errors import InputError
from vlm3.files.reading import below
from vlm3.files.schema import fields, list_of, number, numbers, table_of
from vlm3.geometry.camera import Camera

_LAYOUT = facts("mpsd").layout
_FOLDER = "reconstruction_data"
_CENTIMETRE = 0.01
_FOCALS = table_of(fields({"focal": number(0.05, 20)}))
_RECONSTRUCTION = list_of(
    fields(
        {
            "shots": table_of(
                fields({"rotation": numbers(3), "translation": numbers(3)}),
            )
        }
    ),
    least=1,
)
_SPLITS = ("train", "val")


def scenes(root: Path) -> list[str]:
    """GROUP/TIME of every reconstruction."""
    found = folders(root, f"{_FOLDER}/*/*", _LAYOUT)
    return [
        name.removeprefix(f"{_FOLDER}/")
        for name in found
        if (root / name / "reconstruction.json").is_file()
    ]


def frames(root: Path, scene: str) -> Frames:
    """The pictures of a reconstruction that have a focal length and a pose, by their keys."""
    folder = root / _FOLDER / scene
    listed = {Path(line.strip()).name for line in read_text(folder / "image_list.txt").splitlines()}
    # Only the first reconstruction, as MapAnything takes it: others have another frame.
    shots = read_json(folder / "reconstruction.json", _RECONSTRUCTION)[0]["shots"]
    focals = {split: _focals(root / f"{split}.json") for split in _SPLITS}
    if not any(focals.values()):
        raise InputError(f"{str(root)!r} has neither train.json nor val.json; expected {_LAYOUT}")
    keys = [
        (split, key) for key in sorted(listed & shots.keys()) for split in _SPLITS
        if key in focals[split]
    ]  # fmt: skip
    held_out = "val" if any(split == "val" for split, _ in keys) else "train"

    def make(thing: tuple[str, str]) -> RawFrame:
        split, key = thing
        picture = below(root / split, f"{key}.jpg", f"{split}.json")
        depth = below(root / split, f"{key}.png", f"{split}.json")
        width, height = picture_size(depth)
        f_px = focals[split][key] * max(width, height)
        camera = Camera(f_px, f_px, width / 2, height / 2, width, height)
        return RawFrame(
            key,
            picture,
            camera.resized(*picture_size(picture)),
            lambda: DepthMap(depth_png_m(depth, unit_m=_CENTIMETRE, highest=65536), "z"),
            inverted(_cam_from_world(shots[key])),
            split=held_out,
        )

    return each(keys, make)


def _cam_from_world(shot: dict[str, Any]) -> Floats:
    """By Rodrigues' formula."""
    vector = np.array(shot["rotation"], np.float64)
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / angle if angle > 0 else vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    found = np.eye(4)
    found[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    found[:3, 3] = shot["translation"]
    return found


@lru_cache(maxsize=2)
def _focals(path: Path) -> dict[str, float]:
    """Focal lengths by key; none where that half of the set was not downloaded."""
    if not path.is_file():
        return {}
    return {key: float(row["focal"]) for key, row in read_json(path, _FOCALS).items()}


MPSD = raw_or_wai(Reader(scenes, frames), wai.MPSD, _LAYOUT)
