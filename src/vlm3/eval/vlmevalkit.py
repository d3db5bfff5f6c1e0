"""The same questions and scorers for VLMEvalKit: its table of a custom data set, and its answers.

`export` writes vlm3_<benchmark>.tsv and pictures into a folder; then, in VLMEvalKit,

    LMUData=FOLDER PRED_FORMAT=tsv python run.py --data vlm3_<benchmark> --model ... --mode infer

asks its models, and `vlm3 eval <benchmark> --predictions MODEL_vlm3_<benchmark>.tsv -o RUN` scores
what it wrote. Such a table is a `CustomVQADataset` there, which has no scorer of its own
(open-compass/VLMEvalKit, vlmeval/dataset/__init__.py and image_vqa.py).
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.eval.benchmark import Benchmark
from vlm3.eval.items import Item
from vlm3.eval.lmms import documents, write_run
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.task import Json

_KEPT = ("id", "cluster", "task", "benchmark", "protocol", "ask", "truth", "component")
_LONGEST_FIELD = 10**6


def export(items: Iterable[Item], benchmark: Benchmark, protocol: Protocol, folder: Path) -> int:
    """Writes the table and the pictures of one benchmark; returns how many questions."""
    count = 0
    with (
        disk.whole_folder(folder) as partial,
        (partial / f"vlm3_{benchmark.name}.tsv").open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, dialect="excel-tab", quoting=csv.QUOTE_ALL)
        table.writerow(("index", "question", "image_path", *_KEPT))
        for doc in documents(items, benchmark, protocol, partial, folder.resolve()):
            paths = doc["pictures"]
            # One path as it is, several as a list in Python's words: so it reads them.
            pictures = paths[0] if len(paths) == 1 else repr(paths)
            table.writerow((count, doc["prompt"], pictures, *(doc[name] for name in _KEPT)))
            count += 1
    return count


def read_answers(path: Path, benchmark: str) -> list[Json]:
    """The answers in a table that VLMEvalKit wrote, as `write_run` takes them.

    Raises:
        InputError: it is no such table, has no answers yet, or is another benchmark's.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, dialect="excel-tab"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the answers {str(path)!r} ({error})") from error
    wanted = ("question", "prediction", *_KEPT)
    if not rows or any(rows[0].get(name) is None for name in wanted):
        lost = next((name for name in wanted if not rows or rows[0].get(name) is None), "")
        raise InputError(
            f"{path} has no column {lost!r}: give the table with predictions that VLMEvalKit wrote "
            "of an export by --vlmevalkit, with PRED_FORMAT=tsv"
        )
    answers = []
    for number, row in enumerate(rows, start=2):
        if row["benchmark"] != benchmark:
            raise InputError(
                f"{path}, row {number}: asks {row['benchmark']!r:.80}, not {benchmark}"
            )
        try:
            for name in ("ask", "truth"):
                if not isinstance(json.loads(row[name]), dict):
                    raise ValueError(f"{name} is no object")
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{path}, row {number} is damaged ({str(error)[:100]})") from error
        answers.append(
            {name: row[name] for name in _KEPT}
            | {"prompt": row["question"], "text": row["prediction"] or ""}
        )
    return answers


def join(path: Path, benchmark: str, folder: Path, *, name: str) -> None:
    """Writes the answers of a table as a run.

    Raises:
        InputError: see `read_answers`; or the folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; give a new folder")
    answers = read_answers(path, benchmark)
    disk.make_folder(folder)
    write_run(answers, folder, name=name)
