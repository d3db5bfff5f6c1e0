"""From the digits a model might have written to the number it meant, and how sure it was.

A model that writes 2.75 gave every other digit a probability too, at each step. A digit that was
not written closes a bracket: what stands before it, it, and anything after. The brackets of all
steps, the written number among them, are a distribution, whose mean and quantiles cost nothing.
What the model could have written after a digit it did not write stays unknown: within a bracket all
values count alike. Knows texts and probabilities, no model and no protocol.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlm3.infer.engines.base import Reply
from vlm3.tasks.answers import Spread
from vlm3.tasks.base import Floats

_NUMBER = re.compile(r"[-+]?[0-9]{1,9}(?:\.[0-9]{1,6})?")
_DIGITS = "0123456789"
# What may follow a whole number: each ends it.
_ENDINGS = (" ", "", ",", ")")
_TOGETHER = 512

Check = Callable[[Floats], bool]


@dataclass(frozen=True)
class _Layout:
    """Where a number stands among the steps, and how it is written.

    Attributes:
        first: step of its first digit.
        whole: digits before the point.
        decimals: digits after it.
        sign: step of its sign, where it has one.
    """

    first: int
    whole: int
    decimals: int
    sign: int | None


def read_numbers(
    replies: Sequence[Reply],
    count: int,
    checks: Sequence[Check],
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Spread | None:
    """Distributions of the numbers in answers.

    Args:
        replies: recorded answers.
        count: how many numbers each holds that belong together.
        checks: for each reply, whether that many numbers are the ones that were read from it. The
            first place where they stand counts: later ones only repeat what was decided there.
        bounds: what lies beyond is no answer, and counts as off the grammar.

    Returns:
        Arrays (len(replies), count), NaN where nothing was read; None when no reply was recorded.
    """
    if not any(reply.logp is not None for reply in replies):
        return None
    alike: defaultdict[tuple[_Layout, str, tuple[str, ...]], list[tuple[int, int]]]
    alike = defaultdict(list)
    for row, (reply, check) in enumerate(zip(replies, checks, strict=True)):
        if reply.logp is None:
            continue
        for column, found in enumerate(_find(reply, count, check)):
            layout, text = found
            alike[layout, text[:1] if layout.sign is not None else "", reply.symbols].append(
                (row, column)
            )
    fields = {name: np.full((len(replies), count), np.nan) for name in _FIELDS}
    for (layout, sign, symbols), members in alike.items():
        for start in range(0, len(members), _TOGETHER):
            chosen = members[start : start + _TOGETHER]
            logp = np.stack([_steps(replies[row], layout) for row, _ in chosen])
            written = np.array([_written(replies[row], layout) for row, _ in chosen])
            values = _summary(logp, written, layout, sign, symbols, bounds)
            rows, columns = np.array(chosen).T
            for name, value in zip(_FIELDS, values, strict=True):
                fields[name][rows, columns] = value
    return Spread(**fields)


def chance_below(replies: Sequence[Reply], checks: Sequence[Check], values: Floats) -> Floats:
    """How much of each answer's probability lies below a value: uniform for a calibrated model.

    Args:
        replies: recorded answers of one number each.
        checks: as in `read_numbers`.
        values: (len(replies),) in the number's own unit.

    Returns:
        (len(replies),) 0 to 1, of the mass in the answer's form; NaN where nothing was read.
    """
    out = np.full(len(replies), np.nan)
    for row, (reply, check, value) in enumerate(zip(replies, checks, values, strict=True)):
        if reply.logp is None:
            continue
        for layout, _ in _find(reply, 1, check):
            chance = np.exp(_steps(reply, layout)[None, 1:].astype(float))
            written = np.array([_written(reply, layout)])
            low, high, mass = _brackets(chance, written, layout, reply.symbols)
            inside = np.clip((value - low) / (high - low), 0, 1)
            out[row] = (mass * inside).sum() / mass.sum()
    return out


_FIELDS = ("mean", "p10", "p50", "p90", "covered", "off_grammar")


def _find(reply: Reply, count: int, check: Check) -> list[tuple[_Layout, str]]:
    """The first `count` numbers in a row that pass, as layouts; none if no such place."""
    text = "".join(reply.pieces)
    numbers = list(_NUMBER.finditer(text))
    steps = [step for step, piece in enumerate(reply.pieces) for _ in piece]
    for start in range(len(numbers) - count + 1):
        chosen = numbers[start : start + count]
        if not check(np.array([float(number[0]) for number in chosen])):
            continue
        layouts = []
        for number in chosen:
            signed = number[0][0] in "+-"
            begin = number.start() + signed
            digits = text[begin : number.end()]
            whole, _, decimals = digits.partition(".")
            places = steps[begin : number.end()]
            if [reply.pieces[place] for place in places] != list(digits):
                return []  # A token of several digits: its alternatives are not known.
            sign = steps[number.start()] if signed else None
            if sign is not None and reply.pieces[sign] not in reply.symbols:
                sign = None
            layouts.append((_Layout(places[0], len(whole), len(decimals), sign), number[0]))
        return layouts
    return []


def _length(layout: _Layout) -> int:
    return layout.whole + layout.decimals + bool(layout.decimals)


def _steps(reply: Reply, layout: _Layout) -> npt.NDArray[np.float32]:
    """(1 + length, symbols): the sign's step, or zeros, then those of the digits and the point."""
    assert reply.logp is not None
    steps = reply.logp[layout.first : layout.first + _length(layout)]
    sign = reply.logp[layout.sign] if layout.sign is not None else np.zeros_like(steps[0])
    return np.concatenate([sign[None], steps])


