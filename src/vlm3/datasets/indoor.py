"""iBims-1, NYU Depth v2 and SUN RGB-D: single indoor pictures with measured depth.

    ROOT/[ibims1_core_raw/]{rgb,depth,calib,mask_invalid,mask_transp}/NAME.*         ibims1
    ROOT/nyu_depth_v2_labeled.mat, splits.mat                                        nyuv2
    ROOT/[SUNRGBD/]{kv1,kv2,realsense,xtion}/.../PICTURE/{image,depth_bfx,depth}/*,
        intrinsics.txt; SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat                 sunrgbd

iBims-1: 16 bit, 50/65535 m along the axis, 0 unknown; masks are 0 where depth is not to be trusted.
NYU: MATLAB 7.3, so HDF5 with axes turned; the raw depth, since the filled one is partly guessed;
10 m is where the sensor ends. SUN: 16 bit turned by three, thousandths of a metre; the sensors end
at 8 m. DepthLM divides SUN's raw number by 10000, which is 0.8 of the metres.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlm3.datasets.base import DepthMap, Floats, Frames, RawFrame, Reader, each, need_scenes
from vlm3.datasets.depth_files import masked, open_hdf5, positive
from vlm3.datasets.files import depth_png_m, matrix, picture_size, read_text
from vlm3.datasets.matlab import mat_numbers, mat_texts
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera

_IBIMS_LAYOUT = facts("ibims1").layout
_NYU_LAYOUT = facts("nyuv2").layout
_SUN_LAYOUT = facts("sunrgbd").layout
_IBIMS_UNIT_M = 50 / 65535
# The toolbox's camera_params.m, pixel centres at whole numbers.
_NYU_K = (518.857901, 519.469611, 325.582449, 253.736166)
_NYU_FILE = "nyu_depth_v2_labeled.mat"
_NYU_END_M = 9.99
_SUN_SENSORS = ("kv1", "kv2", "realsense", "xtion")
_SUN_END_M = 8.0


def ibims_scenes(root: Path) -> list[str]:
    """One: iBims-1 has a hundred unrelated pictures."""
    found = [name for name in (".", "ibims1_core_raw") if (root / name / "calib").is_dir()]
    return need_scenes(root, found, "calib/", _IBIMS_LAYOUT)


def ibims_frames(root: Path, scene: str) -> Frames:
    """Every picture; iBims-1 is a test set."""
    folder = root / scene

    def make(picture: Path) -> RawFrame:
        text = read_text(folder / "calib" / f"{picture.stem}.txt")
        fx, fy, cx, cy = (float(v) for v in text.replace(",", " ").split())
        camera = Camera(fx, fy, cx + 0.5, cy + 0.5, *picture_size(picture))
        return RawFrame(
            picture.stem, picture, camera, lambda: _ibims_depth(folder, picture.stem), split="test"
        )

    return each(sorted((folder / "rgb").glob("*.png")), make)


def _ibims_depth(folder: Path, stem: str) -> DepthMap:
    depth = depth_png_m(folder / "depth" / f"{stem}.png", unit_m=_IBIMS_UNIT_M, highest=65536)
    for name in ("mask_invalid", "mask_transp"):
        depth = masked(depth, folder / name / f"{stem}.png")
    return DepthMap(depth, "z")


def nyu_scenes(root: Path) -> list[str]:
    """Rooms, by the file's own list."""
    with _nyu(root) as file:
        return sorted(set(_nyu_names(file)))


def nyu_frames(root: Path, scene: str) -> Frames:
    """The labelled pictures of a room, in the order of the file."""
    test = _nyu_test(root)
    with _nyu(root) as file:
        places = [k for k, name in enumerate(_nyu_names(file)) if name == scene]

    def make(place: int) -> RawFrame:
        with _nyu(root) as file:
            # (3, W, H) as MATLAB stores it.
            picture = np.ascontiguousarray(file["images"][place].transpose(2, 1, 0))
        height, width = picture.shape[:2]
        fx, fy, cx, cy = _NYU_K
        camera = Camera(fx, fy, cx + 0.5, cy + 0.5, 640, 480).resized(width, height)
        split = "test" if place + 1 in test else "train"
        return RawFrame(
            f"{place + 1:04d}", picture, camera, lambda: _nyu_depth(root, place), split=split
        )

    return each(places, make)


