"""MVS-Synth (Huang et al. 2018), pictures of GTA V, as published or converted to WAI.

    ROOT/[GTAV_1080|720|540/]SEQUENCE/images/0000.png
    ROOT/.../SEQUENCE/depths/0000.exr     one channel, along the axis, 0 unknown, infinite for sky
    ROOT/.../SEQUENCE/poses/0000.json     f_x f_y c_x c_y, extrinsic (4, 4): cam_from_world

Layout, z and OpenCV's camera axes: its authors' code, phuang17/DeepMVS, python/
generate_volume_train.py and download_training_datasets.py. That the world is left-handed: both
facebookresearch/map-anything (conversion/mvs_synth.py) and CUT3R/CUT3R (preprocess_mvs_synth.py)
mirror it. The unit is not documented; a tenth of it is MapAnything's estimate of the metre, from
cars and people, and is taken here as there. Where pictures are not 16:9 (810x540), they were
squeezed and f_x was left as it was: nianticlabs/mvsanywhere (mvssynth.py). The farthest 5 % are
left out, as in WAI.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vlm3.datasets import wai
from vlm3.datasets.base import DepthMap, Frames, RawFrame, Reader, each, folders_with
from vlm3.datasets.depth_files import of_size, positive, read_exr, without_far
from vlm3.datasets.files import picture_size, read_json
from vlm3.datasets.foreign_poses import from_left_handed
from vlm3.datasets.published import facts
from vlm3.datasets.raw_or_wai import raw_or_wai
from vlm3.files.schema import fields, number, numbers
from vlm3.geometry.camera import Camera

_LAYOUT = facts("mvs-synth").layout
_UNIT_M = 0.1
_GAME_ASPECT = 16 / 9
_POSE = fields(
    {
        "f_x": number(1, 1e5),
        "f_y": number(1, 1e5),
        "c_x": number(-1e5, 1e5),
        "c_y": number(-1e5, 1e5),
        "extrinsic": numbers(4, 4),
    }
)


def scenes(root: Path) -> list[str]:
    """Every sequence with poses, of every size that is there."""
    inside = "GTAV_*/*/poses" if any(root.glob("GTAV_*/*/poses")) else "*/poses"
    return folders_with(root, inside, _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The pictures of a sequence, in its order."""
    folder = root / scene

    def make(picture: Path) -> RawFrame:
        given = read_json(folder / "poses" / f"{picture.stem}.json", _POSE)
        width, height = picture_size(picture)
        fx, fy = given["f_x"], given["f_y"]
        camera = Camera(fx, fy, given["c_x"], given["c_y"], width, height)
        squeezed = width / height / _GAME_ASPECT
        if abs(squeezed - 1) > 0.01 and abs(fx / fy - 1) < 0.01:
            camera = replace(camera, fx_px=fx * squeezed)
        pose = from_left_handed(given["extrinsic"])
        pose[:3, 3] *= _UNIT_M
        depth = folder / "depths" / f"{picture.stem}.exr"

        def read() -> DepthMap:
            values = of_size(read_exr(depth), width, height, depth).astype(np.float64)
            return DepthMap(positive(without_far(values * _UNIT_M)), "z")

        return RawFrame(picture.stem, picture, camera, read, pose)

    return each(sorted((folder / "images").glob("*.png")), make)


MVS_SYNTH = raw_or_wai(Reader(scenes, frames), wai.MVS_SYNTH, _LAYOUT)
