"""How far a stated motion can be trusted: checked by the reverse question and by matches.

The model answers for the motion back, for the places of a grid of one picture in the other, and
for the grid's distances. Where the grid's points would be seen after the stated motion is compared
with where the model finds them. It is one model throughout: answers that agree may be wrong
together, and a confidence is a rank, not a probability (docs/engine.md has how well it sorts).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlm3.geometry.camera import Camera
from vlm3.geometry.depth import points_from_distance
from vlm3.geometry.pose import direction_error_deg, invert, rotation_error_deg, transform_points
from vlm3.infer.maps import grid_px
from vlm3.tasks.answers import MotionCheck
from vlm3.tasks.base import Floats
from vlm3.view import View

if TYPE_CHECKING:
    from vlm3.infer.predictor import Predictor

# Columns and rows of the matches: enough for a share, few enough to ask beside a pose.
_GRID = (8, 6)
# A match agrees with a motion within this part of the second picture's diagonal.
_AGREES = 0.08
# Of all points, the part that a motion must put into the picture for its whole share to count.
_LEAST_EXPECTED = 0.25
# Answers there and back that differ by this much are worth a factor 1/e.
_APART_DEG = 30.0
_NEAREST_M = 0.01


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points of picture a as a model sees them, and where it finds them in picture b.

    Attributes:
        points_m: (n, 3) in camera a's frame; NaN where its distance was not read.
        xy_b_px: (n, 2) pixels of picture b; NaN where not read.
        camera_b: that of picture b.
    """

    points_m: Floats
    xy_b_px: Floats
    camera_b: Camera

    def agree(self, a_from_b: Floats) -> float:
        """Share of the points that a motion (4, 4) puts into picture b and matches put there too.

        That is within 8 % of the picture's diagonal: what nano's matches are good for. A motion
        that puts less than a quarter of all points into the picture is held to a quarter. What was
        not read agrees with nothing.
        """
        seen_m = transform_points(invert(a_from_b), self.points_m)
        # Not behind the camera; of what is not known (NaN) this is not true either.
        ahead = seen_m[:, 2] > _NEAREST_M
        xy_px = self.camera_b.project(np.where(ahead[:, None], seen_m, (0.0, 0.0, 1.0)))
        expected = ahead & np.asarray(self.camera_b.contains(xy_px), bool)
        diagonal_px = np.hypot(self.camera_b.width_px, self.camera_b.height_px)
        off = np.linalg.norm(xy_px - self.xy_b_px, axis=1) / diagonal_px
        found = expected & (off < _AGREES)
        return float(found.sum() / max(expected.sum(), _LEAST_EXPECTED * len(found)))


def landmark_grid(camera: Camera) -> tuple[int, int]:
    """Columns and rows of the query points of a picture."""
    return min(_GRID[0], camera.width_px), min(_GRID[1], camera.height_px)


def ask_landmarks(predictor: "Predictor", view_a: View, view_b: View) -> Landmarks | None:
    """Distances and matches of a small grid of picture a; None where the protocol has not both."""
    if not {"correspondence", "depth"} <= predictor.protocol.tasks:
        return None
    camera = view_a.camera
    xy_px = grid_px(camera, *landmark_grid(camera)).reshape(-1, 2)
    matched = predictor.match(view_a, view_b, xy_px)
    distance_m = predictor.depth(view_a, xy_px).distance_m
    return Landmarks(points_from_distance(xy_px, distance_m, camera), matched.xy_px, view_b.camera)


def check_motion(
    a_from_b: Floats | None, b_from_a: Floats | None, landmarks: Landmarks | None
) -> MotionCheck | None:
    """A stated motion beside the model's other answers about the two pictures.

    Args:
        a_from_b: (4, 4) the stated motion.
        b_from_a: (4, 4) as answered the other way round; None where it was not read.
        landmarks: what the model sees in picture a and finds in picture b.

    Returns:
        None where there is nothing to hold, or nothing to hold it against.
    """
    if a_from_b is None or landmarks is None:
        return None
    agreed = landmarks.agree(a_from_b)
    rotation_deg = direction_deg = None
    both_ways = 0.0
    if b_from_a is not None:
        other = invert(b_from_a)
        rotation_deg = float(rotation_error_deg(a_from_b[:3, :3], other[:3, :3]))
        angle_deg = float(direction_error_deg(a_from_b[:3, 3], other[:3, 3], sign_free=False))
        direction_deg = angle_deg if np.isfinite(angle_deg) else None
        both_ways = float(np.exp(-max(rotation_deg, direction_deg or 0.0) / _APART_DEG))
    return MotionCheck(
        confidence=agreed * both_ways,
        matches=len(landmarks.points_m),
        agree=agreed,
        agree_still=landmarks.agree(np.eye(4)),
        back_rotation_deg=rotation_deg,
        back_direction_deg=direction_deg,
    )
