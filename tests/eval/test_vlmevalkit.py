"""VLMEvalKit asks our questions, we score its answers: its own code where it is, else by hand."""

import csv
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vlm3.cli.main import main
from vlm3.errors import InputError
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.readers import EVERY, Wanted, read_items
from vlm3.eval.score import score
from vlm3.eval.vlmevalkit import export, join, read_answers
from vlm3.tasks.protocol import get_protocol

NAME = "vlm3_ibims1"


def written(depthlm: Path, folder: Path) -> Path:
    benchmark = get_benchmark("ibims1")
    items = read_items(Wanted(benchmark, depthlm, EVERY, 42))
    assert export(items, benchmark, get_protocol("release-depth"), folder) == 20
    return folder / f"{NAME}.tsv"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


def answered(source: Path, target: Path, texts: list[str]) -> Path:
    """As VLMEvalKit writes it with PRED_FORMAT=tsv: the columns, and one of predictions."""
    rows = table(source)
    with target.open("w", encoding="utf-8", newline="") as file:
        names = [*rows[0], "prediction"]
        out = csv.DictWriter(file, names, dialect="excel-tab", quoting=csv.QUOTE_ALL)
        out.writeheader()
        for row, text in zip(rows, texts, strict=True):
            out.writerow(row | {"prediction": text})
    return target


def truths(path: Path) -> list[float]:
    return [json.loads(row["truth"])["label_m"] for row in table(path)]


def test_answers_are_scored_as_any_others(depthlm: Path, tmp_path: Path) -> None:
    source = written(depthlm, tmp_path / "kit")
    rows = table(source)
    assert [row["index"] for row in rows] == [str(k) for k in range(20)]
    assert all(Path(row["image_path"]).is_file() for row in rows)
    wanted = truths(source)
    # One refusal, one failure of its own, several lines, the rest 10 % off.
    texts = [
        f"<think>\n{k}\n</think>\n<answer> {m * 1.1:.3f} </answer>" for k, m in enumerate(wanted)
    ]
    texts[0], texts[1] = "I cannot tell.", "Failed to obtain answer via API."
    file = answered(source, tmp_path / "toy.tsv", texts)
    where = ["--data", str(depthlm), "--predictions", str(file), "--name", "toy"]
    out = str(tmp_path / "run")
    done = CliRunner().invoke(main, ["eval", "ibims1", *where, "-o", out])
    assert done.exit_code == 0, done.output
    (task,) = score(tmp_path / "run").tasks
    assert task.scores[0].name.startswith("delta1") and task.scores[0].value == pytest.approx(
        18 / 20
    )
    assert task.scores[0].failures == 2
    again = CliRunner().invoke(main, ["eval", "ibims1", *where, "-o", out])
    assert again.exit_code == 2 and "is not empty" in again.output


def test_a_pair_has_two_pictures_in_one_cell(tmp_path: Path) -> None:

    items = _pairs(tmp_path)
    benchmark = get_benchmark("shards")
    count = export(items, benchmark, get_protocol("joint"), tmp_path / "kit")
    rows = table(tmp_path / "kit" / "vlm3_shards.tsv")
    assert count == len(rows)
    pairs = [row for row in rows if row["task"] in ("correspondence", "pose")]
    assert pairs and all(len(eval(row["image_path"])) == 2 for row in pairs)
    parts = {row["component"] for row in rows if row["task"] == "pose"}
    assert len(parts) > 1, "a pose is asked part by part"
    file = answered(tmp_path / "kit" / "vlm3_shards.tsv", tmp_path / "a.tsv", ["?"] * count)
    join(file, "shards", tmp_path / "run", name="toy")
    assert {task.task for task in score(tmp_path / "run").tasks} == {row["task"] for row in rows}


def _pairs(folder: Path) -> Any:
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
    from test_own_splits import wanted, write

    write(folder / "shards")
    return list(read_items(wanted(folder / "shards")))[::5]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("prediction", "guess"), "no column 'prediction'"),
        (lambda text: text.replace('"ibims1"', '"ddad"'), "asks 'ddad', not ibims1"),
        (lambda text: text.replace("label_m", "x\\"), "row 2 is damaged"),
        (lambda text: "", "has no column"),
    ],
)
def test_other_tables_are_one_line(depthlm: Path, tmp_path: Path, change: Any, says: str) -> None:
    source = written(depthlm, tmp_path / "kit")
    file = answered(source, tmp_path / "toy.tsv", ["1"] * 20)
    file.write_text(change(file.read_text("utf-8")), "utf-8")
    with pytest.raises(InputError, match=says) as caught:
        read_answers(file, "ibims1")
    assert "\n" not in str(caught.value)


def test_vlmevalkit_itself(depthlm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own data set and its own loop over a model that answers what stands in the table."""
    if find_spec("vlmeval") is None:
        pytest.skip("VLMEvalKit is not installed (it is no package on PyPI)")
    source = written(depthlm, tmp_path / "kit")
    monkeypatch.setenv("LMUData", str(tmp_path / "kit"))
    monkeypatch.setenv("PRED_FORMAT", "tsv")
    from vlmeval.dataset import build_dataset
    from vlmeval.inference import infer_data_job

    wanted = iter(truths(source))
    seen: list[Any] = []

    class Model:
        is_api = False

        def set_dump_image(self, dump: Any) -> None: ...

        def generate(self, message: Any, dataset: str) -> str:
            seen.append(message)
            return f"<think>\nfar\n</think>\n<answer> {next(wanted):.4f} </answer>"

    data = build_dataset(NAME)
    assert type(data).__name__ == "CustomVQADataset" and len(data) == 20
    (tmp_path / "out").mkdir()
    infer_data_job(Model(), work_dir=str(tmp_path / "out"), model_name="toy", dataset=data)
    rows = table(source)
    assert [m[-1]["value"] for m in seen] == [row["question"] for row in rows]
    assert [m[0]["value"] for m in seen] == [row["image_path"] for row in rows]
    join(tmp_path / "out" / f"toy_{NAME}.tsv", "ibims1", tmp_path / "run", name="toy")
    (task,) = score(tmp_path / "run").tasks
    assert task.scores[0].value == 1.0 and task.scores[0].failures == 0
