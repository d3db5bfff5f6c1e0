r"""Questions of other benchmarks that belong to none of the four tasks, and how they are answered.

The question is complete, as its publisher writes it; what may be answered is its form, plain JSON
beside the question:

    {"kind": "choice", "labels": ["A", "B"], "options": ["left", "right"]}
    {"kind": "number", "unit": "m"}                  also cm, mm, m2, degrees
    {"kind": "point", "size_px": [640, 480]}         x and y in thousandths of that picture
    {"kind": "vector", "unit": "mm"}                 x right, y down, z forward

An answer is read as a careful person would: what the model thought aloud is taken away, a marked
answer (`<answer>`, `<ans>`, `\boxed`, "Answer:", a JSON field, backticks) counts before the rest,
and two different values are none. A point or a vector has no single right value; whether it lies
where the truth allows is decided when it is read, as `hit`.
"""

import base64
import binascii
import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.errors import InputError
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.free_text.framing import framed
from vlm3.tasks.free_text.numerals import METRES_OF, Quantity
from vlm3.tasks.free_text.quantities import close, quantities
from vlm3.tasks.free_text.thinking import without_thinking
from vlm3.tasks.reading import MAX_CHARS, refuses

Json = dict[str, Any]

POINT_SCALE = 1000
"""A point is named and read in thousandths of the picture: CrossPoint's `relative_1000`."""
VECTOR_SLACK = 0.25
"""How far from its truth a right vector may end, as a share of the true length; ours."""
_MASK_ABOVE = 128
_SAME = 1e-9


def read(form: Json, text: str) -> Json | ParseFailure:
    """What an answer says: {"option": k}, {"number": x}, {"xy_px": [x, y]} or {"vector": [...]}.

    Args:
        form: of the question.
        text: what the model wrote.
    """
    if len(text) > MAX_CHARS:
        return ParseFailure(text, f"longer than {MAX_CHARS} characters")
    found = _READERS[form["kind"]](form, _marked(_ANS.sub(r"<\1answer>", text)))
    return ParseFailure(text, found) if isinstance(found, str) else found


def judged(form: Json, truth: Json, reading: Json) -> Json:
    """The reading, with whether it hits where the truth is no single value."""
    if form["kind"] == "point" and reading.get("xy_px") is not None:
        return reading | {"hit": float(_inside(reading["xy_px"], mask_of(truth["mask_png"])))}
    if form["kind"] == "vector" and reading.get("vector") is not None:
        p, g = (np.asarray(v, dtype=np.float64) for v in (reading["vector"], truth["vector"]))
        near = float(np.linalg.norm(p - g)) <= VECTOR_SLACK * float(np.linalg.norm(g))
        return reading | {"hit": float(near)}
    return reading


def written(form: Json, truth: Json) -> str:
    """The shortest right answer."""
    if form["kind"] == "choice":
        return str(form["labels"][truth["option"]])
    if form["kind"] == "number":
        return f"{truth['number']:.10g}"
    if form["kind"] == "vector":
        return "[ {:.10g} , {:.10g} , {:.10g} ]".format(*truth["vector"])
    x, y = norm_of(truth["xy_px"], form["size_px"])
    return f'{{"point_2d": [{x}, {y}]}}'


def norm_of(xy_px: Sequence[float], size_px: Sequence[float]) -> tuple[int, int]:
    """A pixel's centre in whole thousandths of the picture."""
    x, y = (round(v / s * POINT_SCALE) for v, s in zip(xy_px, size_px, strict=True))
    return x, y


