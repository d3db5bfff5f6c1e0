"""Answers that cannot be misread: which tokens may come next so that the text has a given form.

A form is an answer template of a protocol: its words as they stand, its fields as numbers of their
written format within bounds. Knows text, no model; `Automaton` meets a vocabulary.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from string import Formatter

import numpy as np
import numpy.typing as npt

_FORMAT = re.compile(r"(?P<sign>\+?)z?(?P<zero>0?)(?P<width>[0-9]*)(?:\.(?P<decimals>[0-9])f|d|)\Z")
_DIGITS = "0123456789"
_SIDES = (("left", "right"), ("up", "down"), ("backward", "forward"))


@dataclass(frozen=True)
class NumberForm:
    """How a number is written.

    Attributes:
        signed: a sign stands before it, always.
        digits: fewest and most digits before the point.
        decimals: digits after it.
        low: smallest value that can be read back.
        high: largest.
        joint: of consecutive numbers with this set, one at least is not zero.
    """

    signed: bool
    digits: tuple[int, int]
    decimals: int
    low: float
    high: float
    joint: bool = False

    def allows(self, text: str) -> bool:
        """Whether some number of this form within the bounds begins so."""
        return self._span(text) is not None

    def whole(self, text: str) -> bool:
        """Whether that is such a number, complete."""
        if not re.fullmatch(self._pattern, text):
            return False
        return self.low <= float(text) <= self.high

    @cached_property
    def _pattern(self) -> str:
        least, most = self.digits
        tail = rf"\.[0-9]{{{self.decimals}}}" if self.decimals else ""
        # Without zeros before it, a number starts with zero only when it is zero before the point.
        start = f"[0-9]{{{least},{most}}}" if least > 1 else rf"(?:0|[1-9][0-9]{{0,{most - 1}}})"
        return ("[-+]" if self.signed else "") + start + tail

    def _span(self, text: str) -> bool | None:
        body = text
        if self.signed:
            if not text:
                return True
            if text[0] not in "+-":
                return None
            body = text[1:]
        whole, point, decimals = body.partition(".")
        least, most = self.digits
        if not (whole + decimals).isdigit() and whole + decimals:
            return None
        if len(whole) > most or len(decimals) > self.decimals or (point and not self.decimals):
            return None
        if point and len(whole) < least:
            return None
        if least == 1 and len(whole) > 1 and whole[0] == "0":
            return None
        sign = -1.0 if text[:1] == "-" else 1.0
        lengths = [len(whole)] if point else range(max(len(whole), least, 1), most + 1)
        step = 10.0**-self.decimals
        for length in lengths:
            if least == 1 and whole[:1] == "0" and length > 1:
                continue
            unit = 10.0 ** (length - len(whole))
            if point:
                unit = 10.0 ** -len(decimals)
                low = float(f"{whole}.{decimals or 0}")
            else:
                low = float(whole or 0) * unit
                if not whole and least == 1 and length > 1:
                    low = 10.0 ** (length - 1)
            high = (float(whole or 0) + 1) * unit if not point else low + unit
            near, far = sorted((sign * low, sign * (high - step)))
            if near <= self.high + 1e-9 and far >= self.low - 1e-9:
                return True
        return None


Part = str | NumberForm | tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    """Words, numbers and choices of words, in order."""

    parts: tuple[Part, ...]

    @classmethod
    def of_template(
        cls, template: str, bounds: Mapping[str, tuple[float, float]], *, joint: bool = False
    ) -> "Grammar":
        """The form of what a template can write.

        Args:
            template: an answer template with fields, such as "{metres:05.2f}".
            bounds: field -> smallest and largest value that can be read back.
            joint: its numbers must not all be zero.
        """
        parts: list[Part] = []
        for words, name, form, _ in Formatter().parse(template):
            if words:
                parts.append(words)
            if name == "words":
                parts.append(_directions())
            elif name is not None:
                parts.append(_number_form(form or "", *bounds[name], joint=joint))
        return cls(tuple(parts))


def _number_form(form: str, low: float, high: float, *, joint: bool) -> NumberForm:
    found = _FORMAT.match(form)
    assert found is not None, form
    decimals = int(found["decimals"] or 0)
    signed = bool(found["sign"])
    most = len(str(int(max(abs(low), abs(high)))))
    least = 1
    if found["zero"]:
        least = int(found["width"]) - signed - (decimals + 1 if decimals else 0)
    return NumberForm(signed, (least, max(least, most)), decimals, low, high, joint)


def _directions() -> tuple[str, ...]:
    axes = [("", *names) for names in _SIDES]
    return tuple(", ".join(filter(None, words)) for words in product(*axes) if any(words))


@dataclass(frozen=True)
class _State:
    """A place in a grammar: the part, what of it is written, whether a number was not zero."""

    part: int
    text: str
    moved: bool


class Automaton:
    """A grammar over the tokens of one vocabulary.

    Args:
        grammar: the form.
        vocabulary: text of every token; "" for those that never belong to an answer.
        ends: ids of the tokens that end an answer.
    """

    def __init__(self, grammar: Grammar, vocabulary: Sequence[str], ends: Sequence[int]) -> None:
        self._parts = grammar.parts
        self._ends = list(ends)
        self._size = len(vocabulary)
        self._by_letter: dict[str, list[tuple[int, str]]] = {}
        for token, text in enumerate(vocabulary):
            if text:
                self._by_letter.setdefault(text[0], []).append((token, text))
        self._masks: dict[frozenset[_State], npt.NDArray[np.bool_]] = {}
        self._single: dict[frozenset[_State], int | None] = {}
        self._vocabulary = vocabulary
        self.start = frozenset(self._settled(_State(0, "", False)))

    def allowed(self, state: frozenset[_State]) -> npt.NDArray[np.bool_]:
        """(vocabulary,) which tokens may come next."""
        if state not in self._masks:
            mask = np.zeros(self._size, bool)
            for letter in {letter for place in state for letter in self._letters(place)}:
                for token, text in self._by_letter.get(letter, ()):
                    mask[token] = bool(self._walk(state, text))
            if self.finished(state):
                mask[self._ends] = True
            self._masks[state] = mask
        return self._masks[state]

    def after(self, state: frozenset[_State], token: int) -> frozenset[_State]:
        """The state behind a token."""
        return self._walk(state, self._vocabulary[token])

    def forced(self, state: frozenset[_State], most: int) -> list[int]:
        """The tokens that alone can come next, at most so many, none of them the end."""
        run: list[int] = []
        while len(run) < most and not self.only_end(state):
            if state not in self._single:
                allowed = np.flatnonzero(self.allowed(state))
                self._single[state] = int(allowed[0]) if len(allowed) == 1 else None
            token = self._single[state]
            if token is None or token in self._ends:
                break
            run.append(token)
            state = self.after(state, token)
        return run

    def finished(self, state: frozenset[_State]) -> bool:
        """Whether the answer is complete here."""
        return any(place.part == len(self._parts) for place in state)

    def only_end(self, state: frozenset[_State]) -> bool:
        """Whether nothing but the end can come."""
        return all(place.part == len(self._parts) for place in state)

    def _walk(self, state: frozenset[_State], text: str) -> frozenset[_State]:
        for letter in text:
            state = frozenset(
                settled
                for place in state
                for follower in self._step(place, letter)
                for settled in self._settled(follower)
            )
        return state

    def _letters(self, place: _State) -> Iterator[str]:
        if place.part == len(self._parts):
            return
        part = self._parts[place.part]
        at = len(place.text)
        if isinstance(part, str):
            yield part[at]
        elif isinstance(part, NumberForm):
            yield from _DIGITS + ".+-"
        else:
            yield from {word[at] for word in part if word.startswith(place.text) and word[at:]}

    def _step(self, place: _State, letter: str) -> Iterator[_State]:
        if letter not in self._letters(place):
            return
        text = place.text + letter
        part = self._parts[place.part]
        if not isinstance(part, NumberForm) or (
            part.allows(text) and not self._would_be_nothing(place, part, text)
        ):
            yield _State(place.part, text, place.moved)

    def _would_be_nothing(self, place: _State, part: NumberForm, text: str) -> bool:
        """Whether a direction could only become zero: its last number is, and those before were."""
        last = not any(
            isinstance(other, NumberForm) and other.joint for other in self._parts[place.part + 1 :]
        )
        return part.joint and last and not place.moved and part.whole(text) and float(text) == 0

    def _settled(self, place: _State) -> Iterator[_State]:
        """The place itself while its part goes on, and the next part's start where it may end."""
        if place.part == len(self._parts):
            yield place
            return
        part = self._parts[place.part]
        moved, done, open_ended = place.moved, False, True
        if isinstance(part, str):
            done = place.text == part
            open_ended = not done
        elif isinstance(part, NumberForm):
            done = part.whole(place.text)
            if done:
                moved = moved or (part.joint and float(place.text) != 0)
                open_ended = any(part.allows(place.text + more) for more in _DIGITS + ".")
        else:
            done = place.text in part
        if open_ended:
            yield place
        if done:
            yield from self._settled(_State(place.part + 1, "", moved))
