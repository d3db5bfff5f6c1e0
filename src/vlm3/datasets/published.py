"""What is known about the published sets: `published.toml`, read once, when it is first needed.

Facts for people (titles, licences, what a reader was checked on) and for curation (tasks, how depth
came about). Knows nothing of how a set's files are read: that is `vlm3.datasets.base.Reader`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, get_args

from vlm3.errors import InputError
from vlm3.files.schema import Check, fields, list_of, one_of, table_of, text
from vlm3.tasks.base import TaskName
from vlm3.tasks.registry import TASKS

FILE = "published.toml"

DepthOrigin = Literal["truth", "mvs", "predicted"]
"""How far a depth can be trusted where views are compared: rendered or measured, from multi-view
stereo, or by a model."""

Verified = Literal["real files", "official code", "documentation", "other readers", "fixtures"]
"""What an adapter's reading of a layout rests on, the strongest first.

It was run on files of the set; it follows its authors' own code that reads or writes the set, their
description, or readers that others published; or nobody's. All are run on files that the tests
write, too.
"""

DepthLMLabel = Literal["distance", "0.8 distance", "z", "scannetpp"]
"""What DepthLM's curation calls depth; see `vlm3.tasks.depth_labels`."""


@dataclass(frozen=True)
class SetFacts:
    """An entry of `published.toml`.

    Attributes:
        name: what the command line calls it; also the folder its shards are looked for in.
        title: what its authors call it.
        licence: in a few words.
        url: where it is described and to be had.
        layout: what the folder that users downloaded holds, in a line.
        tasks: those that it has labels for.
        verified: what the reading of the layout rests on.
        against: the files, code or pages meant by `verified`: repositories and files in them.
        licence_from: where the licence was read; empty where it was not looked up.
        origin: how its depth came about; `curation.pairs` chooses tolerances by it.
        needs: packages to install, where the format needs any (the extra `vlm3[data]`).
        depthlm: what DepthLM's curation calls depth, if it has the set.
    """

    name: str
    title: str
    licence: str
    url: str
    layout: str
    tasks: tuple[TaskName, ...]
    verified: Verified
    against: str = ""
    licence_from: str = ""
    origin: DepthOrigin = "truth"
    needs: tuple[str, ...] = ()
    depthlm: DepthLMLabel | None = None


def facts(name: str) -> SetFacts:
    """What is known about a set.

    Raises:
        KeyError: it has no entry.
    """
    return all_facts()[name]


@cache
def all_facts() -> Mapping[str, SetFacts]:
    """Every entry of the file, by name."""
    return parse_facts(files(__package__).joinpath(FILE).read_text("utf-8"))


def parse_facts(toml: str) -> Mapping[str, SetFacts]:
    """The entries of a file like `published.toml`, checked, by name.

    Raises:
        InputError: no TOML, an entry without a key that it needs, with one that there is not, or
            with a value that is none of those allowed.
    """
    try:
        entries = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{FILE} is no TOML ({error})") from None
    table_of(_ENTRY)(entries, FILE)
    return MappingProxyType({name: _facts(name, entry) for name, entry in entries.items()})


def _facts(name: str, entry: dict[str, Any]) -> SetFacts:
    if unknown := sorted(set(entry) - {*_NEEDED, *_OPTIONAL}):
        raise InputError(
            f"{FILE}.{name} has {', '.join(unknown)}; an entry has {', '.join(_NEEDED)}, and may "
            f"have {', '.join(_OPTIONAL)}"
        )
    lists: dict[str, Any] = {key: tuple(entry[key]) for key in ("tasks", "needs") if key in entry}
    return SetFacts(name=name, **entry | lists)


_NEEDED: Mapping[str, Check] = {
    "title": text(200),
    "licence": text(200),
    "url": text(200),
    "layout": text(200),
    "tasks": list_of(one_of(*TASKS), least=1),
    "verified": one_of(*get_args(Verified)),
}
_OPTIONAL: Mapping[str, Check] = {
    "against": text(200),
    "licence_from": text(200),
    "origin": one_of(*get_args(DepthOrigin)),
    "needs": list_of(text(50), least=1),
    "depthlm": one_of(*get_args(DepthLMLabel)),
}
_ENTRY = fields(_NEEDED, _OPTIONAL)
