"""Adapters of experts for two pictures, matching and pose; see `experts.Expert`.

Written from the packages' own documentation; weights come from where the package fetches them.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.geometry.pose import RelativePose, invert, relative_pose
from vlm3.view import View

Floats = NDArray[np.float64]


@dataclass
class Matcher:
    """An expert that gives, for every pixel of a at some size, its place in b.

    Attributes:
        name: for tables.
        field: two views -> (h, w, 2), each place in b as a fraction of its width and height.
    """

    name: str
    field: Callable[[View, View], Floats]

    def match(self, view_a: View, view_b: View, xy_a_px: Floats) -> Floats:
        """The value of the field's cell that holds each pixel."""
        field = self.field(view_a, view_b)
        h, w = field.shape[:2]
        a, b = view_a.camera, view_b.camera
        cell = (xy_a_px / (a.width_px, a.height_px) * (w, h)).astype(np.intp)
        cell = np.clip(cell, 0, (w - 1, h - 1))
        # The rest of the way inside the cell is taken at the same scale.
        rest = xy_a_px / (a.width_px, a.height_px) - (cell + 0.5) / (w, h)
        found: Floats = (field[cell[:, 1], cell[:, 0]] + rest) * (b.width_px, b.height_px)
        return found


@dataclass
class Poser:
    """An expert that gives world_from_cam (4, 4) of both cameras."""

    name: str
    cameras: Callable[[View, View], tuple[Floats, Floats]]

    def pose(self, view_a: View, view_b: View) -> RelativePose:
        """cam1_from_cam2, made exactly rigid."""
        T = relative_pose(*self.cameras(view_a, view_b))
        u, _, vt = np.linalg.svd(T[:3, :3])
        return RelativePose(u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt, T[:3, 3])


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _fractions(warp: Any) -> Floats:
    """The first picture's half of a symmetric warp, as fractions of the second picture.

    A warp (h, 2w, 4), with an axis for the batch or without it, holds x, y in the first picture
    and x, y in the second, each from -1 to 1, corner to corner.
    """
    warp = warp.squeeze(0)
    there = warp[:, : warp.shape[1] // 2, 2:]
    return np.asarray((there.float().cpu() + 1) / 2, dtype=np.float64)


def dkm() -> Matcher:
    """DKMv3, outdoor (Parskatt/DKM)."""
    from dkm import DKMv3_outdoor  # type: ignore[import-not-found]

    model = DKMv3_outdoor(device=_device())

    def field(view_a: View, view_b: View) -> Floats:
        warp, _ = model.match(Image.fromarray(view_a.image), Image.fromarray(view_b.image))
        return _fractions(warp)

    return Matcher("DKM", field)


def roma() -> Matcher:
    """RoMa, outdoor (Parskatt/RoMa)."""
    from romatch import roma_outdoor  # type: ignore[import-not-found]

    device = _device()
    # Its fused kernel is an extra of its own, for GPUs only; torch computes the same.
    model = roma_outdoor(device=device, use_custom_corr=False)

    def field(view_a: View, view_b: View) -> Floats:
        pair = (Image.fromarray(view_a.image), Image.fromarray(view_b.image))
        warp, _ = model.match(*pair, device=device)
        return _fractions(warp)

    return Matcher("RoMa", field)


def ufm() -> Matcher:
    """UFM-Base (UniFlowMatch/UFM)."""
    import torch
    from uniflowmatch.models.ufm import (  # type: ignore[import-not-found]
        UniFlowMatchConfidence,
    )

    device = _device()
    model = UniFlowMatchConfidence.from_pretrained("infinity1096/UFM-Base").to(device).eval()

    def field(view_a: View, view_b: View) -> Floats:
        pair = [torch.from_numpy(view.image.copy()).to(device) for view in (view_a, view_b)]
        with torch.inference_mode():
            result = model.predict_correspondences_batched(
                source_image=pair[0], target_image=pair[1]
            )
        flow = np.asarray(result.flow.flow_output[0].float().cpu(), dtype=np.float64)
        h, w = view_a.image.shape[:2]
        centres = np.stack(np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5), axis=-1)
        size_b = (view_b.camera.width_px, view_b.camera.height_px)
        return (centres + flow.transpose(1, 2, 0)) / size_b

    return Matcher("UFM", field)


