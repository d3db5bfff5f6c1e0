"""BlendedMVS and BlendedMVG, as published or converted to WAI.

    ROOT/PID/blended_images/00000000.jpg         and ..._masked.jpg, which are not read
    ROOT/PID/cams/00000000_cam.txt               cam_from_world, K, range of depth; pair.txt
    ROOT/PID/rendered_depth_maps/00000000.pfm    along the axis, 0 unknown, its last row first

Layout and licence: YoYo000/BlendedMVS, README.md, which refers to YoYo000/MVSNet (README.md,
mvsnet/preprocess.py) for the formats; that the extrinsic is cam_from_world with OpenCV axes and the
depth z: its issues 30 and 34, and two readers, facebookresearch/map-anything (conversion/
blendedmvs.py) and naver/dust3r. Poses have a scale of their own per scene. The low and the high
resolution have the same layout. Textured meshes have holes, so depth has too.
"""

from pathlib import Path

from vlm3.datasets import wai
from vlm3.datasets.base import DepthMap, Frames, RawFrame, Reader, each, folders_with
from vlm3.datasets.depth_files import of_size, positive, read_pfm
from vlm3.datasets.files import mvsnet_camera, picture_size
from vlm3.datasets.foreign_poses import inverted
from vlm3.datasets.published import facts
from vlm3.datasets.raw_or_wai import raw_or_wai
from vlm3.datasets.splits import blendedmvs_split
from vlm3.geometry.camera import Camera

_LAYOUT = facts("blendedmvs").layout


def scenes(root: Path) -> list[str]:
    """Every project with cameras."""
    return folders_with(root, "*/cams", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The pictures of a project without those that are masked."""
    folder = root / scene
    split = blendedmvs_split(scene)
    pictures = sorted((folder / "blended_images").glob("*.jpg"))

    def make(picture: Path) -> RawFrame:
        cam_from_world, K = mvsnet_camera(folder / "cams" / f"{picture.stem}_cam.txt")
        width, height = picture_size(picture)
        depth = folder / "rendered_depth_maps" / f"{picture.stem}.pfm"
        return RawFrame(
            picture.stem,
            picture,
            Camera.from_K(K, width_px=width, height_px=height),
            lambda: DepthMap(positive(of_size(read_pfm(depth), width, height, depth)), "z"),
            inverted(cam_from_world),
            split=split,
            metric=False,
        )

    return each([p for p in pictures if not p.stem.endswith("_masked")], make)


BLENDEDMVS = raw_or_wai(Reader(scenes, frames), wai.BLENDEDMVS, _LAYOUT)
