"""JSON in an answer, written out as plain lines "key : value unit".

    {"width_m": 1.25}                     width : 1.25 m
    {"distance": 240, "unit": "cm"}       distance : 240 cm
    {"reasoning": "...", "answer": true}  answer : yes

What is no valid JSON stays as it is.
"""

import json
from typing import Any

from vlm3 import strict_json

# Longer or deeper than this nobody answers.
_MAX_CHARS, _MAX_DEPTH, _MAX_LEAVES = 4000, 6, 60

_UNITS = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetres"), "cm"),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetres"), "mm"),
    **dict.fromkeys(("ft", "feet", "foot"), "ft"),
    **dict.fromkeys(("inch", "inches"), "inches"),
    **dict.fromkeys(("deg", "degree", "degrees"), "degrees"),
    **dict.fromkeys(("rad", "radian", "radians"), "rad"),
}
_ANSWERS = ("final_answer", "answer", "final", "result", "prediction", "estimate")
_ASIDES = (
    *("reasoning", "reason", "explanation", "thought", "thoughts", "thinking", "analysis", "notes"),
    *("note", "confidence", "label", "description", "rationale", "certainty", "comment", "method"),
)


def flattened(text: str) -> str:
    """The text (lower case) with its first JSON object or list of objects written out as lines."""
    start = text.find("{")
    end = text.rfind("}")
    if start < 0 or not start < end < start + _MAX_CHARS:
        return text
    try:
        value = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return text
    lines: list[str] = []
    _write("", value, "", lines, 0)
    before, after = text[:start].rstrip(" [\n"), text[end + 1 :].lstrip(" ]\n")
    return "\n".join([before, *lines[:_MAX_LEAVES], after])


def _write(key: str, value: Any, unit: str, lines: list[str], depth: int) -> None:
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        chosen = next((k for k in _ANSWERS if k in value), None)
        stated = value.get("unit", value.get("units", ""))
        unit = _UNITS.get(stated, "") if isinstance(stated, str) else unit
        for name, inner in value.items():
            if name in ("unit", "units") or name in _ASIDES or (chosen and name != chosen):
                continue
            _write(name if name not in ("value", "values") else key, inner, unit, lines, depth + 1)
    elif isinstance(value, bool):
        lines.append(f"{_words(key)[0]} : {'yes' if value else 'no'}")
    elif isinstance(value, int | float | str) or _is_row(value):
        words, own_unit = _words(key)
        shown = value if isinstance(value, str) else strict_json.dumps(value)
        lines.append(f"{words} : {shown} {own_unit or unit}" if words else f"{shown} {unit}")
    elif isinstance(value, list) and depth < _MAX_DEPTH:
        for inner in value:
            _write(key, inner, unit, lines, depth + 1)


def _is_row(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, int | float) for v in value)


def _words(key: str) -> tuple[str, str]:
    """A key as words, and the unit it ends in: width_m -> width, m."""
    words = key.replace("-", "_").replace(" ", "_").split("_")
    unit = ""
    if len(words) > 1 and words[-1] in _UNITS:
        unit = _UNITS[words.pop()]
        if words[-1] == "in":
            words.pop()
    return " ".join(words), unit