def dust3r() -> Poser:
    """DUSt3R, ViT-L at 512 (naver/dust3r), two views."""
    from dust3r.cloud_opt import (  # type: ignore[import-not-found]
        GlobalAlignerMode,
        global_aligner,
    )
    from dust3r.image_pairs import make_pairs  # type: ignore[import-not-found]
    from dust3r.inference import inference  # type: ignore[import-not-found]
    from dust3r.model import AsymmetricCroCo3DStereo  # type: ignore[import-not-found]
    from dust3r.utils.image import load_images  # type: ignore[import-not-found]

    device = _device()
    checkpoint = "naver/DUSt3R_ViTLarge_BaseDecoder_512_dpt"
    model = AsymmetricCroCo3DStereo.from_pretrained(checkpoint).to(device)

    def cameras(paths: list[str]) -> tuple[Floats, Floats]:
        pairs = make_pairs(load_images(paths, size=512), scene_graph="complete", symmetrize=True)
        output = inference(pairs, model, device, batch_size=1)
        scene = global_aligner(output, device=device, mode=GlobalAlignerMode.PairViewer)
        poses = np.asarray(scene.get_im_poses().detach().cpu(), dtype=np.float64)
        return poses[0], poses[1]

    return Poser("DUSt3R", _with_files(cameras))


def vggt() -> Poser:
    """VGGT-1B (facebookresearch/vggt), two views."""
    import torch
    from vggt.models.vggt import VGGT  # type: ignore[import-not-found]
    from vggt.utils.load_fn import load_and_preprocess_images  # type: ignore[import-not-found]
    from vggt.utils.pose_enc import (  # type: ignore[import-not-found]
        pose_encoding_to_extri_intri,
    )

    device = _device()
    model = VGGT.from_pretrained("facebook/VGGT-1B").to(device).eval()

    def cameras(paths: list[str]) -> tuple[Floats, Floats]:
        images = load_and_preprocess_images(paths).to(device)
        with torch.inference_mode():
            encoded = model(images)["pose_enc"]
        cam_from_world, _ = pose_encoding_to_extri_intri(encoded, images.shape[-2:])
        return _inverted(cam_from_world[0])

    return Poser("VGGT", _with_files(cameras))


def mapanything() -> Poser:
    """MapAnything (facebookresearch/map-anything), two views, pictures only."""
    from mapanything.models import MapAnything  # type: ignore[import-not-found]
    from mapanything.utils.image import load_images  # type: ignore[import-not-found]

    model = MapAnything.from_pretrained("facebook/map-anything").to(_device()).eval()

    def cameras(paths: list[str]) -> tuple[Floats, Floats]:
        found = model.infer(load_images(paths))
        first, second = (
            np.asarray(view["camera_poses"][0].float().cpu(), dtype=np.float64) for view in found
        )
        return first, second

    return Poser("MapAnything", _with_files(cameras))


def depth_anything_3() -> Poser:
    """Depth Anything 3, giant (ByteDance-Seed/Depth-Anything-3), two views.

    1.1, which its README prefers: the first DA3-GIANT had a training bug and is deprecated.
    """
    from depth_anything_3.api import DepthAnything3  # type: ignore[import-not-found]

    model = DepthAnything3.from_pretrained("depth-anything/DA3-GIANT-1.1").to(_device())

    def cameras(paths: list[str]) -> tuple[Floats, Floats]:
        return _inverted(model.inference(paths).extrinsics)

    return Poser("DA3-Giant-1.1", _with_files(cameras))


def _inverted(cam_from_world: Any) -> tuple[Floats, Floats]:
    """Two (3, 4) -> two world_from_cam (4, 4)."""
    rows = cam_from_world.float().cpu() if hasattr(cam_from_world, "cpu") else cam_from_world
    whole = np.tile(np.eye(4), (2, 1, 1))
    whole[:, :3] = np.asarray(rows, dtype=np.float64)[:2, :3]
    first, second = invert(whole)
    return first, second


def _with_files(
    cameras: Callable[[list[str]], tuple[Floats, Floats]],
) -> Callable[[View, View], tuple[Floats, Floats]]:
    """These packages read files: gives them the views as such."""

    def run(view_a: View, view_b: View) -> tuple[Floats, Floats]:
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, view in (("a", view_a), ("b", view_b)):
                paths.append(str(Path(folder) / f"{name}.png"))
                Image.fromarray(view.image).save(paths[-1])
            return cameras(paths)

    return run
