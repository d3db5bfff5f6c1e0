"""Frames and pairs of worlds as samples: labels are drawn from exact truth when they are needed.

The one place where worlds meet tasks. Knows no rendering and no files.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from vlm3.tasks.sample import Matches, ObjectQuestion, Points, Rng, Sample
from vlm3.view import View
from vlm3.worlds.frame import Frame, motion_between
from vlm3.worlds.questions import grouped_object_questions, object_questions
from vlm3.worlds.sight import Sight


@dataclass(frozen=True, eq=False)
class FrameDistances:
    """A distance at every pixel that is not sky."""

    frame: Frame

    def draw(self, count: int, rng: Rng) -> Points:
        """Up to `count` random pixel centres."""
        rows, columns = np.nonzero(np.isfinite(self.frame.distance_m))
        if len(rows):
            chosen = _drawn(rng).choice(len(rows), min(count, len(rows)), replace=False)
            rows, columns = rows[chosen], columns[chosen]
        xy_px = np.stack([columns + 0.5, rows + 0.5], axis=-1)
        return Points(xy_px, self.frame.distance_m[rows, columns].astype(np.float64))


@dataclass(frozen=True, eq=False)
class FrameObjects:
    """Questions about the objects of a frame."""

    frame: Frame

    def draw(self, count: int, rng: Rng) -> tuple[ObjectQuestion, ...]:
        """Up to `count` new ones."""
        return object_questions(self.frame, _drawn(rng), count)


@dataclass(frozen=True, eq=False)
class FrameObjectGroups:
    """The same in groups that begin alike; see `grouped_object_questions`."""

    frame: Frame
    groups: int

    def draw(self, count: int, rng: Rng) -> tuple[ObjectQuestion, ...]:
        """Up to `count` questions of `groups` new groups."""
        return grouped_object_questions(self.frame, _drawn(rng), self.groups)[:count]


@dataclass(frozen=True, eq=False)
class FrameMatches:
    """Matches of two frames by rays cast at what was rendered."""

    sight: Sight
    frame1: Frame
    frame2: Frame

    def draw(self, count: int, rng: Rng) -> Matches:
        """Up to `count` random pixel centres of the first frame that the second one shows."""
        return Matches(*self.sight.matches(self.frame1, self.frame2, count, _drawn(rng)))


def _drawn(rng: Rng) -> np.random.Generator:
    """Labels of worlds have no order of their own: without a generator they are always the same."""
    return rng or np.random.default_rng(0)


def frame_sample(frame: Frame, key: str) -> Sample:
    """One frame."""
    return Sample(
        key,
        (frame.camera,),
        (partial(View, frame.image, frame.camera),),
        points=FrameDistances(frame),
        objects=FrameObjects(frame),
    )


def pair_sample(sight: Sight, frame1: Frame, frame2: Frame, key: str) -> Sample:
    """Two frames of the world of that sight; only what is known of both together."""
    frames = frame1, frame2
    return Sample(
        key,
        tuple(frame.camera for frame in frames),
        tuple(partial(View, frame.image, frame.camera) for frame in frames),
        matches=FrameMatches(sight, frame1, frame2),
        motion=motion_between(frame1, frame2),
    )
