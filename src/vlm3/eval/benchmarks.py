"""The benchmarks of `benchmarks.toml`, read and checked once, when one is first wanted.

A benchmark names a reader, and the reader gives items; nothing here opens a data set.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, get_args

from vlm3.errors import InputError
from vlm3.eval.benchmark import Benchmark, Label, Verified
from vlm3.files import schema
from vlm3.tasks.registry import LABELLED, TASKS

_FILE = "benchmarks.toml"
_LABELLED = "labelled"
_OPTIONAL = {
    "count": schema.whole(1),
    "seed": schema.whole(),
    "metric": schema.text(),
    "protocol": schema.text(),
    "label": schema.one_of(*get_args(Label)),
    "column": schema.text(),
    "published_samples": schema.flag,
    "roads": schema.flag,
    "scoring": schema.text(),
    "unread": schema.text(),
}
_NEEDED = {
    field.name: schema.text()
    for field in fields(Benchmark)
    if field.name not in _OPTIONAL and field.name not in ("name", "tasks", "verified")
}
_NEEDED |= {"verified": schema.one_of(*get_args(Verified))}
_NEEDED |= {"tasks": schema.list_of(schema.one_of(*TASKS), least=1)}
_ENTRY = schema.fields(_NEEDED, _OPTIONAL)


@cache
def benchmarks() -> Mapping[str, Benchmark]:
    """Name -> benchmark, in the order of the file."""
    text = files("vlm3.eval").joinpath(_FILE).read_text(encoding="utf-8")
    tables: dict[str, dict[str, dict[str, Any]]] = tomllib.loads(text)
    kinds, entries = tables["kinds"], tables["benchmarks"]
    return MappingProxyType({name: read_entry(name, row, kinds) for name, row in entries.items()})


def read_entry(
    name: str, row: Mapping[str, Any], kinds: Mapping[str, Mapping[str, Any]]
) -> Benchmark:
    """One entry of the file, with what it takes from its kind.

    Raises:
        InputError: a value that cannot be, a key that is missing or not known, or no such kind.
    """
    place = f"{_FILE}: benchmarks.{name}"
    given = dict(row)
    kind = given.pop("kind", None)
    if kind is not None and kind not in kinds:
        raise InputError(f"{place} is of kind {kind!r}; choose one of {', '.join(kinds)}")
    values = dict(kinds[kind]) | given if kind is not None else given
    if values.get("tasks") == _LABELLED:
        values["tasks"] = list(LABELLED)
    if unknown := sorted(set(values) - set(_NEEDED) - set(_OPTIONAL)):
        raise InputError(
            f"{place} has {unknown[0]!r}; allowed are {', '.join((*_NEEDED, *_OPTIONAL))}"
        )
    _ENTRY(values, place)
    return Benchmark(name=name, **values | {"tasks": tuple(values["tasks"])})


def get_benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        InputError: there is none; names those there are.
    """
    known = benchmarks()
    if name not in known:
        raise InputError(f"there is no benchmark {name!r}; choose one of {', '.join(known)}")
    return known[name]
