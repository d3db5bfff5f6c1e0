"""Predict into a folder: one line a query, so that a run can be killed, resumed and scored again.

A folder belongs to one configuration, and while it is written to one process. Run again with the
same, a run goes on where it stopped; with another one (other weights under the same name are
another) it is refused, and the difference named. Samples are checked on the way: data that changed
under a half-finished run is refused too.
"""

import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vlm3 import __version__, disk
from vlm3.errors import InputError
from vlm3.eval.items import Item, Query
from vlm3.eval.predictions import FILE, Ids, dumps, header_line, lines, read_header
from vlm3.eval.solvers import FixedSolver, Prediction, Solver
from vlm3.lock import writing
from vlm3.tasks.task import Json

_THEN = "make room; the answers so far are kept, and the same command goes on from there"
_PACKAGES = ("torch", "transformers", "numpy", "pillow", "vllm", "opencv-python-headless")


@dataclass(frozen=True)
class EvalProgress:
    """How far a run is, for progress displays.

    Attributes:
        items: pictures or pairs done.
        queries: about them.
        failures: of those answered now, how many could not be read.
        resumed: answers that were there before.
        fresh: answers given now.
    """

    items: int
    queries: int
    failures: int
    resumed: int
    fresh: int = 0


@dataclass(frozen=True)
class _Done:
    """What a folder holds already.

    Attributes:
        digests: query id -> digest of the query and its truth.
        finished: whether the run came to its end.
    """

    digests: dict[str, bytes]
    finished: bool = False


