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
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3 import strict_json
from vlm3.errors import InputError
from vlm3.eval.items import Item, Json
from vlm3.geometry.pose import rotation_from_ypr_deg
from vlm3.tasks import correspondence, depth, objects, pose
from vlm3.tasks.base import ParseFailure, Task
from vlm3.tasks.protocol import Protocol, get_protocol

FORMAT = 1
FILE = "predictions.jsonl"
OBJECT_VALUES = ("value_m", "clock_hour", "yes", "region")
# Numbers beyond are nobody's distances, pixels or seconds, and their squares overflow.
_LARGEST = 1e9
_SMALLEST = 1e-9
"""Of a true length: errors are relative to it."""
# What a record that is not what it should be makes Python raise.
UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
_WIDTH: dict[str, tuple[int, int]] = {
    # numbers of prediction and truth, and of ask
    "depth": (2, 2),
    "correspondence": (2, 6),
    "pose": (13, 1),
    "objects": (4, 0),
}


@dataclass(frozen=True, eq=False)
class Rows:
    """The answers of one task, packed.

    Attributes:
        task: which.
        ids: (n,) query ids.
        clusters: (n,) number of the picture or pair of each.
        groups: (n,) category of each; empty strings but for objects.
        predicted: (n, k), NaN where nothing was read. depth: distance, and the value to hold
            against the published label; correspondence: x, y; pose: rotation by rows, direction,
            distance; objects: `OBJECT_VALUES`.
        truth: (n, k), the same.
        ask: (n, j). depth: x, y; correspondence: x, y, size a, size b; pose: metric or not.
        seconds: (n,) NaN where unknown.
        cost_usd: (n,) NaN where unknown.
    """

    task: Task
    ids: tuple[str, ...]
    clusters: NDArray[np.intp]
    groups: tuple[str, ...]
    predicted: NDArray[np.float64]
    truth: NDArray[np.float64]
    ask: NDArray[np.float64]
    seconds: NDArray[np.float64]
    cost_usd: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Run:
    """A predictions file, read.

    Attributes:
        path: the file.
        config: what was asked of whom, and how: two runs with the same are the same run.
        environment: versions, commit, time.
        rows: task -> its answers.
        damaged: (line number, what is wrong) of lines that could not be used.
        complete: whether the run came to its end.
        missing: queries that a complete run asked and that no usable line answers.
    """

    path: Path
    config: Json
    environment: Json
    rows: dict[Task, Rows]
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
    packers: dict[Task, _Packer] = {}
    damaged: list[tuple[int, str]] = []
    asked: int | None = None
    ids = Ids(path)
    for number, record in lines(path, damaged):
        if "end" in record:
            asked = _asked_in_all(record)
        elif "id" in record:
            try:
                task = record["task"]
                if task not in _WIDTH:
                    raise ValueError(f"no task {str(task)[:40]!r}")
                ids.add(str(record["id"]))
                if task not in packers:
                    packers[task] = _Packer(task, protocol)
                packers[task].add(record)
            except (RecursionError, *UNUSABLE) as error:
                damaged.append((number, f"not a usable record ({repr(error)[:160]})"))
    ids.refuse_doubled()
    rows = {task: packer.rows() for task, packer in packers.items() if packer.ids}
    if not rows:
        raise InputError(f"no answer could be read from {str(path)!r}")
    missing = max(0, (asked or 0) - sum(map(len, rows.values())))
    return Run(path, config, environment, rows, tuple(damaged), asked is not None, missing)


