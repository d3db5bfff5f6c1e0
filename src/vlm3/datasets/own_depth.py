"""Depth files of a user's own folder: which there are, whose they are, what their numbers mean.

    .png .tif .tiff   16 bit, millimetres unless `unit_m` says otherwise; 8 bits are refused
    .npy .npz         floats are metres; whole numbers need `unit_m`
    .exr .pfm         floats, metres

0, negative, NaN, infinite and the largest whole number are "unknown"; so is a far value that many
cells share and nothing comes near, as programs write for the sky: it is no distance.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.datasets.depth_files import read_exr, read_pfm
from vlm3.datasets.files import files_in, integer_picture
from vlm3.errors import InputError
from vlm3.files.arrays import array_names, read_array, read_arrays
from vlm3.files.reading import why

Floats = NDArray[np.float64]

ENDINGS = (".png", ".npy", ".npz", ".tif", ".tiff", ".exr", ".pfm")
_PICTURES = (".png", ".tif", ".tiff")
MM = 0.001

# A value this many times the next smaller one, in so many cells, was not measured.
_GAP = 1.5
_REPEATED = 16
_REPEATED_SHARE = 5e-4
# Nothing so far away has a depth that a camera measures.
_NEVER_M = 10_000.0
# 65535 millimetres, the end of 16 bits.
_END_OF_16_BITS_M = 65.535
_MOST_MARKS = 4
# Of a file of another shape than its picture.
_ASPECT = 0.02


@dataclass(frozen=True, eq=False)
class DepthFile:
    """A depth file, read.

    Attributes:
        values_m: (h, w); NaN where unknown.
        marks: values that many cells share and that are no distances, with how many cells.
        raw: as they lie in the file.
    """

    values_m: Floats
    marks: tuple[tuple[float, int], ...]
    raw: NDArray[Any]


def depth_files(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The depth files below a folder by name without ending, and remarks on what is not read."""
    found: dict[str, Path] = {}
    unread: Counter[str] = Counter()
    twice = 0
    for path in files_in(folder):
        if path.suffix.lower() not in ENDINGS:
            unread[path.suffix or "no"] += 1
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name not in found:
            found[name] = path
            continue
        twice += 1
        order = (path, found[name])
        found[name] = min(order, key=lambda p: ENDINGS.index(p.suffix.lower()))
    remarks = [
        f"{count} depth files with ending {ending} were not read; read are {', '.join(ENDINGS)}"
        for ending, count in sorted(unread.items())
    ]
    if twice:
        remarks.append(f"{twice} pictures have depth in two formats; the .png is read, else .npy")
    return found, remarks


def matching(pictures: Iterable[str], depths: dict[str, Path]) -> list[str]:
    """Remarks on pictures without depth and depth without pictures.

    Raises:
        InputError: there are both and no name agrees.
    """
    names = list(pictures)
    without = [name for name in names if name not in depths]
    alone = sorted(set(depths) - set(names))
    if names and depths and len(without) == len(names):
        raise InputError(
            f"no depth file has the name of a picture: pictures are called {names[0]!r}, depth "
            f"{alone[0]!r}; give both the same name but for the ending"
        )
    remarks = []
    if without and depths:
        remarks.append(
            f"{len(without)} of {len(names)} pictures have no depth, the first {without[0]!r}"
        )
    if alone:
        remarks.append(f"{len(alone)} depth files have no picture, the first {alone[0]!r}")
    return remarks


def read_depth(path: Path, unit_m: float | None = None) -> DepthFile:
    """A depth file in metres.

    Args:
        path: one of `ENDINGS`, in any case.
        unit_m: metres of 1 in the file; None for the format's own.

    Raises:
        InputError: it cannot be read, has 8 bits, or whole numbers whose unit is unknown.
        MissingDependencyError: EXR without OpenEXR.
    """
    ending = path.suffix.lower()
    if ending in _PICTURES:
        raw: NDArray[Any] = integer_picture(path)
    elif ending == ".exr":
        raw = read_exr(path)
    elif ending == ".pfm":
        raw = read_pfm(path)
    else:
        raw = _array(path)
    whole = raw.dtype.kind in "iu"
    if whole and ending not in _PICTURES and unit_m is None:
        raise InputError(
            f"{path.name} holds whole numbers ({raw.dtype}, up to {raw.max(initial=0)}) and "
            'nothing says their unit: put {"unit_m": 0.001} into format.json for millimetres'
        )
    unit = unit_m if unit_m is not None else MM if whole else 1.0
    values = raw.astype(np.float64)
    known = np.isfinite(values) & (values > 0)
    if whole:
        known &= raw < np.iinfo(raw.dtype).max
    values = np.where(known, values * unit, np.nan)
    values, marks = without_marks(values)
    return DepthFile(values, marks, raw)


def without_marks(values_m: Floats) -> tuple[Floats, tuple[tuple[float, int], ...]]:
    """Depth without values that stand for "unknown" or "far", and which those were.

    Args:
        values_m: (h, w) metres, NaN where unknown.
    """
    known = values_m[np.isfinite(values_m)]
    least = max(_REPEATED, _REPEATED_SHARE * values_m.size)
    marks: list[tuple[float, int]] = []
    while len(known) and len(marks) < _MOST_MARKS:
        most = float(known.max())
        here = known == most
        count, rest = int(here.sum()), known[~here]
        next_m = float(rest.max(initial=0.0))
        far = most >= _NEVER_M or abs(most - _END_OF_16_BITS_M) < 1e-3
        if not (far or (count >= least and len(rest) and most > _GAP * next_m)):
            break
        marks.append((most, count))
        known = rest
    if not marks:
        return values_m, ()
    end = min(value for value, _ in marks)
    return np.where(values_m < end, values_m, np.nan), tuple(marks)


def check_shape(shape: tuple[int, int], width_px: int, height_px: int) -> None:
    """Refuses a depth (h, w) that cannot cover the picture it belongs to.

    Raises:
        InputError: its shape is another one.
    """
    height, width = shape
    if abs(width / height * height_px / width_px - 1) <= _ASPECT:
        return
    turned = abs(height / width * height_px / width_px - 1) <= _ASPECT
    raise InputError(
        f"the depth is {width}x{height}, the picture {width_px}x{height_px}: "
        + (
            "one of them is turned by a quarter"
            if turned
            else "another shape, so it does not cover the same view; crop one as the other was"
        )
    )


# Every kind but objects; what depth may be stands below.
_ANY = "biufcmMSUV"


def _array(path: Path) -> NDArray[Any]:
    try:
        names = array_names(path)
        if len(names) > 1 and "depth" not in names:
            listed = ", ".join(names[:5])
            raise InputError(f"it holds {listed:.200}; name the depth 'depth'")
        if names:
            name = "depth" if len(names) > 1 else names[0]
            stored = read_arrays(path, {name: (_ANY, None)})[name]
        else:
            stored = read_array(path, _ANY, None)
    except InputError as error:
        raise InputError(f"{path.name} cannot be read as an array ({why(error)})") from error
    array = np.squeeze(np.asarray(stored))
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise InputError(
            f"{path.name} holds {stored.dtype} {np.shape(stored)}; depth is one number a cell, "
            "(height, width)"
        )
    return array
