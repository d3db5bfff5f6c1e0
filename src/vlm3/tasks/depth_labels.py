"""What the depth labels of the published sets mean, and the true distance behind each.

DepthLM's curation scripts write four different things under the key "depth"
(facebookresearch/DepthLM_Official, utils/curate_*.py). A run is scored against the label as it was
published, to stand beside the papers, and against the true distance, which is the question's. Both
directions need of the camera only the cosine between the pixel's ray and the axis, z / distance.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError
from vlm3.files.reading import short
from vlm3.geometry.camera import Camera

# SUN RGB-D's raw depth divided by 10000 where about 8000 counts make a metre.
_SUN_SCALE = 0.8


def cosines(xy_px: ArrayLike, camera: Camera) -> NDArray[np.float64]:
    """Pixels (n, 2) -> (n,) z / distance of whatever they show."""
    return np.asarray(camera.unproject(xy_px)[..., 2])


def distance_from_label(label_m: ArrayLike, cosine: ArrayLike, label: str) -> NDArray[np.float64]:
    """Labels (n,) -> true distances (n,) in metres; NaN where no distance has that label."""
    values, c = (np.asarray(a, dtype=np.float64) for a in (label_m, cosine))
    if label == "distance":
        return values
    if label == "0.8 distance":
        return values / _SUN_SCALE
    if label == "z":
        return np.asarray(values / c)
    if label == "scannetpp":
        # The script took the norm of (x/z, y/z, z).
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(values**2 - (c**-2 - 1)) / c)
    raise InputError(f"no label is called {short(label)}")


def label_from_distance(
    distance_m: ArrayLike, cosine: ArrayLike, label: str
) -> NDArray[np.float64]:
    """The inverse of `distance_from_label`: what a right answer is called in that column."""
    values, c = (np.asarray(a, dtype=np.float64) for a in (distance_m, cosine))
    if label == "distance":
        return values
    if label == "0.8 distance":
        return values * _SUN_SCALE
    if label == "z":
        return np.asarray(values * c)
    if label == "scannetpp":
        return np.asarray(np.sqrt((values * c) ** 2 + (c**-2 - 1)))
    raise InputError(f"no label is called {short(label)}")
