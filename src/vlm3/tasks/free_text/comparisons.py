"""Comparisons in plain words: the two sides of each (left and right), and which one a text names.

Questions and answers are texts of `framing` with "§" where they name a region.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class QuestionText:
    """A question in plain lower case with "§" where it names a region.

    Attributes:
        text: the question.
        regions: which region each mark names.
        centres: for regions named by their boxes, twice the x of each box's centre.
        numbered: whether regions are named by numbers.
    """

    text: str
    regions: tuple[int | None, ...]
    centres: tuple[float, ...] = ()
    numbered: bool = False


@dataclass(frozen=True)
class AnswerText:
    """An answer in the same form."""

    text: str
    regions: tuple[int | None, ...]


# Words for the two sides of each comparison.
_SIDES = tuple(
    tuple(re.compile(rf"\b(?:{words})\b") for words in pair)
    for pair in (
        ("left(?:most)?|leftwards?", "right(?:most)?|rightwards?"),
        ("above|over|higher|atop|upper|on top", "below|under|beneath|underneath|lower"),
        (
            "wider|broader|wide|widest|greater width|larger width",
            "thinner|narrower|thin|narrow|narrowest|less width|smaller width",
        ),
        (
            "bigger|larger|greater|more|big|large|biggest|largest",
            "smaller|less|lesser|small|smallest",
        ),
        ("taller|tall|tallest|greater height|more height", "shorter|short|shortest|less height"),
        (
            "behind|further|farther|back|backward|furthest|farthest|background|more distant",
            "front|closer|nearer|before|forward|closest|nearest|foreground",
        ),
    )
)
NEGATION = re.compile(r"\b(?:not|never|nor|neither)\b|n't\b")


def sides_of(text: str) -> list[str]:
    """For each comparison which side the text names: "first", "second", "both", or ""."""
    names = []
    for first, second in _SIDES:
        one, two = first.search(text), second.search(text)
        names.append("both" if one and two else "first" if one else "second" if two else "")
    # "greater width" is of wide and thin, "more" alone of big and small.
    if any(names[k] for k in (2, 4)) and re.search(
        r"\b(?:width|height)\b|wide|tall|thin|short|narrow", text
    ):
        names[3] = ""
    if names[0] and re.search(
        r"\b(?:more|further|farther) (?:to the |on the |towards? the )?(?:left|right)", text
    ):
        names[3] = names[5] = ""
    return names


def both_named(question: str, statement: str) -> list[tuple[str, str]]:
    """The sides that both texts name, (question's, statement's) of each comparison."""
    pairs = zip(sides_of(question), sides_of(statement), strict=True)
    return [(a, b) for a, b in pairs if a and b]
