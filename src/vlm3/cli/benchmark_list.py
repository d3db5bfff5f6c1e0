"""The benchmarks as a table: for a terminal, for the documentation, and as JSON.

Benchmarks that differ in nothing but their name and their pictures share a row.
"""

import textwrap
from dataclasses import asdict
from typing import Any

WIDTH = 100
_TITLES = ("name", "what it measures", "where to get it", "licence", "verified on")
_WIDTHS = (23, 19, 23, 14, 13)
_GAP = "  "


def _rows() -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Names, and what they share, in the order of the benchmarks."""
    from vlm3.eval.benchmarks import benchmarks

    shared: dict[tuple[str, ...], list[str]] = {}
    for name, one in benchmarks().items():
        key = (one.measures, one.source, one.licence, one.verified)
        shared.setdefault(key, []).append(name)
    return [(tuple(names), key) for key, names in shared.items()]


def as_text() -> str:
    """A table of at most 100 columns."""
    lines = _wrapped(_TITLES)
    lines.append(_GAP.join("-" * width for width in _WIDTHS))
    for names, cells in _rows():
        lines += _wrapped(("\n".join(names), *cells))
    return "\n".join(lines)


def _wrapped(cells: tuple[str, ...]) -> list[str]:
    """One row, its cells broken into lines."""
    columns = [
        [line for part in cell.split("\n") for line in textwrap.wrap(part, width)] or [""]
        for cell, width in zip(cells, _WIDTHS, strict=True)
    ]
    height = max(map(len, columns))
    return [
        _GAP.join(
            (column[k] if k < len(column) else "").ljust(width)
            for column, width in zip(columns, _WIDTHS, strict=True)
        ).rstrip()
        for k in range(height)
    ]


def as_markdown() -> str:
    """The same table as docs/evaluation.md has it."""
    lines = [f"| {' | '.join(_TITLES)} |", "|" + "---|" * len(_TITLES)]
    for names, cells in _rows():
        lines.append(f"| {' '.join(f'`{name}`' for name in names)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def as_json() -> list[dict[str, Any]]:
    """One object a benchmark."""
    from vlm3.eval.benchmarks import benchmarks

    return [asdict(one) for one in benchmarks().values()]
