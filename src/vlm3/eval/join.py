"""Rows from elsewhere: `vlm3 eval --queries` writes the queries, an expert's file is joined here.

A line a query: {"id": ...} and

    depth            "distance_m": m, or "depth_z_m": m along the axis
    correspondence   "xy_px": [x, y] in picture b
    pose             "cam1_from_cam2": 4 x 4, or "rotation": 3 x 3 and "direction": [x, y, z]
    objects          "value_m", "clock_hour", "yes" or "region" (from 0)
    questions        "text", or "option" (from 0), "number", "xy_px" or "vector"

`seconds` and `cost_usd` may be added. A damaged line, or one with a number that is none (NaN,
1e308), is named and the rest is used; a query without a usable line counts as a failure. A query
that is answered twice is an error.
"""

from collections.abc import Iterable
from pathlib import Path

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.eval.items import Item, Query
from vlm3.eval.predictions import UNUSABLE, Ids, dumps, lines
from vlm3.eval.solvers import Prediction
from vlm3.strict_json import finite
from vlm3.tasks.registry import TASKS
from vlm3.tasks.task import Json

_FARTHEST_M = 1e9


def write_queries(items: Iterable[Item], path: Path) -> int:
    """Writes the queries without their truths; returns how many."""
    count = 0
    with disk.whole(path) as partial, partial.open("w", encoding="utf-8") as file:
        for item in items:
            for query in item.queries:
                query_line = {"id": query.id, "picture": item.key, "task": query.task, **query.ask}
                file.write(dumps(query_line) + "\n")
                count += 1
    return count


def joined(
    path: Path, queries: dict[str, Query], label: str
) -> tuple[dict[str, Prediction], list[tuple[int, str]]]:
    """The usable answers in a predictions file, and (line number, reason) of the others.

    Args:
        path: the file.
        queries: by id.
        label: what the benchmark's depth label is; depths are converted to it.

    Raises:
        InputError: the file cannot be read, holds no answer to any query, or two to one.
    """
    found: dict[str, Prediction] = {}
    damaged: list[tuple[int, str]] = []
    ids = Ids(path)
    try:
        for number, record in lines(path, damaged, header=False):
            query = queries.get(str(record.get("id")))
            try:
                if query is None:
                    raise ValueError(f"no query has the id {str(record.get('id'))[:80]!r}")
                ids.add(query.id)
                found[query.id] = _said(query, record, label)
            except (RecursionError, *UNUSABLE) as error:
                damaged.append((number, str(error)[:160] or type(error).__name__))
    except OSError as error:
        raise InputError(f"cannot read the predictions {str(path)!r} ({error})") from error
    ids.refuse_doubled()
    if not found:
        raise InputError(
            f"{str(path)!r} answers none of the {len(queries)} queries; "
            "vlm3 eval --queries writes their ids"
        )
    return found, sorted(damaged)


def _said(query: Query, record: Json, label: str) -> Prediction:
    if finite(record) != record:
        raise ValueError("NaN or Infinity, which is no answer")
    task = TASKS[query.task]
    prediction = task.predicted(query.ask, record, label=label)
    prediction = task.judged(query.ask, query.truth, prediction)
    if all(n != n for n in task.numbers(prediction)):
        raise ValueError(f"no answer to a {task.name} query in it")
    # NaN beside numbers: refused here, where the line can be named.
    dumps(prediction)
    return Prediction(
        prediction=prediction,
        seconds=_spent(record, "seconds"),
        cost_usd=_spent(record, "cost_usd"),
    )


def _spent(record: Json, name: str) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    number = float(value)
    if not 0 <= number < _FARTHEST_M:
        raise ValueError(f"{name} is {number:g}")
    return number
