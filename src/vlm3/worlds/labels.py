"""Which questions are asked about frames and pairs; `vlm3.tasks.prompting` writes them.

The one place where worlds meet text. Knows no rendering and no files.
"""

from typing import Protocol as Interface

import numpy as np

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.tasks import correspondence, prompting
from vlm3.tasks.base import QA
from vlm3.tasks.protocol import Protocol
from vlm3.worlds.questions import ObjectQuestion, grouped_object_questions, object_questions
from vlm3.worlds.sample import Floats, Frame

Rng = np.random.Generator


class Pictured(Interface):
    """Two frames of one world: a `Pair`, or one that was stored."""

    @property
    def frame1(self) -> Frame:
        """The first."""

    @property
    def frame2(self) -> Frame:
        """The second."""

    @property
    def cam1_from_cam2(self) -> RelativePose:
        """Pose of camera 2 in camera 1's frame."""

    def matches(self, n: int, rng: Rng) -> tuple[Floats, Floats]:
        """Up to n matches, xy1_px (m, 2) and xy2_px (m, 2)."""


def depth_qas(frame: Frame, protocol: Protocol, count: int, rng: Rng) -> tuple[QA, ...]:
    """Distances at `count` random pixel centres that are not sky."""
    rows, columns = np.nonzero(np.isfinite(frame.distance_m))
    if not len(rows):
        return ()
    return tuple(
        prompting.depth_qa(
            protocol,
            frame.camera,
            (columns[k] + 0.5, rows[k] + 0.5),
            float(frame.distance_m[rows[k], columns[k]]),
        )
        for k in rng.choice(len(rows), min(count, len(rows)), replace=False)
    )


def object_qas(
    frame: Frame, protocol: Protocol, count: int, rng: Rng, *, sentences: bool = False
) -> tuple[QA, ...]:
    """Up to `count` object questions; `sentences` answers in words and mixed units."""
    made = object_questions(frame, rng, count)
    return tuple(_about(protocol, q, frame.camera, sentences=sentences) for q in made)


def grouped_object_qas(frame: Frame, protocol: Protocol, groups: int, rng: Rng) -> tuple[QA, ...]:
    """Object questions to learn from, in groups that begin alike."""
    made = grouped_object_questions(frame, rng, groups)
    return tuple(_about(protocol, q, frame.camera) for q in made)


def object_qa(
    protocol: Protocol, q: ObjectQuestion, *, width_px: int, height_px: int, sentences: bool = False
) -> QA:
    """One object question in the words of a protocol, about a picture of that size."""
    # Boxes are named by the size alone, so a picture without a camera may have any.
    camera = Camera.from_fov(60.0, width_px=width_px, height_px=height_px)
    return _about(protocol, q, camera, sentences=sentences)


def _about(protocol: Protocol, q: ObjectQuestion, camera: Camera, *, sentences: bool = False) -> QA:
    if sentences:
        return prompting.object_qa(
            protocol, camera, q.question, q.boxes_xyxy_px, sentence=q.sentence
        )
    return prompting.object_qa(
        protocol,
        camera,
        q.question,
        q.boxes_xyxy_px,
        value_m=q.value_m,
        clock_hour=q.clock_hour,
        yes=q.yes,
        region=q.region,
    )


def match_qas(pair: Pictured, protocol: Protocol, count: int, rng: Rng) -> tuple[QA, ...]:
    """Up to `count` pixels of picture 1 and where picture 2 shows them."""
    cameras = pair.frame1.camera, pair.frame2.camera
    wordings = correspondence.template_count(protocol)
    return tuple(
        prompting.match_qa(protocol, cameras, xy1, xy2, template=int(rng.integers(wordings)))
        for xy1, xy2 in zip(*pair.matches(count, rng), strict=True)
    )


def pose_qas(pair: Pictured, protocol: Protocol) -> tuple[QA, ...]:
    """Every component of the motion that the protocol asks about; worlds are metric."""
    return prompting.pose_qas(protocol, pair.cam1_from_cam2)
