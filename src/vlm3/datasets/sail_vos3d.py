"""SAIL-VOS 3D (Hu et al. 2021), cutscenes of GTA V, as published or converted to WAI.

    ROOT/SCENE/images/000000.bmp
    ROOT/SCENE/depth/000000.npy           the game's depth buffer
    ROOT/SCENE/camera/000000.yaml         K, its centre measured from the picture's; Rt (3, 4):
                                          cam_from_world of a camera that looks along -Z
    ROOT/SCENE/rage_matrices/000000.npz   P_inv (4, 4): from clip space, points as rows

The set comes by request and no reader of its authors is public. Two others agree on all of this,
on the buffer's decoding (d / 6 - 4e-5 in clip space) and on the sky (24e-5):
nianticlabs/mvsanywhere (src/mvsanywhere/datasets/sailvos3d.py) and facebookresearch/map-anything
(conversion/sailvos3d.py), but for the focal length: the first takes it from the projection, the
second, as here, from K. The farthest 5 % are left out, as in WAI and by the first.
"""

import re
from pathlib import Path

import numpy as np

from vlm3.datasets import wai
from vlm3.datasets.base import DepthMap, Floats, Frames, RawFrame, Reader, each, folders_with
from vlm3.datasets.depth_files import of_size, positive, without_far
from vlm3.datasets.files import picture_size, read_text
from vlm3.datasets.foreign_poses import inverted
from vlm3.datasets.published import facts
from vlm3.datasets.raw_or_wai import raw_or_wai
from vlm3.errors import InputError
from vlm3.files.arrays import read_array, read_arrays
from vlm3.geometry.camera import Camera

_LAYOUT = facts("sail-vos3d").layout
_SKY = 24e-5
_OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0])
_ROW = re.compile(r"^\s*-\s*\[([^\[\]]*)\]\s*$")
_KEY = re.compile(r"^(\w+):\s*$")


def scenes(root: Path) -> list[str]:
    """Every scene with cameras and pictures."""
    return [name for name in folders_with(root, "*/camera", _LAYOUT) if _has_pictures(root, name)]


def _has_pictures(root: Path, name: str) -> bool:
    # Some scenes of the set come without pictures, which MapAnything's converter skips.
    return (root / name / "images").is_dir()


def frames(root: Path, scene: str) -> Frames:
    """The pictures of a scene that have a camera."""
    folder = root / scene

    def make(picture: Path) -> RawFrame:
        given = _matrices(folder / "camera" / f"{picture.stem}.yaml")
        K, Rt = given["K"], given["Rt"]
        width, height = picture_size(picture)
        camera = Camera(K[0, 0], K[1, 1], K[0, 2] + width / 2, K[1, 2] + height / 2, width, height)
        buffer = folder / "depth" / f"{picture.stem}.npy"
        clip = folder / "rage_matrices" / f"{picture.stem}.npz"

        def read() -> DepthMap:
            values = of_size(read_array(buffer, "f", (None, None)), width, height, buffer)
            P_inv = read_arrays(clip, {"P_inv": ("f", (4, 4))})["P_inv"].astype(np.float64)
            return DepthMap(positive(without_far(_depth_m(values, P_inv))), "z")

        return RawFrame(picture.stem, picture, camera, read, inverted(_OPENCV_FROM_OPENGL @ Rt))

    return each(sorted((folder / "images").glob("*.bmp")), make)


def _depth_m(values: Floats, P_inv: Floats) -> Floats:
    """The depth buffer (h, w) as metres along the axis; NaN for the sky."""
    height, width = values.shape
    buffer = values.astype(np.float64)
    clip = np.ones((height, width, 4))
    # The first and the last pixel centre are taken as the ends of clip space, as both readers do.
    clip[..., 0] = np.linspace(-1, 1, width)
    clip[..., 1] = np.linspace(1, -1, height)[:, None]
    clip[..., 2] = buffer / 6 - 4e-5
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -(clip @ P_inv[:, 2]) / (clip @ P_inv[:, 3])
    return np.where(np.isclose(buffer, _SKY, rtol=1e-5, atol=0), np.nan, depth)


def _matrices(path: Path) -> dict[str, Floats]:
    """K (3, 3) and Rt (3, 4) of a YAML file of names with rows in brackets."""
    rows: dict[str, list[list[str]]] = {}
    name = ""
    for line in read_text(path).splitlines():
        if key := _KEY.match(line):
            name = key[1]
        elif (row := _ROW.match(line)) and name:
            rows.setdefault(name, []).append(row[1].split(","))
    found = {}
    for wanted, columns in (("K", 3), ("Rt", 4)):
        try:
            found[wanted] = np.array(rows.get(wanted, []), np.float64).reshape(3, columns)
        except ValueError:
            raise InputError(
                f"{str(path)!r} has no {wanted} of 3 rows with {columns} numbers in brackets"
            ) from None
        if not np.isfinite(found[wanted]).all():
            raise InputError(f"{str(path)!r}: {wanted} holds a number that is not finite")
    return found


SAIL_VOS3D = raw_or_wai(Reader(scenes, frames), wai.SAIL_VOS3D, _LAYOUT)
