"""Runs: killed and resumed, refused, joined, damaged; scored again and compared."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import Counting

from vlm3.cli.main import main
from vlm3.errors import InputError
from vlm3.eval import models
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.items import Item
from vlm3.eval.join import joined, write_queries
from vlm3.eval.models import choose, from_file
from vlm3.eval.predict import predict
from vlm3.eval.predictions import FILE, read_run
from vlm3.eval.readers import EVERY, Wanted, read_items
from vlm3.eval.score import Scored, compare, score
from vlm3.eval.solvers import OracleSolver
from vlm3.infer.engines.fakes import ConstantEngine, OracleEngine
from vlm3.infer.predictor import Predictor
from vlm3.lock import writing
from vlm3.tasks.protocol import get_protocol

JOINT = get_protocol("joint")


def items_of(folder: Path, count: int = EVERY) -> list[Item]:
    return list(read_items(Wanted(get_benchmark("ibims1"), folder, count, 42)))


def config(**changes: object) -> dict[str, object]:
    base = {"benchmark": "ibims1", "name": "oracle", "protocol": "joint", "tasks": ["depth"]}
    return base | changes


def value(scored: Scored, name: str) -> float:
    return next(s.value for task in scored.tasks for s in task.scores if s.name == name)


def test_a_killed_run_resumes_to_the_same_file(depthlm: Path, tmp_path: Path) -> None:
    items = items_of(depthlm)
    predict(items, OracleSolver(JOINT), tmp_path / "whole", config())
    with pytest.raises(KeyboardInterrupt):
        predict(items, Counting(OracleSolver(JOINT), stop_after=2), tmp_path / "cut", config())
    # A kill in the middle of a write leaves half a line.
    with (tmp_path / "cut" / FILE).open("a") as file:
        file.write('{"id": "00009", "clus')
    half = score(tmp_path / "cut")
    assert not half.run.complete and len(half.run.rows["depth"]) == 10
    rest = Counting(OracleSolver(JOINT))
    progress = predict(items, rest, tmp_path / "cut", config())
    assert (progress.resumed, rest.items, rest.queries) == (10, 2, 10)
    whole, cut = score(tmp_path / "whole"), score(tmp_path / "cut")
    assert cut.run.complete and not cut.run.damaged
    assert [t.scores for t in cut.tasks] == [t.scores for t in whole.tasks]
    # Finished: nothing is asked again.
    again = Counting(OracleSolver(JOINT))
    predict(items, again, tmp_path / "cut", config())
    assert again.items == 0


def test_another_configuration_or_other_data_is_refused(depthlm: Path, tmp_path: Path) -> None:
    items = items_of(depthlm)
    predict(items, OracleSolver(JOINT), tmp_path / "run", config())
    with pytest.raises(InputError, match=r"another configuration.*seed: nothing there, 7 now"):
        predict(items, OracleSolver(JOINT), tmp_path / "run", config(seed=7))
    text = (depthlm / "val.jsonl").read_text().replace('"depth": [', '"depth": [9.0, ', 1)
    rows = [json.loads(line) for line in text.splitlines()]
    rows[0]["depth"] = rows[0]["depth"][:5]
    (depthlm / "val.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="the data changed since"):
        predict(items_of(depthlm), OracleSolver(JOINT), tmp_path / "run", config())


def test_a_damaged_line_is_named_and_the_rest_scored(depthlm: Path, tmp_path: Path) -> None:
    predict(items_of(depthlm), OracleSolver(JOINT), tmp_path / "run", config())
    path = tmp_path / "run" / FILE
    rows = path.read_text().splitlines()
    rows[4] = rows[4][:40]
    rows[7] = rows[7].replace('"truth"', '"trust"')
    path.write_text("\n".join(rows) + "\n")
    scored = score(tmp_path / "run")
    assert [number for number, _ in scored.run.damaged] == [5, 8]
    assert len(scored.run.rows["depth"]) == 18
    assert value(scored, "delta1 (true distance)") == 1


def test_scoring_reads_the_text_again(depthlm: Path, tmp_path: Path) -> None:
    """The stored prediction is for people; the score comes from what was said."""
    predict(items_of(depthlm), OracleSolver(JOINT), tmp_path / "run", config())
    path = tmp_path / "run" / FILE
    rows = path.read_text().splitlines()
    record = json.loads(rows[1])
    record["raw_text"], record["prediction"] = "I cannot say", {"distance_m": 1.0}
    path.write_text("\n".join([rows[0], json.dumps(record), *rows[2:]]) + "\n")
    scored = score(tmp_path / "run")
    (main, *_) = scored.tasks[0].scores
    assert main.failures == 1 and main.valid_only is not None
    true = next(s for s in scored.tasks[0].scores if s.name == "delta1 (true distance)")
    assert (true.value, true.valid_only) == (0.95, 1)


def test_an_experts_file_is_joined(depthlm: Path, tmp_path: Path) -> None:
    items = items_of(depthlm)
    queries = {q.id: q for item in items for q in item.queries}
    assert write_queries(items, tmp_path / "queries.jsonl") == 20
    asked = [json.loads(line) for line in (tmp_path / "queries.jsonl").read_text().splitlines()]
    assert asked[0].keys() == {"id", "picture", "task", "xy_px", "cosine"}
    rows = [
        json.dumps({"id": q["id"], "depth_z_m": queries[q["id"]].truth["label_m"]}) for q in asked
    ]
    rows[3] = '{"id": "00003", "depth'
    rows[5] = '{"id": "nobody", "distance_m": 1}'
    rows[6] = json.dumps({"id": asked[6]["id"], "distance_m": "far"})
    rows[7] = json.dumps({"id": asked[7]["id"], "depth_z_m": float("nan")})
    (tmp_path / "mine.jsonl").write_text("\n".join(rows))
    said, damaged = joined(tmp_path / "mine.jsonl", queries, "z")
    assert [number for number, _ in damaged] == [4, 6, 7, 8] and len(said) == 16
    who = from_file(tmp_path / "mine.jsonl", "Mine", get_benchmark("ibims1"), items)
    predict(items, who.solver, tmp_path / "run", config(**who.config()), joined_damaged=damaged)
    scored = score(tmp_path / "run")
    # z was given: it equals the column's z label and, along the ray, the true distance.
    for name in ("delta1 (label: z)", "delta1 (true distance)"):
        assert value(scored, name) == 16 / 20
    assert scored.tasks[0].scores[0].failures == 4
    assert scored.tasks[0].scores[0].valid_only == 1


def test_two_runs_are_compared_query_by_query(depthlm: Path, tmp_path: Path) -> None:
    items = items_of(depthlm)
    predict(items, OracleSolver(JOINT), tmp_path / "a", config())
    who = choose("says:03.00", get_benchmark("ibims1"), None)
    predict(items, who.solver, tmp_path / "b", config(**who.config()))
    a, b = read_run(tmp_path / "a"), read_run(tmp_path / "b")
    found = compare(a, b)["depth"]["delta1 (true distance)"]
    assert found.value == pytest.approx(1 - value(score(tmp_path / "b"), "delta1 (true distance)"))
    assert found.samples == 20 and found.clusters == 4 and found.interval is not None
    assert found.interval.low <= found.value <= found.interval.high
    # On the queries both have.
    predict(items[:2], OracleSolver(JOINT), tmp_path / "c", config())
    assert compare(read_run(tmp_path / "c"), b)["depth"]["RMSE"].samples == 10


def test_floors_run_as_models_too(depthlm: Path, tmp_path: Path) -> None:
    items = items_of(depthlm)
    who = choose("constant", get_benchmark("ibims1"), items)
    predict(items, who.solver, tmp_path / "run", config(**who.config()))
    scored = score(tmp_path / "run")
    name = next(name for name in scored.tasks[0].floors if name.startswith("constant"))
    assert scored.tasks[0].scores == scored.tasks[0].floors[name]
    labels = np.array([q.truth["label_m"] for item in items for q in item.queries])
    best = max(np.mean(np.maximum(labels / c, c / labels) < 1.25) for c in np.arange(0.5, 8, 0.01))
    assert value(scored, "delta1 (label: z)") == pytest.approx(best)


def test_nothing_to_score_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no predictions file"):
        score(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        items_of(tmp_path / "absent")
    with pytest.raises(InputError, match="needs --data"):
        list(read_items(Wanted(get_benchmark("ibims1"), None, 1, 0)))


def test_a_second_writer_is_told_who_holds_the_folder(depthlm: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with writing(out), pytest.raises(InputError, match=f"process {os.getpid()} on "):
        predict(items_of(depthlm), OracleSolver(JOINT), out, config())
    predict(items_of(depthlm), OracleSolver(JOINT), out, config())
    assert [path.name for path in out.iterdir()] == [FILE]


def test_doubled_ids_are_an_error_that_names_them(depthlm: Path, tmp_path: Path) -> None:
    items = items_of(depthlm)
    predict(items, OracleSolver(JOINT), tmp_path / "run", config())
    path = tmp_path / "run" / FILE
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:4], rows[3], rows[3], rows[2], *rows[4:]]) + "\n")
    first = json.loads(rows[3])["id"]
    for act in (
        lambda: score(tmp_path / "run"),
        lambda: predict(items, OracleSolver(JOINT), tmp_path / "run", config()),
    ):
        with pytest.raises(InputError, match="2 of 20 queries more than once") as caught:
            act()
        assert f"{first!r} 3 times" in str(caught.value)


def test_missing_answers_are_counted(depthlm: Path, tmp_path: Path) -> None:
    predict(items_of(depthlm), OracleSolver(JOINT), tmp_path / "run", config())
    path = tmp_path / "run" / FILE
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:3], *rows[13:]]) + "\n")
    assert read_run(path).missing == 10
    said = CliRunner().invoke(main, ["score", str(path.parent)])
    assert said.exit_code == 0
    table = said.output.index("delta1")
    assert "no usable answer to 10 of the 20 queries" in said.output[:table]
    path.write_text("\n".join(rows[:-1]) + "\n")
    said = CliRunner().invoke(main, ["score", str(path.parent)])
    assert "unfinished: the table is of the 20 answers" in said.output


# A good line, and what can be done to it.
SPOILED: dict[str, Callable[[str], str]] = {
    "no cluster": lambda row: row.replace('"cluster"', '"bluster"'),
    "brackets": lambda row: "[" * 5000,
    "deep inside": lambda row: row[:-1] + ', "x": ' + "[" * 5000 + "]" * 5000 + "}",
    "huge truth": lambda row: re.sub(r'"distance_m": [0-9.]+', '"distance_m": 1e308', row),
    "no truth": lambda row: re.sub(r'"truth": {[^}]*}', '"truth": []', row),
    "truth below 0": lambda row: re.sub(r'"distance_m": [0-9.]+', '"distance_m": -1', row),
    "half a character": lambda row: row.replace('"cluster": "', '"cluster": "\\ud800'),
    "NaN": lambda row: re.sub(r'"distance_m": [0-9.]+', '"distance_m": NaN', row),
    "long number": lambda row: row[:-1] + f', "seconds": {"9" * 5000}}}',
    "task": lambda row: row.replace('"task": "depth"', '"task": ["depth"]'),
    "ask": lambda row: re.sub(r'"ask": {[^}]*}', '"ask": {"xy_px": [1]}', row),
    "text": lambda row: re.sub(r'"raw_text": "[^"]*"', '"raw_text": {"a": 1}', row),
    "bytes": lambda row: "\x00\x01" + row,
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_bad_line_is_named_and_the_rest_scored(depthlm: Path, tmp_path: Path, name: str) -> None:
    predict(items_of(depthlm), OracleSolver(JOINT), tmp_path / "run", config())
    path = tmp_path / "run" / FILE
    rows = path.read_text().splitlines()
    rows[4] = SPOILED[name](rows[4])
    path.write_text("\n".join(rows) + "\n")
    said = CliRunner().invoke(main, ["score", str(path.parent), "--json"])
    assert said.exit_code == 0, said.exception
    scored = score(tmp_path / "run")
    assert [number for number, _ in scored.run.damaged] == [5]
    assert len(scored.run.rows["depth"]) == 19 and scored.run.missing == 1
    assert all(len(why) < 250 for _, why in scored.run.damaged)
    assert value(scored, "delta1 (true distance)") == 1


@pytest.mark.parametrize("prediction", [1e308, float("inf"), float("nan"), 10**400, -1e12])
def test_a_prediction_nobody_could_mean_is_a_failure(
    depthlm: Path, tmp_path: Path, prediction: float
) -> None:
    predict(items_of(depthlm), OracleSolver(JOINT), tmp_path / "run", config())
    path = tmp_path / "run" / FILE
    rows = path.read_text().splitlines()
    record = json.loads(rows[4])
    record |= {"raw_text": None, "prediction": {"distance_m": prediction, "label_m": prediction}}
    rows[4] = json.dumps(record)
    path.write_text("\n".join(rows) + "\n")
    scored = score(tmp_path / "run")
    assert scored.tasks[0].scores[0].failures == 1
    assert value(scored, "delta1 (true distance)") == 0.95
    json.dumps(scored.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    "header",
    [
        {"config": []}, {"config": None}, {"config": {"protocol": ["joint"]}},
        {"config": {"name": 3}}, {"environment": []}, {"environment": {"packages": []}},
        {"environment": {"joined_damaged": [1]}}, {"config": {"seed": float("nan")}},
        {"config": {"name": "\ud800"}}, {"vlm3_eval": 2}, {"vlm3_eval": []},
    ],
)  # fmt: skip
def test_a_damaged_header_is_one_line(depthlm: Path, tmp_path: Path, header: Any) -> None:
    predict(items_of(depthlm), OracleSolver(JOINT), tmp_path / "run", config())
    path = tmp_path / "run" / FILE
    first, *rest = path.read_text().splitlines()
    for line in (json.dumps(json.loads(first) | header), "[" * 5000, '"text"'):
        path.write_text("\n".join([line, *rest]) + "\n")
        for command in (["score", str(path.parent)], ["report", str(path.parent)]):
            said = CliRunner().invoke(main, command)
            assert said.exit_code == 2 and said.output.count("\n") == 1, said.output
            assert len(said.output) < 500


JOINED: dict[str, str] = {
    "NaN": '{"id": ID, "depth_z_m": NaN}',
    "huge": '{"id": ID, "depth_z_m": 1e308}',
    "longer": '{"id": ID, "distance_m": ' + "9" * 400 + "}",
    "zero": '{"id": ID, "distance_m": 0}',
    "list": '{"id": ID, "distance_m": [2]}',
    "brackets": "[" * 5000,
    "half a character": '{"id": ID, "distance_m": 2, "x": "\\ud800"}',
    "half an id": '{"id": "\\udcff", "distance_m": 2}',
    "seconds": '{"id": ID, "distance_m": 2, "seconds": "long"}',
    "cost": '{"id": ID, "distance_m": 2, "cost_usd": Infinity}',
}


@pytest.mark.parametrize("name", JOINED)
def test_a_bad_line_of_a_joined_file_is_named_and_counts_as_a_failure(
    depthlm: Path, tmp_path: Path, name: str
) -> None:
    ids = [query.id for item in items_of(depthlm) for query in item.queries]
    rows = [json.dumps({"id": ident, "depth_z_m": 2.0}) for ident in ids]
    rows[6] = JOINED[name].replace("ID", json.dumps(ids[6]))
    (tmp_path / "mine.jsonl").write_text("\n".join(rows))
    command = ["eval", "ibims1", "--data", str(depthlm), "--count", "all", "-o",
               str(tmp_path / "run"), "--predictions", str(tmp_path / "mine.jsonl")]  # fmt: skip
    said = CliRunner().invoke(main, command)
    assert said.exit_code == 0, said.output
    assert "line 7 not used" in said.output
    assert f"no usable answer to 1 of 20 queries, the first {ids[6]!r}" in said.output
    assert score(tmp_path / "run").tasks[0].scores[0].failures == 1
    # Another file under the same name is another run.
    (tmp_path / "mine.jsonl").write_text("\n".join(rows[:6]))
    said = CliRunner().invoke(main, command)
    assert said.exit_code == 2 and "predictions_sha256" in said.output
    (tmp_path / "mine.jsonl").write_text("\n".join([*rows[:6], rows[2]]))
    said = CliRunner().invoke(main, command)
    assert said.exit_code == 2 and f"{ids[2]!r} 2 times" in said.output


def test_other_weights_under_the_same_name_are_another_run(
    depthlm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also other words, sizes, or another server; what it was is said."""

    class Weighed(ConstantEngine):
        name = "m"
        weights: str | None = "aaaa"
        server: dict[str, str] | None = None

    def command(*, multiple_px: int = 32, protocol: Any = JOINT, **engine: Any) -> Any:
        one = Weighed("02.00")
        vars(one).update(engine)
        monkeypatch.setattr(
            models, "load", lambda model, **given: Predictor(one, protocol, multiple_px)
        )
        where = ["--data", str(depthlm), "-o", str(tmp_path / "run")]
        return CliRunner().invoke(main, ["eval", "ibims1", *where, "--model", "m"])

    assert command().exit_code == 0
    again = command()
    assert again.exit_code == 0
    assert re.search(r"going on: .* holds \d+ answers already", again.output)
    count, there = map(
        int, re.findall(r"(\d+) answers from .*, (\d+) of them there", again.output)[0]
    )
    assert count == there
    words = dict(JOINT.templates) | {"depth.ask": "How far is ({x}, {y})?"}
    for changes, named in (
        ({"weights": "bbbb"}, "weights: 'aaaa' there, 'bbbb' now"),
        ({"multiple_px": 28}, "multiple_px: 32 there, 28 now"),
        ({"protocol": replace(JOINT, templates=words)}, "wording: "),
        (
            {"server": {"server": "http://a/v1", "told": "x"}},
            "server: nothing there, 'http://a/v1'",
        ),
    ):
        said = command(**changes)
        assert said.exit_code == 2 and named in said.output and "-o" in said.output, said.output
        assert said.output.count("\n") == 1
    # A server that does not tell its weights: a run goes on with a doubt, which is said.
    out = tmp_path / "served"
    told = Weighed("02.00")
    vars(told).update(weights=None, server={"server": "http://a/v1", "told": None}, kept=3)
    monkeypatch.setattr(models, "load", lambda model, **given: Predictor(told, JOINT, 32))
    for doubtful in (False, True):
        said = CliRunner().invoke(
            main, ["eval", "ibims1", "--data", str(depthlm), "-o", str(out), "--model", "m"]
        )
        assert ("does not tell its weights" in said.output) == doubtful
        assert "3 kept from an earlier run" in said.output


