"""Camera pose (paper, section 3.2): how the camera turned and moved between two pictures.

One question a component. The released sample (facebookresearch/VLM3, sample_data/pose_labels.json)
answers

    Rotation angle: 89.7 degrees
    Yaw=+89.6°, Pitch=+2.6°, Roll=+6.1°
    The camera moves left, forward, unit vector (-0.69, +0.02, +0.72).
    Translation distance: 1.98 meters

Camera 2 is described in camera 1's frame: X right, Y down, Z forward.
"""

import re
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.pose import RelativePose
from vlm3.tasks.base import Floats, ParseFailure
from vlm3.tasks.framing import framed
from vlm3.tasks.lengths import Wanted, read_length
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.reading import answer_part, length_in_metres, refuses
from vlm3.tasks.tuples import read_angles, read_tuple
from vlm3.tasks.writing import written_metres

Component = Literal["rotation_angle", "rotation", "direction", "distance"]
COMPONENTS: tuple[Component, ...] = get_args(Component)

# A smaller part of the direction gets no word: 0.02 has none in the released sample.
_WORD_FROM = 0.1
_WORDS = (("left", "right"), ("up", "down"), ("backward", "forward"))


def components(protocol: Protocol, *, metric: bool = True) -> tuple[Component, ...]:
    """What the protocol asks about a pair; without the distance where the scale is not metric."""
    return tuple(
        c
        for c in COMPONENTS
        if f"pose.{c}.ask" in protocol.templates and (metric or c != "distance")
    )


def ask(protocol: Protocol, component: Component) -> str:
    """The question about one component.

    Raises:
        InputError: the protocol does not ask it.
    """
    return protocol.template(f"pose.{component}.ask")


def answer(protocol: Protocol, component: Component, pose: RelativePose) -> str:
    """The answer that a model is trained to give.

    Raises:
        InputError: the protocol does not ask it, or the camera did not move and the component is
            its direction or distance.
    """
    template = protocol.template(f"pose.{component}.answer")
    if component == "rotation_angle":
        return template.format(degrees=pose.angle_deg)
    if component == "rotation":
        yaw, pitch, roll = pose.yaw_pitch_roll_deg.tolist()
        return template.format(yaw=yaw, pitch=pitch, roll=roll)
    if pose.direction is None:
        raise InputError(f"the camera did not move, so there is no {component}; skip the question")
    if component == "distance":
        return template.format(metres=written_metres(pose.distance_m))
    x, y, z = pose.direction.tolist()
    return template.format(words=direction_words(pose.direction), x=x, y=y, z=z)


def direction_words(direction: ArrayLike) -> str:
    """A unit direction (3,) in words, in the order x, y, z: "left, forward".

    Parts below 0.1 are left out. That threshold is ours: the release shows only that 0.02 is.
    """
    return ", ".join(
        words[value > 0]
        for words, value in zip(_WORDS, np.asarray(direction).tolist(), strict=True)
        if abs(value) >= _WORD_FROM
    )


def parse(protocol: Protocol, component: Component, text: str) -> float | Floats | ParseFailure:
    """What a model wrote about one component; a failure where nothing of the kind stands.

    Returns:
        degrees (rotation_angle), (3,) yaw, pitch, roll in degrees (rotation), (3,) unit vector
        (direction), or metres (distance).
    """
    form = protocol.patterns.get(f"pose.{component}")
    numbers = _read(component, text) if form is None else _read_form(form, component, text)
    if isinstance(numbers, ParseFailure):
        return numbers
    if component == "distance":
        # A camera that only turned has moved by 0 m.
        return 0.0 if numbers[0] == 0 else length_in_metres(text, numbers[0])
    values = np.array(numbers)
    if component == "direction":
        length = float(np.linalg.norm(values))
        if not 1e-6 <= length <= 1e6:
            return ParseFailure(text, "not a direction: no length, or an absurd one")
        return values / length
    if component == "rotation_angle":
        angle_deg = float(values[0])
        if not 0 <= angle_deg <= 180:
            return ParseFailure(text, f"{angle_deg:g} is not a rotation angle, 0 to 180 degrees")
        return angle_deg
    if np.abs(values).max() > 360:
        return ParseFailure(text, "more than a whole turn")
    return values


_BASELINE = Wanted("distance", camera=None)


def _read(component: Component, text: str) -> tuple[float, ...] | ParseFailure:
    """The numbers of a free answer."""
    frame = framed(text)
    if isinstance(frame, ParseFailure):
        return frame
    numbers: tuple[float, ...] | str
    if component == "distance":
        length = read_length(_BASELINE, frame.answer)
        numbers = length if isinstance(length, str) else (length,)
    elif component == "rotation":
        numbers = read_angles(frame.answer)
    elif component == "direction":
        numbers = read_tuple(frame.answer, 3)
    else:
        raise ValueError(f"{component} has no free form: no protocol asks it freely")
    return ParseFailure(text, numbers) if isinstance(numbers, str) else numbers


# What makes another number of the one that stands there.
_OTHERWISE = re.compile(
    r"\b(?:rad(?:ians?)?|minus|negative|less|fewer|more|greater|at least|at most|under"
    r"|over|up to|not"
    r"|never|between)\b|[<>≤≥±]",
    re.IGNORECASE,
)


def _read_form(
    form: re.Pattern[str], component: Component, text: str
) -> tuple[float, ...] | ParseFailure:
    """The numbers in the form that the protocol asks for."""
    part = answer_part(text)
    if isinstance(part, ParseFailure):
        return part
    found = form.search(part)
    if found is None:
        return ParseFailure(text, f"no {component} in the form asked for")
    if refuses(part):
        return ParseFailure(text, "says that it has no answer")
    if component != "direction" and _OTHERWISE.search(part):
        return ParseFailure(text, f"the number is not the {component} in the unit asked for")
    return tuple(float(v) for v in found.groups() if v is not None)
