"""Reading what a model wrote about a camera's motion, component by component.

Under a protocol that fixes the form of an answer only that form is read; under `paper`, what a
person would read.
"""

import re
from typing import Literal, get_args

import numpy as np

from vlm3.tasks.base import Floats, ParseFailure
from vlm3.tasks.free_text.framing import framed
from vlm3.tasks.free_text.length_questions import LengthQuestion
from vlm3.tasks.free_text.lengths import read_length
from vlm3.tasks.free_text.tuples import read_angles, read_tuple
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.reading import in_form, length_in_metres, refuses

Component = Literal["rotation_angle", "rotation", "direction", "distance"]
COMPONENTS: tuple[Component, ...] = get_args(Component)


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


_BASELINE = LengthQuestion("distance", camera=None)


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
    found = in_form(form, text, component)
    if isinstance(found, ParseFailure):
        return found
    part = found.string
    if refuses(part):
        return ParseFailure(text, "says that it has no answer")
    if component != "direction" and _OTHERWISE.search(part):
        return ParseFailure(text, f"the number is not the {component} in the question's unit")
    return tuple(float(v) for v in found.groups() if v is not None)
