"""An engine that knows the scene: it answers from true cameras and depths, with errors put in.

For tests and measurements: the texts go through the same questions, parsers and averaging as a
model's. Knows a picture by its pixels, at the size the protocol shows it.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from vlm3.geometry.pose import RelativePose, relative_pose
from vlm3.infer.engine import Scene, UInt8
from vlm3.scene.averaging import Array
from vlm3.tasks import depth, pose
from vlm3.tasks.protocol import Protocol
from vlm3.view import View

Disturb = Callable[[int, int, Array], Array]


class SceneOracle:
    """Answers depth and pose questions of the joint protocol about known views.

    Args:
        views: the pictures; no two alike.
        world_from_cam: (n, 4, 4) their poses.
        distance_m: per view (H, W).
        protocol: how it will be asked.
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
        motion = self._disturb(a, b, relative_pose(self._poses[a], self._poses[b]))
        told = RelativePose.from_matrix(motion)
        answers = {
            pose.ask(self._protocol, part): pose.answer(self._protocol, part, told)
            for part in pose.components(self._protocol)
        }
        return [answers[question] for question in questions]

    def _depth(self, number: int, question: str) -> str:
        x, y = (int(n) / self._protocol.norm_size for n in re.findall(r"\d+", question)[-2:])
        truth = self._distances[number]
        rows, columns = truth.shape
        metres = float(truth[min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)])
        return depth.answer(self._protocol, metres) if np.isfinite(metres) else "sky"
