"""Numbers with their units in plain text, one by one: in digits and in words, with their signs.

    3.2 m    -2    1/2 m    1 1/2 feet    one and a half meters    1,234.5 mm    5"

The text is that of `framing`: lower case, ASCII signs, single spaces. A number that two readers
could take for two values (1,234 m) is a quantity without a value. What numbers mean together, as in
1 m 20 cm or 2-3 m, `quantities` knows.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Quantity:
    """A number, or a range of numbers, where it stands in a text.

    Attributes:
        low: in metres for lengths, the number itself without a unit.
        high: the same as `low`, but for a range, a bound or an unclear number.
        unit: "m", "cm", ... as normalised; "" for a bare number.
        start: where it begins, with its sign.
        end: where it ends.
        role: "value"; "range" and "bound" have no single value, "unclear" none at all; "operand"
            was calculated with, "spread" is an uncertainty.
        result: whether it came out of a calculation in the text.
        decimals: digits after its point.
    """

    low: float
    high: float
    unit: str
    start: int
    end: int
    role: str = "value"
    result: bool = False
    decimals: int = 0


METRES_OF = {
    "mm": 1e-3,
    "cm": 1e-2,
    "dm": 0.1,
    "m": 1.0,
    "km": 1e3,
    "in": 0.0254,
    "ft": 0.3048,
    "yd": 0.9144,
    "mi": 1609.344,
}
_UNIT = re.compile(
    r"[ -]?(?:(?P<mm>mm|millimet(?:er|re)s?)|(?P<cm>cms?|centimet(?:er|re)s?)"
    r"|(?P<dm>dm|decimet(?:er|re)s?)|(?P<km>kms?|kilomet(?:er|re)s?)"
    r"|(?P<m>met(?:er|re)s?|mtrs?|m)|(?P<ft>feet|foot|ft"
    r"|'(?= ?[0-9]{1,2}(?:\.[0-9]{1,3})? ?(?:\"|in|[^\w.]|\.?\Z)|[^\w]|\Z))"
    # "in" is a unit only where no place can follow it.
    r'|(?P<in>inch(?:es)?|ins|"|in(?=\.? ?(?:[,;)(\n]|\Z|\. |\.\Z)'
    r"|[ -](?:wide|tall|high|long|deep|thick|apart|away|across|or|and|from|in)\b))"
    r"|(?P<yd>yards?|yds?)|(?P<mi>miles?|mi))"
    r"(?:(?<=['\"])(?![a-z])|(?<=[a-z])(?![a-z_²³^/]|[0-9](?![0-9]? ?(?:cm|mm|in))"
    r"|'[a-z]))(?! ?(?:\^|per\b|squared|cubed)| ?/ ?(?:s|h|sec)\b)(?:(?<=ft|in|yd|cm"
    r"|mm)\.(?= ?[0-9a-z(,]|\Z))?"
)
_BLOB = re.compile(r"(?:(?<![\w.,^])|(?<=[0-9]m)|(?<=[0-9]ft))(?:[0-9][0-9.,]{0,40}|\.[0-9]{1,15})")
_SPACED = re.compile(r"(?<![\w.,^])[0-9]{1,3}(?: [0-9]{3}){1,3}(?![\w.,])")
_FRACTION = re.compile(
    r"(?<![\w.,^/])(?:([0-9]{1,4})[ -])?([0-9]{1,2})/([0-9]{1,2})(?![\w/]|[.,][0-9])"
)

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
WORDS = {word: k for k, word in enumerate(_ONES)} | {w: 20 + 10 * k for k, w in enumerate(_TENS)}
_ONE = "|".join(sorted(_ONES, key=len, reverse=True))
_WORD = re.compile(
    r"(?<![\w.-])(?:(?P<half>(?:one[ -])?half(?: of)?(?: an?)?|(?P<quarters>a|one"
    r"|three)[ -]quarters?"
    r"(?: of)?(?: an?)?)(?= [a-z])"
    rf"|(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<unit>{'|'.join(_ONES[1:10])}))?"
    rf"|(?P<one>{_ONE}|an?)(?P<hundred> hundred)?)(?P<and_half> and a half)?(?![\w])"
)
_JOINED = re.compile(rf"(?: ?- ?| (?:to|or|and) )(?:[0-9]|an? |half|{'|'.join(_TENS)}|{_ONE})")
_WORD_AFTER = re.compile(
    rf" (?:{'|'.join(_TENS)}|{_ONE})(?:-[a-z]{{3,5}})?\b(?! ?(?:cm|centi|mm|milli|inch"
    r"|feet|foot|met))"
)
_NO_WORD_BEFORE = re.compile(r"(?:point|hundred(?: and)?|thousand(?: and)?|million|dozen) \Z")


def numbers(text: str) -> Iterator[Quantity]:
    """Each number with its unit, in digits or in words, signs applied."""
    for numeral in sorted([*_in_digits(text), *_in_words(text)]):
        quantity = _with_sign_and_unit(text, numeral)
        if quantity is not None:
            yield quantity


class _Numeral(NamedTuple):
    """A number without sign and unit, where it stands; NaN where two readers would differ."""

    start: int
    end: int
    value: float
    decimals: int


def _in_digits(text: str) -> Iterator[_Numeral]:
    taken = -1
    fractions = {m.start(): m for m in _FRACTION.finditer(text)} if "/" in text else {}
    spaced = {m.start(): m for m in _SPACED.finditer(text)}
    for blob in _BLOB.finditer(text):
        start = blob.start()
        if start < taken:
            continue
        fraction, grouped = fractions.get(start), spaced.get(start)
        decimals = 0
        if fraction and int(fraction[3]):
            value = int(fraction[1] or 0) + int(fraction[2]) / int(fraction[3])
            end, decimals = fraction.end(), 3
        elif grouped and _UNIT.match(text, grouped.end()):
            value, end = float(grouped[0].replace(" ", "")), grouped.end()
        else:
            whole = blob[0].rstrip(".,")
            end = start + len(whole)
            value = _number(whole, text, end)
            if whole[0] == "." and text[max(0, start - 2) : start - 1].isdigit():
                value = math.nan  # 3 .4
            decimals = len(whole.rpartition(".")[2]) if "." in whole else 0
        taken = end
        yield _Numeral(start, end, value, decimals)


def _in_words(text: str) -> Iterator[_Numeral]:
    if not any(unit in text for unit in ("met", "foot", "feet", "inch", "yard", "mile")):
        return
    for word in _WORD.finditer(text):
        unit = _UNIT.match(text, word.end())
        if (unit and len(unit[0]) > 4) or (
            word["one"] not in ("a", "an") and _JOINED.match(text, word.end())
        ):
            yield _Numeral(word.start(), word.end(), _word_value(text, word), 0)


def _with_sign_and_unit(text: str, numeral: _Numeral) -> Quantity | None:
    """The quantity that a numeral is; None where it is part of a name, an ordinal, a share ..."""
    start, end, value, decimals = numeral
    unit = _UNIT.match(text, end)
    name = (unit.lastgroup or "") if unit else ""
    after = text[end : end + 1]
    if not name and after and (after.isalnum() or after == "_"):
        return None
    if not name and _NO_QUANTITY.match(text, end):
        return None
    sign = _sign(text, start)
    if sign is None:
        return None
    begin, factor = sign
    value *= factor * METRES_OF.get(name, 1.0)
    if unit and name in ("ft", "in") and unit[0] in "'\"" and not _is_mark(text, start, unit):
        name, unit = "", None
        value /= METRES_OF["ft"]
    stop = unit.end() if unit else end
    half = _AND_HALF.match(text, stop) if unit else None
    if half:
        value += METRES_OF[name] / 2
        stop = half.end()
    role = "unclear" if math.isnan(value) else "value"
    if unit and _WORD_AFTER.match(text, stop):
        role = "unclear"  # one meter twenty
    if text[stop : stop + 1] == "+" or (not name and text[end : end + 1] == "+"):
        role = "bound"
    return Quantity(value, value, name, begin, stop, role, decimals=decimals)


_NO_QUANTITY = re.compile(r" ?(?:st|nd|rd|th|%|percent|times\b|sq\b|square\b|cubic\b)")
_AND_HALF = re.compile(r" and a half\b")


def _is_mark(text: str, start: int, unit: re.Match[str]) -> bool:
    """Whether a quotation mark is feet or inches rather than the end of a quotation."""
    if unit[0] not in "'\"" or "'" in text[max(0, start - 4) : start]:
        return True
    # Neither the marks of other lengths nor the apostrophe of "it's" open a quotation.
    before = _NO_QUOTATION.sub("", text[max(0, start - 60) : start])
    return before.count(unit[0]) % 2 == 0


_NO_QUOTATION = re.compile(r"(?<=[0-9])['\"]|(?<=[a-z])'(?=[a-z])")


def _number(blob: str, text: str, end: int) -> float:
    """The value of digits with points and commas; NaN where two readers would differ."""
    if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,15})?|\.[0-9]{1,15}", blob):
        # An exponent is no way to write a length that anybody checked.
        return math.nan if re.compile(r"e[-+]?[0-9]").match(text, end) else float(blob)
    if re.fullmatch(
        r"[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]{1,9}|[1-9][0-9]{0,2}(?:,[0-9]{3}){2,3}", blob
    ):
        return float(blob.replace(",", ""))
    if re.fullmatch(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]{1,9}", blob):
        return float(blob.replace(".", "").replace(",", "."))
    if re.fullmatch(r"[0-9]{1,6},[0-9]{1,2}|0,[0-9]{1,9}", blob):
        return float(blob.replace(",", "."))
    # 1,200 mm: nobody gives micrometres.
    if re.fullmatch(r"[1-9][0-9]{0,2},[0-9]{3}", blob) and re.compile(r" ?(?:mm|millim)").match(
        text, end
    ):
        return float(blob.replace(",", ""))
    return math.nan


def _word_value(text: str, word: re.Match[str]) -> float:
    if _NO_WORD_BEFORE.search(text, max(0, word.start() - 14), word.start()):
        return math.nan
    if word["half"]:
        quarters = {"a": 1, "one": 1, "three": 3}.get(word["quarters"] or "", 2)
        return quarters / 4
    value = float(WORDS[word["tens"]] + WORDS.get(word["unit"] or "", 0)) if word["tens"] else 0.0
    if word["one"]:
        value = float(WORDS.get(word["one"], 1)) * (100 if word["hundred"] else 1)
    if re.compile(r" (?:hundred|thousand|point|million|dozen|and [a-z]{3,9}teen)").match(
        text, word.end()
    ):
        return math.nan
    return value + (0.5 if word["and_half"] else 0)


_MINUS = re.compile(r"(?:\A|[\s(\[:=~,<>/±])[-–] ?\Z|\b(?:minus|negative) \Z")


def _sign(text: str, start: int) -> tuple[int, int] | None:
    """Where the number begins with its sign, and the sign; None where it is part of a name."""
    before = text[max(0, start - 10) : start]
    if before.endswith(("--", "+-", "-+", "++")):
        return None
    minus = _MINUS.search(before)
    if minus:
        return start, -1
    if before.endswith("+"):
        return start - 1, 1
    # model-2, but 2m-3m is a range.
    if re.search(r"[a-z_]-\Z", before) and not re.search(
        r"[0-9][ -]?(?:m|cm|ft|foot|feet|meters?|in)-\Z", before
    ):
        return None
    return start, 1
