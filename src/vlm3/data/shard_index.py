"""The index of a folder of tars: where each sample's picture and record lie.

    DIR/index.npy       (n, 5) int64: shard, place and size of the picture, of the record
    DIR/shards.json     the tars, by the number in the index

Made of the tars alone, whichever tool wrote them. Knows nothing of what a record says.
"""

import json
import warnings
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.files.sums import add_sums, sha256_of_file
from vlm3.files.tars import members

INDEX, NAMES = "index.npy", "shards.json"
_PICTURES = {"jpg", "jpeg", "png", "webp"}


class ShardWarning(UserWarning):
    """A shard, or a sample in it, that the index leaves out."""


def build_index(folder: Path) -> int:
    """Makes `index.npy` and `shards.json` for a folder of tars, written by any tool.

    Returns:
        The number of samples with a picture and a record.

    Raises:
        InputError: the folder holds no tar with such samples.

    Warns:
        ShardWarning: a tar that ends before its end; what came before is kept.
    """
    names = sorted(path.name for path in folder.glob("*.tar"))
    table, problems = table_of(folder, names)
    for problem in problems:
        warnings.warn(problem, ShardWarning, stacklevel=2)
    if not len(table):
        raise InputError(f"{folder} has no tar with KEY.jpg and KEY.json in it")
    save_index(folder, names, table)
    return len(table)


def table_of(folder: Path, names: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """The rows (n, 5) of the index of some tars, and a line for each tar that is damaged."""
    problems: list[str] = []
    parts = [_rows(folder / name, k, problems) for k, name in enumerate(names)]
    return np.concatenate([np.empty((0, 5), np.int64), *parts]), problems


def save_index(folder: Path, names: Sequence[str], table: NDArray[np.int64]) -> None:
    """Writes `shards.json` and `index.npy`, and their hashes."""
    disk.write(folder / NAMES, json.dumps(names, allow_nan=False))
    save_table(folder / INDEX, table)
    add_sums(folder, {name: sha256_of_file(folder / name) for name in (NAMES, INDEX)})


def _rows(path: Path, number: int, problems: list[str]) -> NDArray[np.int64]:
    """The rows (n, 5) of a tar, in the order in which its samples begin."""
    damage: list[str] = []
    waiting: dict[str, dict[str, tuple[int, int]]] = {}
    # Numbers alone, as soon as a sample is whole: a tar may have millions.
    rows = array("q")
    for key, kind, place in _parts(path, damage):
        parts = waiting.setdefault(key, {})
        parts[kind] = place
        if len(parts) == 2:
            rows.extend((hash(key), *parts["picture"], *parts["json"]))
            del waiting[key]
    table = np.frombuffer(rows, np.int64).reshape(-1, 5).copy()
    known = np.unique(table[:, 0])
    if len(known) < len(table) or np.isin([hash(key) for key in waiting], known).any():
        table = _last_of_each(path)
    problems += [f"{path} is damaged ({reason})" for reason in damage]
    table[:, 0] = number
    return table[np.argsort(np.minimum(table[:, 1], table[:, 3]), kind="stable")]


def _last_of_each(path: Path) -> NDArray[np.int64]:
    """Rows (n, 5) of a tar in which names come again: the last one counts, as for tar itself."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for key, kind, place in _parts(path, []):
        found.setdefault(key, {})[kind] = place
    whole = [(0, *p["picture"], *p["json"]) for p in found.values() if len(p) == 2]
    return np.array(whole, np.int64).reshape(-1, 5)


def _parts(path: Path, damage: list[str]) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Key, kind, and place and size, of each picture and record in a tar."""
    for member in members(path, damage):
        head, _, name = member.name.rpartition("/")
        stem, _, extension = name.partition(".")
        kind = "picture" if extension.lower() in _PICTURES else extension
        if member.isfile() and kind in ("picture", "json"):
            yield f"{head}/{stem}", kind, (member.offset_data, member.size)


def save_table(path: Path, table: NDArray[Any]) -> None:
    """Writes an array as a .npy file, whole or not at all."""
    with disk.whole(path) as partial, partial.open("wb") as file:
        np.save(file, table)
