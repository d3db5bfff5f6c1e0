"""Answers of a model about its pictures, one class a task, and how sure it was of them.

Knows no model and no picture.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

import numpy as np

from vlm3.tasks.base import Bools, Floats, TaskName

Readout = Literal["digits", "mean", "median"]
"""Which number an answer gives: the one written, or one from the probabilities of its digits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Spread:
    """How sure a model was of the numbers it wrote, from the probabilities of their digits.

    All of one shape, in the unit of the number; NaN where none was read.

    Attributes:
        mean: the expected value.
        p10: a tenth of the probability lies below it.
        p50: the median; of a length, of what begins with the first digit that was written.
        p90: a tenth lies above.
        covered: probability of everything in the answer's form, which the others are about.
        off_grammar: probability of anything else.
    """

    mean: Floats
    p10: Floats
    p50: Floats
    p90: Floats
    covered: Floats
    off_grammar: Floats

    def converted(self, convert: Callable[[Floats], Floats]) -> "Spread":
        """The same in another unit, into which `convert` takes numbers and keeps their order."""
        numbers = {name: convert(getattr(self, name)) for name in ("mean", "p10", "p50", "p90")}
        return replace(self, **numbers)

    def column(self, index: int) -> "Spread":
        """One of the numbers of every answer."""
        return Spread(**{f.name: getattr(self, f.name)[..., index] for f in fields(self)})

    def row(self, index: int) -> "Spread":
        """The numbers of one answer."""
        return Spread(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True, kw_only=True, eq=False)
