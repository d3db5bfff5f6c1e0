"""Pictures -> a scene: ask for motions between pairs and for depth maps, average, fuse.

Every pair is asked both ways. How far the two answers contradict each other, and how wide the
probabilities of their digits are, says how much a motion is believed. Knows no file format.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vlm3.errors import InputError
from vlm3.geometry.pose import invert, rotation_error_deg
from vlm3.infer.dense import DepthMap
from vlm3.infer.predict import Predictor
from vlm3.scene.averaging import Array, Cameras, Motion, average
from vlm3.tasks.base import PoseAnswer, Spread
from vlm3.view import View

Progress = Callable[[int], None]

# Up to this many pictures every pair is asked; beyond, each picture's next few.
_ALL_PAIRS = 8
_NEIGHBOURS = 4
# A normal distribution's p10 to p90.
_P10_TO_P90 = 2.563
# No stated motion is surer than this, whatever its probabilities say.
_SUREST_DEG = 1.0


@dataclass(frozen=True, eq=False)
class Pair:
    """Two pictures' motion as it was answered, there and back.

    Attributes:
        a: number of the first picture.
        b: number of the second.
        there: the answer about (a, b).
        back: the answer about (b, a).
        motion: both in one, or None where neither can be used.
        sigma_deg: how far off its rotation is believed to be; NaN without a motion.
    """

    a: int
    b: int
    there: PoseAnswer
    back: PoseAnswer
    motion: Motion | None
    sigma_deg: float


@dataclass(frozen=True, eq=False)
class SceneModel:
    """Pictures in one world, that of the first one's camera.

    Attributes:
        views: the pictures.
        pairs: what was asked between them.
        cameras: where they stand; its arrays speak of `motions`.
        maps: their depth maps.
    """

    views: tuple[View, ...]
    pairs: tuple[Pair, ...]
    cameras: Cameras
    maps: tuple[DepthMap, ...]

    @property
    def motions(self) -> list[Motion]:
        """The motions that could be used, in the order of the pairs."""
        return [pair.motion for pair in self.pairs if pair.motion is not None]


def choose_pairs(count: int) -> list[tuple[int, int]]:
    """Which pairs of pictures are asked.

    All of them up to 8 pictures. Beyond, each with its next four, first and last being neighbours,
    so that a walk around something closes; if it does not, those few motions end as outliers.
    """
    if count <= _ALL_PAIRS:
        return [(i, j) for i in range(count) for j in range(i + 1, count)]
    found = {
        tuple(sorted((i, (i + step) % count)))
        for i in range(count)
        for step in range(1, _NEIGHBOURS + 1)
    }
    return [(i, j) for i, j in sorted(found)]


def build_scene(
    predictor: Predictor,
    views: Sequence[View],
    *,
    grid: tuple[int, int] = (48, 36),
    refine: bool = False,
    progress: Progress | None = None,
) -> SceneModel:
    """Asks for everything and puts it together.

    Args:
        predictor: who is asked; its protocol must have pose, with distances, and depth.
        views: two or more pictures, in the order they were taken if there is one.
        grid: columns and rows of every depth map.
        refine: see `Predictor.depth_map`.
        progress: told, now and then, how many more questions are answered.

    Raises:
        InputError: fewer than two pictures, or one that no readable motion joins to the others.
    """
    if len(views) < 2:
        raise InputError(f"a scene needs two pictures or more, {len(views)} came")
    pairs = [ask_pair(predictor, views, a, b, progress) for a, b in choose_pairs(len(views))]
    motions = [pair.motion for pair in pairs if pair.motion is not None]
    cameras = average(len(views), motions)
    maps = tuple(
        predictor.depth_map(view, grid=grid, refine=refine, progress=progress) for view in views
    )
    return SceneModel(tuple(views), tuple(pairs), cameras, maps)


def ask_pair(
    predictor: Predictor, views: Sequence[View], a: int, b: int, progress: Progress | None = None
) -> Pair:
    """Both answers about two pictures, and the motion they agree on."""
    there = predictor.pose(views[a], views[b])
    back = predictor.pose(views[b], views[a])
    if progress is not None:
        progress(len(there.prompt) + len(back.prompt))
    found = []
    if there.cam1_from_cam2 is not None:
        found.append((there.cam1_from_cam2, _stated_sigma_deg(there)))
    if back.cam1_from_cam2 is not None:
        found.append((invert(back.cam1_from_cam2), _stated_sigma_deg(back)))
    if not found:
        return Pair(a, b, there, back, None, float("nan"))
    apart_deg = 0.0
    if len(found) == 2:
        apart_deg = float(rotation_error_deg(found[0][0][:3, :3], found[1][0][:3, :3]))
    stated = min(sigma for _, sigma in found)
    sigma = float(np.sqrt(_SUREST_DEG**2 + stated**2 + (apart_deg / 2) ** 2))
    return Pair(a, b, there, back, Motion(a, b, _mean([T for T, _ in found]), sigma**-2), sigma)


def _stated_sigma_deg(answer: PoseAnswer) -> float:
    """What the probabilities of the digits say of the rotation; 0 without probabilities."""
    spread = answer.spread.get("rotation")
    return 0.0 if spread is None else _sigma(spread)


def _sigma(spread: Spread) -> float:
    wide = (spread.p90 - spread.p10) / _P10_TO_P90
    known = wide[np.isfinite(wide)]
    return float(np.linalg.norm(known)) if known.size else 0.0


def _mean(transforms: Sequence[Array]) -> Array:
    """The transform between one or two: the nearest rotation to their mean, the mean move."""
    mean = np.mean(transforms, axis=0)
    u, _, v = np.linalg.svd(mean[:3, :3])
    mean[:3, :3] = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    return np.asarray(mean)
