"""The value in an answer about objects: a length, an hour on the clock, yes or no, or a region.

An answer has one of the four, so each is a type of its own, and "an answer" is their union. In
files a truth is one field: {"value_m": 1.2}, {"clock_hour": 3}, {"yes": true} or {"region": 0}.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from vlm3.errors import InputError
from vlm3.files.reading import short

MOST_M = 1e9
"""No length is larger; a damaged file may hold any number."""


@dataclass(frozen=True)
class Length:
    """A size or a distance in metres."""

    value: float
    field: ClassVar[str] = "value_m"
    category: ClassVar[str] = "length"

    def __str__(self) -> str:
        return f"{self.value:.2f} m"

    def problem(self, regions: int) -> str | None:
        """What cannot be about it; None where nothing."""
        return None if 0 <= self.value <= MOST_M else "give metres, 0 or more"


@dataclass(frozen=True)
class ClockHour:
    """A direction on the clock face, 1 to 12, 12 ahead."""

    value: int
    field: ClassVar[str] = "clock_hour"
    category: ClassVar[str] = "direction"

    def __str__(self) -> str:
        return f"{self.value} o'clock"

    def problem(self, regions: int) -> str | None:
        """What cannot be about it; None where nothing."""
        return None if self.value in range(1, 13) else "give 1 to 12"


@dataclass(frozen=True)
class YesNo:
    """Agreement or not."""

    value: bool
    field: ClassVar[str] = "yes"
    category: ClassVar[str] = "yes or no"

    def __str__(self) -> str:
        return "yes" if self.value else "no"

    def problem(self, regions: int) -> str | None:
        """Nothing can be wrong about it."""
        return None


@dataclass(frozen=True)
class Region:
    """The box that was chosen, by its index from 0."""

    value: int
    field: ClassVar[str] = "region"
    category: ClassVar[str] = "which"

    def __str__(self) -> str:
        return f"region {self.value}"

    def problem(self, regions: int) -> str | None:
        """What cannot be about it; None where nothing."""
        return None if self.value in range(regions) else f"there are {regions} boxes, from 0"


ObjectTruth = Length | ClockHour | YesNo | Region


def check_truth(truth: ObjectTruth, name: str, regions: int) -> None:
    """Refuses a value that cannot be; messages call what holds it `name`.

    Raises:
        InputError: says which, and what can be.
    """
    if problem := truth.problem(regions):
        raise InputError(f"{name}.{truth.field} is {short(truth.value)}; {problem}")


FIELDS: tuple[str, ...] = tuple(kind.field for kind in (Length, ClockHour, YesNo, Region))
"""In the order of the columns in which evaluation holds them."""


def truth_of_fields(
    fields: Mapping[str, Any], name: str = "the answer", regions: int | None = None
) -> ObjectTruth | None:
    """The first value that is there, of a mapping that may hold others too.

    Args:
        fields: field -> value or None.
        name: what messages call the mapping.
        regions: how many boxes there are, to check that every value can be; None checks nothing.

    Raises:
        InputError: a value of another type, or one that cannot be.
    """
    truths: list[ObjectTruth] = []
    for field in FIELDS:
        match field, fields.get(field):
            case _, None:
                continue
            # JSON's true is no number, though Python's is.
            case "yes", bool(yes):
                truths.append(YesNo(yes))
            case "value_m", int(metres) | float(metres) if not isinstance(metres, bool):
                truths.append(Length(metres))
            case "clock_hour", int(hour) if not isinstance(hour, bool):
                truths.append(ClockHour(hour))
            case "region", int(index) if not isinstance(index, bool):
                truths.append(Region(index))
            case _, value:
                raise InputError(f"{name}.{field} is {short(value)}; it is of another kind")
    if regions is not None:
        for truth in truths:
            check_truth(truth, name, regions)
    return truths[0] if truths else None


def fields_of_truth(truth: ObjectTruth | None) -> dict[str, Any]:
    """As files hold it: one field, or none. `all_fields` has the others too, as None."""
    return {} if truth is None else {truth.field: truth.value}


def all_fields(truth: ObjectTruth | None) -> dict[str, Any]:
    """Every kind of answer, all but one of them None."""
    return dict.fromkeys(FIELDS) | fields_of_truth(truth)
