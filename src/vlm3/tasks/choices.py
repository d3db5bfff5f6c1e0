"""Agreement and the region chosen, out of a free answer.

The openers of agreement are those of SpatialRGPT's templates (AnjieCheng/SpatialRGPT,
dataset_pipeline/osdsynth/processor). A statement instead of yes or no ("region 1 is smaller than
region 0") is compared with the question by its relation word and the order of the regions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vlm3.tasks.statements import Statements, concluded, corrections, denied, refused, standing


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
_NOT = re.compile(r"\b(?:not|never|nor|neither)\b|n't\b")

_YES = (
    r"yes|yeah|yep|yup|indeed|correct|true|affirmative|absolutely|definitely|certainly"
    r"|of course|sure|exactly|right"
)
_NO = (
    r"no|nope|incorrect|false|negative|definitely not|absolutely not|certainly not"
    r"|of course not|not really|not at all|nah"
)
_STOP = (
    r"(?= ?(?:[.,;:!—–\n(-]|\Z)| (?:it|they|that|this|the|there|you|both|region"
    r"|(?:bounding box region )?§)(?!\w))"
)
_OPENER = re.compile(
    r"(?:(?:that|it|this|the statement|this statement)(?: is|'s) |i(?:'d"
    r"| would)? (?:say|think|believe)(?: that)?,? |(?:the )?answer(?: is|:) )?"
    rf"(?:(?P<no>{_NO})|(?P<yes>{_YES})){_STOP}"
)
_LEAD = re.compile(
    r"\A(?:okay|ok|well|looking at|based on|from|in the|according|judging|considering"
    r"|given)\b[^.\n]{0,120}?, ?(?=(?:yes|no|indeed|correct|incorrect)\b)"
)
_NO_ANSWER = re.compile(
    r"\A(?:no (?:problem|worries|idea|way|need)|sure,? i|of course[,!]? (?:i|here)"
    r"|certainly[,!]? (?:i|here)|absolutely[,!]? (?:i|here)|right(?!\Z))[^.!\n]{0,80}"
)
_FILLER = re.compile(
    r"\A(?:no problem|no worries|sure|of course|certainly|absolutely|okay|ok)[!.,] ?(?=\S)"
)
_CORRECTION = re.compile(rf"\A(?:actually|in fact){_STOP}[ ,:]{{0,3}}")
_LATER = re.compile(
    r"(?:(?<=[.!?,;:\n—(-] )|(?<=[.!?;:\n(])|(?<=\bso )|(?<=\bactually )|(?<=\bis )"
    r"|(?<=\band )|(?<=\bbut )|(?<=\bor ))"
    r"(?:(?P<no>no|nope|incorrect|false)|(?P<yes>yes|indeed|correct|true))(?= ?(?:[.,;:!\n)—]|\Z))"
)
_BOTH = re.compile(r"\b(?:yes (?:and|or|&|/) no|yes/no|no (?:and|or) yes)\b")


def read_agreement(question: QuestionText, answer: AnswerText) -> bool | str:
    """True for yes, False for no, or why neither stands there."""
    text = _FILLER.sub("", answer.text)
    if _BOTH.search(text[:200]):
        return "both yes and no"
    cuts = corrections(text)
    correction = _CORRECTION.match(text)
    rest = text[correction.end() :] if correction else text
    lead = _LEAD.match(rest)
    rest = rest[lead.end() :] if lead else rest
    answers: list[tuple[int, bool]] = []
    offset = len(text) - len(rest)
    opener = (
        None if _NO_ANSWER.match(rest) and not re.match(r"right\b", rest) else _OPENER.match(rest)
    )
    if opener and opener["yes"] != "right":
        answers.append((offset, opener["yes"] is not None))
    answers += [
        (m.start(), m["yes"] is not None)
        for m in _LATER.finditer(text)
        if not answers or m.start() > answers[0][0]
    ]
    statement = _compare(question, answer, text)
    if answers:
        if len({yes for _, yes in answers}) > 1:
            strong = [
                c
                for c in cuts
                if re.match(
                    r"(?:but )?(?:wait|scratch|hold|sorry|correction|oops|let me"
                    r"|on second|my mistake)",
                    text[c:].lstrip(" ,.;:"),
                )
            ]
            last = [a for a in answers if strong and a[0] >= strong[-1]] or _concluded_answers(
                text, answers
            )
            if len({yes for _, yes in last}) != 1:
                return "both yes and no"
            answers, statement = last, None
        if refused(text, answers[0][0]):
            return "says that it has no answer"
        yes = answers[-1][1]
        if opener and _no_answer_at_all(text):
            return "says that it has no answer"
        if statement is not None and statement != yes and not correction:
            return "yes or no, and then the opposite"
        return yes
    if statement is None and correction:
        statement = False
    if statement is None:
        return "neither yes nor no"
    if refused(text, len(text)):
        return "says that it has no answer"
    return statement


_PREDICATE = re.compile(
    r"§|\b(?:it|is|are|was|does|isn't|doesn't|appears?|looks?|seems?|stands?|lies|sits"
    r"|takes?|has)\b"
)
_IT_BEFORE = re.compile(r"\b(?:it|this|that one) [^§]{1,60}§")


def _concluded_answers(text: str, answers: list[tuple[int, bool]]) -> list[tuple[int, bool]]:
    place = concluded(text, [at for at, _ in answers])
    return [a for a in answers if place is not None and a[0] >= place]


def _no_answer_at_all(text: str) -> bool:
    """Whether an opener begins a refusal: "No idea.", "True size is unknown."."""
    return (
        re.match(r"\A(?:no|true|correct)\b[ ,]?(?:idea|way|region|answer|size|bounding)", text)
        is not None
    )


def _compare(question: QuestionText, answer: AnswerText, text: str) -> bool | None:
    """Whether a statement agrees with the question in relation word and order of regions."""
    agreed: set[bool] = set()
    mentions = iter(answer.regions)
    for sentence in re.split(r"(?<=[.;!\n])\s|\n|, (?:while|whereas|but|and|so) ", text):
        regions = [next(mentions, None) for _ in range(sentence.count("§"))]
        one = _compare_one(question, sentence, regions)
        if one is not None:
            agreed.add(one)
    return agreed.pop() if len(agreed) == 1 else None


def _compare_one(
    question: QuestionText, sentence: str, regions: Sequence[int | None]
) -> bool | None:
    sides = [
        (a, b) for a, b in zip(_sides(question.text), _sides(sentence), strict=True) if a and b
    ]
    if len(sides) != 1 or {"both"} & set(sides[0]) or not _PREDICATE.search(sentence):
        return None
    flips = sides[0][0] != sides[0][1]
    if len(regions) > 1:
        if set(regions[:2]) != set(question.regions[:2]) or None in regions[:2]:
            return None
        flips ^= regions[0] != question.regions[0]
    elif regions:
        if regions[0] not in question.regions[:2] or regions[0] is None:
            return None
        subject = _IT_BEFORE.search(sentence) is None
        flips ^= (regions[0] != question.regions[0]) == subject
    if re.search(r"\b(?:same|equal|equally|similar|or smaller|or larger)\b", sentence):
        return None
    if _NOT.search(sentence) or re.search(r"\bno\b", sentence):
        # Not smaller is no answer to "larger?": they may be equal.
        return None if flips else False
    return not flips


def _sides(text: str) -> list[str]:
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
    """The regions that the sentences choose, one by one."""
    wanted = _sides(
        question.text.split("§")[0]
        if "§" in question.text[8:] and any(_sides(question.text.split("§")[0]))
        else question.text
    )
    votes: set[int] = set()
    loose: set[int] = set()
    others = [r for r in dict.fromkeys(question.regions) if r is not None]
    bounds = sorted({statements.sentence(at) for at, _ in stated})
    for start, end in bounds:
        for clause_start, clause_end in _clauses(statements.text, max(start, cut), end):
            here = [(at, r) for at, r in stated if clause_start <= at < clause_end]
            if not here:
                continue
            clause = statements.text[clause_start:clause_end]
            if re.search(r"\b(?:both|neither|equally|same|either)\b", clause):
                return set()
            regions = [r for _, r in here if r is not None]
            sides = [
                (a, b)
                for a, b in zip(wanted, _sides(clause), strict=True)
                if a and b and "both" not in (a, b)
            ]
            opposite = bool(sides) and all(a != b for a, b in sides)
            matches = bool(sides) and all(a == b for a, b in sides)
            denials = re.sub(
                r",? ?(?:and |but )?(?:not|never|rather than) (?:the )?§", " " * 3, clause
            )
            negative = (
                _NOT.search(denials) is not None
                if len(here) == 1
                else _NOT.search(clause[: max(0, here[-1][0] - clause_start)]) is not None
            )
            than = (
                re.search(r"\b(?:than|of|compared|to|from)\b[^§]{0,20}§", clause) is not None
                and len(regions) == 2
            )
            if len(set(regions)) == 2 and len(regions) == 2 and _NOT_AS.search(clause) and matches:
                votes.add(regions[1])
            elif len(set(regions)) == 2 and _THAN_FIRST.match(clause) and (matches or opposite):
                if not negative:
                    votes.add(regions[1] if matches else regions[0])
            elif len(set(regions)) == 1:
                region = regions[0]
                if opposite:
                    if len(others) == 2 and "than" in clause and not negative:
                        votes |= {r for r in others if r != region}
                    continue
                if negative:
                    continue
                (votes if matches else loose).add(region)
            elif than and len(regions) == 2 and (matches or opposite) and not negative:
                votes.add(regions[0] if matches else regions[1])
            elif (
                matches
                and not negative
                and re.search(r"\A[^§]{0,60}§[^§,;]{0,80}\b(?:than|over)\b", clause)
            ):
                votes.add(regions[0])
            else:
                loose |= set(regions)
    return votes or loose


_AS_AS = re.compile(r"\b(?:as|so) [a-z]{2,12} as \Z")
_NOT_AS = re.compile(r"\b(?:not|\w+n't) (?:quite |nearly )?(?:as|so) [a-z]+ as §")
_THAN_FIRST = re.compile(
    r"[ ,]*(?:in )?(?:compar\w+ (?:to|with)|comparison (?:to|with)|relative to|unlike"
    r"|than|versus|contrast to|next to) §"
)


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
    if order and len(regions) == 2 and not _NOT.search(text):
        return regions[0 if order["first"] else 1]
    side = _SIDE.search(text)
    if (
        side
        and len(question.centres) == 2
        and question.centres[0] != question.centres[1]
        and not _NOT.search(text)
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
        or _NOT.search(text)
    ):
        return None
    if len(first) == 1:
        sides = [
            (a, b) for a, b in zip(_sides(question.text), _sides(text), strict=True) if a and b
        ]
        return None if any(a != b for a, b in sides) else first[0][1]
    wanted, stated = _sides(question.text), _sides(text)
    sides = [(a, b) for a, b in zip(wanted, stated, strict=True) if a and b]
    if len(first) == 2 and sides and "than" in text:
        first.sort()
        return first[0 if all(a == b for a, b in sides) else 1][1]
    return None
