"""One set of questions for any model: what two ways to run it are compared on.

Points of a grid, the same points in a second picture, the motion between the pictures, and boxes:
whatever of it the model's protocol asks about.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from vlm3.geometry.pose import RelativePose
from vlm3.tasks.registry import TASKS
from vlm3.tasks.sample import Matches, ObjectQuestion, ObjectQuestions, Points, Sample
from vlm3.tasks.truth import Length
from vlm3.view import View

if TYPE_CHECKING:
    from vlm3.infer.predictor import Predictor

_BOX_PX = 40
_MOST = 1 << 20


def probe_texts(
    predictor: "Predictor",
    views: Sequence[View],
    *,
    side: int,
    engine: Literal["naive"] | None = None,
) -> list[str]:
    """What a model writes to the questions, task by task.

    Args:
        predictor: the model.
        views: two pictures of one size.
        side: points a side of the grid; every eighth has a box around it.
        engine: as a predictor's methods take it.
    """
    camera = views[0].camera
    size = np.array([camera.width_px, camera.height_px])
    steps = (np.arange(side) + 0.5) / side
    points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) * size
    corners = np.hstack([points - _BOX_PX, points + _BOX_PX]).clip(0, [*size, *size])[::8]
    # Labels only choose the questions; their values are never used.
    boxes = [ObjectQuestion("How wide is {0}?", (tuple(box),), Length(1.0)) for box in corners]
    pictures = tuple((lambda view=view: view) for view in views)
    still = RelativePose.from_matrix(np.eye(4))
    samples = (
        Sample(
            "one",
            (camera,),
            pictures[:1],
            points=Points(points, np.ones(len(points))),
            objects=ObjectQuestions(tuple(boxes)),
        ),
        Sample(
            "two",
            tuple(view.camera for view in views),
            pictures,
            matches=Matches(points, points),
            motion=still,
        ),
    )
    texts: list[str] = []
    for sample in samples:
        cameras = sample.cameras
        for name, task in TASKS.items():
            able = task.protocol_task in predictor.protocol.tasks
            if not able or task.pictures != len(cameras):
                continue
            prompts = [
                prompt
                for ask, _ in task.queries(sample, _MOST)
                for prompt in task.prompts(predictor.protocol, cameras, ask).values()
            ]
            texts += predictor.texts(name, views[: len(cameras)], prompts, engine=engine)
    return texts
