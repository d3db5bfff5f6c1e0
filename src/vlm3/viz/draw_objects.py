"""The object figure: boxes on the picture; beside it the questions, raw answers and truth.

The boxes are drawn for the reader. The model gets the plain picture and their numbers in text.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlm3.tasks.answers import ObjectAnswer
from vlm3.viz import style
from vlm3.viz.evidence import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlm3.view import View

Array = NDArray[np.float64]
_TEXT_IN = 4.4
_BLOCK_GAP_IN = 0.16
_INDENT_IN = 0.12
_LONGEST_RAW = 200
_Line = tuple[str, float, dict[str, Any]]


@dataclass(frozen=True)
class ObjectItem:
    """One object question for `object_figure`: its wording with {0}, {1}, and all about it."""

    question: str
    answer: ObjectAnswer
    evidence: Evidence


def object_figure(view: "View", items: Sequence[ObjectItem], *, source: str = "") -> "Figure":
    """The boxes on the picture, and beside it each question, raw answer and truth.

    Args:
        view: the picture of the questions.
        items: the questions with their answers; equal boxes share one letter and colour.
        source: what answered, for the heading.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    with style.drawing():
        width_in, height_in = style.picture_size(view, widest_in=5.6, tallest_in=5.6)
        boxes, letters = _lettered_boxes(items)
        blocks = [_block(item, own) for item, own in zip(items, letters, strict=True)]
        text_in = sum(_height_in(block) for block in blocks) - _BLOCK_GAP_IN
        figure = style.new_figure(
            width_in + _TEXT_IN + 3 * style.MARGIN_IN,
            max(height_in, text_in) + style.TOP_IN + style.MARGIN_IN,
        )
        axes = style.add_axes(figure, style.MARGIN_IN, style.TOP_IN, width_in, height_in)
        style.show_view(axes, view)
        style.add_heading(figure, "Questions about regions", source)
        for number, (letter, box) in enumerate(boxes.items()):
            _draw_box(axes, box, letter, style.SERIES[number % len(style.SERIES)])
        top_in = style.TOP_IN - 0.03
        for block in blocks:
            for text, indent_in, kwargs in block:
                left_in = width_in + 2 * style.MARGIN_IN + indent_in
                style.add_text(figure, left_in, top_in, text, **kwargs)
                top_in += _lines_in(text, kwargs)
            top_in += _BLOCK_GAP_IN
        return figure


def _lettered_boxes(items: Sequence[ObjectItem]) -> tuple[dict[str, Array], list[list[str]]]:
    """The boxes of all questions, each once, by letter; and each question's letters."""
    boxes: dict[str, Array] = {}
    letters: list[list[str]] = []
    for item in items:
        own = []
        for box in np.asarray(item.answer.boxes_xyxy_px, dtype=np.float64).reshape(-1, 4):
            known = [name for name, other in boxes.items() if np.array_equal(box, other)]
            name = known[0] if known else _letter(len(boxes))
            boxes[name] = box
            own.append(name)
        letters.append(own)
    return boxes, letters


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"R{number + 1}"


def _draw_box(axes: "Axes", box_xyxy_px: Array, letter: str, color: str) -> None:
    from matplotlib.patches import Rectangle

    x_min, y_min, x_max, y_max = box_xyxy_px
    axes.add_patch(
        Rectangle(
            (x_min, y_min),
            x_max - x_min,
            y_max - y_min,
            fill=False,
            ec=color,
            lw=2.0,
            path_effects=style.outlined(3.4, style.INK),
        )
    )
    # The tag stands on the box, so that it hides nothing of a small one; inside at the top edge.
    inside = y_min < 0.06 * axes.get_ylim()[0]
    axes.annotate(
        letter,
        (x_min, y_min),
        xytext=(3, -4) if inside else (1.5, 4),
        textcoords="offset points",
        ha="left",
        va="top" if inside else "bottom",
        size=9,
        weight="bold",
        bbox={"boxstyle": "square,pad=0.2", "fc": color, "ec": style.INK, "lw": 0.7},
    )


def _block(item: ObjectItem, letters: Sequence[str]) -> list[_Line]:
    """The lines of one question: wording, raw answer, and what was read beside the truth."""
    evidence = item.evidence
    raw = " ".join(evidence.raw_text.split())
    read = "not parsed"
    if evidence.value is not None:
        read = f"read as {_named(evidence.value, letters)}"
    truth = "" if evidence.truth is None else f"truth {_named(evidence.truth, letters)}"
    color, verdict = style.INK, ""
    if evidence.good is not None:
        color, verdict = (style.GOOD, "  ✓") if evidence.good else (style.FAR, "  ✗")
    return [
        (
            textwrap.fill(item.question.format(*letters), 50),
            0.0,
            {"size": 10, "weight": "bold"},
        ),
        (
            textwrap.fill(style.shorten(f"“{raw}”", _LONGEST_RAW), 50),
            _INDENT_IN,
            {"size": 9, "family": "DejaVu Sans Mono"},
        ),
        (style.joined(read, truth) + verdict, _INDENT_IN, {"size": 9, "color": color}),
    ]


def _named(value: str, letters: Sequence[str]) -> str:
    """`region 0` with the letter that the figure gives to it."""
    for k, letter in enumerate(letters):
        if value == f"region {k}":
            return f"{value} ({letter})"
    return value


def _lines_in(text: str, kwargs: dict[str, Any]) -> float:
    return float(kwargs["size"]) * 1.42 / 72 * (text.count("\n") + 1)


def _height_in(block: Sequence[_Line]) -> float:
    return sum(_lines_in(text, kwargs) for text, _, kwargs in block) + _BLOCK_GAP_IN