def _written(reply: Reply, layout: _Layout) -> list[int]:
    """The digits, the point as 0."""
    pieces = reply.pieces[layout.first : layout.first + _length(layout)]
    return [int(piece) if piece != "." else 0 for piece in pieces]


def _summary(
    logp: npt.NDArray[np.float32],
    written: npt.NDArray[np.int64],
    layout: _Layout,
    sign: str,
    symbols: tuple[str, ...],
    bounds: tuple[float, float],
) -> tuple[Floats, ...]:
    """Mean, quantiles, covered and off-grammar mass of n numbers of one layout, each (n,)."""
    low, high, mass = _brackets(np.exp(logp[:, 1:].astype(float)), written, layout, symbols)
    # An alternative of no more than a millionth would only widen the arithmetic.
    mass = np.where(mass > 1e-6, mass, 0.0)
    if sign:
        signs = np.exp(logp[:, 0].astype(float))
        plus, minus = (
            sum(signs[:, i] for i, symbol in enumerate(symbols) if symbol.strip() == mark)
            for mark in "+-"
        )
        # The other sign before the same digits: what would have followed it is not known.
        other = np.asarray(minus if sign == "+" else plus)[:, None]
        same = np.asarray(plus if sign == "+" else minus)[:, None]
        if sign == "-":
            low, high = -high, -low
        low, high = np.hstack([low, -high]), np.hstack([high, -low])
        mass = np.hstack([mass * same, mass * other])
    inside_low, inside_high = np.clip(low, *bounds), np.clip(high, *bounds)
    mass = mass * (inside_high - inside_low) / (high - low)
    low, high = inside_low, inside_high
    covered = mass.sum(axis=1)
    share = mass / covered[:, None]
    mean = (share * (low + high) / 2).sum(axis=1)
    p10, p50, p90 = _quantiles(low, high, share, (0.1, 0.5, 0.9))
    if layout.whole > 1 and layout.decimals and not sign:
        p50 = np.clip(_within_first_digit(low, high, mass, written, layout, p50), p10, p90)
    return mean, p10, p50, p90, covered, 1 - covered


