"""ScanNet++: the iPhone's video with its depth, and fisheye pictures with rendered depth.

    ROOT/data/SCENE/iphone/rgb.mkv (or rgb/frame_%06d.jpg), depth.bin (or depth/frame_%06d.png),
                           pose_intrinsic_imu.json
    ROOT/data/SCENE/dslr/resized_images/DSC*.JPG, colmap/, render_depth/DSC*.png
    ROOT/splits/nvs_sem_{train,val}.txt

The iPhone's depth is 256x192, along the axis: depth.bin holds one zlib stream of float32 metres, or
frame by frame a size and lz4'd 16-bit millimetres. Every tenth frame is taken. Rendered depth is 16
bit, millimetres along the axis, by the toolkit. K of the iPhone is each frame's own.
"""

import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.datasets.base import DepthMap, Frames, RawFrame, Reader, each, need_scenes
from vlm3.datasets.colmap import camera_of, load_model
from vlm3.datasets.files import depth_png_m, read_json, read_text
from vlm3.datasets.published import facts
from vlm3.datasets.splits import SCANNETPP_TEST, SCANNETPP_VAL
from vlm3.errors import InputError, MissingDependencyError
from vlm3.files.reading import read_bytes, short, why
from vlm3.files.schema import anything, fields, list_of, numbers, table_of, text
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert

_LAYOUT = facts("scannetpp").layout
_EVERY = 10
_VIDEO_PX = (1920, 1440)
_DEPTH_SHAPE = (192, 256)
_POSES = ("aligned_pose", "aligned_poses", "pose")
_ABOUT = fields({"intrinsic": numbers(3, 3)}, {name: numbers(4, 4) for name in _POSES})
_FLAGS = list_of(fields({"file_path": text(1000)}, {"is_bad": anything}))
_TRANSFORMS = fields({}, {"frames": _FLAGS, "test_frames": _FLAGS})


def scenes(root: Path) -> list[str]:
    """Scenes with either camera."""
    data = _data(root)
    found = {path.parent.name for name in ("iphone", "dslr") for path in data.glob(f"*/{name}")}
    return need_scenes(root, found, "SCENE/iphone or SCENE/dslr", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The iPhone's frames, then the fisheye ones with rendered depth."""
    data = _data(root)
    split = _splits(root).get(scene, "train")
    if (data / scene / "iphone" / "pose_intrinsic_imu.json").is_file():
        yield from _iphone(data / scene / "iphone", split)
    if (data / scene / "dslr" / "render_depth").is_dir():
        yield from _dslr(data / scene / "dslr", split)


def _data(root: Path) -> Path:
    return root / "data" if (root / "data").is_dir() else root


def _iphone(folder: Path, split: str) -> Frames:
    path = folder / "pose_intrinsic_imu.json"
    described = read_json(path, table_of(fields({})))
    names = sorted(described)[::_EVERY]
    video = None if (folder / "rgb").is_dir() else _video(folder / "rgb.mkv")
    depths = None if (folder / "depth").is_dir() else depth_bin(folder / "depth.bin")

    def make(name: str) -> RawFrame:
        digits = name.rpartition("_")[2]
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 10 and "/" not in name):
            raise InputError(f"{path} describes {short(name)}; expected frame_NUMBER")
        number, about = int(digits), described[name]
        _ABOUT(about, f"{path}: {name:.100}")
        pose = next((about[key] for key in _POSES if key in about), None)
        if pose is None:
            raise InputError(f"{path}: {name:.100} has none of {', '.join(_POSES)}")
        camera = Camera.from_K(
            about["intrinsic"],
            width_px=_VIDEO_PX[0],
            height_px=_VIDEO_PX[1],
            pixel_origin="center",
        )
        depth = folder / "depth" / f"{name}.png"
        return RawFrame(
            f"iphone/{name}",
            folder / "rgb" / f"{name}.jpg" if video is None else _frame(video, number),
            camera,
            lambda: DepthMap(depth_png_m(depth) if depths is None else depths[number], "z"),
            np.array(pose, np.float64).reshape(4, 4),
            split=split,
        )

    yield from each(names, make)


