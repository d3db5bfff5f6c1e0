"""Pixel correspondence (paper, section 3.2): where a pixel of one picture lies in another.

The paper's example:

    Given these two images, what pixel in the second image corresponds to pixel (440, 60) in the
    first image? Report the answer as (x2, y2).

    The corresponding pixel is (338, 52).
"""

import re

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.pixels import px_from_norm
from vlm3.tasks.base import Floats, ParseFailure
from vlm3.tasks.framing import framed
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.reading import answer_part, refuses
from vlm3.tasks.tuples import read_tuple
from vlm3.tasks.writing import written_xy


def template_count(protocol: Protocol) -> int:
    """How many wordings of the question the protocol has: five for `paper`."""
    return sum(name.startswith("correspondence.ask") for name in protocol.templates)


def ask(
    protocol: Protocol, xy_px: ArrayLike, *, width_px: int, height_px: int, template: int = 0
) -> str:
    """The question about one pixel (2,) of the first picture.

    Args:
        protocol: whose words to use.
        xy_px: (2,) in the first picture.
        width_px: width of the first picture.
        height_px: its height.
        template: which wording, below `template_count`. For `release-corr` 1 asks for thinking.

    Raises:
        InputError: the pixel lies outside, no such wording, or the protocol has no correspondence.
    """
    name = "correspondence.ask" if template == 0 else f"correspondence.ask.{template}"
    if template and name not in protocol.templates:
        raise InputError(
            f"protocol {protocol.name!r} has no wording {template} for correspondence; "
            f"it has {template_count(protocol)}, counted from 0"
        )
    text = protocol.template(name)
    x, y = written_xy(protocol, xy_px, width_px=width_px, height_px=height_px)
    return text.format(x=x, y=y)


def answer(protocol: Protocol, xy_px: ArrayLike, *, width_px: int, height_px: int) -> str:
    """The answer that a model is trained to give: one pixel (2,) of the second picture.

    Raises:
        InputError: the pixel lies outside, or the protocol has no correspondence.
    """
    text = protocol.template("correspondence.answer")
    x, y = written_xy(protocol, xy_px, width_px=width_px, height_px=height_px)
    return text.format(x=x, y=y)


def parse(
    protocol: Protocol, text: str, *, width_px: int, height_px: int, question: str | None = None
) -> Floats | ParseFailure:
    """The pixel (2,) of the second picture; a failure where none stands.

    Args:
        protocol: whose form of the answer is read; without one (`paper`), what a person would read.
        text: what the model wrote.
        width_px: width of the second picture.
        height_px: its height.
        question: as the model read it. An answer may repeat the pixel that stands in it before it
            gives its own.
    """
    asked = _asked(question)
    form = protocol.patterns.get("correspondence")
    xy = _read(text, asked) if form is None else _read_form(form, text, asked)
    if isinstance(xy, ParseFailure):
        return xy
    xy_norm = np.array(xy)
    if not ((xy_norm >= 0) & (xy_norm <= protocol.norm_size)).all():
        return ParseFailure(text, f"outside the picture: the range is 0 to {protocol.norm_size}")
    return px_from_norm(xy_norm, width_px, height_px, size=protocol.norm_size)


_Pair = tuple[float, ...]
_ASKED = re.compile(r"\(([0-9]{1,5}), ?([0-9]{1,5})\)")


def _asked(question: str | None) -> _Pair | None:
    found = _ASKED.search(question) if question else None
    return (float(found[1]), float(found[2])) if found else None


def _read(text: str, asked: _Pair | None) -> _Pair | ParseFailure:
    frame = framed(text)
    if isinstance(frame, ParseFailure):
        return frame
    xy = read_tuple(frame.answer, 2, asked=asked)
    return ParseFailure(text, xy) if isinstance(xy, str) else xy


def _read_form(form: re.Pattern[str], text: str, asked: _Pair | None) -> _Pair | ParseFailure:
    """The first pair in the form asked for, but for the question's own where another follows."""
    part = answer_part(text)
    if isinstance(part, ParseFailure):
        return part
    found = [(float(m["x"]), float(m["y"])) for m in form.finditer(part)]
    if not found:
        return ParseFailure(text, "no pixel in the form asked for")
    if refuses(part):
        return ParseFailure(text, "says that it has no answer")
    return next((xy for xy in found if xy != asked), found[0])
