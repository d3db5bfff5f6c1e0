"""The same questions and scorers for lmms-eval: a folder with its task file, data and pictures.

`export` writes it; then

    python -m lmms_eval --model ... --include_path FOLDER --tasks vlm3_<benchmark>

asks lmms-eval's model, and what it prints comes from `vlm3.eval.score`. Pictures are stored as
the protocol resizes them, so that a model whose processor keeps sizes sees what it would see here.
The functions below are what the task file names.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vlm3 import disk
from vlm3.eval.benchmark import Benchmark
from vlm3.eval.items import Item
from vlm3.eval.predictions import FILE, dumps, header_line
from vlm3.eval.score import score
from vlm3.eval.solvers import ModelSolver, able
from vlm3.infer.engines.base import Scene, UInt8
from vlm3.infer.generation import max_new_tokens
from vlm3.infer.predictor import Predictor
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.registry import TASKS
from vlm3.tasks.task import Json, Words

DATA = "questions.jsonl"
_MULTIPLE_PX = 32
_TASK = """\
task: vlm3_{name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
  token: false
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: ""
process_results: !function utils.process_results
generation_kwargs:
  max_new_tokens: {tokens}
  do_sample: false
metric_list:
  - metric: vlm3
    aggregation: !function utils.aggregate
    higher_is_better: {higher}
metadata:
  - version: 1
"""
_UTILS = """\
from vlm3.eval.lmms import aggregate, doc_to_text, doc_to_visual, process_results

__all__ = ["aggregate", "doc_to_text", "doc_to_visual", "process_results"]
"""


class _Listener:
    """An engine that only keeps the pictures it is shown."""

    name = "listener"

    def __init__(self) -> None:
        self.images: tuple[UInt8, ...] = ()

    def open(self, images: Sequence[UInt8]) -> Scene:
        self.images = tuple(images)
        return Scene(self.images)

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        return [""] * len(questions)


def export(items: Iterable[Item], benchmark: Benchmark, protocol: Protocol, folder: Path) -> int:
    """Writes task file, data and pictures of one benchmark; returns how many questions."""
    with disk.whole_folder(folder) as partial:
        return _write(items, benchmark, protocol, partial, folder.resolve())


def _write(
    items: Iterable[Item], benchmark: Benchmark, protocol: Protocol, partial: Path, folder: Path
) -> int:
    """Writes into `partial` what says that it lies in `folder`."""
    count = 0
    with (partial / DATA).open("w", encoding="utf-8") as file:
        for doc in documents(items, benchmark, protocol, partial, folder):
            file.write(dumps(doc) + "\n")
            count += 1
    # What `aggregate` returns is the first task's.
    first = next(task for task in benchmark.tasks if task in able(protocol))
    higher = str(TASKS[first].higher_is_better).lower()
    task = _TASK.format(
        name=benchmark.name,
        data=json.dumps(str(folder / DATA), allow_nan=False),
        tokens=max_new_tokens(protocol),
        higher=higher,
    )
    (partial / f"vlm3_{benchmark.name}.yaml").write_text(task, encoding="utf-8")
    (partial / "utils.py").write_text(_UTILS, encoding="utf-8")
    return count


def documents(
    items: Iterable[Item], benchmark: Benchmark, protocol: Protocol, partial: Path, folder: Path
) -> Iterator[Json]:
    """Every question with all that a score needs, its pictures written as the model is to see them.

    Args:
        items: of the benchmark.
        benchmark: whose questions these are.
        protocol: whose words and picture size.
        partial: the pictures are written below it.
        folder: where it will lie.
    """
    (partial / "pictures").mkdir()
    listener = _Listener()
    solver = ModelSolver(Predictor(listener, protocol, _MULTIPLE_PX))
    for number, item in enumerate(items):
        queries = [q for q in item.queries if q.task in able(protocol)]
        if not queries:
            continue
        predictions = solver.solve(item, queries)
        paths = [f"pictures/{number:05d}-{k}.png" for k in range(len(listener.images))]
        for path, image in zip(paths, listener.images, strict=True):
            Image.fromarray(image).save(partial / path)
        for query, answer in zip(queries, predictions, strict=True):
            doc = {
                "id": query.id,
                "cluster": item.key,
                "task": query.task,
                "benchmark": benchmark.name,
                "protocol": protocol.name,
                # As text: the rows of a table must have the same columns.
                "ask": dumps(query.ask),
                "truth": dumps(query.truth),
                "pictures": [str(folder / path) for path in paths],
            }
            for component, prompt in _parts(answer.prompt):
                yield doc | {"component": component, "prompt": prompt}


def _parts(prompt: Words | None) -> list[tuple[str, str]]:
    """A pose's questions one by one, any other as it is."""
    if isinstance(prompt, dict):
        return list(prompt.items())
    return [("", prompt or "")]


def doc_to_visual(doc: Json) -> list[Image.Image]:
    """The pictures of a question."""
    return [Image.open(path).convert("RGB") for path in doc["pictures"]]


def doc_to_text(doc: Json, lmms_eval_specific_kwargs: Any = None) -> str:
    """The question."""
    return str(doc["prompt"])


def process_results(doc: Json, results: Sequence[str]) -> Json:
    """One answer, kept whole until all are there."""
    return {"vlm3": dict(doc) | {"text": results[0]}}


def aggregate(answers: Sequence[Json]) -> float:
    """The primary metric of the first task; all of them are printed."""
    with tempfile.TemporaryDirectory() as name:
        write_run(answers, Path(name), name="lmms-eval")
        scored = score(name)
    for part in scored.tasks:
        for one in part.scores:
            print(
                f"{part.task} {one.name}: {one.value:.4f} ({one.failures} of {one.samples} failed)"
            )
    return scored.tasks[0].scores[0].value


def write_run(answers: Sequence[Json], folder: Path, *, name: str) -> Path:
    """Writes answered documents as a predictions file.

    Args:
        answers: documents with what was answered in `text`.
        folder: of the run.
        name: what tables call it.
    """
    merged: dict[str, Json] = {}
    for answer in answers:
        record = merged.setdefault(
            answer["id"],
            {
                **{name: answer[name] for name in ("id", "cluster", "task")},
                "ask": json.loads(answer["ask"]),
                "truth": json.loads(answer["truth"]),
            },
        )
        if answer["component"]:
            record.setdefault("raw_text", {})[answer["component"]] = answer["text"]
            record.setdefault("prompt", {})[answer["component"]] = answer["prompt"]
        else:
            record |= {"raw_text": answer["text"], "prompt": answer["prompt"]}
            merged[answer["id"]] = record
    first = answers[0]
    config = {"benchmark": first["benchmark"], "name": name, "protocol": first["protocol"]}
    end = dumps({"end": {"queries": len(merged)}})
    lines = [header_line(config, {}), *map(dumps, merged.values()), end]
    return disk.write(folder / FILE, "\n".join(lines) + "\n")