def test_ctrl_c_is_quiet_and_says_what_is_kept(
    depthlm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def stopping(question: str) -> str:
        calls.append(1)
        if len(calls) > 12:
            raise KeyboardInterrupt
        return "02.00"

    engine = OracleEngine(stopping)
    monkeypatch.setattr(models, "load", lambda model, **given: Predictor(engine, JOINT, 32))
    where = ["--data", str(depthlm), "--count", "all", "-o", str(tmp_path / "run")]
    said = CliRunner().invoke(main, ["eval", "ibims1", *where, "--model", "m"])
    assert said.exit_code == 130
    assert re.search(r"interrupted: 10 answers are kept in .*goes on from there", said.output)
    assert "error" not in said.output and "Traceback" not in said.output
    calls.clear()
    monkeypatch.setattr(
        models, "load", lambda model, **given: Predictor(OracleEngine(lambda q: "02.00"), JOINT, 32)
    )
    said = CliRunner().invoke(main, ["eval", "ibims1", *where, "--model", "m"])
    assert said.exit_code == 0 and "20 answers from 4 pictures" in said.output
    assert "10 of them there already" in said.output


def test_eval_takes_the_options_of_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def load(model: str, **options: Any) -> Any:
        given.update(options, model=model)
        raise InputError("enough")

    monkeypatch.setattr(models, "load", load)
    CliRunner().invoke(
        main,
        ["eval", "ibims1", "-o", "x", "--model", "openai:m", "--base-url", "http://a/v1",
         "--protocol", "paper", "--device", "cpu", "--no-cache", "--int8"],
    )  # fmt: skip
    assert given == {
        "model": "openai:m", "base_url": "http://a/v1", "protocol": "paper", "device": "cpu",
        "cache": False, "int8": True,
    }  # fmt: skip
