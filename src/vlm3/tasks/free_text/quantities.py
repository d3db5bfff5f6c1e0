"""The quantities of a plain text: what its numbers mean together, and nothing of what they measure.

    1 m 20 cm    5 ft 3 in    5'3"    3.2 +- 0.1 m    5 m - 3 m = 2 m    2-3 m  (a range)
    > 3 m  (a bound)

Single numbers with their units are read by `numerals`.
"""

import math
import re
from dataclasses import replace

from vlm3.tasks.free_text.numerals import METRES_OF, Quantity, numbers

# Nobody answers with more numbers; what has more is not read.
MAX_NUMBERS = 300
# What may follow a larger unit, and how many of it make one.
_SMALLER = {"ft": ("in",), "yd": ("ft", "in"), "m": ("cm", "mm"), "cm": ("mm",), "km": ("m",)}


def quantities(text: str) -> list[Quantity] | None:
    """The quantities of a text in their order; None where there are too many to be an answer."""
    found: list[Quantity] = []
    for quantity in numbers(text):
        found.append(quantity)
        if len(found) > MAX_NUMBERS:
            return None
    found = _compounds(text, found)
    found = _spreads(text, found)
    found = _products_and_results(text, found)
    found = _ranges(text, found)
    return [_bound(text, q) if q.role == "value" else q for q in found]


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
