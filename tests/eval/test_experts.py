"""Adapters driven with stand-ins that have the signatures their packages document.

No weights: a stand-in knows the truth and gives it in its package's own form, so what is tested is
that the adapter asks as documented and reads the form right.
"""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vlm3.errors import InputError, MissingDependencyError
from vlm3.eval.baselines.experts import ADAPTERS
from vlm3.eval.benchmarks import benchmarks
from vlm3.eval.models import choose
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import relative_pose, rotation_from_ypr_deg
from vlm3.view import View

WIDTH, HEIGHT = 64, 48
SHIFT_PX = np.array([10.0, -6.0])
DEPTH_M = 3.0


def view(focal_px: float = 60.0) -> View:
    rng = np.random.default_rng(0)
    K = np.array([[focal_px, 0, WIDTH / 2], [0, focal_px, HEIGHT / 2], [0, 0, 1]])
    camera = Camera.from_K(K, width_px=WIDTH, height_px=HEIGHT, pixel_origin="corner")
    return View(rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8), camera)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a module of that name, and the packages above it, where imports find it."""

    def put(name: str, **contents: Any) -> None:
        parts = name.split(".")
        for k in range(1, len(parts)):
            above = ".".join(parts[:k])
            if above not in sys.modules:
                monkeypatch.setitem(sys.modules, above, ModuleType(above))
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)

    return put


class Net:
    """A network that is moved and set, and does nothing else."""

    @classmethod
    def from_pretrained(cls, name: str) -> "Net":
        assert "/" in name
        return cls()

    def to(self, device: str) -> "Net":
        return self

    def eval(self) -> "Net":
        return self


# Depth.


class UniDepth(Net):
    def infer(self, rgb: torch.Tensor, camera: Any = None, normalize: bool = True) -> Any:
        assert rgb.dtype == torch.uint8 and rgb.shape == (3, HEIGHT, WIDTH)
        assert camera.K.shape == (1, 3, 3) and camera.K[0, 0, 0] == 60
        return {"depth": torch.full((1, 1, HEIGHT, WIDTH), DEPTH_M, dtype=torch.float16)}


class Pinhole:
    def __init__(self, params: Any = None, K: Any = None) -> None:
        self.K = K


class MoGe(Net):
    def infer(self, image: torch.Tensor, *, fov_x: float | None = None) -> Any:
        assert image.max() <= 1 and image.shape == (3, HEIGHT, WIDTH)
        assert fov_x == pytest.approx(2 * np.degrees(np.arctan(32 / 60)))
        depth = torch.full((HEIGHT, WIDTH), DEPTH_M)
        depth[0, 0] = torch.inf  # what its mask leaves out
        return {"depth": depth}


class Metric3D(Net):
    """Its canonical focal length is 1000 px of the 1064x616 it is fed with."""

    def inference(self, batch: dict[str, torch.Tensor]) -> Any:
        (image,) = batch["input"]
        assert image.shape == (3, 616, 1064)
        scale = 616 / HEIGHT
        # Padding of the mean colour, which is 0 once the mean is taken off.
        assert not image[:, :, 0].any() and image[:, :, 532].any()
        depth = torch.full((1, 1, 616, 1064), torch.nan)
        left = (1064 - int(WIDTH * scale)) // 2
        depth[..., left : left + int(WIDTH * scale)] = DEPTH_M * 1000 / (60 * scale)
        return depth, None, {}


def test_depth_experts(install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    install("unidepth.models", UniDepthV2=UniDepth)
    install("unidepth.utils.camera", Pinhole=Pinhole)
    install("moge.model.v2", MoGeModel=MoGe)
    for name in ("torchvision", "timm", "mmengine"):
        install(name)
    monkeypatch.setattr(torch.hub, "load", lambda repo, name, *, pretrain: Metric3D())
    for name in ("unidepth-v2", "moge-2", "metric3d-v2"):
        depth = ADAPTERS[name].load().depth_z_m(view())
        assert depth.shape == (HEIGHT, WIDTH)
        assert np.nanmax(abs(depth - DEPTH_M)) < 1e-3, name
        assert np.isnan(depth).sum() == (name == "moge-2")


# Matching: everything moves by SHIFT_PX.


def warp(height: int, width: int) -> torch.Tensor:
    """As DKM and RoMa have it: (height, 2 width, 4), from -1 to 1, the way there and back."""
    y, x = np.mgrid[:height, :width] + 0.5
    here = np.stack([x / width, y / height], axis=-1) * 2 - 1
    there = here + SHIFT_PX / (WIDTH, HEIGHT) * 2
    back = np.full_like(here, 9.0)
    whole = np.concatenate(
        [np.concatenate([here, there], axis=-1), np.concatenate([back, here], axis=-1)], axis=1
    )
    return torch.from_numpy(whole).float()


class Dkm(Net):
    def match(self, im1: Any, im2: Any, *, batched: bool = False, device: Any = None) -> Any:
        assert isinstance(im1, Image.Image) and im1.size == (WIDTH, HEIGHT)
        return warp(30, 40), None


class Roma(Net):
    def match(self, im_A: Any, im_B: Any, *, batched: bool = True, device: Any = None) -> Any:
        assert batched, "no longer supported without a batch"
        return warp(28, 28)[None], None


class Ufm(Net):
    def predict_correspondences_batched(self, source_image: Any, target_image: Any) -> Any:
        assert source_image.dtype == torch.uint8 and source_image.shape == (HEIGHT, WIDTH, 3)
        flow = torch.from_numpy(SHIFT_PX).float()[None, :, None, None]
        output = flow.expand(1, 2, HEIGHT, WIDTH)
        return SimpleNamespace(flow=SimpleNamespace(flow_output=output))


def test_matchers(install: Callable[..., None]) -> None:
    install("dkm", DKMv3_outdoor=lambda path_to_weights=None, device=None: Dkm())
    install("romatch", roma_outdoor=lambda device, *, use_custom_corr: Roma())
    install("uniflowmatch.models.ufm", UniFlowMatchConfidence=Ufm)
    xy = np.array([[0.5, 47.5], [20.3, 17.9], [50.0, 30.0]])
    for name in ("dkm", "roma", "ufm"):
        found = ADAPTERS[name].load().match(view(), view(), xy)
        np.testing.assert_allclose(found, xy + SHIFT_PX, atol=1e-3, err_msg=name)


# Pose: world_from_cam of both cameras is known.


def cameras() -> np.ndarray:
    whole = np.tile(np.eye(4), (2, 1, 1))
    whole[:, :3, :3] = rotation_from_ypr_deg([[5, 2, -3], [25, -4, 6]])
    whole[:, :3, 3] = [[0.1, 0, 0.2], [1.1, -0.2, 0.5]]
    return whole


def cam_from_world() -> np.ndarray:
    return np.linalg.inv(cameras())[:, :3]


def opened(paths: list[str], size: int | None = None) -> list[str]:
    assert all(Image.open(path).size == (WIDTH, HEIGHT) for path in paths) and len(paths) == 2
    return paths


class Vggt(Net):
    def __call__(self, images: torch.Tensor) -> Any:
        return {"pose_enc": torch.from_numpy(cam_from_world())[None].float()}


class MapAnything(Net):
    def infer(self, views: list[str]) -> Any:
        return [{"camera_poses": torch.from_numpy(pose)[None].float()} for pose in cameras()]


class DepthAnything3(Net):
    def inference(self, image: list[str]) -> Any:
        opened(image)
        return SimpleNamespace(extrinsics=cam_from_world().astype(np.float32))


def install_dust3r(install: Callable[..., None]) -> None:
    def aligner(output: Any, device: str, mode: str) -> Any:
        assert output == ("pairs", 1) and mode == "PairViewer"
        poses = torch.nn.Parameter(torch.from_numpy(cameras()).float())
        return SimpleNamespace(get_im_poses=lambda: poses)

    def make_pairs(imgs: list[str], scene_graph: str, *, symmetrize: bool) -> str:
        assert symmetrize and scene_graph == "complete"
        return "pairs"

    install(
        "dust3r.cloud_opt",
        global_aligner=aligner,
        GlobalAlignerMode=SimpleNamespace(PairViewer="PairViewer"),
    )
    install("dust3r.image_pairs", make_pairs=make_pairs)
    install(
        "dust3r.inference",
        inference=lambda pairs, model, device, batch_size: (pairs, batch_size),
    )
    install("dust3r.model", AsymmetricCroCo3DStereo=Net)
    install("dust3r.utils.image", load_images=opened)


def test_posers(install: Callable[..., None]) -> None:
    install("vggt.models.vggt", VGGT=Vggt)
    install(
        "vggt.utils.load_fn",
        load_and_preprocess_images=lambda paths: torch.zeros(len(opened(paths)), 3, 392, 518),
    )
    install("vggt.utils.pose_enc", pose_encoding_to_extri_intri=lambda enc, size: (enc, None))
    install("mapanything.models", MapAnything=MapAnything)
    install("mapanything.utils.image", load_images=opened)
    install("depth_anything_3.api", DepthAnything3=DepthAnything3)
    install_dust3r(install)
    true = relative_pose(*cameras())
    for name in ("vggt", "mapanything", "da3", "dust3r"):
        pose = ADAPTERS[name].load().pose(view(), view())
        assert pose is not None
        np.testing.assert_allclose(pose.cam1_from_cam2, true, atol=1e-5, err_msg=name)


# Which checkpoint runs.


def test_roads_get_the_outdoor_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Depth Anything V2 has a metric model for rooms and one for roads; the row says which."""

    def made(name: str, checkpoint: str, size_argument: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, checkpoint=checkpoint, depth_z_m=None)

    monkeypatch.setattr("vlm3.eval.baselines.depth_experts._from_transformers", made)
    for name, benchmark in benchmarks().items():
        if benchmark.tasks == ("depth",):
            who = choose("depth-anything-v2", benchmark, None)
            rooms = ("eth3d", "scannetpp", "sunrgbd", "ibims1", "nyuv2")
            place = name.removeprefix("depthvlm-").removesuffix("-dense")
            kind = "indoor" if place in rooms else "outdoor"
            assert who.name == f"DepthAnythingV2 (metric, {kind})", name
            checkpoint = who.solver.expert.checkpoint  # type: ignore[attr-defined]
            assert f"Metric-{kind.title()}-Large" in checkpoint


def test_da3_is_the_retrained_one(install: Callable[..., None]) -> None:
    asked: list[str] = []

    def fetched(name: str) -> DepthAnything3:
        asked.append(name)
        return DepthAnything3()

    install("depth_anything_3.api", DepthAnything3=SimpleNamespace(from_pretrained=fetched))
    assert ADAPTERS["da3"].load().name == "DA3-Giant-1.1"
    assert asked == ["depth-anything/DA3-GIANT-1.1"]


# What is said when one cannot be had.


def test_a_namesake_is_told_from_the_package(install: Callable[..., None]) -> None:
    install("dkm", anything_else=1)
    with pytest.raises(MissingDependencyError, match=r"cannot import name 'DKMv3_outdoor'.*DKM"):
        ADAPTERS["dkm"].load()


def test_weights_out_of_reach_are_said_in_a_line(install: Callable[..., None]) -> None:
    def unreachable(name: str) -> Net:
        raise OSError("\nno route to the hub\nTry again")

    install("moge.model.v2", MoGeModel=SimpleNamespace(from_pretrained=unreachable))
    with pytest.raises(InputError, match=r"weights of MoGe cannot be loaded \(no route to the"):
        ADAPTERS["moge-2"].load()
