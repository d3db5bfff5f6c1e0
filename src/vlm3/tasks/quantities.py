"""Numbers and lengths in plain text: the grammar of a quantity, and nothing about what it measures.

    3.2 m    1 m 20 cm    5 ft 3 in    5'3"    1/2 m    1 1/2 feet    one and a half meters
    3.2 +- 0.1 m          1,234.5 mm           2-3 m  (a range)       > 3 m  (a bound)

The text is that of `framing`: lower case, ASCII signs, single spaces. A number that two readers
could take for two values (1,234 m) is a quantity without a value.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

# Nobody answers with more numbers; what has more is not read.
MAX_NUMBERS = 300


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
# What may follow a larger unit, and how many of it make one.
_SMALLER = {"ft": ("in",), "yd": ("ft", "in"), "m": ("cm", "mm"), "cm": ("mm",), "km": ("m",)}

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


def quantities(text: str) -> list[Quantity] | None:
    """The quantities of a text in their order; None where there are too many to be an answer."""
    found: list[Quantity] = []
    for quantity in _numbers(text):
        found.append(quantity)
        if len(found) > MAX_NUMBERS:
            return None
    found = _compounds(text, found)
    found = _spreads(text, found)
    found = _products_and_results(text, found)
    found = _ranges(text, found)
    return [_bound(text, q) if q.role == "value" else q for q in found]


def _numbers(text: str) -> Iterator[Quantity]:
    """Each number with its unit, digits and words, signs applied."""
    starts: list[tuple[int, int, float, int]] = []
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
        starts.append((start, end, value, decimals))
    if any(unit in text for unit in ("met", "foot", "feet", "inch", "yard", "mile")):
        for word in _WORD.finditer(text):
            unit = _UNIT.match(text, word.end())
            if (unit and len(unit[0]) > 4) or (
                word["one"] not in ("a", "an") and _JOINED.match(text, word.end())
            ):
                starts.append((word.start(), word.end(), _word_value(text, word), 0))
    starts.sort()
    for start, end, value, decimals in starts:
        unit = _UNIT.match(text, end)
        name = (unit.lastgroup or "") if unit else ""
        after = text[end : end + 1]
        if not name and after and (after.isalnum() or after == "_"):
            continue
        if not name and re.compile(
            r" ?(?:st|nd|rd|th|%|percent|times\b|sq\b|square\b|cubic\b)"
        ).match(text, end):
            continue
        sign = _sign(text, start)
        if sign is None:
            continue
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
        yield Quantity(value, value, name, begin, stop, role, decimals=decimals)


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


_JOIN = re.compile(r",? ?(?:and )?|-")


def _compounds(text: str, found: list[Quantity]) -> list[Quantity]:
    """1 m 20 cm and 5 ft 3 in as one quantity each; 5 foot 3 is unclear."""
    out: list[Quantity] = []
    for q in found:
        last = out[-1] if out else None
        if last is None or not last.unit or last.role != "value" or q.start < last.end:
            out.append(q)
            continue
        gap = text[last.end : q.start]
        joins = _JOIN.fullmatch(gap) is not None and not (
            gap.startswith(",") and last.unit not in ("ft", "yd")
        )
        smaller = q.unit in _SMALLER.get(last.unit, ()) and last.decimals == 0
        if joins and smaller and 0 <= q.low < METRES_OF[last.unit]:
            value = last.low + math.copysign(q.low, last.low)
            out[-1] = replace(last, low=value, high=value, unit=q.unit, end=q.end)
            continue
        if gap in ("", " ", "-") and not q.unit and last.unit in _SMALLER:
            out[-1] = replace(last, role="unclear", end=q.end)
            continue
        out.append(q)
    return out


_SPREAD = re.compile(
    r"(?:±|\+/- ?|\+-|\bplus or minus|\bgive or take|\bplus/minus|\b(?:error"
    r"|uncertainty|accuracy|tolerance|margin)"
    r"(?: margin)?(?: of| is)?:?)(?: (?:about|roughly|around|~))? ?[-~]? ?\Z"
)


def _spreads(text: str, found: list[Quantity]) -> list[Quantity]:
    """What follows a plus-minus is no length; the number before it takes its unit."""
    out: list[Quantity] = []
    for q in found:
        if _SPREAD.search(text, max(0, q.start - 40), q.start):
            last = out[-1] if out else None
            gap = text[last.end : q.start] if last else ""
            if last and not last.unit and q.unit and re.fullmatch(r" ?(?:±|\+/-|\+-) ?", gap):
                factor = METRES_OF[q.unit]
                out[-1] = replace(
                    last, low=last.low * factor, high=last.high * factor, unit=q.unit, end=q.end
                )
            out.append(replace(q, role="spread"))
        else:
            out.append(q)
    return out


_OPERATOR = re.compile(r" ?(?:[+*/×x÷]|[-–] ?|- |minus|plus|times|divided by) ?")
_EQUALS = re.compile(
    r"[^.;\n]{0,24}?(?:=|~=?|->|\bequals?|\bgives|\bmakes|\bis)(?: (?:about"
    r"|approximately|roughly|around))? ?~? ?"
)
_PRODUCT = re.compile(r" ?(?:×|x|by) ?(?:about |approximately |~)?")


def _products_and_results(text: str, found: list[Quantity]) -> list[Quantity]:
    """A - B = C: A and B are calculated with, C is what comes out; A x B alone has no value."""
    out = list(found)
    k = 0
    while k < len(out):
        end = k
        while end + 1 < len(out) and _OPERATOR.fullmatch(_gap(text, out, end)):
            end += 1
        if end > k and end + 1 < len(out):
            gap = _gap(text, out, end)
            if len(gap) < 40 and _EQUALS.fullmatch(gap):
                for j in range(k, end + 1):
                    out[j] = replace(out[j], role="operand")
                out[end + 1] = replace(out[end + 1], result=True)
                k = end + 1
                continue
        k = max(end, k + 1)
    for k in range(len(out) - 1):
        if out[k].role in ("value", "unclear") and _PRODUCT.fullmatch(_gap(text, out, k)):
            out[k] = replace(out[k], role="unclear")
            out[k + 1] = replace(out[k + 1], role="unclear")
    return out


def _gap(text: str, found: list[Quantity], k: int) -> str:
    return text[found[k].end : found[k + 1].start]


_TO = re.compile(
    r",? ?(?:-|–|—|to|or|maybe|perhaps|possibly|or maybe|or perhaps|up to|and|~|/"
    r"|through|till|until|vs)"
    r"(?: (?:about|approximately|around|roughly|maybe|perhaps|possibly|even))? ?~? ?"
)
_BETWEEN = re.compile(
    r"\b(?:between|from|either|neither)(?: (?:about|approximately|around|roughly|only))? ?~? ?\Z"
)


def _ranges(text: str, found: list[Quantity]) -> list[Quantity]:
    """Two numbers joined by "to", "or" or a dash as one range; "and" only after "between"."""
    out: list[Quantity] = []
    for q in found:
        last = out[-1] if out else None
        if (
            last is None
            or q.role not in ("value", "unclear")
            or last.role not in ("value", "range")
        ):
            out.append(q)
            continue
        gap = text[last.end : q.start]
        between = _BETWEEN.search(text[max(0, last.start - 30) : last.start]) is not None
        if not _TO.fullmatch(gap) or ("and" in gap and not between):
            out.append(q)
            continue
        if (
            last.unit
            and q.unit
            and last.unit != q.unit
            and not between
            and _same(last, q)
            and ("or" in gap or "/" in gap)
        ):
            out.append(q)  # 6 feet or 1.83 meters: the same twice
            continue
        if "/" in gap and not (last.unit and q.unit):
            out.append(q)
            continue
        factor = METRES_OF[q.unit] if q.unit and not last.unit else 1.0
        low, high = last.low * factor, q.high
        if gap.strip() in ("-", "–") and high < 0:
            high = -high
        if last.unit and not q.unit:
            high *= METRES_OF[last.unit]
        out[-1] = replace(
            last,
            low=min(low, high),
            high=max(low, high),
            unit=q.unit or last.unit,
            end=q.end,
            role="range",
        )
    return out


def _same(a: Quantity, b: Quantity) -> bool:
    return close(a.low, b.low, 0.12)


def close(a: float, b: float, by: float) -> bool:
    """Whether two positive lengths agree within a share of the larger."""
    return abs(a - b) <= by * max(abs(a), abs(b))


_ABOUT = (
    r"(?: (?:about|approximately|around|roughly|approx|maybe|perhaps|ca|the|a|an|its))* ?~? ?\Z"
)
_LOWER = re.compile(
    r"(?<!slightly )(?<!little )(?<!bit )(?<!just )(?:\b(?:more|greater|larger|bigger"
    r"|longer|higher|farther|further|wider|taller|deeper|not less|no less|not fewer)"
    r" than|\bat least|\bover|\babove|\bbeyond|\bexceed(?:s|ing)?|\bupwards? of"
    r"|\bmin(?:imum)?(?: of)?|(?<!-)>=?|\bno closer than"
    r"|\bas much as|\bstarting (?:at|from)|\bpast|\bexcess of)" + _ABOUT
)
_UPPER = re.compile(
    r"(?<!slightly )(?<!little )(?<!bit )(?<!just )(?:\b(?:less|fewer|smaller|shorter"
    r"|closer|nearer|lower|narrower|not more|no more|not greater|no greater"
    r"|no (?:farther|further|wider|taller|longer))"
    r" than|\bat most|\bup to|\bunder|\bbelow|\bwithin|\bnot (?:exceeding|over)"
    r"|\bmax(?:imum)?(?: of)?|<=?|\bas little as)" + _ABOUT
)
_AFTER = re.compile(
    r" ?(?:[<>]|or (?:so )?(?:more|less|longer|further|farther|closer|greater|fewer"
    r"|higher|beyond|taller|wider|over|under)\b"
    r"|at (?:the )?(?:very )?(?:least|most)\b|and (?:up|above|beyond|more)\b|max\b"
    r"|min\b|minimum\b|maximum\b|tops\b|plus\b(?! or))"
)


def _bound(text: str, q: Quantity) -> Quantity:
    """The quantity, as a bound where words make it one."""
    before = text[max(0, q.start - 44) : q.start]
    if _LOWER.search(before):
        return replace(q, high=math.inf, role="bound")
    if _UPPER.search(before):
        return replace(q, low=0.0, role="bound")
    after = _AFTER.match(text, q.end)
    if after:
        more = re.search(
            r"more|longer|further|farther|greater|higher|beyond|least|up|above|min"
            r"|plus|taller|wider|over",
            after[0],
        )
        return (
            replace(q, role="bound", high=math.inf) if more else replace(q, role="bound", low=0.0)
        )
    return q
