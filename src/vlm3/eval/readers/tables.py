"""Rows of a published table: Parquet as the datasets library writes it, JSON lines, or JSON.

A picture in such a table is a path, or {"bytes": ..., "path": ...}. Pictures inside a Parquet file
stay there until one is opened.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from vlm3.datasets.files import json_lines, read_json
from vlm3.errors import InputError, MissingDependencyError
from vlm3.files.reading import below, short, why
from vlm3.files.schema import anything, list_of
from vlm3.view import View

Json = dict[str, Any]
Opener = Callable[[], View]


def rows_of(
    folder: Path, what: str, *, pictures: tuple[str, ...] = ()
) -> Iterator[tuple[str, Json]]:
    """The rows of all Parquet files below a folder, or of its one JSON-lines or JSON file.

    Args:
        folder: where they are; Parquet may lie in a folder below, such as data/.
        what: for messages.
        pictures: columns of pictures; a row holds a function for each that gives its cell.

    Yields:
        Where the row stands, and the row.

    Raises:
        InputError: there is no such file, or it cannot be read.
        MissingDependencyError: Parquet without pyarrow.
    """
    parquet = sorted(folder.rglob("*.parquet"))
    if parquet:
        for path in parquet:
            yield from _parquet(path, pictures)
        return
    found = sorted([*folder.glob("*.jsonl"), *folder.glob("*.json")])
    if len(found) != 1:
        names = ", ".join(p.name for p in found[:5]) or "none"
        raise InputError(f"{str(folder)!r} must hold {what}; found {names}")
    path = found[0]
    rows: Iterator[tuple[int, Any]]
    if path.suffix == ".jsonl":
        rows = json_lines(path)
    else:
        rows = enumerate(read_json(path, list_of(anything)), start=1)
    for number, row in rows:
        if not isinstance(row, dict):
            raise InputError(f"{path.name}, entry {number} is no JSON object")
        cells = {name: _given(row[name]) for name in pictures if name in row}
        yield f"{path.name}, entry {number}", row | cells


def _given(cell: Any) -> Callable[[], Any]:
    return lambda: cell


def _parquet(path: Path, pictures: tuple[str, ...]) -> Iterator[tuple[str, Json]]:
    file = _open(path)
    there = file.schema_arrow.names
    others = [name for name in there if name not in pictures]
    number = 0
    for group in range(file.num_row_groups):
        for place, row in enumerate(_columns(path, group, tuple(others))):
            number += 1
            cells = {n: _cell(path, group, n, place) for n in pictures if n in there}
            yield f"{path.name}, row {number}", row | cells


def _cell(path: Path, group: int, name: str, place: int) -> Callable[[], Any]:
    return lambda: _pictures(path, group, name)[place][name]


# The pictures of one group of rows, which are asked about one after the other.
@lru_cache(maxsize=2)
def _pictures(path: Path, group: int, name: str) -> list[Json]:
    return _columns(path, group, (name,))


def _columns(path: Path, group: int, names: tuple[str, ...]) -> list[Json]:
    from pyarrow import ArrowException

    try:
        rows: list[Json] = _open(path).read_row_group(group, columns=list(names)).to_pylist()
    except (ArrowException, OSError) as error:
        raise InputError(f"cannot read {str(path)!r} ({why(error)})") from error
    return rows


def _open(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingDependencyError(
            "Parquet files are read with pyarrow: pip install 'vlm3[data]'"
        ) from error
    try:
        return parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise InputError(f"cannot read {str(path)!r} as Parquet ({why(error)})") from error


def picture(
    folder: Path,
    cell: Callable[[], Any],
    place: int = 0,
    *,
    intrinsics_px: tuple[float, float, float, float] | None = None,
    calibrate: Any = None,
) -> Opener:
    """Opens a picture of a table when called; `place` is which of a cell that holds several."""

    def open_view() -> View:
        found = cell()
        if isinstance(found, list):
            found = found[place] if place < len(found) else None
        source = found
        if isinstance(found, dict):
            source = found.get("bytes") or found.get("path")
        if not isinstance(source, bytes | str):
            raise InputError(f"no picture {place} in the table, but {short(found)}")
        if isinstance(source, str):
            source = below(folder, source, "the table")
        return View.open(source, intrinsics_px=intrinsics_px, calibrate=calibrate, as_stored=True)

    return open_view