class _Answer:
    """What every answer keeps, so that a result can be traced and read again.

    Attributes:
        task: which task's answer it is.
        protocol: name of the protocol of prompt and answer.
        intrinsics: for each view where its focal length came from: "given", "exif", "fov",
            "assumed", "calibrator".
    """

    task: ClassVar[TaskName]
    protocol: str
    intrinsics: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All fields under their own names, and `task`; arrays as lists, NaN as None."""
        return {"task": self.task} | {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthAnswer(_Answer):
    """Distances at n pixels of one picture.

    Attributes:
        xy_px: (n, 2) pixels of the questions, in the view's own picture.
        distance_m: (n,) metres from the camera to the point; NaN where unparsed.
        depth_z_m: (n,) metres along the optical axis; NaN where unparsed.
        parsed: (n,) whether a distance was read.
        raw_text: what the model wrote, one a pixel.
        prompt: the questions, one a pixel.
        spread: of the distances, (n,) metres; None from an engine that gives no probabilities.
        readout: which number the distances are: the "digits" written, or the "median" or "mean"
            of what might have been written.
    """

    task: ClassVar[TaskName] = "depth"
    xy_px: Floats
    distance_m: Floats
    depth_z_m: Floats
    parsed: Bools
    raw_text: tuple[str, ...]
    prompt: tuple[str, ...]
    spread: Spread | None = None
    readout: Readout = "digits"


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchAnswer(_Answer):
    """Where n pixels of view a appear in view b.

    Attributes:
        xy_a_px: (n, 2) pixels of the questions, in view a.
        xy_px: (n, 2) their matches in view b; NaN where unparsed.
        parsed: (n,) whether a match was read.
        raw_text: what the model wrote, one a pixel.
        prompt: the questions, one a pixel.
        spread: of the matches, (n, 2) pixels of view b, y given x; None without probabilities.
        readout: which number the matches are, as in `DepthAnswer`.
    """

    task: ClassVar[TaskName] = "correspondence"
    xy_a_px: Floats
    xy_px: Floats
    parsed: Bools
    raw_text: tuple[str, ...]
    prompt: tuple[str, ...]
    spread: Spread | None = None
    readout: Readout = "digits"


# Where the words for a confidence change; docs/engine.md says how often each was right.
_DOUBTFUL, _PLAUSIBLE = 0.3, 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionCheck:
    """A stated motion held against other answers of the same model about the same pictures.

    Attributes:
        confidence: 0 to 1, the higher the likelier right; a rank, not a probability.
        matches: how many points of picture 1 were looked for in picture 2.
        agree: of those that the stated motion puts into picture 2, the share matched there.
        agree_still: the same for a camera that did not move.
        back_rotation_deg: how far the rotation of the reverse question is off; None where the
            motion back was not read.
        back_direction_deg: how far the direction is off; None likewise.
    """

    confidence: float
    matches: int
    agree: float
    agree_still: float
    back_rotation_deg: float | None
    back_direction_deg: float | None

    @property
    def verdict(self) -> str:
        """The confidence in words: "plausible", "uncertain", or "do not trust this motion"."""
        if self.confidence < _DOUBTFUL:
            return "do not trust this motion"
        return "plausible" if self.confidence >= _PLAUSIBLE else "uncertain"


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseAnswer(_Answer):
    """Camera 2 seen from camera 1; what could not be read is None.

    Attributes:
        yaw_pitch_roll_deg: (3,) degrees.
        direction: (3,) unit vector from camera 1 to camera 2, in camera 1's frame.
        distance_m: metres between the cameras.
        cam1_from_cam2: (4, 4), where all three parts were read.
        parsed: component -> whether it was read.
        raw_text: component -> what the model wrote.
        prompt: component -> the question, word for word.
        spread: component -> of its numbers, in its unit; empty without probabilities.
        readout: which numbers these are, as in `DepthAnswer`.
        direction_cone_deg: half the opening of the cone about `direction` in which 80 % of the true
            directions lay, where that was measured (nano, docs/engine.md): 2.65 times what the
            spread says; None without probabilities.
        check: the motion held against other answers; None where there was no check, or nothing
            was there to hold it against.
    """

    task: ClassVar[TaskName] = "pose"
    yaw_pitch_roll_deg: Floats | None
    direction: Floats | None
    distance_m: float | None
    cam1_from_cam2: Floats | None
    parsed: dict[str, bool]
    raw_text: dict[str, str]
    prompt: dict[str, str]
    spread: dict[str, Spread] = field(default_factory=dict)
    readout: Readout = "digits"
    direction_cone_deg: float | None = None
    check: MotionCheck | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectAnswer(_Answer):
    """A free answer about objects, and the value in it where there is one.

    Attributes:
        text: the answer without its thinking part.
        value_m: a length in metres.
        clock_hour: a direction, 1 to 12.
        yes: agreement or not.
        region: index, from 0, of the box that was chosen.
        parsed: whether any of the four was read.
        raw_text: what the model wrote.
        prompt: the question, word for word.
        boxes_xyxy_px: (n, 4) the boxes of the question, in the view's own picture.
    """

    task: ClassVar[TaskName] = "objects"
    text: str
    value_m: float | None
    clock_hour: int | None
    yes: bool | None
    region: int | None
    parsed: bool
    raw_text: str
    prompt: str
    boxes_xyxy_px: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class TextAnswer(_Answer):
    """An answer in words about any number of pictures; nothing is read from it.

    Attributes:
        text: the answer without its thinking part; "" where nothing is left of it.
        raw_text: what the model wrote.
        prompt: the question, word for word.
    """

    task: ClassVar[TaskName] = "questions"
    text: str
    raw_text: str
    prompt: str


@dataclass(frozen=True, kw_only=True, eq=False)
class FovAnswer(_Answer):
    """How wide the lens of a picture is.

    Attributes:
        fov_deg: horizontal field of view in degrees; NaN where unparsed.
        f_px: the focal length in pixels of the view that it means, without distortion.
        parsed: whether an angle was read.
        raw_text: what the model wrote.
        prompt: the question, word for word.
        spread: of the angle, (1,) degrees; None from an engine that gives no probabilities.
        readout: which number the angle is, as in `DepthAnswer`.
    """

    task: ClassVar[TaskName] = "fov"
    fov_deg: float
    f_px: float
    parsed: bool
    raw_text: str
    prompt: str
    spread: Spread | None = None
    readout: Readout = "digits"


Answer = DepthAnswer | MatchAnswer | PoseAnswer | ObjectAnswer


def _plain(value: Any) -> Any:
    """Arrays, tuples, mappings and spreads as JSON has them; NaN as None."""
    if isinstance(value, Spread | MotionCheck):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
