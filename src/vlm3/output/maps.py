"""Maps and clouds as files that other programs open: .npz, 16-bit .png, binary .ply, .glb.

Writers only, of the plainest form of each format. Knows no model.
"""

import importlib.util
import json
import os
import struct
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vlm3 import disk
from vlm3.errors import InputError, MissingDependencyError
from vlm3.infer.maps import DepthMap, FullDepth, MatchMap, PointCloud

Thing = DepthMap | FullDepth | MatchMap | PointCloud
Writer = Callable[[Any, BinaryIO], None]
"""Takes a thing and the file it goes into."""

MM = 1000
"""Units of a 16-bit picture in a metre."""

# Units of a 16-bit picture in a metre, the finest first. Many programs read 65535 as unknown.
_PER_M = (MM, 256, 100, 10, 1)
_UNKNOWN_FAR = 2**16 - 1


class DepthUnitWarning(UserWarning):
    """A depth picture was written in another unit than millimetres."""


def save(thing: Thing, path: str | os.PathLike[str]) -> Path:
    """Writes a map or a cloud; the ending of the name chooses the format.

    .npz holds every array under its own name. .png, of a depth map, is depth along the axis in
    whole millimetres, 0 where unknown; beyond 65.5 m in a larger unit that fits, which is warned
    about and stands in the file's text "unit_m". .exr, of a full-size map, is the same in 32-bit
    metres, NaN where unknown. .ply and .glb are coloured
    points in metres: .ply in the camera's frame (X right, Y down, Z forward), .glb in glTF's own
    (Y up, -Z forward).

    Raises:
        InputError: an ending that this thing has no format for, or a place that cannot be written.

    Warns:
        DepthUnitWarning: a .png whose unit is not the millimetre.
    """
    target = Path(path)
    writers = _WRITERS[type(thing)]
    writer = writers.get(target.suffix.lower())
    if writer is None:
        raise InputError(
            f"cannot write {str(target)!r}: give a name that ends in {' or '.join(writers)}"
        )
    with disk.whole(target) as partial, partial.open("wb") as file:
        writer(thing, file)
    return target


def endings(kind: type[Thing]) -> tuple[str, ...]:
    """What a file of that kind may end in."""
    return tuple(_WRITERS[kind])


def require_exr() -> None:
    """Refuses .exr where OpenEXR is not installed.

    Raises:
        MissingDependencyError: with what to install.
    """
    if importlib.util.find_spec("OpenEXR") is None:
        raise MissingDependencyError(
            ".exr files need OpenEXR: pip install 'vlm3[data]', or write .png or .npz"
        )


def _exr(depth: FullDepth, file: BinaryIO) -> None:
    require_exr()
    import OpenEXR

    header = {"comments": f"Z: depth along the optical axis in metres; {depth.origin}"}
    OpenEXR.File(header, {"Z": np.ascontiguousarray(depth.depth_z_m)}).write(file.name)


def _arrays(*names: str) -> Callable[[Thing], dict[str, Any]]:
    """What an .npz holds of a thing: attributes, each under its own name."""
    return lambda thing: {name: np.asarray(getattr(thing, name)) for name in names}


def _of_map(depth: DepthMap) -> dict[str, Any]:
    camera = depth.camera
    size_px = np.array([camera.width_px, camera.height_px])
    return {
        **_arrays("xy_px", "distance_m", "depth_z_m", "p10_m", "p90_m", "asked", "rgb")(depth),
        "K": camera.K,
        "image_size_px": size_px,
        **_arrays("protocol", "readout")(depth),
    }


def _of_full(depth: FullDepth) -> dict[str, Any]:
    return {
        **_arrays("distance_m", "depth_z_m")(depth),
        "K": depth.camera.K,
        **_arrays("origin", "protocol", "readout")(depth),
    }


def _npz(arrays: Callable[[Any], dict[str, Any]]) -> Writer:
    return lambda thing, file: np.savez_compressed(file, **arrays(thing))


