"""The region that a free answer chooses: by mark, name, number, order or side."""

import re
from dataclasses import dataclass
from itertools import pairwise

from vlm3.tasks.free_text.comparisons import (
    NEGATION,
    AnswerText,
    QuestionText,
    both_named,
    sides_of,
)
from vlm3.tasks.free_text.statements import Statements, concluded, denied, refused, standing

_NAME = re.compile(
    r"(?:\bthe |\ba |\ban )([a-z][a-z -]{1,30}?)(?: in| at| of| \(| marked(?: by| as)?"
    r"| shown in| inside| within| highlighted (?:in"
    r"|by))?(?: the)? ?[(]? ?(?:bounding box )?§"
)
_ORDER = re.compile(
    r"\A(?:it is |it's )?(?:the )?(?:(?P<first>first|former)|(?P<second>second"
    r"|latter))(?: one| region| object| box)?\b"
)
_SIDE = re.compile(
    r"\b(?:the )?(?:one|region|object|box)(?: that is| which is)? (?:on|to"
    r"|at) the (?P<a>left|right)\b(?! of)|\A(?:the )?(?P<b>left|right)(?:most"
    r"|-hand)?(?: one| region| object| box| side)?(?= |[.,;]|\Z)"
)


def read_choice(question: QuestionText, answer: AnswerText) -> int | str:
    """The index of the region that is chosen, or why none is."""
    text = answer.text
    places = [m.start() for m in re.finditer("§", text)]
    mentions = list(zip(places, answer.regions, strict=False))
    if not mentions:
        found = _unnamed(question, answer)
        return "no region" if found is None else found
    cut = standing(text, places)
    statements = Statements.of(text)
    mentions = [(at, r) for at, r in mentions if at >= cut]
    stated = [
        (at, r) for at, r in mentions if not denied(statements, at) or _AS_AS.search(text[:at])
    ]
    if not stated:
        return "says which region it is not"
    if any(r is None for _, r in stated) or re.search(r"§ (?:or|and|/|,) ?[0-9]", text):
        return "a region that the question does not name"
    votes = _votes(question, statements, stated, cut)
    if len(votes) != 1:
        place = concluded(text, [at for at, _ in stated])
        if place is not None:
            votes = (
                _votes(question, statements, [s for s in stated if s[0] >= place], place) or votes
            )
    if len(votes) != 1:
        return (
            "several regions" if len({r for _, r in stated}) > 1 else "says which region it is not"
        )
    if refused(text, stated[0][0]):
        return "says that it has no answer"
    return votes.pop()


def _votes(
    question: QuestionText, statements: Statements, stated: list[tuple[int, int | None]], cut: int
) -> set[int]:
    """The regions that the sentences choose, clause by clause; those named surely count alone."""
    before = question.text.split("§")[0]
    narrow = "§" in question.text[8:] and any(sides_of(before))
    wanted = sides_of(before if narrow else question.text)
    known = [r for r in dict.fromkeys(question.regions) if r is not None]
    votes: set[int] = set()
    loose: set[int] = set()
    for start, end in sorted({statements.sentence(at) for at, _ in stated}):
        for first, last in _clauses(statements.text, max(start, cut), end):
            here = [(at - first, r) for at, r in stated if first <= at < last]
            if not here:
                continue
            text = statements.text[first:last]
            if re.search(r"\b(?:both|neither|equally|same|either)\b", text):
                return set()
            chosen, perhaps = _chosen(_Clause.of(text, here, wanted), known)
            votes |= chosen
            loose |= perhaps
    return votes or loose


@dataclass(frozen=True)
class _Clause:
    """A clause that names regions, beside its question.

    Attributes:
        text: the clause.
        regions: those it names, in their order.
        matches: whether all comparisons that both make are to the question's side.
        opposite: whether all of them are to the other side.
        negative: whether it denies what it says.
    """

    text: str
    regions: tuple[int, ...]
    matches: bool
    opposite: bool
    negative: bool

    @classmethod
    def of(cls, text: str, named: list[tuple[int, int | None]], wanted: list[str]) -> "_Clause":
        """A clause with its regions, each by place and index; `wanted` are the question's sides."""
        sides = [
            (a, b)
            for a, b in zip(wanted, sides_of(text), strict=True)
            if a and b and "both" not in (a, b)
        ]
        if len(named) == 1:
            inner = r",? ?(?:and |but )?(?:not|never|rather than) (?:the )?§"
            negative = NEGATION.search(re.sub(inner, "   ", text))
        else:
            negative = NEGATION.search(text[: max(0, named[-1][0])])
        return cls(
            text,
            tuple(r for _, r in named if r is not None),
            bool(sides) and all(a == b for a, b in sides),
            bool(sides) and all(a != b for a, b in sides),
            negative is not None,
        )


