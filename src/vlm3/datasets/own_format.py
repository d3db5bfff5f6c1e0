"""`format.json` of a user's own folder: what differs from the usual, which checks to take back."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from vlm3.datasets.base import Kind
from vlm3.datasets.files import read_json
from vlm3.errors import InputError
from vlm3.files.reading import short
from vlm3.files.schema import anything, table_of
from vlm3.geometry.lens import LensModel

Accepted = Literal["range", "centre", "aspect", "poses"]
"""Checks of `vlm3.datasets.own` that the folder's owner may take back."""

_MOST_UNIT_M = 1000.0


@dataclass(frozen=True)
class Format:
    """What `format.json` says.

    Attributes:
        unit_m: metres of 1 in the depth files; None for the format's own.
        kind: of the depth: along the axis, or straight.
        pixel_origin: what (0, 0) is in K: the corner of the picture or its first pixel's centre.
        distortion: coefficients of the lens, in OpenCV's order.
        model: of the lens.
        split: "train", "val" or "test".
        metric: whether lengths are metres.
        accept: checks that the folder's owner takes back.
    """

    unit_m: float | None = None
    kind: Kind = "z"
    pixel_origin: Literal["corner", "center"] = "center"
    distortion: tuple[float, ...] = ()
    model: LensModel = "pinhole"
    split: str = "train"
    metric: bool = True
    accept: frozenset[Accepted] = frozenset()


def read_format(path: Path) -> Format:
    """What a folder's `format.json` says; the usual where there is none.

    Raises:
        InputError: it says something that is not known.
    """
    given = read_json(path, table_of(anything)) if path.is_file() else {}
    known = [field.name for field in fields(Format)]
    if set(given) - set(known):
        raise InputError(f"{str(path)!r} may hold {', '.join(known)}; found {short(given)}")
    return Format(**{name: _checked(name, value, path) for name, value in given.items()})


def _checked(name: str, value: Any, path: Path) -> Any:
    choices = {
        "kind": get_args(Kind),
        "pixel_origin": ("corner", "center"),
        "model": get_args(LensModel),
        "split": ("train", "val", "test"),
        "metric": (True, False),
    }
    if name in choices and value not in choices[name]:
        allowed = ", ".join(str(choice) for choice in choices[name])
        raise InputError(f"{path}: {name} is {short(value)}; give one of {allowed}")
    if name == "unit_m" and not _is_number(value, 0.0, _MOST_UNIT_M):
        raise InputError(f"{path}: unit_m is {short(value)}; give metres, as 0.001 for millimetres")
    if name == "distortion":
        if not isinstance(value, list) or not all(_is_number(v) for v in value):
            raise InputError(f"{path}: distortion is {short(value)}; give a list of numbers")
        return tuple(value)
    return _accepted(value, path) if name == "accept" else value


def _is_number(value: object, above: float = -np.inf, most: float = np.inf) -> bool:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return numeric and bool(above < value <= most)  # type: ignore[operator]


def _accepted(names: object, where: Path) -> frozenset[Accepted]:
    """The checks that a folder's `format.json` takes back.

    Raises:
        InputError: there is no such check.
    """
    known = get_args(Accepted)
    if not isinstance(names, list) or set(names) - set(known):
        raise InputError(f"{where}: accept is {names!r}; give a list of {', '.join(known)}")
    return frozenset(names)


def or_accept(check: Accepted) -> str:
    """The end of a message: how to take a check back."""
    return f'; if it is right, put {{"accept": ["{check}"]}} into format.json'