def mask_of(mask_png: str) -> NDArray[np.bool_]:
    """A mask (height, width) from a picture in base64: right is where it is brighter than 128.

    Raises:
        InputError: it is no such picture.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(mask_png, validate=True))) as picture:
            return np.asarray(picture.convert("L")) > _MASK_ABOVE
    except (OSError, ValueError, binascii.Error, Image.DecompressionBombError) as error:
        raise InputError(f"a mask is no picture in base64 ({str(error)[:80]})") from error


def _inside(xy_px: Sequence[float], mask: NDArray[np.bool_]) -> bool:
    """Whether a point lies in a mask; parts of pixels are cut off, as the publisher does."""
    x, y = int(xy_px[0]), int(xy_px[1])
    height, width = mask.shape
    return 0 <= x < width and 0 <= y < height and bool(mask[y, x])


_ANS = re.compile(r"<(/?)ans>", re.IGNORECASE)
_MARKS = (
    re.compile(r"<answer>(.{0,2000}?)(?:</answer>|\Z)", re.IGNORECASE | re.DOTALL),
    re.compile(r"\\boxed\{(?:\\text\{)?([^{}]{1,200})\}"),
    re.compile(r'"answer"\s{0,3}:\s{0,3}"?([^",}\n]{1,200})', re.IGNORECASE),
    re.compile(
        r"\banswer(?: is|'s)?(?: option| choice)?\s{0,3}[:=]?[*_ ]{0,4}([^\n]{1,200})",
        re.IGNORECASE,
    ),
)
_TICKED = re.compile(r"`([^`\n]{1,200})`")


def _marked(text: str) -> str:
    """The part of an answer that is marked as the answer; all of it where none is."""
    spoken = without_thinking(text)
    for mark in _MARKS:
        parts = [part.strip() for part in mark.findall(spoken) if part.strip(" *_.:\n")]
        if parts:
            return str(parts[-1])
    ticked = {part.strip() for part in _TICKED.findall(spoken)}
    return ticked.pop() if len(ticked) == 1 else spoken


_CONCLUSION = (
    r"(?:\b(?:so|therefore|thus|hence|choose|select|pick)\b|\b(?:option|choice) is\b)"
    r"[^.\n]{0,40}?"
)
_WRAPPING = " \t\r\n*_\"'`()[]{}.:,;"


def _choice(form: Json, text: str) -> Json | str:
    labels: list[str] = form["labels"]
    names = [label.casefold() for label in labels]
    bare = text.strip(_WRAPPING).casefold()
    if bare in names:
        return {"option": names.index(bare)}
    label = "|".join(_label(one) for one in sorted(labels, key=len, reverse=True))
    first = re.match(rf"[\s*_(\[\"']{{0,4}}({label})[*_]{{0,2}}\s?[.):,\]]", text)
    if first:
        return {"option": names.index(first[1].casefold())}
    named = [found.casefold() for found in re.findall(rf"(?:{label})", text)]
    if len(set(named)) > 1:
        last = re.findall(rf"{_CONCLUSION}({label})", text, re.DOTALL)
        return {"option": names.index(last[-1].casefold())} if last else "two different choices"
    if named:
        return {"option": names.index(named[0])}
    if refuses(text.casefold()):
        return "refuses"
    chosen = _named_option(form["options"], text.casefold())
    return {"option": chosen} if chosen is not None else "no choice"


def _label(label: str) -> str:
    """How a label stands in a text: a letter as a capital, no article; a word in any case."""
    if label == "A":
        return r"(?<![A-Za-z0-9'])A(?![A-Za-z0-9'])(?! (?!(?:or|and|is|because|since)\b)[a-z])"
    if len(label) == 1:
        return rf"(?<![A-Za-z0-9'.-]){re.escape(label)}(?![A-Za-z0-9'])(?!\.[0-9])"
    return rf"(?i:(?<![A-Za-z0-9-]){re.escape(label)}(?![A-Za-z0-9-]))"


def _named_option(options: Sequence[str], text: str) -> int | None:
    """The one option whose words stand in the text, not counting those inside a longer one."""
    names = [" ".join(option.casefold().replace("-", " ").split()) for option in options]
    words = " ".join(text.replace("-", " ").split())
    found = [
        k
        for k, name in enumerate(names)
        if name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words)
    ]
    outer = [k for k in found if not any(names[k] in names[m] for m in found if m != k)]
    return outer[0] if len(outer) == 1 else None


_SQUARE = re.compile(
    r"\s?(?:sq(?:uare)?\.? ?(?:met(?:er|re)s?|m)|m(?:et(?:er|re)s?)?(?:\^?2|²| squared))(?![a-z])",
    re.IGNORECASE,
)


def _number(form: Json, text: str) -> Json | str:
    unit: str = form["unit"]
    frame = framed(_SQUARE.sub("", text) if unit == "m2" else text)
    if isinstance(frame, ParseFailure):
        return frame.reason
    found = [q for q in quantities(frame.answer) or [] if q.role == "value"]
    with_unit = [q for q in found if q.unit] if unit in METRES_OF else []
    values = [_in_unit(q, unit) for q in with_unit or found]
    if not values:
        return "no number"
    if not all(close(v, values[0], _SAME * max(1.0, abs(v))) for v in values):
        return "two different numbers"
    return {"number": values[0]}


def _in_unit(q: Quantity, unit: str) -> float:
    """A quantity in the question's unit; a bare number is in it already."""
    return q.low / METRES_OF[unit] if q.unit in METRES_OF and unit in METRES_OF else q.low


_NUM = r"(-?[0-9]{1,7}(?:\.[0-9]{1,9})?)"
_GAP = r"\s{0,3},\s{0,3}"
_PAIRS = (
    re.compile(rf"[\[(]\s{{0,3}}{_NUM}{_GAP}{_NUM}\s{{0,3}}[\])]"),
    re.compile(
        rf"\bx[\"']?\s{{0,2}}[:=]\s{{0,2}}[\"']?{_NUM}[\"']?[^0-9\n]{{0,20}}?"
        rf"\by[\"']?\s{{0,2}}[:=]\s{{0,2}}[\"']?{_NUM}",
        re.IGNORECASE,
    ),
    re.compile(rf"(?<![0-9.,])(?<!,\s){_NUM}{_GAP}{_NUM}(?!\s{{0,3}},\s{{0,3}}[0-9])(?![0-9.])"),
)
_TRIPLE = re.compile(
    rf"[\[(]?\s{{0,3}}{_NUM}{_GAP}{_NUM}{_GAP}{_NUM}\s{{0,3}}[\])]?\s{{0,3}}(mm|m\b|met(?:er|re)s)?"
)


def _point(form: Json, text: str) -> Json | str:
    for pattern in _PAIRS:
        pairs = {(float(x), float(y)) for x, y in pattern.findall(text)}
        if len(pairs) > 1:
            return "two different points"
        if pairs:
            ((x, y),) = pairs
            width, height = form["size_px"]
            return {"xy_px": [x / POINT_SCALE * width, y / POINT_SCALE * height]}
    return "no point"


def _vector(form: Json, text: str) -> Json | str:
    found = {
        tuple(float(v) * (1e3 if unit and unit != "mm" else 1.0) for v in numbers)
        for *numbers, unit in _TRIPLE.findall(text)
    }
    if len(found) != 1:
        return "two different vectors" if found else "no vector"
    return {"vector": list(found.pop())}


_READERS: dict[str, Callable[[Json, str], Json | str]] = {
    "choice": _choice,
    "number": _number,
    "point": _point,
    "vector": _vector,
}
