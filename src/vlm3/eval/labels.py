"""What the depth labels of the published sets mean, and the true distance behind each.

DepthLM's curation scripts write four different things under the key "depth"
(facebookresearch/DepthLM_Official, utils/curate_*.py). A run is scored against the label as it was
published, to stand beside the papers, and against the true distance, which is what was asked.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError
from vlm3.eval.benchmarks import Label
from vlm3.geometry.camera import Camera

# SUN RGB-D's raw depth divided by 10000 where about 8000 counts make a metre.
_SUN_SCALE = 0.8


def distance_from_label(
    label_m: ArrayLike, xy_px: ArrayLike, camera: Camera, label: Label
) -> NDArray[np.float64]:
    """Labels (n,) at pixels (n, 2) -> true distances (n,) in metres; NaN where none is possible."""
    values = np.asarray(label_m, dtype=np.float64)
    rays = camera.unproject_z1(xy_px)
    length = np.linalg.norm(rays, axis=-1)
    if label == "distance":
        return values
    if label == "0.8 distance":
        return values / _SUN_SCALE
    if label == "z":
        return np.asarray(values * length)
    if label == "scannetpp":
        # The script took the norm of (x/z, y/z, z).
        with np.errstate(invalid="ignore"):
            z = np.sqrt(values**2 - (length**2 - 1))
        return np.asarray(z * length)
    raise InputError(f"no label is called {label!r}")


def label_from_distance(
    distance_m: ArrayLike, xy_px: ArrayLike, camera: Camera, label: Label
) -> NDArray[np.float64]:
    """The inverse of `distance_from_label`: what a right answer is called in that column."""
    values = np.asarray(distance_m, dtype=np.float64)
    length = np.linalg.norm(camera.unproject_z1(xy_px), axis=-1)
    if label == "distance":
        return values
    if label == "0.8 distance":
        return values * _SUN_SCALE
    if label == "z":
        return np.asarray(values / length)
    if label == "scannetpp":
        return np.asarray(np.sqrt((values / length) ** 2 + (length**2 - 1)))
    raise InputError(f"no label is called {label!r}")
