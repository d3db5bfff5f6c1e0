"""Taskonomy and HM3D as Omnidata lays them out.

    ROOT/rgb/[taskonomy/]BUILDING/point_I_view_J_domain_rgb.png
    ROOT/depth_zbuffer/[taskonomy/]BUILDING/point_I_view_J_domain_depth_zbuffer.png
    ROOT/point_info/[taskonomy/]BUILDING/point_I_view_J_domain_point_info.json
                                    (HM3D: ..._domain_fixatedpose.json)
    ROOT/mask_valid/...             optional: 0 where the scan has holes
    ROOT/**/train_val_test_fullplus.csv (Taskonomy) or metadata.csv (HM3D)     optional: splits

Depth is 16 bit, 1/512 m along the axis, 65535 unknown. Where only depth_euclidean is there, that is
read, as straight distance. The focal length follows from each view's field of view; pixels count
from the picture's corner. Listed by the pictures: some buildings have depth without.
"""

import csv
import io
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.datasets.base import DepthMap, Frames, Kind, RawFrame, Reader, each, need_scenes
from vlm3.datasets.depth_files import masked
from vlm3.datasets.files import depth_png_m, picture_size, read_json, read_text
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.files.reading import why
from vlm3.files.schema import fields, list_of, number
from vlm3.geometry.camera import Camera

_UNIT_M = 1 / 512
_DEPTHS: tuple[tuple[str, Kind], ...] = (("depth_zbuffer", "z"), ("depth_euclidean", "distance"))
_INFOS = ("point_info", "fixatedpose")
_VIEW = fields({"field_of_view_rads": number(0.001, 3.14)})


def _info_check(value: Any, place: str) -> None:
    """Taskonomy keeps one entry for each view of the point in a list."""
    (list_of(_VIEW, least=1) if isinstance(value, list) else _VIEW)(value, place)


def scenes(root: Path, component: str) -> list[str]:
    """Buildings that have pictures."""
    folder = _component(root, "rgb", component)
    found = [p.name for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []
    return need_scenes(root, found, "rgb/BUILDING", facts(component).layout)


def frames(root: Path, scene: str, component: str) -> Frames:
    """Every view of a building."""
    split = _splits(root).get(scene, "train")

    def make(picture: Path) -> RawFrame:
        stem = picture.stem.removesuffix("_domain_rgb")
        depth, kind = _depth_file(root, component, scene, stem)
        mask = _component(root, "mask_valid", component) / scene / f"{stem}_domain_mask_valid.png"
        return RawFrame(
            stem,
            picture,
            _camera(picture, _info(root, component, scene, stem)),
            lambda: DepthMap(masked(depth_png_m(depth, unit_m=_UNIT_M), mask), kind),
            split=split,
        )

    found = (_component(root, "rgb", component) / scene).glob("*_domain_rgb.*")
    return each(sorted(found), make)


def _camera(picture: Path, info: dict[str, Any]) -> Camera:
    width, height = picture_size(picture)
    return Camera.from_fov(
        float(np.degrees(info["field_of_view_rads"])), width_px=width, height_px=height
    )


def _info(root: Path, component: str, scene: str, stem: str) -> dict[str, Any]:
    folder = _component(root, "point_info", component) / scene
    for name in _INFOS:
        path = folder / f"{stem}_domain_{name}.json"
        if path.is_file():
            found = read_json(path, _info_check)
            return dict(found[0] if isinstance(found, list) else found)
    raise InputError(f"no point_info of {stem}")


def _depth_file(root: Path, component: str, scene: str, stem: str) -> tuple[Path, Kind]:
    for name, kind in _DEPTHS:
        path = _component(root, name, component) / scene / f"{stem}_domain_{name}.png"
        if path.is_file():
            return path, kind
    raise InputError(f"no depth of {stem}")


def _component(root: Path, task: str, component: str) -> Path:
    inner = root / task / component
    return inner if inner.is_dir() else root / task


@lru_cache(4)
def _splits(root: Path) -> dict[str, str]:
    for name in ("train_val_test_fullplus.csv", "metadata.csv"):
        for path in sorted(root.glob(f"**/{name}")):
            try:
                rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
                if rows and "split" in rows[0]:
                    return {row["scene"]: row["split"] for row in rows}
                return {
                    row["id"]: split
                    for row in rows
                    for split in ("train", "val", "test")
                    if row[split] == "1"
                }
            except (csv.Error, KeyError) as error:
                raise InputError(
                    f"{str(path)!r} has no columns scene and split, or id, train, val and test "
                    f"({why(error)})"
                ) from error
    return {}


def _reader(component: str) -> Reader:
    return Reader(partial(scenes, component=component), partial(frames, component=component))


TASKONOMY = _reader("taskonomy")
HM3D = _reader("hm3d")