def _asked_in_all(record: Json) -> int:
    """How many queries a finished run asked, from its last line; 0 where that is damaged."""
    end = record["end"]
    count = end.get("queries") if isinstance(end, dict) else None
    return count if isinstance(count, int) and 0 <= count < _LARGEST else 0


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
        ask = record["ask"]
        truth = numbers_of(self.task, record["truth"])
        prediction = read_again(self.task, record, self.protocol)
        said = numbers_of(self.task, prediction)
        row = [*said, *truth, *_asked(self.task, ask)]
        row += [_number(record.get("seconds")), _number(record.get("cost_usd"))]
        ident, cluster = str(record["id"]), str(record["cluster"])
        # One string for each kind, not one for each answer.
        group = str(ask.get("category", ""))
        if self.task == "depth" and not all(v >= _SMALLEST for v in truth):
            raise ValueError("the truth is no distance")
        if self.task == "objects" and 0 < truth[0] < _SMALLEST:
            raise ValueError("the truth is no length")
        if not all(map(math.isfinite, truth[:9] if self.task == "pose" else truth[:1])):
            known = [v for v in truth if math.isfinite(v)]
            if self.task != "objects" or len(known) != 1:
                raise ValueError("the truth is not complete")
        # Nothing of a record is kept before all of it is known to be good.
        self.ids.append(ident)
        self.clusters.append(self.pictures.setdefault(cluster, len(self.pictures)))
        self.groups.append(self.kinds.setdefault(group, group))
        self.numbers.extend(row)

    def rows(self) -> Rows:
        k, j = _WIDTH[self.task]
        table = np.frombuffer(self.numbers, dtype=np.float64).reshape(len(self.ids), 2 * k + j + 2)
        return Rows(
            self.task,
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
    raw: Any = record.get("raw_text")
    if raw is None or protocol is None:
        prediction: Json | None = record.get("prediction")
        return prediction
    if task == "depth":
        value = depth.parse(protocol, raw)
        return None if isinstance(value, ParseFailure) else {"distance_m": value}
    if task == "correspondence":
        width, height = record["ask"]["size_b_px"]
        xy = correspondence.parse(
            protocol, raw, width_px=width, height_px=height, question=record.get("prompt")
        )
        return None if isinstance(xy, ParseFailure) else {"xy_px": xy.tolist()}
    if task == "pose":
        return _read_pose(raw, protocol)
    said = objects.parse(record["prompt"], raw, len(record["ask"]["boxes_xyxy_px"]))
    return None if isinstance(said, ParseFailure) else {n: getattr(said, n) for n in OBJECT_VALUES}


def _read_pose(raw: dict[str, str], protocol: Protocol) -> Json:
    found: Json = {}
    for component in pose.COMPONENTS:
        if component in raw:
            value = pose.parse(protocol, component, raw[component])
            if component == "rotation" and isinstance(value, np.ndarray):
                found["rotation"] = rotation_from_ypr_deg(value).tolist()
            elif component == "direction" and isinstance(value, np.ndarray):
                found["direction"] = value.tolist()
            elif component == "distance" and isinstance(value, float):
                found["distance_m"] = value
    return found


def numbers_of(task: Task, values: Json | None) -> list[float]:
    """A prediction or a truth as numbers, NaN where it says nothing; see `Rows.predicted`."""
    values = values or {}
    if task == "depth":
        distance = _number(values.get("distance_m"))
        label = values.get("label_m")
        return [distance, distance if label is None else _number(label)]
    if task == "correspondence":
        return _numbers(values.get("xy_px"), 2)
    if task == "objects":
        return [_number(values.get(name)) for name in OBJECT_VALUES]
    if values.get("cam1_from_cam2") is not None:
        T = np.asarray(values["cam1_from_cam2"], dtype=np.float64).reshape(4, 4)
        if not (np.abs(T) <= _LARGEST).all():
            return [math.nan] * 13
        distance = float(np.linalg.norm(T[:3, 3]))
        moved = T[:3, 3] / distance if distance > 1e-9 else np.full(3, np.nan)
        return [*T[:3, :3].ravel().tolist(), *moved.tolist(), distance]
    turned = values.get("rotation")
    flat = None if turned is None else np.asarray(turned, dtype=np.float64).ravel().tolist()
    moved_to = _numbers(values.get("direction"), 3)
    return [*_numbers(flat, 9), *moved_to, _number(values.get("distance_m"))]


def _asked(task: Task, ask: Json) -> list[float]:
    if task == "depth":
        return _numbers(ask["xy_px"], 2)
    if task == "correspondence":
        sizes = (_numbers(ask[name], 2) for name in ("size_a_px", "size_b_px"))
        return [*_numbers(ask["xy_px"], 2), *(v for size in sizes for v in size)]
    return [float(ask.get("metric", True))] if task == "pose" else []


def _numbers(values: Sequence[float] | None, count: int) -> list[float]:
    if values is None:
        return [math.nan] * count
    found = [_number(v) for v in values]
    if len(found) != count:
        raise ValueError(f"{len(found)} numbers where {count} belong")
    # A prediction is there or it is not: half a pixel is none.
    return found if all(map(math.isfinite, found)) else [math.nan] * count


def _number(value: Any) -> float:
    """A number somebody could mean; NaN for any other, and for none."""
    if value is None:
        return math.nan
    try:
        number = float(value)
    except OverflowError:
        return math.nan
    return number if abs(number) <= _LARGEST else math.nan


def values_of(task: Task, numbers: Sequence[float]) -> Json:
    """The inverse of `numbers_of`: as a record holds a prediction."""
    n = [value if math.isfinite(value) else None for value in numbers]
    if task == "depth":
        return {"distance_m": n[0], "label_m": n[1]}
    if task == "correspondence":
        return {"xy_px": n}
    if task == "objects":
        return {name: v for name, v in zip(OBJECT_VALUES, n, strict=True) if v is not None}
    rotation = [n[0:3], n[3:6], n[6:9]]
    return {"rotation": rotation, "direction": n[9:12], "distance_m": n[12]}


def pack(items: Iterable[Item]) -> dict[Task, Rows]:
    """The queries of items as rows without predictions."""
    packers: dict[Task, _Packer] = {}
    for item in items:
        for q in item.queries:
            record: Json = {"id": q.id, "cluster": item.key, "ask": q.ask, "truth": q.truth}
            packers.setdefault(q.task, _Packer(q.task, None)).add(record)
    return {task: packer.rows() for task, packer in packers.items()}
