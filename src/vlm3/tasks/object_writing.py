"""Questions about boxes and their answers in a protocol's words.

A box is written as a protocol names regions: by its corners or by its number. The caller writes
{0}, {1} where boxes are meant, in question and answer alike. Reading is in `object_reading`.
"""

import re

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.pixels import norm_from_px
from vlm3.tasks.base import Floats
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.truth import ClockHour, Length, ObjectTruth, Region, YesNo
from vlm3.tasks.writing import written_metres

_SLOT = re.compile(r"\{([0-9]{1,4})\}")


def ask(
    protocol: Protocol,
    question: str,
    boxes_xyxy_px: ArrayLike,
    *,
    width_px: int,
    height_px: int,
) -> str:
    """The question as the model reads it.

    Args:
        protocol: whose words to use.
        question: with {0}, {1}, ... where a box is meant.
        boxes_xyxy_px: (n, 4) x_min, y_min, x_max, y_max in a picture of that size.
        width_px: its width.
        height_px: its height.

    Raises:
        InputError: a box that is inverted or outside, a {k} without a box, a box never named, or
            the protocol has no objects.
    """
    template = protocol.template("objects.ask")
    boxes = written_boxes(protocol, boxes_xyxy_px, width_px=width_px, height_px=height_px)
    unnamed = set(range(len(boxes))) - {int(k) for k in _SLOT.findall(question)}
    if unnamed:
        raise InputError(
            f"box {min(unnamed)} is not in the question; write {{{min(unnamed)}}} where it is meant"
        )
    text = _with_regions(protocol, question, boxes)
    if not boxes:
        return text
    listed = protocol.templates.get("objects.box", "")
    return template.format(
        question=text, boxes="; ".join(listed.format(**_corners(box)) for box in boxes)
    )


def answer_text(
    protocol: Protocol, text: str, boxes_xyxy_px: ArrayLike, *, width_px: int, height_px: int
) -> str:
    """A free answer with {0}, {1}, ... written as the protocol writes regions; see `ask`."""
    protocol.template("objects.region")
    boxes = written_boxes(protocol, boxes_xyxy_px, width_px=width_px, height_px=height_px)
    return _with_regions(protocol, text, boxes)


def answer_length(protocol: Protocol, length_m: float) -> str:
    """A size or distance, in metres with two decimals."""
    return protocol.template("objects.length").format(metres=written_metres(length_m))


def answer_yes_no(protocol: Protocol, yes: bool) -> str:
    """Agreement or not."""
    return protocol.template("objects.yes" if yes else "objects.no")


def answer_region(
    protocol: Protocol,
    region: int,
    boxes_xyxy_px: ArrayLike,
    *,
    width_px: int,
    height_px: int,
) -> str:
    """The box that was chosen, by its index from 0; boxes and size as in `ask`."""
    return answer_text(
        protocol, f"{{{region}}}", boxes_xyxy_px, width_px=width_px, height_px=height_px
    )


def answer_clock(protocol: Protocol, hour: int) -> str:
    """A direction on the clock face, 12 ahead.

    Raises:
        InputError: not an hour from 1 to 12.
    """
    if not 1 <= hour <= 12:
        raise InputError(f"{hour} is not an hour on the clock; give 1 to 12")
    return protocol.template("objects.clock").format(hour=hour)


def answer(
    protocol: Protocol,
    truth: ObjectTruth,
    boxes_xyxy_px: ArrayLike,
    *,
    width_px: int,
    height_px: int,
) -> str:
    """The short answer; boxes and size as in `ask`."""
    match truth:
        case Length(metres):
            return answer_length(protocol, metres)
        case ClockHour(hour):
            return answer_clock(protocol, hour)
        case YesNo(yes):
            return answer_yes_no(protocol, yes)
        case Region(index):
            size = {"width_px": width_px, "height_px": height_px}
            return answer_region(protocol, index, boxes_xyxy_px, **size)


def written_boxes(
    protocol: Protocol, boxes_xyxy_px: ArrayLike, *, width_px: int, height_px: int
) -> list[list[int]]:
    """The boxes (n, 4) as the whole numbers that stand in the text.

    Raises:
        InputError: a box that is inverted, empty, or not inside the picture.
    """
    boxes = np.asarray(boxes_xyxy_px, dtype=np.float64)
    check_boxes(boxes, width_px=width_px, height_px=height_px)
    if boxes.size == 0:
        return []
    xy_norm = norm_from_px(
        boxes.reshape(-1, 2, 2),
        width_px,
        height_px,
        size=protocol.norm_size,
        half_open=protocol.half_open,
    )
    written: list[list[int]] = xy_norm.reshape(-1, 4).tolist()
    return written


def check_boxes(boxes: Floats, *, width_px: int, height_px: int) -> None:
    """Refuses boxes (n, 4) in pixels of a picture of that size.

    Raises:
        InputError: a box that is inverted, empty, or not inside the picture.
    """
    if boxes.size == 0:
        return
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes are rows of x1, y1, x2, y2; got shape {boxes.shape}")
    for x1, y1, x2, y2 in boxes.tolist():
        if not (x1 < x2 and y1 < y2):
            raise InputError(
                f"the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is empty or inverted; "
                "give x1,y1,x2,y2 with x1 < x2 and y1 < y2"
            )
        if not (x1 >= 0 and y1 >= 0 and x2 <= width_px and y2 <= height_px):
            raise InputError(
                f"the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) does not lie in the "
                f"{width_px}x{height_px} picture; cut it at the border"
            )


def _corners(box: list[int]) -> dict[str, int]:
    return dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))


def _with_regions(protocol: Protocol, text: str, boxes: list[list[int]]) -> str:
    template = protocol.template("objects.region")

    def region(slot: re.Match[str]) -> str:
        k = int(slot[1])
        if k >= len(boxes):
            raise InputError(f"{slot[0]} has no box: {len(boxes)} were given, counted from {{0}}")
        return template.format(k=k, **_corners(boxes[k]))

    return _SLOT.sub(region, text)
