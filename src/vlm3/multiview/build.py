"""Pictures -> a scene: ask for motions between pairs and for depth maps, average, fuse.

Every pair has a question each way, and both answers take part: where one is wild, the other still
counts. How far they contradict each other, and how wide the probabilities of their digits are, says
how much they are believed. Knows no file format.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from vlm3.errors import InputError
from vlm3.geometry.pose import invert, rotation_error_deg
from vlm3.infer.answers import P10_TO_P90
from vlm3.infer.maps import DepthMap
from vlm3.infer.motion import Landmarks, ask_landmarks, check_motion, landmark_grid
from vlm3.infer.predictor import Predictor
from vlm3.multiview.averaging import Cameras, Motion, average
from vlm3.multiview.trust import Trust, judge
from vlm3.tasks.answers import MotionCheck, PoseAnswer, Readout, Spread
from vlm3.tasks.correspondence import CORRESPONDENCE
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.pose import POSE
from vlm3.tasks.protocol import Protocol
from vlm3.view import View

Progress = Callable[[int], None]

# Up to this many pictures every pair is asked; beyond, each picture's next few.
_ALL_PAIRS = 8
_NEIGHBOURS = 4
# No stated motion is surer than this, whatever its probabilities say.
_SUREST_DEG = 1.0
# Two answers that contradict each other more do not make the better of them worse.
_MOST_DOUBT_DEG = 10.0


@dataclass(frozen=True, eq=False)
class ViewPair:
    """Two pictures' motion as it was answered, there and back.

    Attributes:
        a: number of the first picture.
        b: number of the second.
        there: the answer about (a, b).
        back: the answer about (b, a).
        motions: those of the two that could be read.
        landmarks: what the model sees in the first picture and finds in the second; None where the
            protocol has no matches.
    """

    a: int
    b: int
    there: PoseAnswer
    back: PoseAnswer
    motions: tuple[Motion, ...]
    landmarks: Landmarks | None

    @property
    def check(self) -> MotionCheck | None:
        """The first motion held against the other answers."""
        return check_motion(self.there.cam1_from_cam2, self.back.cam1_from_cam2, self.landmarks)


@dataclass(frozen=True, eq=False)
class SceneModel:
    """Pictures in one world, that of the first one's camera.

    Attributes:
        views: the pictures.
        pairs: the answers between them.
        cameras: where they stand; its arrays speak of `motions`.
        trust: how they agree with everything that was answered.
        maps: their depth maps.
    """

    views: tuple[View, ...]
    pairs: tuple[ViewPair, ...]
    cameras: Cameras
    trust: Trust
    maps: tuple[DepthMap, ...]

    @property
    def motions(self) -> list[Motion]:
        """The motions that could be used, in the order of the pairs."""
        return [motion for pair in self.pairs for motion in pair.motions]


def choose_pairs(count: int) -> list[tuple[int, int]]:
    """Pairs of pictures to relate.

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


def check_protocol(protocol: Protocol) -> None:
    """Refuses a protocol that cannot ask for motions and depth maps.

    Raises:
        InputError: says what it has not.
    """
    absent = [task.name for task in (POSE, DEPTH) if task.name not in protocol.tasks]
    if absent:
        raise InputError(
            f"a scene needs both pose and depth, and protocol {protocol.name!r} has no "
            f"{' and no '.join(absent)}; try joint"
        )


def question_count(protocol: Protocol, views: Sequence[View], grid: tuple[int, int]) -> int:
    """How many questions `build_scene` asks; with `refine`, at most."""
    pairs = choose_pairs(len(views))
    count = 2 * len(pairs) * len(POSE.questions(protocol))
    if CORRESPONDENCE.name in protocol.tasks:
        count += sum(2 * prod(landmark_grid(views[a].camera)) for a, _ in pairs)
    return count + len(views) * prod(grid)


def build_scene(
    predictor: Predictor,
    views: Sequence[View],
    *,
    grid: tuple[int, int] = (48, 36),
    readout: Readout | None = None,
    refine: bool = False,
    progress: Progress | None = None,
) -> SceneModel:
    """Asks for everything and puts it together.

    Args:
        predictor: what answers; its protocol must have pose, with distances, and depth.
        views: two or more pictures, in the order they were taken if there is one.
        grid: columns and rows of every depth map.
        readout: see `Predictor`.
        refine: see `Predictor.depth_map`.
        progress: called now and then with how many more answers there are.

    Raises:
        InputError: fewer than two pictures, a protocol without what is needed, a picture that no
            readable motion joins to the others, or motions that contradict each other: then no map
            is made.
    """
    check_protocol(predictor.protocol)
    if len(views) < 2:
        raise InputError(f"a scene needs two pictures or more, {len(views)} came")
    pairs = [
        ask_pair(predictor, views, a, b, readout=readout, progress=progress)
        for a, b in choose_pairs(len(views))
    ]
    motions = [motion for pair in pairs for motion in pair.motions]
    cameras = average(len(views), motions)
    trust = judge(cameras, motions, {(pair.a, pair.b): pair.landmarks for pair in pairs})
    if trust.contradiction is not None:
        raise InputError(trust.contradiction)
    maps = tuple(
        predictor.depth_map(view, grid=grid, readout=readout, refine=refine, progress=progress)
        for view in views
    )
    return SceneModel(tuple(views), tuple(pairs), cameras, trust, maps)


def ask_pair(
    predictor: Predictor,
    views: Sequence[View],
    a: int,
    b: int,
    *,
    readout: Readout | None = None,
    progress: Progress | None = None,
) -> ViewPair:
    """Both answers about two pictures, as motions from the first to the second."""
    there = predictor.pose(views[a], views[b], readout=readout)
    back = predictor.pose(views[b], views[a], readout=readout)
    landmarks = ask_landmarks(predictor, views[a], views[b])
    if progress is not None:
        seen = 0 if landmarks is None else 2 * len(landmarks.points_m)
        progress(len(there.prompt) + len(back.prompt) + seen)
    found = []
    if there.cam1_from_cam2 is not None:
        found.append((there.cam1_from_cam2, _stated_sigma_deg(there)))
    if back.cam1_from_cam2 is not None:
        found.append((invert(back.cam1_from_cam2), _stated_sigma_deg(back)))
    doubt_deg = 0.0
    if len(found) == 2:
        apart_deg = float(rotation_error_deg(found[0][0][:3, :3], found[1][0][:3, :3]))
        doubt_deg = min(apart_deg / 2, _MOST_DOUBT_DEG)
    motions = tuple(
        Motion(a, b, a_from_b, 1 / (_SUREST_DEG**2 + stated_deg**2 + doubt_deg**2))
        for a_from_b, stated_deg in found
    )
    return ViewPair(a, b, there, back, motions, landmarks)


def _stated_sigma_deg(answer: PoseAnswer) -> float:
    """What the probabilities of the digits say of the rotation; 0 without probabilities."""
    spread = answer.spread.get("rotation")
    return 0.0 if spread is None else _sigma(spread)


def _sigma(spread: Spread) -> float:
    wide = (spread.p90 - spread.p10) / P10_TO_P90
    known = wide[np.isfinite(wide)]
    return float(np.linalg.norm(known)) if known.size else 0.0
