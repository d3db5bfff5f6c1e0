"""Rows from elsewhere: `vlm3 eval --queries` writes what is asked, an expert's file is joined here.

A line a query: {"id": ...} and

    depth            "distance_m": m, or "depth_z_m": m along the axis
    correspondence   "xy_px": [x, y] in picture b
    pose             "cam1_from_cam2": 4 x 4, or "rotation": 3 x 3 and "direction": [x, y, z]
    objects          "value_m", "clock_hour", "yes" or "region" (from 0); a question in words,
                     one with a "form": "text", or "option" (from 0), "number", "xy_px", "vector"

`seconds` and `cost_usd` may be added. A damaged line, or one with a number that is none (NaN,
1e308), is named and the rest is used; a query without a usable line counts as a failure. A query
that is answered twice is an error.
"""

from collections.abc import Iterable
from pathlib import Path

from vlm3 import disk
from vlm3.datasets.depthlm_labels import label_from_distance
from vlm3.errors import InputError
from vlm3.eval.items import Item, Json, Query
from vlm3.eval.predictions import OBJECT_VALUES, UNUSABLE, Ids, dumps, lines, numbers_of
from vlm3.eval.solvers import Said
from vlm3.strict_json import finite
from vlm3.tasks import free_questions
from vlm3.tasks.base import ParseFailure

_FARTHEST_M = 1e9
_FIELDS = {
    "correspondence": ("xy_px",),
    "pose": ("cam1_from_cam2", "rotation", "direction", "distance_m"),
    "objects": OBJECT_VALUES[:4],
}


def write_queries(items: Iterable[Item], path: Path) -> int:
    """Writes what is asked, without the truths; returns how many queries."""
    count = 0
    with disk.whole(path) as partial, partial.open("w", encoding="utf-8") as file:
        for item in items:
            for query in item.queries:
                asked = {"id": query.id, "picture": item.key, "task": query.task, **query.ask}
                file.write(dumps(asked) + "\n")
                count += 1
    return count


def joined(
    path: Path, queries: dict[str, Query], label: str
) -> tuple[dict[str, Said], list[tuple[int, str]]]:
    """The usable answers in a predictions file, and (line number, reason) of the others.

    Args:
        path: the file.
        queries: what is asked, by id.
        label: what the benchmark's depth label is; depths are converted to it.

    Raises:
        InputError: the file cannot be read, holds no answer to any query, or two to one.
    """
    found: dict[str, Said] = {}
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


def depth_prediction(query: Query, *, distance_m: float, label: str) -> Json:
    """A depth in metres as a record holds it: the distance, and what the column calls it."""
    as_label = float(label_from_distance(distance_m, query.ask["cosine"], label))
    return {"distance_m": distance_m, "label_m": as_label}


def _said(query: Query, record: Json, label: str) -> Said:
    if finite(record) != record:
        raise ValueError("NaN or Infinity, which is no answer")
    if query.task == "depth":
        z = record.get("depth_z_m")
        name, value = ("distance_m", record["distance_m"]) if z is None else ("depth_z_m", z)
        number = float(value)
        if not 0 < number <= _FARTHEST_M:
            raise ValueError(f"{name} is {number:g}, which is no distance in metres")
        distance = number if z is None else number / query.ask["cosine"]
        prediction = depth_prediction(query, distance_m=distance, label=label)
    elif (form := query.ask.get("form")) is not None:
        prediction = _free(form, query.truth, record)
    else:
        prediction = {k: record[k] for k in _FIELDS[query.task] if k in record}
        numbers = numbers_of(query.task, prediction)
        if not any(n == n for n in numbers):
            raise ValueError(f"no answer to a {query.task} query in it")
        # NaN beside numbers: refused here, where the line can be named.
        dumps(prediction)
    return Said(
        prediction=prediction,
        seconds=_spent(record, "seconds"),
        cost_usd=_spent(record, "cost_usd"),
    )


def _free(form: Json, truth: Json, record: Json) -> Json:
    """The answer to a question in words, read from its text where there is one."""
    if "text" in record:
        found = free_questions.read(form, str(record["text"]))
        if isinstance(found, ParseFailure):
            raise ValueError(f"its text holds no answer ({found.reason})")
        record = found
    said: Json = {k: record[k] for k in ("option", "number", "xy_px", "vector") if k in record}
    prediction = free_questions.judged(form, truth, said)
    if not any(n == n for n in numbers_of("objects", prediction)):
        raise ValueError("no answer to a question in words in it")
    dumps(prediction)
    return prediction


def _spent(record: Json, name: str) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    number = float(value)
    if not 0 <= number < _FARTHEST_M:
        raise ValueError(f"{name} is {number:g}")
    return number
