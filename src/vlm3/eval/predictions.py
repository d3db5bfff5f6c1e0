"""The predictions file: one header line, then one line a query; written and read here only.

    {"vlm3_eval": 1, "config": {...}, "environment": {...}}
    {"id": "00017", "cluster": "rgb/a.png", "task": "depth", "ask": {...}, "truth": {...},
     "prompt": "...", "raw_text": "...", "prediction": {...}, "parsed": true, "seconds": 0.2}
    {"end": {"queries": 5000}}

Everything a score needs is in it. Reading packs numbers into arrays, so that a million answers
fit; a line that is damaged is named by its number and the rest is read; an id that stands there
twice is an error, because nobody can tell which of the two counts. Text is parsed again on reading:
a better parser scores old runs anew.
"""

import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vlm3 import strict_json
from vlm3.errors import InputError
from vlm3.eval.items import Item
from vlm3.tasks.base import TaskName
from vlm3.tasks.protocol import Protocol, get_protocol
from vlm3.tasks.registry import TASKS
from vlm3.tasks.scoring import LARGEST, Rows, number
from vlm3.tasks.task import Json, Task

FORMAT = 1
FILE = "predictions.jsonl"
# What a record that is not what it should be makes Python raise.
UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)


@dataclass(frozen=True)
class Run:
    """A predictions file, read.

    Attributes:
        path: the file.
        config: model, protocol and queries: two runs with the same are the same run.
        environment: versions, commit, time.
        rows: task -> its answers.
        damaged: (line number, what is wrong) of lines that could not be used.
        complete: whether the run came to its end.
        missing: queries of a complete run that no usable line answers.
    """

    path: Path
    config: Json
    environment: Json
    rows: dict[TaskName, Rows]
    damaged: tuple[tuple[int, str], ...] = ()
    complete: bool = True
    missing: int = 0

    @property
    def name(self) -> str:
        """What tables call it."""
        return str(self.config.get("name") or self.config.get("model", self.path.parent.name))


def header_line(config: Json, environment: Json) -> str:
    """The first line of a predictions file."""
    return dumps({"vlm3_eval": FORMAT, "config": config, "environment": environment})


def dumps(record: Json) -> str:
    """One line; NaN has no place in JSON, and None says what it means."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def read_header(path: Path) -> tuple[Json, Json]:
    """Config and environment of a predictions file.

    Raises:
        InputError: it is none.
    """
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline())
        found = first["vlm3_eval"]
        if found == FORMAT:
            return _checked(first["config"], first["environment"])
    except (OSError, RecursionError, *UNUSABLE) as error:
        raise InputError(
            f"{str(path)!r} is no predictions file ({str(error)[:120] or type(error).__name__}); "
            "give a folder that vlm3 eval wrote"
        ) from error
    raise InputError(f"{str(path)!r} has format {str(found)[:40]}, not {FORMAT}")


def _checked(config: Json, environment: Json) -> tuple[Json, Json]:
    """A header that reports can be made from.

    Raises:
        ValueError: it is none.
    """
    for name, part in (("config", config), ("environment", environment)):
        if not isinstance(part, dict):
            raise ValueError(f"its {name} is no object")
        # NaN, infinities and half characters cannot be written again.
        dumps(part).encode()
    for name in ("protocol", "name", "benchmark"):
        if not isinstance(config.get(name), str | None):
            raise ValueError(f"{name} in its config is no text")
    joined = environment.get("joined_damaged", [])
    pairs = isinstance(joined, list) and all(isinstance(p, list) and len(p) == 2 for p in joined)
    if not pairs or not isinstance(environment.get("packages", {}), dict):
        raise ValueError("its environment is not of the known form")
    return config, environment


def read_run(folder: str | Path) -> Run:
    """A run's folder, or its predictions file.

    Raises:
        InputError: there is none, no line of it can be used, or queries are answered twice.
    """
    given = Path(folder)
    path = given / FILE if given.is_dir() else given
    config, environment = read_header(path)
    protocol = get_protocol(config["protocol"]) if config.get("protocol") else None
    packers: dict[TaskName, _Packer] = {}
    damaged: list[tuple[int, str]] = []
    total: int | None = None
    ids = Ids(path)
    for line, record in lines(path, damaged):
        if "end" in record:
            total = _asked_in_all(record)
        elif "id" in record:
            try:
                task = record["task"]
                if task not in TASKS:
                    raise ValueError(f"no task {str(task)[:40]!r}")
                ids.add(str(record["id"]))
                if task not in packers:
                    packers[task] = _Packer(TASKS[task], protocol)
                packers[task].add(record)
            except (RecursionError, *UNUSABLE) as error:
                damaged.append((line, f"not a usable record ({repr(error)[:160]})"))
    ids.refuse_doubled()
    rows = {task: packer.rows() for task, packer in packers.items() if packer.ids}
    if not rows:
        raise InputError(f"no answer could be read from {str(path)!r}")
    missing = max(0, (total or 0) - sum(map(len, rows.values())))
    return Run(path, config, environment, rows, tuple(damaged), total is not None, missing)


def _asked_in_all(record: Json) -> int:
    """How many queries a finished run has, from its last line; 0 where that is damaged."""
    end = record["end"]
    count = end.get("queries") if isinstance(end, dict) else None
    return count if isinstance(count, int) and 0 <= count < LARGEST else 0


class Ids:
    """Watches for queries that a file answers twice.

    Args:
        path: the file, for the error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: set[str] = set()
        self._doubled: dict[str, int] = {}

    def add(self, ident: str) -> None:
        """Notes one."""
        if ident in self._seen:
            self._doubled[ident] = self._doubled.get(ident, 1) + 1
        self._seen.add(ident)

    def refuse_doubled(self) -> None:
        """Refuses the file if any stands there more than once.

        Raises:
            InputError: names the first ones.
        """
        if self._doubled:
            first = ", ".join(f"{k[:40]!r} {n} times" for k, n in list(self._doubled.items())[:3])
            raise InputError(
                f"{str(self._path)!r} answers {len(self._doubled)} of {len(self._seen)} queries "
                f"more than once ({first}): two runs wrote there, or lines were copied; keep one "
                "line of each, or give another folder"
            )


