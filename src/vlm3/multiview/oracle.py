"""An engine that knows the scene: it answers from true cameras and depths, with errors put in.

For tests and measurements: the texts go through the same questions, parsers and averaging as a
model's. Knows a picture by its pixels, at the size the protocol shows it.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from vlm3.geometry.depth import points_from_distance
from vlm3.geometry.pose import RelativePose, relative_pose, transform_points
from vlm3.infer.engines.base import Scene, UInt8
from vlm3.multiview.averaging import Array
from vlm3.tasks import correspondence, depth
from vlm3.tasks.pose import POSE
from vlm3.tasks.protocol import Protocol
from vlm3.view import View

Disturb = Callable[[int, int, Array], Array]


class SceneOracle:
    """Answers depth, match and pose questions of the joint protocol about known views.

    Args:
        views: the pictures; no two alike.
        world_from_cam: (n, 4, 4) their poses.
        distance_m: per view (H, W).
        protocol: the wording of its prompts.
        multiple_px: as the predictor's.
        disturb: (a, b, true a_from_b) -> the motion that is answered.
    """

    name = "oracle"

    def __init__(
        self,
        views: Sequence[View],
        world_from_cam: Array,
        distance_m: Sequence[Array],
        protocol: Protocol,
        *,
        multiple_px: int = 16,
        disturb: Disturb = lambda a, b, motion: motion,
    ) -> None:
        self._protocol, self._poses, self._distances = protocol, world_from_cam, distance_m
        self._cameras = [view.camera for view in views]
        self._disturb = disturb
        self._number = {
            view.resized(protocol.plan(view.camera, multiple_px=multiple_px)).image.tobytes(): k
            for k, view in enumerate(views)
        }

    def open(self, images: Sequence[UInt8]) -> Scene:
        """Keeps the pictures."""
        return Scene(tuple(images))

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """The truth about these pictures, disturbed, in the protocol's words."""
        shown = [self._number[image.tobytes()] for image in scene.images]
        if len(shown) == 1:
            return [self._depth(shown[0], question) for question in questions]
        a, b = shown
        prompts = POSE.questions(self._protocol)
        if not set(prompts.values()) & set(questions):
            return [self._match(a, b, question) for question in questions]
        motion = self._disturb(a, b, relative_pose(self._poses[a], self._poses[b]))
        ask, truth = POSE.query(RelativePose.from_matrix(motion))
        cameras = (self._cameras[a], self._cameras[b])
        answers = POSE.answers(self._protocol, cameras, ask, truth)
        # Of a camera that stood still there is no direction to write.
        texts = {prompts[part]: answers.get(part, "it did not move") for part in prompts}
        return [texts[question] for question in questions]

    def _depth(self, number: int, question: str) -> str:
        metres = self._distance_m(number, self._place(question))
        return depth.answer(self._protocol, metres) if np.isfinite(metres) else "sky"

    def _match(self, a: int, b: int, question: str) -> str:
        place = self._place(question)
        first, second = self._cameras[a], self._cameras[b]
        xy_px = place * (first.width_px, first.height_px)
        point_m = points_from_distance(xy_px, self._distance_m(a, place), first)
        seen_m = transform_points(relative_pose(self._poses[b], self._poses[a]), point_m)
        size = {"width_px": second.width_px, "height_px": second.height_px}
        if not (seen_m[2] > 0 and second.contains(found_px := second.project(seen_m))):
            return "not in the picture"
        return correspondence.answer(self._protocol, found_px, **size)

    def _place(self, question: str) -> Array:
        """(2,) the pixel of the question, as parts of the picture's sides."""
        numbers = [int(number) for number in re.findall(r"\d+", question)[-2:]]
        return np.array(numbers) / self._protocol.norm_size

    def _distance_m(self, number: int, place: Array) -> float:
        truth = self._distances[number]
        rows, columns = truth.shape
        x, y = np.minimum((place * (columns, rows)).astype(int), (columns - 1, rows - 1))
        return float(truth[y, x])