def _chosen(clause: _Clause, known: list[int]) -> tuple[set[int], set[int]]:
    """The regions of `known` that a clause chooses, and those that it names without a reason."""
    regions = clause.regions
    none: set[int] = set()
    compared = clause.matches or clause.opposite
    two = len(set(regions)) == 2
    if two and len(regions) == 2 and clause.matches and _NOT_AS.search(clause.text):
        return {regions[1]}, none
    if two and compared and _THAN_FIRST.match(clause.text):
        return none if clause.negative else {regions[1 if clause.matches else 0]}, none
    if len(set(regions)) == 1:
        if clause.opposite:
            other = len(known) == 2 and "than" in clause.text and not clause.negative
            return {r for r in known if other and r != regions[0]}, none
        if clause.negative:
            return none, none
        return ({regions[0]}, none) if clause.matches else (none, {regions[0]})
    if len(regions) == 2 and compared and not clause.negative and _THAN.search(clause.text):
        return {regions[0 if clause.matches else 1]}, none
    if clause.matches and not clause.negative and _SUBJECT_FIRST.match(clause.text):
        return {regions[0]}, none
    return none, set(regions)


_AS_AS = re.compile(r"\b(?:as|so) [a-z]{2,12} as \Z")
_NOT_AS = re.compile(r"\b(?:not|\w+n't) (?:quite |nearly )?(?:as|so) [a-z]+ as §")
_THAN_FIRST = re.compile(
    r"[ ,]*(?:in )?(?:compar\w+ (?:to|with)|comparison (?:to|with)|relative to|unlike"
    r"|than|versus|contrast to|next to) §"
)
_THAN = re.compile(r"\b(?:than|of|compared|to|from)\b[^§]{0,20}§")
_SUBJECT_FIRST = re.compile(r"[^§]{0,60}§[^§,;]{0,80}\b(?:than|over)\b")


def _clauses(text: str, start: int, end: int) -> list[tuple[int, int]]:
    cuts = [
        m.end()
        for m in re.finditer(
            r", (?:while|whereas|and|so|but|which|since|because)\b|, as (?=§)|;|—"
            r"| while | whereas |\bso,? ",
            text[start:end],
        )
    ]
    edges = [start, *(start + c for c in cuts), end]
    return [(a, b) for a, b in pairwise(edges) if a < b]


def _unnamed(question: QuestionText, answer: AnswerText) -> int | None:
    """A choice by name ("the lamp"), number, order ("the former") or side ("the left one")."""
    text = answer.text.strip(" .!\"'")
    if refused(text, len(text)) or re.search(r"\b(?:both|neither|either|equally|or)\b", text):
        return None
    regions = [r for r in dict.fromkeys(question.regions) if r is not None]
    if re.fullmatch(r"[0-9]", text):
        return int(text) if question.numbered and int(text) in regions else None
    order = _ORDER.match(text)
    if order and len(regions) == 2 and not NEGATION.search(text):
        return regions[0 if order["first"] else 1]
    side = _SIDE.search(text)
    if (
        side
        and len(question.centres) == 2
        and question.centres[0] != question.centres[1]
        and not NEGATION.search(text)
    ):
        left = question.centres.index(min(question.centres))
        return left if (side["a"] or side["b"]) == "left" else 1 - left
    names = list(zip(_NAME.findall(question.text), question.regions, strict=False))
    first = [
        (text.find(name), r) for name, r in names if re.search(rf"\b{re.escape(name)}\b", text)
    ]
    if (
        len(names) != len(regions)
        or not first
        or len({n for n, _ in names}) < len(names)
        or NEGATION.search(text)
    ):
        return None
    if len(first) == 1:
        sides = both_named(question.text, text)
        return None if any(a != b for a, b in sides) else first[0][1]
    sides = both_named(question.text, text)
    if len(first) == 2 and sides and "than" in text:
        first.sort()
        return first[0 if all(a == b for a, b in sides) else 1][1]
    return None
