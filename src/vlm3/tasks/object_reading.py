"""Reading free answers about objects, without a judge model.

SpatialRGPT-Bench is scored by a language model; this reads the same things by rule, so that a score
can be repeated: a length with its unit, an hour on the clock, agreement, the region chosen. Which
of them is looked for follows from the question: a "yes" to "How wide is it?" is no answer. The
openers of agreement and the units are those of SpatialRGPT's templates (AnjieCheng/SpatialRGPT,
dataset_pipeline/osdsynth/processor).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vlm3.tasks.base import ParseFailure
from vlm3.tasks.reading import answer_part, length_in_metres, refuses


@dataclass(frozen=True)
class ObjectValue:
    """What an answer says; exactly one is not None.

    Attributes:
        value_m: a length in metres.
        clock_hour: a direction, 1 to 12.
        yes: agreement or not.
        region: index, from 0, of the box that was chosen.
    """

    value_m: float | None = None
    clock_hour: int | None = None
    yes: bool | None = None
    region: int | None = None


_Kind = Literal["length", "agreement", "clock", "choice"]
# Models taught the depth question's form put the answers to these into it too.
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.IGNORECASE)


def parse(
    question: str, text: str, n_regions: int, *, boxes_norm: ArrayLike | None = None
) -> ObjectValue | ParseFailure:
    """What an answer about objects says.

    Args:
        question: as the model read it.
        text: what the model wrote.
        n_regions: how many boxes the question was asked about.
        boxes_norm: (n_regions, 4) the boxes as written, where regions are told by their boxes and
            do not first appear in the question in the order of their indices.
    """
    part = answer_part(text)
    if isinstance(part, ParseFailure):
        return part
    tagged = _TAGGED.search(part)
    if tagged:
        part = tagged[1]
    asked_text, asked_mentions = _regions(question)
    boxes: list[_Box]
    if boxes_norm is None:
        boxes = list(dict.fromkeys(m for m in asked_mentions if isinstance(m, tuple)))
    else:
        boxes = [_box(row) for row in np.asarray(boxes_norm, dtype=np.float64).tolist()]
    boxes = boxes[:n_regions]
    said_text, said_mentions = _regions(part)
    asked = _Said(asked_text, tuple(_index(m, boxes, n_regions) for m in asked_mentions))
    said = _Said(said_text, tuple(_index(m, boxes, n_regions) for m in said_mentions))
    kind = _kind(asked.text)
    reason = ""
    for reader in [_READERS[kind]] if kind else _READERS.values():
        found = reader(asked, said)
        if isinstance(found, ObjectValue):
            if refuses(part):
                return ParseFailure(text, "says that it has no answer")
            return found
        reason = found
    return ParseFailure(text, reason if kind else "no length, hour, yes, no or region")


_Box = tuple[float, float, float, float]
_NUM = r"[0-9]{1,5}(?:\.[0-9]{1,6})?"
_REGION = re.compile(
    rf"\( ?({_NUM}) ?, ?({_NUM}) ?, ?({_NUM}) ?, ?({_NUM}) ?\)"
    r"|\bregions? ?\[? ?([0-9]{1,4})(?: ?\])?(?!\w|\.[0-9])"
)
# Stands for a region in a text whose own numbers must not be taken for lengths.
_MARK = "§"


@dataclass(frozen=True)
class _Said:
    """A text in lower case with a mark where it names a region, and which regions those are."""

    text: str
    regions: tuple[int | None, ...]


def _regions(text: str) -> tuple[str, list[int | _Box]]:
    """The text with a mark for each region it names, and the regions: an index or a box each."""
    mentions: list[int | _Box] = []

    def mark(found: re.Match[str]) -> str:
        mentions.append(int(found[5]) if found[5] else _box(found.groups()[:4]))
        return f" {_MARK} "

    marked = _REGION.sub(mark, text.lower().replace(_MARK, " ").replace("’", "'"))
    return " ".join(marked.split()), mentions


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


def _kind(question: str) -> _Kind | None:
    """What the question wants; None where its words do not say."""
    return next((kind for pattern, kind in _KINDS if pattern.search(question)), None)


_METRES_OF = {"c": 0.01, "m": 1.0, "i": 0.0254, "f": 0.3048}  # by the unit's first letter
_QUANTITY = re.compile(
    r"(?<![\w.,:/+\-–—])([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})[ -]?"
    r"(centimet(?:er|re)s?|cm|met(?:er|re)s?|m|feet|foot|ft|inch(?:es)?"
    # "in" is a unit only where no place can follow it.
    r"|in(?= ?(?:[.,;)]|\Z)| (?:wide|tall|high|long|deep|thick|apart|away)\b))"
    r"(?![\w²³^/])"
    r"(?:,? (?:and )?([0-9]{1,2}(?:\.[0-9]{1,6})?) ?(?:inch(?:es)?|in)(?!\w))?"
)
# A number right before or after makes a range of it: "1 or 2 m", "between 1 m and 2 m".
_RANGE_BEFORE = re.compile(r"(?:[0-9] ?(?:[a-z]{1,11} )?(?:to|and|or|[-–—x×])|\bbetween|[-–—]) ?\Z")
_RANGE_AFTER = re.compile(r" ?(?:to|or|[-–—x×]) ?[0-9]")


def _read_length(asked: _Said, said: _Said) -> ObjectValue | str:
    found = _QUANTITY.search(said.text)
    if found is None:
        return "no length with a unit"
    if _is_range(said.text, found):
        return "a range, not a length"
    number, unit, inches = found.groups()
    if inches and unit[0] != "f":
        return "two lengths in one"
    value_m = float(number) * _METRES_OF[unit[0]] + float(inches or 0) * _METRES_OF["i"]
    checked = length_in_metres(said.text, value_m)
    return checked.reason if isinstance(checked, ParseFailure) else ObjectValue(value_m=checked)


def _is_range(text: str, found: re.Match[str]) -> bool:
    before = text[max(0, found.start() - 24) : found.start()]
    return bool(_RANGE_BEFORE.search(before) or _RANGE_AFTER.match(text, found.end()))


_HOURS = (
    *("one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_OCLOCK = re.compile(rf"(?<![\w.,:/+\-–—])([0-9]{{1,2}}|{'|'.join(_HOURS)}) ?o ?['`´]? ?clock\b")


def _read_clock(asked: _Said, said: _Said) -> ObjectValue | str:
    found = list(_OCLOCK.finditer(said.text))
    if not found:
        return "no hour on the clock"
    if any(_is_range(said.text, m) for m in found):
        return "a range, not an hour"
    hours = {int(m[1]) if m[1].isdigit() else _HOURS.index(m[1]) + 1 for m in found}
    if len(hours) > 1:
        return "several hours"
    hour = hours.pop()
    return ObjectValue(clock_hour=hour) if 1 <= hour <= 12 else f"{hour} is no hour on the clock"


# Words for the two sides of each comparison.
_SIDES = tuple(
    tuple(re.compile(rf"\b(?:{words})\b") for words in pair)
    for pair in (
        ("left(?:most)?", "right(?:most)?"),
        ("above|over|higher|atop", "below|under|beneath|underneath|lower"),
        ("wider|broader|wide", "thinner|narrower|thin|narrow"),
        ("bigger|larger|greater|more|big|large", "smaller|less|lesser|small"),
        ("taller|tall", "shorter|short"),
        ("behind|further|farther|back|backward", "front|closer|nearer|before|forward"),
    )
)
_NOT = re.compile(r"\b(?:not|never|nor)\b|n't\b")

_YES, _NO = r"yes|yeah|indeed|correct|true|affirmative", r"no|nope|incorrect|false|negative"
_STOP = (
    r"(?= ?(?:[.,;:!]|\Z)| (?:it|they|that|this|the|there|you|(?:bounding box region )?§)(?!\w))"
)
_OPENER = re.compile(rf"\A(?:(?:that|it)(?: is|'s) )?(?:(?P<yes>{_YES})|(?P<no>{_NO})){_STOP}")
_CORRECTION = re.compile(rf"\A(?:actually|in fact){_STOP}[ ,:]{{0,3}}")
_BUT = r"\A[ .,;:!]{0,3}(?:and |or |but )?"
_TAKEN_BACK = {True: re.compile(rf"{_BUT}(?:{_NO})\b"), False: re.compile(rf"{_BUT}(?:{_YES})\b")}


def _read_agreement(asked: _Said, said: _Said) -> ObjectValue | str:
    correction = _CORRECTION.match(said.text)
    rest = said.text[correction.end() :] if correction else said.text
    opener = _OPENER.match(rest)
    if opener:
        yes = opener["yes"] is not None
        if _TAKEN_BACK[yes].match(rest[opener.end() :]):
            return "both yes and no"
        return ObjectValue(yes=yes)
    agrees = _compare(asked, said)
    if agrees is None and correction:
        agrees = False
    return "neither yes nor no" if agrees is None else ObjectValue(yes=agrees)


def _compare(asked: _Said, said: _Said) -> bool | None:
    """Whether a statement says what was asked, by its relation word and the order of regions."""
    sides = [(a, b) for a, b in zip(_sides(asked.text), _sides(said.text), strict=True) if a and b]
    if len(sides) != 1 or {"both"} & set(sides[0]):
        return None
    flips = sides[0][0] != sides[0][1]
    if len(said.regions) > 1:
        if set(said.regions[:2]) != set(asked.regions[:2]) or None in said.regions[:2]:
            return None
        flips ^= said.regions[0] != asked.regions[0]
    elif said.regions and said.regions[0] != asked.regions[0]:
        return None
    if _NOT.search(said.text):
        # Not smaller is no answer to "larger?": they may be equal.
        return None if flips else False
    return not flips


def _sides(text: str) -> list[str]:
    """For each comparison which side the text names: "first", "second", "both", or ""."""
    names = []
    for first, second in _SIDES:
        one, two = first.search(text), second.search(text)
        names.append("both" if one and two else "first" if one else "second" if two else "")
    return names


def _read_choice(asked: _Said, said: _Said) -> ObjectValue | str:
    chosen = set(said.regions)
    if len(chosen) != 1:
        return "several regions" if chosen else "no region"
    region = chosen.pop()
    if region is None:
        return "a region that was not asked about"
    opposite = any(
        {a, b} == {"first", "second"}
        for a, b in zip(_sides(asked.text), _sides(said.text), strict=True)
    )
    if opposite or _NOT.search(said.text):
        return "says which region it is not"
    return ObjectValue(region=region)


_READERS: dict[_Kind, Callable[[_Said, _Said], ObjectValue | str]] = {
    "agreement": _read_agreement,
    "clock": _read_clock,
    "length": _read_length,
    "choice": _read_choice,
}
