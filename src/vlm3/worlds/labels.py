"""Questions and answers of the four tasks about frames and pairs, written through `vlm3.tasks`.

The one place where worlds meet text. Knows no rendering and no files.
"""

from typing import Protocol as Interface

import numpy as np

from vlm3.geometry.pose import RelativePose
from vlm3.tasks import correspondence, depth, objects, pose
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
    camera = frame.camera
    rows, columns = np.nonzero(np.isfinite(frame.distance_m))
    if not len(rows):
        return ()
    size = {"width_px": camera.width_px, "height_px": camera.height_px}
    qas = []
    for k in rng.choice(len(rows), min(count, len(rows)), replace=False):
        xy_px = (columns[k] + 0.5, rows[k] + 0.5)
        distance = float(frame.distance_m[rows[k], columns[k]])
        qas.append(
            QA("depth", depth.ask(protocol, xy_px, **size), depth.answer(protocol, distance))
        )
    return tuple(qas)


def object_qas(
    frame: Frame, protocol: Protocol, count: int, rng: Rng, *, sentences: bool = False
) -> tuple[QA, ...]:
    """Up to `count` object questions; `sentences` answers in words and mixed units."""
    made = object_questions(frame, rng, count)
    return tuple(_about(frame, protocol, q, sentences=sentences) for q in made)


def grouped_object_qas(frame: Frame, protocol: Protocol, groups: int, rng: Rng) -> tuple[QA, ...]:
    """Object questions to learn from, in groups that begin alike."""
    made = grouped_object_questions(frame, rng, groups)
    return tuple(_about(frame, protocol, q) for q in made)


def _about(frame: Frame, protocol: Protocol, q: ObjectQuestion, *, sentences: bool = False) -> QA:
    camera = frame.camera
    return object_qa(
        protocol, q, width_px=camera.width_px, height_px=camera.height_px, sentences=sentences
    )


def object_qa(
    protocol: Protocol, q: ObjectQuestion, *, width_px: int, height_px: int, sentences: bool = False
) -> QA:
    """One object question in the words of a protocol, about a picture of that size."""
    size = {"width_px": width_px, "height_px": height_px}
    text = objects.ask(protocol, q.question, q.boxes_xyxy_px, **size)
    if sentences:
        answer = objects.answer_text(protocol, q.sentence, q.boxes_xyxy_px, **size)
    else:
        answer = objects.answer(
            protocol,
            q.boxes_xyxy_px,
            **size,
            value_m=q.value_m,
            clock_hour=q.clock_hour,
            yes=q.yes,
            region=q.region,
        )
    return QA("objects", text, answer)


def match_qas(pair: Pictured, protocol: Protocol, count: int, rng: Rng) -> tuple[QA, ...]:
    """Up to `count` pixels of picture 1 and where picture 2 shows them."""
    one, two = pair.frame1.camera, pair.frame2.camera
    variants = correspondence.template_count(protocol)
    qas = []
    for xy1, xy2 in zip(*pair.matches(count, rng), strict=True):
        question = correspondence.ask(
            protocol,
            xy1,
            width_px=one.width_px,
            height_px=one.height_px,
            template=int(rng.integers(variants)),
        )
        answer = correspondence.answer(
            protocol, xy2, width_px=two.width_px, height_px=two.height_px
        )
        qas.append(QA("correspondence", question, answer))
    return tuple(qas)


def pose_qas(pair: Pictured, protocol: Protocol) -> tuple[QA, ...]:
    """Every component of the motion that the protocol asks about; worlds are metric."""
    motion = pair.cam1_from_cam2
    return tuple(
        QA("pose", pose.ask(protocol, c), pose.answer(protocol, c, motion))
        for c in pose.components(protocol)
        if not (c in ("direction", "distance") and motion.direction is None)
    )
