"""The published tables, as data, and what is wrong with them.

`published.json` beside this file holds the rows of Tables 1 and 2 of arXiv 2605.30561 and, for
SpatialRGPT, that paper's own row; tables of other benchmarks name their own source. `flags` name
the cells that do not add up or are not measured like their neighbours. Reports print the flags of
what they show as footnotes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal


@dataclass(frozen=True)
class PublishedRow:
    """One model's row.

    Attributes:
        name: as printed.
        kind: a vision language model, or an expert of the one task.
        values: column -> value; a gap of the table is absent.
    """

    name: str
    kind: Literal["vlm", "expert"]
    values: dict[str, float]


@dataclass(frozen=True)
class Table:
    """One block of the published tables.

    Attributes:
        title: what it measures.
        unit: "share", "percent", "pixels" or "degrees".
        better: which direction is better.
        columns: in the printed order.
        rows: in the printed order.
        source: where the rows stand.
    """

    title: str
    unit: str
    better: Literal["higher", "lower"]
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    source: str


@cache
def _data() -> dict[str, Any]:
    text = files("vlm3.eval.report").joinpath("published.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def table(name: str) -> Table:
    """The table called depth, qualitative, quantitative, relative_error, clock_error, ...

    Raises:
        KeyError: there is no such table.
    """
    found = _data()["tables"][name]
    rows = tuple(PublishedRow(row, r["kind"], r["values"]) for row, r in found["rows"].items())
    source = found.get("source", _data()["source"])
    columns = tuple(found["columns"])
    return Table(found["title"], found["unit"], found["better"], columns, rows, source)


def tables() -> tuple[str, ...]:
    """The names of all tables."""
    return tuple(_data()["tables"])


def counts() -> dict[str, int]:
    """How many questions each column of SpatialRGPT-Bench has."""
    found: dict[str, int] = _data()["counts"]
    return found


def flags(table_name: str, rows: Sequence[str] = (), columns: Sequence[str] = ()) -> list[str]:
    """Notes on cells of a table, in the order of the file.

    Args:
        table_name: see `table`.
        rows: the rows shown; none given: any row.
        columns: the columns shown; none given: any column.
    """

    def touches(named: Sequence[str] | None, shown: Sequence[str]) -> bool:
        return not named or not shown or bool(set(named) & set(shown))

    return [
        flag["text"]
        for flag in _data()["flags"]
        if table_name in flag["tables"]
        and touches(flag["rows"], rows)
        and touches(flag["columns"], columns)
    ]
