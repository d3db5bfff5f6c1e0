"""What a JSON value must be, written in Python: `fields({"width": whole(1, 10_000)})`.

A check takes a value and the name of its place, and raises an `InputError` that names that place,
what came and what is allowed. Keys that a check does not name are let through and not looked at.
"""

from collections.abc import Callable, Mapping
from typing import Any

from vlm3.errors import InputError
from vlm3.files.reading import short

Check = Callable[[Any, str], None]

_NONE: Mapping[str, Check] = {}


def _refuse(value: Any, place: str, allowed: str) -> InputError:
    return InputError(f"{place} is {short(value)}; give {allowed}")


def anything(value: Any, place: str) -> None:
    """Any value."""


def flag(value: Any, place: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise _refuse(value, place, "true or false")


def number(low: float = -1e15, high: float = 1e15) -> Check:
    """A finite number in a range, its ends included."""

    def check(value: Any, place: str) -> None:
        if type(value) not in (int, float) or not low <= value <= high:
            raise _refuse(value, place, f"a number from {low:g} to {high:g}")

    return check


def whole(low: int = 0, high: int = 2**53) -> Check:
    """A whole number in a range, its ends included."""

    def check(value: Any, place: str) -> None:
        if type(value) is not int or not low <= value <= high:
            raise _refuse(value, place, f"a whole number from {low} to {high}")

    return check


def text(most: int = 4096) -> Check:
    """A text of at most so many characters."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, str) or len(value) > most:
            raise _refuse(value, place, f"a text of at most {most} characters")

    return check


def one_of(*texts: str) -> Check:
    """One of these texts."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, str) or value not in texts:
            raise _refuse(value, place, f"one of {', '.join(texts)}")

    return check


def maybe(inner: Check) -> Check:
    """Null, or what `inner` allows."""

    def check(value: Any, place: str) -> None:
        if value is not None:
            inner(value, place)

    return check


def list_of(inner: Check, *, least: int = 0, most: int = 2**31) -> Check:
    """A list of what `inner` allows."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            size = f" of at least {least}" if least else ""
            size += f" of at most {most}" if most < 2**31 else ""
            raise _refuse(value, place, f"a list{size}")
        for k, one in enumerate(value):
            inner(one, f"{place}[{k}]")

    return check


def table_of(inner: Check) -> Check:
    """An object with any keys and values that `inner` allows."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _refuse(value, place, "an object")
        for key, one in value.items():
            inner(one, f"{place}.{key[:40]}")

    return check


def fields(needed: Mapping[str, Check], optional: Mapping[str, Check] = _NONE) -> Check:
    """An object with these keys; others are not looked at."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _refuse(value, place, f"an object with {', '.join(needed)}")
        for key, inner in needed.items():
            if key not in value:
                raise InputError(f"{place} has no {key!r}; it needs {', '.join(needed)}")
            inner(value[key], f"{place}.{key}")
        for key, inner in optional.items():
            if key in value:
                inner(value[key], f"{place}.{key}")

    return check


def numbers(*shape: int | None) -> Check:
    """Finite numbers in nested lists of a shape; None is any length."""
    names = " x ".join("n" if n is None else str(n) for n in shape)

    def inside(value: Any, left: tuple[int | None, ...]) -> bool:
        if not left:
            return type(value) in (int, float) and -1e15 <= value <= 1e15
        return (
            isinstance(value, list)
            and (left[0] is None or len(value) == left[0])
            and all(inside(one, left[1:]) for one in value)
        )

    def check(value: Any, place: str) -> None:
        if not inside(value, shape):
            raise _refuse(value, place, f"{names} finite numbers")

    return check
