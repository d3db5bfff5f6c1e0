"""Agreement, yes or no, out of a free answer.

The openers of agreement are those of SpatialRGPT's templates (AnjieCheng/SpatialRGPT,
dataset_pipeline/osdsynth/processor). A statement instead of yes or no ("region 1 is smaller than
region 0") is compared with the question by its relation word and the order of the regions.
"""

import re
from collections.abc import Sequence

from vlm3.tasks.free_text.comparisons import NEGATION, AnswerText, QuestionText, both_named
from vlm3.tasks.free_text.statements import concluded, corrections, refused

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


def _concluded_answers(text: str, answers: list[tuple[int, bool]]) -> list[tuple[int, bool]]:
    place = concluded(text, [at for at, _ in answers])
    return [a for a in answers if place is not None and a[0] >= place]


def _no_answer_at_all(text: str) -> bool:
    """Whether an opener begins a refusal: "No idea.", "True size is unknown."."""
    return (
        re.match(r"\A(?:no|true|correct)\b[ ,]?(?:idea|way|region|answer|size|bounding)", text)
        is not None
    )


_PREDICATE = re.compile(
    r"§|\b(?:it|is|are|was|does|isn't|doesn't|appears?|looks?|seems?|stands?|lies|sits"
    r"|takes?|has)\b"
)
_IT_BEFORE = re.compile(r"\b(?:it|this|that one) [^§]{1,60}§")


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
    sides = both_named(question.text, sentence)
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
    if NEGATION.search(sentence) or re.search(r"\bno\b", sentence):
        # Not smaller is no answer to "larger?": they may be equal.
        return None if flips else False
    return not flips
