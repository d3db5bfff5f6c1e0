"""DL3DV-10K (Ling et al. 2024), as published or converted to WAI.

    ROOT/[1K/]HASH/[colmap/]transforms.json                nerfstudio's: OPENCV lens, K of 4K
                                                           pictures, world_from_cam as OpenGL's
    .../images|images_2|images_4|images_8/frame_00001.png  distorted; 4K, 2K, 960P, 480P

Folders of a scene: its authors' card of the sample (huggingface.co/datasets/DL3DV/
DL3DV-10K-Sample), scripts/download.py of DL3DV-10K/Dataset; transforms.json: nerfstudio-project/
nerfstudio (docs/quickstart/data_conventions.md, process_data/colmap_utils.py); that K is that of
the full size and is scaled with the picture: cvg/depthsplat (src/scripts/convert_dl3dv_train.py).
The largest pictures that are there are read. The set has no depth and its scale is COLMAP's.
Converted to WAI it has depth by MVSAnywhere; as published, features of neighbouring pictures are
triangulated, as RealEstate10K's are (`tracks`), so there are fewer matches.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vlm3.datasets import wai
from vlm3.datasets.base import Frames, RawFrame, Reader, each, need_folder, need_scenes
from vlm3.datasets.files import picture_size, read_json
from vlm3.datasets.foreign_poses import world_from_opengl
from vlm3.datasets.published import facts
from vlm3.datasets.raw_or_wai import raw_or_wai
from vlm3.datasets.tracks import path_frames
from vlm3.errors import InputError
from vlm3.files.reading import below
from vlm3.files.schema import fields, list_of, number, numbers, text, whole
from vlm3.geometry.camera import Camera

_LAYOUT = facts("dl3dv-10k").layout
_IMAGES = ("images", "images_2", "images_4", "images_8")
# Pictures before and after, in the order of the video, that features are looked for in.
_STEPS = (-6, -2, 2, 6)
_lens = number(-10, 10)
_TRANSFORMS = fields(
    {
        "camera_model": text(40),
        "w": whole(16, 10**5),
        "h": whole(16, 10**5),
        "fl_x": number(1, 1e6),
        "fl_y": number(1, 1e6),
        "cx": number(-1e5, 1e5),
        "cy": number(-1e5, 1e5),
        "frames": list_of(
            fields({"file_path": text(1000), "transform_matrix": numbers(4, 4)}), least=1
        ),
    },
    {"k1": _lens, "k2": _lens, "p1": _lens, "p2": _lens},
)


def scenes(root: Path) -> list[str]:
    """Every folder with a transforms.json and pictures."""
    need_folder(root, _LAYOUT)
    found = (
        path.parent.relative_to(root).as_posix()
        for depth in ("*", "*/*", "*/*/*")
        for path in root.glob(f"{depth}/transforms.json")
        if any((path.parent / name).is_dir() for name in _IMAGES)
    )
    return need_scenes(root, found, "transforms.json with pictures", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The pictures of a scene, in the order of the video."""
    folder = root / scene
    where = f"{folder}/transforms.json"
    meta = read_json(folder / "transforms.json", _TRANSFORMS)
    if meta["camera_model"] != "OPENCV":
        raise InputError(f"{where}: camera_model is {meta['camera_model']!r}; DL3DV's is OPENCV")
    largest = next((name for name in _IMAGES if (folder / name).is_dir()), "images")
    listed = sorted(meta["frames"], key=lambda frame: str(frame["file_path"]))
    pictures = [folder / largest / Path(below(folder, f["file_path"], where)).name for f in listed]
    # Only those that are there, so that neighbours are neighbours.
    there = [(p, f) for p, f in zip(pictures, listed, strict=True) if p.is_file()]

    def make(thing: tuple[Path, dict[str, Any]]) -> RawFrame:
        picture, frame = thing
        return RawFrame(
            picture.stem,
            picture,
            _camera(meta, *picture_size(picture)),
            world_from_cam=world_from_opengl(np.array(frame["transform_matrix"])),
            metric=False,
        )

    return path_frames(each(there, make), _STEPS)


def _camera(meta: dict[str, Any], width: int, height: int) -> Camera:
    if abs(width / height / (meta["w"] / meta["h"]) - 1) > 0.02:
        raise InputError(
            f"the picture is {width}x{height}, its camera {meta['w']}x{meta['h']}: of another shape"
        )
    lens = tuple(float(meta.get(key, 0.0)) for key in ("k1", "k2", "p1", "p2"))
    fx, fy, cx, cy = (float(meta[key]) for key in ("fl_x", "fl_y", "cx", "cy"))
    whole_size = Camera(fx, fy, cx, cy, meta["w"], meta["h"], lens, "brown_conrady")
    return whole_size.resized(width, height)


DL3DV = raw_or_wai(Reader(scenes, frames), wai.DL3DV, _LAYOUT)
