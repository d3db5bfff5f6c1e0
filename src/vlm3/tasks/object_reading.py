"""Reading free answers about objects, without a judge model.

SpatialRGPT-Bench is scored by a language model; this reads the same things by rule, so that a score
can be repeated: a length with its unit, an hour on the clock, agreement, the region chosen. Which
of them is looked for follows from the question: a "yes" to "How wide is it?" is no answer. What
surrounds an answer is taken away by `framing`; lengths are read by `lengths`, the others by
`agreement`, `choices` and `clock`. Two different answers are none.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vlm3.tasks.base import ParseFailure
from vlm3.tasks.free_text.agreement import read_agreement
from vlm3.tasks.free_text.choices import read_choice
from vlm3.tasks.free_text.clock import read_clock
from vlm3.tasks.free_text.comparisons import AnswerText, QuestionText
from vlm3.tasks.free_text.framing import framed, plain
from vlm3.tasks.free_text.length_questions import length_question
from vlm3.tasks.free_text.lengths import read_length
from vlm3.tasks.reading import length_in_metres
from vlm3.tasks.truth import ClockHour, Length, ObjectTruth, Region, YesNo

_Kind = Literal["length", "agreement", "clock", "choice"]


def parse(
    question: str, text: str, n_regions: int, *, boxes_norm: ArrayLike | None = None
) -> ObjectTruth | ParseFailure:
    """What an answer about objects says.

    Args:
        question: as the model read it.
        text: what the model wrote.
        n_regions: how many boxes the question has.
        boxes_norm: (n_regions, 4) the boxes as written, where regions are named by their boxes and
            do not first appear in the question in the order of their indices.
    """
    frame = framed(text)
    if isinstance(frame, ParseFailure):
        return frame
    query_text, query_mentions = _regions(plain(question))
    boxes: list[_Box]
    if boxes_norm is None:
        boxes = list(dict.fromkeys(m for m in query_mentions if isinstance(m, tuple)))
    else:
        boxes = [_box(row) for row in np.asarray(boxes_norm, dtype=np.float64).tolist()]
    boxes = boxes[:n_regions]
    query = QuestionText(
        query_text,
        tuple(_index(m, boxes, n_regions) for m in query_mentions),
        tuple(box[0] + box[2] for box in boxes),
        any(isinstance(m, int) for m in query_mentions),
    )
    kind = _kind(query.text)
    reason = ""
    answer_text, answer_mentions = _regions(frame.answer)
    answer = AnswerText(answer_text, tuple(_index(m, boxes, n_regions) for m in answer_mentions))
    for reader in [_READERS[kind]] if kind else _READERS.values():
        found = reader(query, answer)
        if not isinstance(found, str):
            return found
        reason = found
    return ParseFailure(text, reason if kind else "no length, hour, yes, no or region")


_Box = tuple[float, float, float, float]
_NUM = r"[0-9]{1,5}(?:\.[0-9]{1,6})?"
_REGION = re.compile(
    rf"[(\[] ?({_NUM}) ?, ?({_NUM}) ?, ?({_NUM}) ?, ?({_NUM}) ?[)\]]"
    r"|\b(?:bounding box )?(?:regions?|box|mask"
    r"|object)[ _]?#?\[? ?([0-9]{1,4})(?: ?\])?(?!\w|[.,][0-9])"
    r"|(?<![\w\])])\[ ?([0-9]{1,2}) ?\](?![(\w])"
)


def _regions(text: str) -> tuple[str, list[int | _Box]]:
    """The text with a mark for each region it names, and the regions: an index or a box each."""
    mentions: list[int | _Box] = []

    def mark(found: re.Match[str]) -> str:
        number = found[5] or found[6]
        mentions.append(int(number) if number else _box(found.groups()[:4]))
        return " § "

    marked = _REGION.sub(mark, text)
    return "\n".join(" ".join(line.split()) for line in marked.split("\n")), mentions


def _box(values: Sequence[str | float]) -> _Box:
    x1, y1, x2, y2 = map(float, values)
    return x1, y1, x2, y2


def _index(mention: int | _Box, boxes: Sequence[_Box], n_regions: int) -> int | None:
    """Which region is meant; by its box, the nearest, if it is nearer by half than any other."""
    if isinstance(mention, int):
        return mention if mention < n_regions else None
    if mention in boxes:
        return boxes.index(mention)
    off = [sum(abs(a - b) for a, b in zip(mention, box, strict=True)) for box in boxes]
    order = sorted(range(len(off)), key=off.__getitem__)
    if not order or (len(order) > 1 and off[order[0]] * 2 > off[order[1]]):
        return None
    return order[0]


_HOW = re.compile(
    r"\bhow (?:far|wide|tall|high|long|deep|close|distant|big|large|thick|broad|much)"
)
_AGREE = re.compile(
    r"\A(?:is|are|does|do|was|has|have|would|will|(?:can|could) (?:you|we) (?:confirm|verify))\b"
)
_CLOCK = re.compile(r"\bclock\b|\bdirection\b|\bwhere (?:will|would|do) you find\b")
_CHOICE = re.compile(r"\b(?:which|who)\b")
_LENGTH = re.compile(
    r"\b(?:distance|width|height|length|depth|size|gap|measure\w{0,6}|apart|met(?:er|re)s?|feet"
    r"|inch(?:es)?|cm)\b"
)
_KINDS: tuple[tuple[re.Pattern[str], _Kind], ...] = (
    (_HOW, "length"),
    (_AGREE, "agreement"),
    (_CLOCK, "clock"),
    (_CHOICE, "choice"),
    (_LENGTH, "length"),
)


KINDS_ASKED = (
    '"How wide is {0}?" (also tall, far, high, ...), "Is {0} behind {1}?", "Which is wider, {0} or '
    '{1}?", "In which direction is {1} from {0}, as an hour on the clock?"'
)
"""Questions whose answers can be read, one of each kind."""


def has_kind(question: str) -> bool:
    """Whether a question is of a kind whose answers can be read."""
    return _kind(_regions(plain(question))[0]) is not None


def _kind(question: str) -> _Kind | None:
    """What the question wants; None where its words do not say."""
    return next((kind for pattern, kind in _KINDS if pattern.search(question)), None)


def _length(query: QuestionText, answer: AnswerText) -> ObjectTruth | str:
    value = read_length(length_question(query.text, query.regions), answer.text, answer.regions)
    if isinstance(value, str):
        return value
    checked = length_in_metres(answer.text, value)
    return checked.reason if isinstance(checked, ParseFailure) else Length(checked)


def _agreement(query: QuestionText, answer: AnswerText) -> ObjectTruth | str:
    yes = read_agreement(query, answer)
    return yes if isinstance(yes, str) else YesNo(yes)


def _clock(query: QuestionText, answer: AnswerText) -> ObjectTruth | str:
    hour = read_clock(answer.text)
    return hour if isinstance(hour, str) else ClockHour(hour)


def _choice(query: QuestionText, answer: AnswerText) -> ObjectTruth | str:
    region = read_choice(query, answer)
    return region if isinstance(region, str) else Region(region)


_READERS: dict[_Kind, Callable[[QuestionText, AnswerText], ObjectTruth | str]] = {
    "agreement": _agreement,
    "clock": _clock,
    "length": _length,
    "choice": _choice,
}