def predict(
    items: Iterable[Item],
    solver: Solver,
    folder: Path,
    config: Json,
    *,
    show: Callable[[EvalProgress], None] = lambda progress: None,
    joined_damaged: Sequence[tuple[int, str]] = (),
) -> EvalProgress:
    """Answers every query that the folder does not hold yet.

    Args:
        items: of the benchmark.
        solver: who answers.
        folder: created if absent.
        config: what identifies the run; JSON.
        show: called after every item.
        joined_damaged: (line, reason) of a joined file's unusable lines, for the report.

    Returns:
        How it went.

    Raises:
        InputError: the folder is a file, belongs to another configuration or is being written by
            another process, the data changed, or the solver has none of the tasks.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; give a folder for the run")
    with writing(folder):
        return _predict(items, solver, folder / FILE, config, show, joined_damaged)


def _predict(
    items: Iterable[Item],
    solver: Solver,
    path: Path,
    config: Json,
    show: Callable[[EvalProgress], None],
    joined_damaged: Sequence[tuple[int, str]],
) -> EvalProgress:
    done = _resume(path, config)
    at = EvalProgress(0, 0, 0, len(done.digests))
    with _appending(path) as append:
        if path.stat().st_size == 0:
            origin = environment() | ({"joined_damaged": joined_damaged} if joined_damaged else {})
            append(header_line(config, origin) + "\n")
        elif not done.finished:
            append(dumps({"resumed": environment()}) + "\n")
        show(at)
        for item in items:
            wanted = [q for q in item.queries if q.task in config["tasks"]]
            left = [q for q in wanted if not _is_done(q, done, path)]
            if left and done.finished:
                raise InputError(f"{str(path)!r} is finished, but {left[0].id!r} is not in it")
            failures = 0
            if left:
                failures = _ask(item, left, solver, append)
            at = replace(
                at,
                items=at.items + 1,
                queries=at.queries + len(wanted),
                failures=at.failures + failures,
                fresh=at.fresh + len(left),
            )
            show(at)
        if not at.queries:
            raise InputError(f"the benchmark asks none of {', '.join(config['tasks'])}")
        if not done.finished:
            append(dumps({"end": {"queries": at.queries}}) + "\n")
    return at


@contextmanager
def _appending(path: Path) -> Iterator[Callable[[str], None]]:
    """Writes whole lines behind what a file holds; each is with the system when it returns.

    Raises:
        InputError: where nothing can be written; what was there before stays.
    """
    with disk.naming(path, then=_THEN):
        # Without a buffer, closing has nothing left to write, and so nothing to fail at.
        file = path.open("ab", buffering=0)

    def append(text: str) -> None:
        data = memoryview(text.encode())
        with disk.naming(path, then=_THEN):
            while data:
                data = data[file.write(data) :]

    with file:
        yield append


def _ask(item: Item, queries: list[Query], solver: Solver, write: Callable[[str], Any]) -> int:
    """Asks and writes; returns how many answers hold nothing."""
    start = time.perf_counter()
    answers = solver.solve(item, queries)
    # How long answers of a file took, only the file can tell.
    each = (
        None
        if isinstance(solver, FixedSolver)
        else round((time.perf_counter() - start) / len(queries), 6)
    )
    # One write an item: what a kill leaves is whole items and at most one broken line.
    write("".join(_line(item, q, answer, each) for q, answer in zip(queries, answers, strict=True)))
    return sum(not answer.prediction for answer in answers)


def _line(item: Item, query: Query, prediction: Prediction, seconds: float | None) -> str:
    record: Json = {
        "id": query.id,
        "cluster": item.key,
        "task": query.task,
        "ask": query.ask,
        "truth": query.truth,
        "prompt": prediction.prompt,
        "raw_text": prediction.raw_text,
        "prediction": prediction.prediction,
        "parsed": bool(prediction.prediction),
        "seconds": seconds if prediction.seconds is None else prediction.seconds,
    }
    if prediction.intrinsics is not None:
        record["intrinsics"] = list(prediction.intrinsics)
    if prediction.cost_usd is not None:
        record["cost_usd"] = prediction.cost_usd
    return dumps(record) + "\n"


def _resume(path: Path, config: Json) -> _Done:
    """What the file holds; the broken line of a kill is cut off."""
    if not path.exists() or path.stat().st_size == 0:
        return _Done({})
    _drop_broken_end(path)
    if path.stat().st_size == 0:
        return _Done({})
    before, _ = read_header(path)
    now = json.loads(dumps(config))
    changed = [
        f"{key}: {_told(before, key)} there, {_told(now, key)} now"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise InputError(
            f"{str(path.parent)!r} holds a run with another configuration "
            f"({'; '.join(changed)}); give another folder with -o"
        )
    damaged: list[tuple[int, str]] = []
    digests: dict[str, bytes] = {}
    finished = False
    ids = Ids(path)
    for _, record in lines(path, damaged):
        if "end" in record:
            finished = True
        elif "id" in record:
            ids.add(str(record["id"]))
            digests[str(record["id"])] = _digest(record.get("ask"), record.get("truth"))
    ids.refuse_doubled()
    return _Done(digests, finished)


def _told(config: Json, key: str) -> str:
    text = repr(config[key]) if key in config else "nothing"
    return text if len(text) <= 80 else text[:77] + "..."


def _digest(ask: object, truth: object) -> bytes:
    """Of a query and its truth, small enough to hold a million."""
    text = json.dumps([ask, truth], sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _drop_broken_end(path: Path) -> None:
    with path.open("rb+") as file:
        data = file.read()
        if not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)


def _is_done(query: Query, done: _Done, path: Path) -> bool:
    if query.id not in done.digests:
        return False
    if done.digests[query.id] != _digest(query.ask, query.truth):
        raise InputError(
            f"{str(path)!r} holds another question or truth for {query.id!r}: the data changed "
            "since; give another folder with -o"
        )
    return True


def environment() -> Json:
    """What ran: versions, commit, machine kind, time."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "vlm3": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": packages,
        "machine": platform.machine(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    """The commit of the checkout vlm3 runs from; None where it was installed from a wheel."""
    here = Path(__file__).resolve().parents[3]
    if not (here / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", os.fspath(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
