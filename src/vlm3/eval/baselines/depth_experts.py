"""Adapters of experts for metric depth; see `experts.Expert`.

Written from the packages' own documentation. Each is given the intrinsics where it takes them;
weights come from where the package fetches them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.view import View

Floats = NDArray[np.float64]


@dataclass
class DepthExpert:
    """An expert made of a function of a view."""

    name: str
    run: Callable[[View], Any]

    def depth_z_m(self, view: View) -> Floats:
        """(H, W) metres along the axis; NaN where the model gives none."""
        depth = np.asarray(self.run(view).squeeze().float().cpu(), dtype=np.float64)
        return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _tensor(view: View) -> Any:
    """(3, H, W) uint8."""
    import torch

    return torch.from_numpy(view.image.copy()).permute(2, 0, 1)


def unidepth_v2() -> DepthExpert:
    """UniDepthV2, ViT-L (lpiccinelli-eth/UniDepth), with the given intrinsics."""
    import torch
    from unidepth.models import UniDepthV2  # type: ignore[import-not-found]
    from unidepth.utils.camera import Pinhole  # type: ignore[import-not-found]

    model = UniDepthV2.from_pretrained("lpiccinelli/unidepth-v2-vitl14").to(_device()).eval()

    def run(view: View) -> Any:
        camera = Pinhole(K=torch.from_numpy(view.camera.K).float()[None])
        return model.infer(_tensor(view), camera)["depth"]

    return DepthExpert("UniDepthV2", run)


def moge_2() -> DepthExpert:
    """MoGe-2, ViT-L with normals (microsoft/MoGe), with the given field of view."""
    from moge.model.v2 import MoGeModel  # type: ignore[import-not-found]

    device = _device()
    model = MoGeModel.from_pretrained("Ruicheng/moge-2-vitl-normal").to(device).eval()

    def run(view: View) -> Any:
        image = _tensor(view).float().to(device) / 255
        return model.infer(image, fov_x=view.camera.fov_deg[0])["depth"]

    return DepthExpert("MoGe-2", run)


def metric3d_v2() -> DepthExpert:
    """Metric3Dv2, ViT-L (YvanYin/Metric3D, torch.hub): canonical focal length 1000 px."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    # What its repository imports, so that one that is missing is reported in a line.
    for package in ("torchvision", "timm", "mmengine"):
        import_module(package)
    device = _device()
    hub: Any = torch.hub
    model = hub.load("yvanyin/metric3d", "metric3d_vit_large", pretrain=True)
    model = model.to(device).eval()
    height, width = 616, 1064
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]

    def run(view: View) -> Any:
        image = ((_tensor(view).float() - mean) / std)[None]
        h, w = image.shape[2:]
        scale = min(height / h, width / w)
        size = (int(h * scale), int(w * scale))
        image = F.interpolate(image, size, mode="bilinear")
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        rest = (left, width - size[1] - left, top, height - size[0] - top)
        with torch.inference_mode():
            depth, _, _ = model.inference({"input": F.pad(image, rest).to(device)})
        depth = depth[:, :, top : top + size[0], left : left + size[1]]
        depth = F.interpolate(depth, (h, w), mode="bilinear")
        return depth * (view.camera.fx_px * scale / 1000)

    return DepthExpert("Metric3Dv2", run)


def _from_transformers(name: str, checkpoint: str, size_argument: str) -> DepthExpert:
    """A metric depth model that transformers itself has."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    device = _device()
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    model = AutoModelForDepthEstimation.from_pretrained(checkpoint).to(device).eval()

    def run(view: View) -> Any:
        inputs = processor(images=[view.image], return_tensors="pt").to(device)
        with torch.inference_mode():
            outputs = model(**inputs)
        size = {size_argument: [view.image.shape[:2]]}
        (found,) = processor.post_process_depth_estimation(outputs, **size)
        return found["predicted_depth"]

    return DepthExpert(name, run)


def depth_pro() -> DepthExpert:
    """Depth Pro (apple/DepthPro-hf), which estimates the focal length itself."""
    return _from_transformers("DepthPro", "apple/DepthPro-hf", "target_sizes")


def zoedepth() -> DepthExpert:
    """ZoeDepth NK (Intel/zoedepth-nyu-kitti)."""
    return _from_transformers("ZoeDepth", "Intel/zoedepth-nyu-kitti", "source_sizes")


def depth_anything_v2() -> DepthExpert:
    """Depth Anything V2, the metric indoor model (Hypersim, 20 m at most)."""
    checkpoint = "depth-anything/Depth-Anything-V2-Metric-Indoor-Large-hf"
    return _from_transformers("DepthAnythingV2 (metric, indoor)", checkpoint, "target_sizes")


def depth_anything_v2_outdoor() -> DepthExpert:
    """Depth Anything V2, the metric outdoor model (Virtual KITTI, 80 m at most)."""
    checkpoint = "depth-anything/Depth-Anything-V2-Metric-Outdoor-Large-hf"
    return _from_transformers("DepthAnythingV2 (metric, outdoor)", checkpoint, "target_sizes")