def lines(
    path: Path, damaged: list[tuple[int, str]], *, header: bool = True
) -> Iterator[tuple[int, Json]]:
    """The records after the header with their line numbers; damaged ones are noted instead."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if (header and number == 1) or not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                damaged.append((number, "not JSON: cut off or overwritten"))
                continue
            if not isinstance(record, dict):
                damaged.append((number, "not a JSON object"))
            elif b"\\ud" in line.lower() and not _is_text(record):
                damaged.append((number, "half a character, which cannot be written again"))
            else:
                yield number, record


def _is_text(record: Json) -> bool:
    """Whether its strings are whole; a lone surrogate is not."""
    try:
        strict_json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(eq=False)
class _Packer:
    """Grows the arrays of one task."""

    task: Task
    protocol: Protocol | None
    ids: list[str] = field(default_factory=list)
    clusters: "array[int]" = field(default_factory=lambda: array("q"))
    groups: list[str] = field(default_factory=list)
    numbers: "array[float]" = field(default_factory=lambda: array("d"))
    pictures: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def add(self, record: Json) -> None:
        task, ask = self.task, record["ask"]
        truth = task.numbers(record["truth"])
        predicted = task.numbers(read_again(task, record, self.protocol) or {})
        row = [*predicted, *truth, *task.asked(ask)]
        row += [number(record.get("seconds")), number(record.get("cost_usd"))]
        ident, cluster = str(record["id"]), str(record["cluster"])
        # One string for each kind, not one for each answer.
        group = str(ask.get("category", ""))
        task.check_truth(truth)
        # Nothing of a record is kept before all of it is known to be good.
        self.ids.append(ident)
        self.clusters.append(self.pictures.setdefault(cluster, len(self.pictures)))
        self.groups.append(self.kinds.setdefault(group, group))
        self.numbers.extend(row)

    def rows(self) -> Rows:
        k, j = self.task.columns, self.task.asked_columns
        table = np.frombuffer(self.numbers, dtype=np.float64).reshape(len(self.ids), 2 * k + j + 2)
        return Rows(
            self.task.name,
            tuple(self.ids),
            np.frombuffer(self.clusters, dtype=np.int64).astype(np.intp),
            tuple(self.groups),
            predicted=table[:, :k],
            truth=table[:, k : 2 * k],
            ask=table[:, 2 * k : 2 * k + j],
            seconds=table[:, -2],
            cost_usd=table[:, -1],
        )


def read_again(task: Task, record: Json, protocol: Protocol | None) -> Json | None:
    """What a record's text says under its protocol; without text, the prediction it holds."""
    text: Any = record.get("raw_text")
    if text is None or protocol is None:
        prediction: Json | None = record.get("prediction")
        return prediction
    ask = record["ask"]
    read = task.read(protocol, ask, record.get("prompt") or "", text)
    return None if read is None else task.judged(ask, record["truth"], read)


def pack(records: Iterable[Json], protocol: Protocol | None = None) -> dict[TaskName, Rows]:
    """Records, as `lines` gives them, as rows; texts are read under a protocol."""
    packers: dict[TaskName, _Packer] = {}
    for record in records:
        task = TASKS[record["task"]]
        packers.setdefault(task.name, _Packer(task, protocol)).add(record)
    return {task: packer.rows() for task, packer in packers.items()}


def unanswered(items: Iterable[Item]) -> Iterator[Json]:
    """The queries of items as records without predictions."""
    for item in items:
        for q in item.queries:
            yield {
                "id": q.id,
                "cluster": item.key,
                "task": q.task,
                "ask": q.ask,
                "truth": q.truth,
            }
