"""DepthVLM-Bench: labelled points, or whole depth maps, without intrinsics.

    {"image": "ibims1/ibims1_core_raw/rgb/a.png",
     "depth_path": "ibims1/ibims1_core_raw/depth/a.png",
     "depth_scale": 1310.7, "original_rgb_size": [640, 480], "original_depth_size": [640, 480],
     "original_fx": 561.41, "pixel_coords": [[x, y], ...], "depth": [m, ...],
     "depth_type": "z_depth", ...}

From hanxunyu/DepthVLM: data_process/ writes the lines, utils/datasets.py reads them. The points are
pixels of the depth map (sample_points.py), which for ScanNet++, SUN RGB-D and ETH3D has another
size than the picture; here the query is the same place of the picture. Only the focal length is
there, so the principal point is taken to be the centre. Labels are z.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.curation.intrinsics import calibrate_by
from vlm3.datasets.files import integer_picture, json_lines
from vlm3.errors import InputError
from vlm3.eval.items import Item, depth_query
from vlm3.eval.readers import EVERY, Wanted
from vlm3.eval.readers.files import opener
from vlm3.files.reading import below, why
from vlm3.files.schema import fields, maybe, number, numbers, text
from vlm3.geometry.camera import Camera
from vlm3.tasks.depth_labels import cosines

Floats = NDArray[np.float64]

# utils/datasets.py, DATASET_CONFIGS: what is nearer or farther is no label.
RANGE_M = {
    "argoverse": (0.05, 120.0),
    "waymo": (0.05, 70.0),
    "nuscenes": (0.05, 80.0),
    "ddad": (0.05, 120.0),
    "scannetpp": (0.001, 10.0),
    "sunrgbd": (0.005, 8.0),
    "ibims": (0.005, 25.0),
    "nyuv2": (0.005, 10.0),
    "eth3d": (0.01, 50.0),
}
# Depth of ETH3D's that is floats without a header has this size there.
_ETH3D_SIZE = (6048, 4032)

_SIZE = numbers(2)
_PATH = text(1024)
_ROW = fields(
    {"image": _PATH, "original_rgb_size": _SIZE},
    {
        "original_fx": maybe(number(1, 1e6)),
        "original_depth_size": _SIZE,
        "pixel_coords": numbers(None, 2),
        "depth": numbers(None),
        "depth_path": _PATH,
        "depth_scale": number(1e-6, 1e9),
        "depth_format": text(40),
        "mask_valid_path": _PATH,
        "mask_transp_path": _PATH,
    },
)


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a picture, in the order of the file."""
    key = wanted.benchmark.name.removeprefix("depthvlm-").removesuffix("-dense")
    word = next(name for name in RANGE_M if key.startswith(name))
    path = _annotations(wanted.folder, word)
    rows = list(json_lines(path))
    dense = wanted.benchmark.scoring == "depthvlm-dense"
    calibrate = calibrate_by(wanted.calibrator)
    each = wanted.count if wanted.count == EVERY else -(-wanted.count // max(len(rows), 1))
    left = wanted.count
    for place, (line, row) in enumerate(rows):
        try:
            _ROW(row, "it")
            if dense:
                rng = np.random.default_rng([wanted.seed, place])
                xy, z_m = _of_map(wanted.folder, row, RANGE_M[word], min(each, left), rng)
            else:
                xy, z_m = _of_points(row, left)
        except (KeyError, ValueError, InputError) as error:
            raise InputError(f"{path}, line {line}: {why(error)}") from error
        if len(z_m):
            yield _item(wanted.folder, row, place, xy, z_m, calibrate)
        left -= len(z_m)
        if left <= 0:
            return


def _annotations(folder: Path, word: str) -> Path:
    found = sorted({p for where in (folder / "annotations", folder) for p in where.glob("*.jsonl")})
    fitting = [path for path in found if word in path.name.lower()] or found
    if len(fitting) != 1:
        names = ", ".join(p.name for p in fitting[:5]) or "none"
        raise InputError(
            f"{str(folder)!r} must hold one annotation file of {word}, "
            f"annotations/*{word}*.jsonl; found {names}"
        )
    return fitting[0]


def _item(
    folder: Path, row: dict[str, Any], place: int, xy: Floats, z_m: Floats, calibrate: Any
) -> Item:
    """Points (n, 2) as shares of the picture, and their z (n,)."""
    width, height = (int(v) for v in row["original_rgb_size"])
    fx = row.get("original_fx")
    camera = Camera(fx, fx, width / 2, height / 2, width, height) if fx else None
    xy_px = xy * (width, height)
    path = _file(folder, row["image"], "rgb")
    open_picture = opener(path, camera, calibrate)
    cosine = cosines(xy_px, camera or open_picture().camera)
    queries = tuple(
        depth_query(
            f"{place:05d}/{k:05d}",
            xy_px[k],
            cosine=cosine[k],
            distance_m=z_m[k] / cosine[k],
            label_m=z_m[k],
        )
        for k in range(len(z_m))
    )
    return Item(row["image"].lstrip("/"), (open_picture,), queries)


def _file(folder: Path, name: str, kind: str) -> Path:
    """A picture or depth map below datasets/, the folder itself, or rgb/ and depth/ as samples."""
    for root in (folder / "datasets", folder, folder / kind):
        path = below(root, name.lstrip("/"), "DepthVLM-Bench")
        if path.is_file():
            return path
    raise InputError(f"{name[:80]!r} is not below {str(folder)!r} or its datasets/")


def _depth_size(row: dict[str, Any]) -> tuple[float, float]:
    width, height = row.get("original_depth_size") or row["original_rgb_size"]
    return width, height


def _of_points(row: dict[str, Any], most: int) -> tuple[Floats, Floats]:
    """The labelled points as shares of the picture, and their z."""
    points = np.asarray(row["pixel_coords"], dtype=np.float64).reshape(-1, 2)
    z_m = np.asarray(row["depth"], dtype=np.float64)
    if len(points) != len(z_m):
        raise InputError(f"{len(points)} pixel_coords but {len(z_m)} depths")
    xy = (points + 0.5) / _depth_size(row)
    if not ((xy >= 0) & (xy < 1)).all():
        raise InputError(f"a point outside its depth map of {_depth_size(row)}")
    kept = np.flatnonzero(z_m > 0)[:most]
    return xy[kept], z_m[kept]


def _of_map(
    folder: Path,
    row: dict[str, Any],
    range_m: tuple[float, float],
    most: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Random valid pixels of the depth map as shares of the picture, and their z."""
    z_m = depth_map_m(folder, row, range_m)
    rows, columns = np.nonzero(z_m)
    chosen = np.arange(len(rows))
    if len(rows) > most:
        chosen = np.sort(rng.permutation(len(rows))[:most])
    rows, columns = rows[chosen], columns[chosen]
    height, width = z_m.shape
    xy = (np.column_stack([columns, rows]) + 0.5) / (width, height)
    return xy, z_m[rows, columns]


def depth_map_m(folder: Path, row: dict[str, Any], range_m: tuple[float, float]) -> Floats:
    """A depth map (height, width) in metres, 0 where it holds no label; masks are applied."""
    path = _file(folder, row["depth_path"], "depth")
    if row.get("depth_format") == "binary_float32":
        width, height = _ETH3D_SIZE
        flat = np.fromfile(path, dtype="<f4")
        if len(flat) != width * height:
            raise InputError(f"{path.name} has {len(flat)} floats, not {width} x {height}")
        z_m = flat.reshape(height, width).astype(np.float64)
    else:
        z_m = integer_picture(path) / float(row["depth_scale"])
    z_m[~np.isfinite(z_m)] = 0.0
    for name in ("mask_valid_path", "mask_transp_path"):
        if name in row:
            z_m[~_mask(_file(folder, row[name], "masks"), z_m.shape)] = 0.0
    low, high = range_m
    z_m[(z_m < low) | (z_m > high)] = 0.0
    return z_m


def _mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where a mask keeps the label, at the depth map's size (height, width)."""
    try:
        with Image.open(path) as picture:
            sized = picture.convert("L").resize((shape[1], shape[0]), Image.Resampling.NEAREST)
            return np.asarray(sized) > 0
    except OSError as error:
        raise InputError(f"cannot read the mask {str(path)!r} ({why(error)})") from error
