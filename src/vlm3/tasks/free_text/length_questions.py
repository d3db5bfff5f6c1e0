"""Which length a question asks for: a size or a distance, of which regions, in which unit."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Measure = Literal["width", "height", "length", "size", "distance"]
Axis = Literal["direct", "horizontal", "vertical"]


@dataclass(frozen=True)
class LengthQuestion:
    """The length that a question asks for.

    Attributes:
        measure: of one object, or a distance.
        axis: of a distance.
        camera: whether the distance is from the camera; None where both kinds are meant.
        regions: indices of the regions it is about.
        unit: of a bare number; "" where a number without a unit is no answer.
    """

    measure: Measure
    axis: Axis = "direct"
    camera: bool | None = False
    regions: frozenset[int] = frozenset()
    unit: str = ""


CAMERA_WORDS = r"(?:camera|viewer|observer|lens|viewpoint|photographer|us|me|you|image plane)"
_UNIT_ASKED = re.compile(r"\bin (met|cent|feet|foot|inch|mill)|\((m|cm|ft|mm)\)")
_UNITS = {
    "met": "m",
    "m": "m",
    "cent": "cm",
    "cm": "cm",
    "feet": "ft",
    "foot": "ft",
    "ft": "ft",
    "inch": "in",
    "mill": "mm",
    "mm": "mm",
}


def length_question(question: str, regions: Sequence[int | None]) -> LengthQuestion:
    """What a question in lower case asks, with the regions it names."""
    about = frozenset(r for r in regions if r is not None)
    found = _UNIT_ASKED.search(question)
    unit = _UNITS[found[1] or found[2]] if found else ""
    axis: Axis = "direct"
    if re.search(r"\bhorizontal|\blateral|\bsideways", question):
        axis = "horizontal"
    elif re.search(r"\bvertical", question):
        axis = "vertical"
    far = re.search(
        r"\bdistance|\bapart\b|\bfar\b|\bgap\b|\bclose\b|\baway\b|\bdistant\b"
        r"|\bseparat|\bbetween\b",
        question,
    )
    if far or axis != "direct":
        camera = len(about) < 2 and re.search(rf"\b{CAMERA_WORDS}\b", question) is not None
        return LengthQuestion("distance", axis, camera, about, unit)
    for measure, words in _MEASURES:
        if words.search(question):
            return LengthQuestion(measure, axis, False, about, unit)
    return LengthQuestion("size", axis, False, about, unit)


_MEASURES: tuple[tuple[Measure, re.Pattern[str]], ...] = (
    ("width", re.compile(r"\b(?:wide|wider|width|breadth|broad|across|diameter)\b")),
    ("height", re.compile(r"\b(?:tall|taller|high|height|stature)\b")),
    ("length", re.compile(r"\b(?:long|longer|length|deep|depth|thick|thickness)\b")),
)
