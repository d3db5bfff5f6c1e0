"""JSON that every parser reads: NaN and Infinity, which are none, become null."""

import json
import math
from typing import Any


def dumps(value: Any, **options: Any) -> str:
    """`json.dumps` of plain values; numbers that are not finite are written as null."""
    return json.dumps(finite(value), allow_nan=False, **options)


def finite(value: Any) -> Any:
    """The same value, with None for each number in it that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value
