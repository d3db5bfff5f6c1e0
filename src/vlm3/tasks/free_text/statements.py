"""What a text says about the values it names: denied, taken back, concluded, or no answer at all.

The same for lengths, hours, regions and pixels: the values are spans of a plain text (see
`framing`), and here those that stand are picked out.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

_BOUNDARY = re.compile(r"\n|(?:[!?;]|(?<![0-9])\.|\.(?![0-9]))(?=\s|\Z)")


@dataclass(frozen=True)
class Statements:
    """A plain text cut into sentences.

    Attributes:
        text: the text.
        starts: where each sentence starts.
    """

    text: str
    starts: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, text: str, spans: Sequence[tuple[int, int]] = ()) -> "Statements":
        """Cuts a text; a full stop inside one of the spans (5 ft. 3 in.) ends nothing."""
        inside = {at for start, end in spans for at in range(start, end)}
        starts = [0]
        starts += [m.end() for m in _BOUNDARY.finditer(text) if m.start() not in inside]
        return cls(text, starts)

    def sentence(self, at: int) -> tuple[int, int]:
        """Start and end of the sentence around a place."""
        k = bisect_right(self.starts, at) - 1
        end = self.starts[k + 1] if k + 1 < len(self.starts) else len(self.text)
        return self.starts[k], end

    def before(self, at: int, most: int = 80) -> str:
        """What stands before a place in its sentence."""
        return self.text[max(self.sentence(at)[0], at - most) : at]

    def after(self, at: int, most: int = 60) -> str:
        """What stands after a place in the sentence that ends there or later."""
        return self.text[at : min(self.sentence(max(at - 1, 0))[1], at + most)]


_DENIED = re.compile(
    r"(?:\b(?:not|never|nor|neither|cannot|rather than|instead of|other than|as opposed to|unlike"
    r"|\w{2,8}n't)|\brather than|\binstead of)"
    r"(?: (?!but\b|yet\b|though\b|however\b|only\b|sure\b|certain\b|clear\b|exact"
    r"|precise)[a-z~'-]{1,14}){0,4} ?~? ?[(\[]?\Z"
)


def denied(statements: Statements, start: int) -> bool:
    """Whether the value that begins there is named as what it is not."""
    return _DENIED.search(statements.before(start, 70)) is not None


_TAKEN_BACK = re.compile(
    # Words that take back wherever they stand ...
    r"\b(?:wait|scratch that|i mean|i meant|on second thoughts?|hold on|oops"
    r"|my mistake|on reflection"
    r"|let me (?:correct|reconsider|re-?check|revise|rephrase|re-?evaluate"
    r"|re-?calculate|re-?think|think again|redo)"
    r"|or rather|correction|more precisely|to be (?:more )?precise|looking (?:again"
    r"|closer|more closely)"
    r"|it(?:'s| is) (?:actually|in fact)|i made (?:a|an) (?:mistake|error)|that(?:'s"
    r"| is) (?:wrong|not right|incorrect))\b"
    # ... and those that do at the head of a clause.
    r"|(?:(?<=[.!?;:,\n(—–])|(?<=\.\.\.)|(?<=- )|(?<=but)) ?(?:but )?(?:no|nope"
    r"|actually|in fact|sorry|rather|hmm|revised|updated|corrected)\b(?=[ ,.:;—–-])"
    r"(?! (?:more|less|closer|farther|further|longer|problem|need|other|information"
    r"|reference|scale) ?)"
)


def corrections(text: str) -> list[int]:
    """Where the text takes back an earlier statement, in order."""
    return [m.start() for m in _TAKEN_BACK.finditer(text)]


def standing(text: str, starts: Sequence[int]) -> int:
    """From which place on values count: after the last correction that is followed by one."""
    if len(starts) < 2:
        return 0
    cuts = [at for at in corrections(text) if at <= starts[-1]]
    return cuts[-1] if cuts else 0


_CONCLUDED = re.compile(
    r"\b(?:so|therefore|thus|hence|consequently|accordingly|overall|altogether|finally"
    r"|in (?:conclusion|total|summary|all)"
    r"|that (?:is|makes|gives|puts|leaves|means)|which (?:makes|gives|puts|leaves"
    r"|means)|making|giving|leaving"
    r"|i(?:'d| would| will|'ll)? (?:estimate|say|guess|put|go with|conclude|settle)"
    r"|most likely|best (?:estimate|guess)|my (?:estimate|guess)"
    r"|final(?: answer)?|difference|adds? up to|total(?:s|ing)? (?:of|is|to)?"
    r"|it must be|we (?:get|find|obtain|have))\b|->"
)


def concluded(text: str, starts: Sequence[int]) -> int | None:
    """Where the last conclusion begins that a value follows; None without one."""
    places = [m.start() for m in _CONCLUDED.finditer(text) if starts and m.start() <= starts[-1]]
    return places[-1] if places else None


_REFUSAL = re.compile(
    r"\b(?:cannot|can not|can['’]?t|could ?n['’]?t|could not|un(?:able|clear|known"
    r"|sure|certain|determinable)"
    r"|undetermined|impossible|insufficient|ambiguous|sorry,? (?:but )?i|refuse|none|neither"
    r"|not (?:\w{1,12} )?(?:sure|clear|visible|possible|certain|known|enough|able"
    r"|shown|present|comfortable"
    r"|found|seen|determined|there|given|available|provided|specified|determinable)"
    r"|no (?:idea|way|answer|match|matching|correspond\w{0,12}|information|such)"
    r"|(?:do|does|did|is|are|was)(?: not|n['’]?t) (?:know|see|exist|find|move|have"
    r"|visible|possible|appear (?:in the (?:second|other|image|picture|view)|anywhere))"
    r"|or the other way a?round|or vice versa|hard to|difficult to|tough to|tricky to"
    r"|out of view|n/a)(?!\w)"
)
# About how exact the answer is, not about whether there is one.
_CAUTION = re.compile(
    r"exact|precis|accura|certain|definit|reliabl|perfect|without|measur|for sure|100"
    r"|directly|pinpoint|confiden"
)
_YET = re.compile(
    r"\b(?:but|however|nonetheless|nevertheless|still|that said|though|although|yet"
    r"|my best|best (?:estimate|guess)"
    r"|i(?:'d| would|'ll)? (?:estimate|guess|say|put)|estimated?|reasonable|appears?"
    r"|seems?|looks?|based on|roughly|approximately)\b"
)


def refused(text: str, value_start: int) -> bool:
    """Whether the text says that it has no answer, though a value stands in it.

    A caution about exactness is none ("I can't be certain, but about 2 m"), nor is a difficulty
    that is overcome before the value.
    """
    for found in _REFUSAL.finditer(text):
        if re.match(
            r"(?:cannot|can not|can['’]?t|could ?n['’]?t|could not) be (?:[a-z]+ ){0,3}~?[0-9]",
            text[found.start() : found.start() + 60],
        ):
            continue  # what it is not
        clause = re.split(r"[.\n;]", text[found.start() : found.start() + 90])[0]
        careful = _CAUTION.search(clause) is not None
        if found.end() <= value_start:
            if careful and (len(clause) < 90 or _YET.search(text, found.end(), value_start)):
                between = text[found.end() : value_start]
                if _YET.search(between) or re.search(r"[.\n;]", between):
                    continue
            if _YET.search(text, found.end(), value_start) and _OVERCOME.match(found[0]):
                continue
        elif careful:
            continue
        return True
    return False


_OVERCOME = re.compile(r"hard|difficult|tough|tricky|can|could|un|impossible|sorry|not|is|are")