def _video(path: Path) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames of a video with their numbers."""
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError(
            "rgb.mkv is read with OpenCV: pip install opencv-python-headless, or extract the "
            "frames with the toolkit"
        ) from error
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise InputError(f"cannot read the video {str(path)!r}")
    number = 0
    while video.grab():
        if number % _EVERY == 0:
            found, bgr = video.retrieve()
            if not found:
                return
            yield number, np.ascontiguousarray(bgr[..., ::-1])
        number += 1


def _frame(video: Iterator[tuple[int, NDArray[np.uint8]]], number: int) -> NDArray[np.uint8]:
    for at, picture in video:
        if at == number:
            return picture
    raise InputError(f"the video ends before frame {number}")


# Of a whole scene: 40,000 frames, twenty minutes of video.
_LARGEST_DEPTH = 8 << 30


@lru_cache(1)
def depth_bin(path: Path) -> dict[int, NDArray[np.float32]]:
    """Every tenth frame of depth.bin in either encoding: (192, 256) metres, NaN unknown.

    Raises:
        InputError: it is in neither.
    """
    try:
        raw = read_bytes(path, _LARGEST_DEPTH)
    except FileNotFoundError:
        raise InputError(f"cannot read {str(path)!r} (there is no such file)") from None
    height, width = _DEPTH_SHAPE
    maps: dict[int, NDArray[np.float32]]
    try:
        whole = np.frombuffer(_inflated(raw, _LARGEST_DEPTH), "<f4")
        every = whole.reshape(-1, height, width)[::_EVERY]
        maps = {number * _EVERY: one for number, one in enumerate(every)}
    except (zlib.error, ValueError):
        maps = {
            number: _depth_block(block)
            for number, block in enumerate(_blocks(raw, path))
            if number % _EVERY == 0
        }
    return {k: np.where(np.isfinite(m) & (m > 0), m, np.float32(np.nan)) for k, m in maps.items()}


def _inflated(data: bytes, most: int) -> bytes:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    found = inflate.decompress(data, most + 1)
    if len(found) > most or not inflate.eof:
        raise zlib.error(f"more than {most} bytes, or cut off")
    return found


def _blocks(raw: bytes, path: Path) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        size = struct.unpack_from("<I", raw, at)[0] if at + 4 <= len(raw) else len(raw)
        if at + 4 + size > len(raw):
            raise InputError(f"{str(path)!r} is cut off, or in an unknown encoding")
        yield raw[at + 4 : at + 4 + size]
        at += 4 + size


def _depth_block(block: bytes) -> NDArray[np.float32]:
    import lz4.block

    height, width = _DEPTH_SHAPE
    try:
        data = lz4.block.decompress(block, uncompressed_size=height * width * 2)
        millimetres = np.frombuffer(data, "<u2").reshape(height, width)
        return (millimetres / 1000).astype(np.float32)
    except (lz4.block.LZ4BlockError, ValueError):
        try:
            data = _inflated(block, height * width * 4)
        except zlib.error as error:
            raise InputError(f"a depth frame is neither lz4 nor zlib ({why(error)})") from error
        return np.frombuffer(data, "<f4").reshape(height, width)


def _dslr(folder: Path, split: str) -> Frames:
    model = load_model(folder / "colmap")
    bad = _bad(folder)

    def make(image: Any) -> RawFrame:
        name = Path(image.name)
        if name.name in bad:
            raise InputError("marked as bad by the authors")
        cam_from_world = np.eye(4)
        cam_from_world[:3] = image.cam_from_world().matrix()
        depth = folder / "render_depth" / f"{name.stem}.png"
        return RawFrame(
            f"dslr/{name.stem}",
            folder / "resized_images" / name,
            camera_of(model.cameras[image.camera_id]),
            lambda: DepthMap(depth_png_m(depth), "z"),
            invert(cam_from_world),
            split=split,
        )

    images = sorted((i for i in model.images.values() if i.has_pose), key=lambda i: str(i.name))
    yield from each(images, make)


def _bad(folder: Path) -> frozenset[str]:
    path = folder / "nerfstudio" / "transforms.json"
    if not path.is_file():
        return frozenset()
    listed = read_json(path, _TRANSFORMS)
    every = listed.get("frames", []) + listed.get("test_frames", [])
    return frozenset(Path(f["file_path"]).name for f in every if f.get("is_bad"))


@lru_cache(2)
def _splits(root: Path) -> dict[str, str]:
    found = {}
    for split in ("train", "val", "test"):
        path = root / "splits" / f"nvs_sem_{split}.txt"
        if path.is_file():
            found.update(dict.fromkeys(read_text(path).split(), split))
    # Some of them are in the set's own training list.
    held = dict.fromkeys(SCANNETPP_VAL, "val") | dict.fromkeys(SCANNETPP_TEST, "test")
    return found | held


SCANNETPP = Reader(scenes, frames)