def _nyu_depth(root: Path, place: int) -> DepthMap:
    with _nyu(root) as file:
        depth = np.asarray(file["rawDepths"][place], np.float64).T
    return DepthMap(positive(depth, _NYU_END_M), "z")


def _nyu(root: Path) -> Any:
    if not (root / _NYU_FILE).is_file():
        raise InputError(f"{str(root)!r} has no {_NYU_FILE}; expected {_NYU_LAYOUT}")
    return open_hdf5(root / _NYU_FILE)


def _nyu_names(file: Any) -> list[str]:
    return ["".join(map(chr, file[ref][:].ravel())) for ref in file["scenes"][:].ravel()]


@lru_cache(1)
def _nyu_test(root: Path) -> frozenset[int]:
    """Numbers, from 1, of the official test pictures; none where splits.mat is not there."""
    path = root / "splits.mat"
    if not path.is_file():
        return frozenset()
    return frozenset(int(k) for k in mat_numbers(path, "testNdxs"))


def sun_scenes(root: Path) -> list[str]:
    """SENSOR/COLLECTION."""
    top = _sun(root)
    found = {
        "/".join(path.parent.relative_to(top).parts[:2])
        for sensor in _SUN_SENSORS
        for path in (top / sensor).glob("**/intrinsics.txt")
    }
    return need_scenes(root, found, "intrinsics.txt", _SUN_LAYOUT)


def sun_frames(root: Path, scene: str) -> Frames:
    """Every picture of a collection."""
    top = _sun(root)
    test = _sun_test(root)

    def make(calibration: Path) -> RawFrame:
        folder = calibration.parent
        picture = _only(folder / "image", ".jpg")
        refined = (folder / "depth_bfx").is_dir()
        depth = _only(folder / ("depth_bfx" if refined else "depth"), ".png")
        width, height = picture_size(picture)
        K = matrix(calibration, 3, 3)
        name = folder.relative_to(top).as_posix()
        return RawFrame(
            name.removeprefix(f"{scene}/"),
            picture,
            Camera.from_K(K, width_px=width, height_px=height, pixel_origin="center"),
            lambda: DepthMap(_sun_depth(depth), "z"),
            split="test" if name in test else "train",
        )

    return each(sorted((top / scene).glob("**/intrinsics.txt")), make)


def _sun_depth(path: Path) -> Floats:
    with Image.open(path) as picture:
        raw = np.asarray(picture).astype(np.uint32)
    metres = ((raw >> 3) | (raw << 13 & 0xFFFF)) / 1000
    return np.where((raw > 0) & (metres <= _SUN_END_M), metres, np.nan)


def _sun(root: Path) -> Path:
    return root / "SUNRGBD" if (root / "SUNRGBD").is_dir() else root


@lru_cache(1)
def _sun_test(root: Path) -> frozenset[str]:
    """The official test pictures, named from the sensor on; none where the file is not there."""
    for path in sorted(root.glob("**/allsplit.mat")):
        names = mat_texts(path, "alltest")
        return frozenset(name.partition("SUNRGBD/")[2].strip("/") for name in names)
    return frozenset()


def _only(folder: Path, ending: str) -> Path:
    found = sorted(p for p in folder.glob("*") if p.suffix == ending)
    if not found:
        raise InputError(f"{str(folder)!r} has no {ending} file")
    return found[0]


IBIMS1 = Reader(ibims_scenes, ibims_frames)
NYUV2 = Reader(nyu_scenes, nyu_frames)
SUNRGBD = Reader(sun_scenes, sun_frames)
