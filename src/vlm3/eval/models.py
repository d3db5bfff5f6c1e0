"""Resolve `--model M` to a solver: an oracle, a floor, an expert or a checkpoint."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm3.errors import InputError
from vlm3.eval.baselines.experts import ADAPTERS, ExpertSolver
from vlm3.eval.benchmark import Benchmark
from vlm3.eval.items import Item
from vlm3.eval.join import joined
from vlm3.eval.predictions import pack, unanswered
from vlm3.eval.solvers import FixedSolver, ModelSolver, OracleSolver, Prediction, Solver
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.loading import load
from vlm3.infer.predictor import Predictor
from vlm3.infer.resolve_protocol import wording_digest
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.registry import TASKS
from vlm3.tasks.task import Json

FLOORS = ("constant", "median", "identity", "majority")
"""Floors that can be a row of their own; constant is the first of every task's."""

_ANY = "joint"
_MULTIPLE_PX = 32


@dataclass(frozen=True)
class Chosen:
    """Who answers.

    Attributes:
        name: what tables call it.
        solver: does it.
        protocol: the wording of its prompts; None for those without prompts.
        damaged: lines of a joined file that could not be used, with their numbers.
        unanswered: ids of queries that a joined file has no usable line for.
        identity: what else decides the answers: weights, wording, sizes, server.
    """

    name: str
    solver: Solver
    protocol: str | None = None
    f_px: float | None = None
    damaged: tuple[tuple[int, str], ...] = ()
    unanswered: tuple[str, ...] = ()
    identity: Json = field(default_factory=dict)

    def config(self) -> Json:
        """What of it belongs to a run's configuration."""
        known = {"name": self.name, "protocol": self.protocol, "f_px": self.f_px}
        return known | self.identity

    @property
    def doubt(self) -> str | None:
        """What a run that goes on cannot know of who answers; None where it knows all."""
        if "server" not in self.identity or self.identity["weights"] is not None:
            return None
        return (
            f"{self.identity['server']} does not tell its weights: nobody can know here whether "
            "they are those of the answers that are there"
        )

    def kept(self) -> int:
        """Answers that came from what an earlier run kept of a server."""
        predictor = getattr(self.solver, "predictor", None)
        return int(getattr(getattr(predictor, "engine", None), "kept", 0))


def choose(
    model: str,
    benchmark: Benchmark,
    items: list[Item] | None,
    *,
    protocol: str | None = None,
    **where: Any,
) -> Chosen:
    """Who `--model` means.

    Args:
        model: "oracle", "says:TEXT", a floor, an adapter, or a checkpoint as `load` takes it.
        benchmark: for whom.
        items: all of its items, for the floors; None is enough for the others.
        protocol: as `load` takes it.
        where: `device`, `base_url`, `int8`, `cache`, as `load` takes them.

    Raises:
        InputError: as `load`; or the model has no words and a protocol was given.
    """
    if model == "oracle":
        words = get_protocol(protocol or _ANY)
        identity = {"wording": wording_digest(words)}
        return Chosen("oracle", OracleSolver(words, _MULTIPLE_PX), words.name, identity=identity)
    if model.startswith("says:"):
        words = get_protocol(protocol or _ANY)
        text = model.removeprefix("says:")
        predictor = Predictor(ConstantEngine(text), words, multiple_px=_MULTIPLE_PX)
        identity = {"wording": wording_digest(words)}
        return Chosen(f"says {text!r}", ModelSolver(predictor), words.name, identity=identity)
    if model in FLOORS or model in ADAPTERS:
        if protocol is not None:
            raise InputError(f"{model} takes no prompts; leave --protocol out")
        if model in FLOORS:
            return _floor(model, items or [])
        expert = ADAPTERS[model].load(roads=benchmark.roads)
        return Chosen(expert.name, ExpertSolver(expert, benchmark.label))
    predictor = load(model, protocol=protocol, **where)
    prep = predictor.protocol.prep
    return Chosen(
        model,
        ModelSolver(predictor),
        predictor.protocol.name,
        prep.target_px if prep.kind != "long_side" else None,
        identity=identity_of(predictor) | ({"int8": True} if where.get("int8") else {}),
    )


def identity_of(predictor: Predictor) -> Json:
    """What decides a predictor's answers beside names: two that differ in it are two models."""
    engine = predictor.engine
    weights = getattr(engine, "weights", None)
    found: Json = {
        "weights": weights,
        "wording": wording_digest(predictor.protocol),
        "multiple_px": predictor.multiple_px,
        "max_tokens": predictor.max_tokens,
    }
    server: Json | None = getattr(engine, "server", None)
    if server is not None:
        # Exact weights identify the model better than the server's settings.
        found |= server if weights is None else {"server": server["server"]}
    return found


def from_file(path: Path, name: str, benchmark: Benchmark, items: list[Item]) -> Chosen:
    """The answers in a file; see `join`."""
    queries = {query.id: query for item in items for query in item.queries}
    predictions, damaged = joined(path, queries, benchmark.label)
    tasks = frozenset(queries[ident].task for ident in predictions)
    return Chosen(
        name,
        FixedSolver(predictions.get, tasks),
        damaged=tuple(damaged),
        unanswered=tuple(i for i, q in queries.items() if q.task in tasks and i not in predictions),
        identity={"predictions_sha256": hashlib.sha256(path.read_bytes()).hexdigest()[:16]},
    )


def _floor(model: str, items: list[Item]) -> Chosen:
    found: dict[str, Prediction] = {}
    names = []
    for name, rows in pack(unanswered(items)).items():
        task = TASKS[name]
        offered = task.floors(rows)
        if model != "constant":
            offered = [floor for floor in offered if floor.name.startswith(model)]
        if not offered:
            continue
        floor = offered[0]
        names.append(floor.name)
        for ident, values in zip(rows.ids, floor.rows.predicted, strict=True):
            found[ident] = Prediction(prediction=task.values(values.tolist()))
    tasks = frozenset(q.task for item in items for q in item.queries if q.id in found)
    if not found:
        raise InputError(f"this benchmark has no floor called {model!r}; try constant")
    return Chosen("; ".join(names), FixedSolver(found.get, tasks))