def _within_first_digit(
    low: Floats,
    high: Floats,
    mass: Floats,
    written: npt.NDArray[np.int64],
    layout: _Layout,
    otherwise: Floats,
) -> Floats:
    """Medians of what begins with the written first digit, (n,).

    A model that hesitates between 01.3 and 19 has its whole median in the empty bracket between
    them, where it means nothing. On 5,000 points of iBims-1 this one has delta1 0.591 and AbsRel
    0.270, the median of everything 0.586 and 0.282.
    """
    half = 0.5 * 10.0**-layout.decimals
    place = 10.0 ** (layout.whole - 1)
    start = (written[:, 0] * place - half)[:, None]
    inside = mass * ((low >= start - 1e-9) & (high <= start + place + 1e-9))
    total = inside.sum(axis=1, keepdims=True)
    (found,) = _quantiles(low, high, inside / np.where(total > 0, total, 1.0), (0.5,))
    return np.where(total[:, 0] > 0, found, otherwise)


def _brackets(
    chance: Floats,
    written: npt.NDArray[np.int64],
    layout: _Layout,
    symbols: tuple[str, ...],
) -> tuple[Floats, Floats, Floats]:
    """Low and high ends and probabilities, each (n, brackets), of unsigned numbers."""
    count = len(written)
    column = {symbol: i for i, symbol in enumerate(symbols)}
    digit_columns = [column[digit] for digit in _DIGITS]
    endings = [column[ending] for ending in _ENDINGS if ending in column]
    half = 0.5 * 10.0**-layout.decimals
    path, value = np.ones(count), np.zeros(count)
    low, high, mass = [], [], []

    def add(start: Floats, width: float, probability: Floats) -> None:
        # What is printed was rounded: 2.75 stands for everything from 2.745 to 2.755.
        low.append(start - half)
        high.append(start - half + width)
        mass.append(path * probability)

    length = _length(layout)
    for step in range(length):
        here = chance[:, step]
        point = step == layout.whole
        place = 10.0 ** (layout.whole - 1 - step + (step > layout.whole))
        if point:
            for digit in range(10):
                # One digit more before the point: the number is of the next magnitude.
                add(value * 10 + digit, 1.0, here[:, digit_columns[digit]])
            add(value, 2 * half, here[:, endings].sum(axis=1))
            path = path * here[:, column["."]]
            continue
        for digit in range(10):
            probability = np.where(written[:, step] == digit, 0.0, here[:, digit_columns[digit]])
            add(value + digit * place, place, probability)
        if 0 < step < layout.whole:
            # Fewer digits before the point: the number is of a smaller magnitude.
            smaller = value / 10.0 ** (layout.whole - step)
            add(smaller, 1.0, here[:, column["."]])
            add(smaller, 2 * half, here[:, endings].sum(axis=1))
        elif step > layout.whole + 1:
            add(value, 2 * half, here[:, endings].sum(axis=1))
        path = path * here[np.arange(count), np.array(digit_columns)[written[:, step]]]
        value = value + written[:, step] * place
    add(value, 2 * half, np.ones(count))
    return np.stack(low, axis=1), np.stack(high, axis=1), np.stack(mass, axis=1)


def _quantiles(low: Floats, high: Floats, share: Floats, wanted: Sequence[float]) -> list[Floats]:
    """Quantiles of mixtures of uniform brackets, each (n,)."""
    # The distribution function bends at brackets' ends only, and is straight between them.
    ends = np.sort(np.hstack([low, high]), axis=1)
    reached = np.zeros_like(ends)
    for i in range(low.shape[1]):
        if share[:, i].any():
            width = np.maximum(high[:, i] - low[:, i], 1e-12)[:, None]
            inside = np.clip((ends - low[:, i, None]) / width, 0, 1)
            reached += share[:, i, None] * inside
    rows = np.arange(len(ends))
    out = []
    for level in wanted:
        after = np.minimum((reached < level).sum(axis=1), ends.shape[1] - 1)
        before = np.maximum(after - 1, 0)
        x0, x1 = ends[rows, before], ends[rows, after]
        y0, y1 = reached[rows, before], reached[rows, after]
        gap = np.where(y1 > y0, y1 - y0, 1.0)
        out.append(x0 + (x1 - x0) * np.clip((level - y0) / gap, 0, 1))
    return out