def _png(depth: DepthMap | FullDepth, file: BinaryIO) -> None:
    known: NDArray[np.floating[Any]] = depth.depth_z_m
    z = np.nan_to_num(known, nan=0.0, posinf=0.0, neginf=0.0)
    far_m = float(z.max(initial=0.0))
    per_m = next((unit for unit in _PER_M if round(far_m * unit) < _UNKNOWN_FAR), None)
    if per_m is None:
        raise InputError(
            f"a depth of {far_m:.4g} m does not fit into 16 bits even in metres; write .npz"
        )
    if per_m != MM:
        warnings.warn(
            f"depth up to {far_m:.4g} m does not fit into 16 bits of millimetres: the .png is "
            f"in units of 1/{per_m} m (its text unit_m says so); .npz keeps metres",
            DepthUnitWarning,
            stacklevel=2,
        )
    notes = PngInfo()
    unit = "millimetres" if per_m == MM else f"1/{per_m} metre"
    comment = f"depth along the optical axis in {unit}; 0 is unknown; read as {depth.readout}"
    if isinstance(depth, FullDepth):
        comment += f"; {depth.origin}"
    notes.add_text("Comment", comment)
    notes.add_text("unit_m", repr(1 / per_m))
    # 0 means unknown: what is nearer than half a unit is written as one.
    whole = np.where(z > 0, np.maximum(np.round(z * per_m), 1), 0)
    Image.fromarray(whole.astype(np.uint16)).save(file, "PNG", pnginfo=notes)


def _ply(cloud: PointCloud, file: BinaryIO) -> None:
    layout = [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    rows = np.empty(len(cloud.points_m), dtype=layout)
    for i, axis in enumerate("xyz"):
        rows[axis] = cloud.points_m[:, i]
    for i, color in enumerate(("red", "green", "blue")):
        rows[color] = cloud.rgb[:, i]
    kinds = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment metres, camera frame: x right, y down, z forward",
        f"comment distances read as {cloud.readout}",
        f"element vertex {len(rows)}",
        *(f"property {kinds[kind]} {name}" for name, kind in layout),
        "end_header",
    ]
    file.write(("\n".join(header) + "\n").encode("ascii") + rows.tobytes())


def _glb(cloud: PointCloud, file: BinaryIO) -> None:
    if not len(cloud.points_m):
        raise InputError("a cloud without points cannot be a .glb; no answer could be read")
    points = (cloud.points_m * (1, -1, -1)).astype("<f4")
    # Vertex attributes start at multiples of four bytes, so colours get an opaque fourth.
    colors = np.column_stack([cloud.rgb, np.full(len(points), 255)]).astype(np.uint8)
    body = points.tobytes() + colors.tobytes()
    scene = {
        "asset": {
            "version": "2.0",
            "generator": "vlm3",
            "extras": {"distances_read_as": cloud.readout},
        },
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "mode": 0}]}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": len(points),
                "type": "VEC3",
                "min": points.min(axis=0).tolist(),
                "max": points.max(axis=0).tolist(),
            },
            {
                "bufferView": 1,
                "componentType": 5121,
                "normalized": True,
                "count": len(points),
                "type": "VEC4",
            },
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": points.nbytes},
            {"buffer": 0, "byteOffset": points.nbytes, "byteLength": colors.nbytes},
        ],
        "buffers": [{"byteLength": len(body)}],
    }
    text = json.dumps(scene, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(body), b"BIN\0") + body
    file.write(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def _of_cloud(write: Writer) -> Writer:
    """Writes a map as its points."""
    return lambda depth, file: write(depth.cloud(), file)


_WRITERS: Mapping[type[Thing], Mapping[str, Writer]] = {
    DepthMap: {
        ".npz": _npz(_of_map),
        ".png": _png,
        ".ply": _of_cloud(_ply),
        ".glb": _of_cloud(_glb),
    },
    FullDepth: {".png": _png, ".exr": _exr, ".npz": _npz(_of_full)},
    PointCloud: {
        ".npz": _npz(_arrays("points_m", "rgb", "asked", "readout")),
        ".ply": _ply,
        ".glb": _glb,
    },
    MatchMap: {
        ".npz": _npz(_arrays("xy_a_px", "xy_px", "p10_px", "p90_px", "protocol", "readout"))
    },
}
