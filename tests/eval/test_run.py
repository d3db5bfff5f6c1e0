"""Runs: killed and resumed, refused, joined, damaged; scored again and compared."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import Counting

from vlm3.errors import InputError
from vlm3.eval.answer import OracleAnswerer
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.items import Item
from vlm3.eval.join import joined, write_queries
from vlm3.eval.models import choose, from_file
from vlm3.eval.readers import EVERY, Wanted, read_items
from vlm3.eval.records import FILE, read_run
from vlm3.eval.run import predict
from vlm3.eval.score import Scored, compare, score
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
    predict(items, OracleAnswerer(JOINT), tmp_path / "whole", config())
    with pytest.raises(KeyboardInterrupt):
        predict(items, Counting(OracleAnswerer(JOINT), stop_after=2), tmp_path / "cut", config())
    # A kill in the middle of a write leaves half a line.
    with (tmp_path / "cut" / FILE).open("a") as file:
        file.write('{"id": "00009", "clus')
    half = score(tmp_path / "cut")
    assert not half.run.complete and len(half.run.rows["depth"]) == 10
    rest = Counting(OracleAnswerer(JOINT))
    progress = predict(items, rest, tmp_path / "cut", config())
    assert (progress.resumed, rest.items, rest.queries) == (10, 2, 10)
    whole, cut = score(tmp_path / "whole"), score(tmp_path / "cut")
    assert cut.run.complete and not cut.run.damaged
    assert [t.scores for t in cut.tasks] == [t.scores for t in whole.tasks]
    # Finished: nothing is asked again.
    again = Counting(OracleAnswerer(JOINT))
    predict(items, again, tmp_path / "cut", config())
    assert again.items == 0


def test_another_configuration_or_other_data_is_refused(depthlm: Path, tmp_path: Path) -> None:
    items = items_of(depthlm)
    predict(items, OracleAnswerer(JOINT), tmp_path / "run", config())
    with pytest.raises(InputError, match=r"another configuration.*seed: nothing there, 7 now"):
        predict(items, OracleAnswerer(JOINT), tmp_path / "run", config(seed=7))
    text = (depthlm / "val.jsonl").read_text().replace('"depth": [', '"depth": [9.0, ', 1)
    rows = [json.loads(line) for line in text.splitlines()]
    rows[0]["depth"] = rows[0]["depth"][:5]
    (depthlm / "val.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="the data changed since"):
        predict(items_of(depthlm), OracleAnswerer(JOINT), tmp_path / "run", config())


def test_a_damaged_line_is_named_and_the_rest_scored(depthlm: Path, tmp_path: Path) -> None:
    predict(items_of(depthlm), OracleAnswerer(JOINT), tmp_path / "run", config())
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
    predict(items_of(depthlm), OracleAnswerer(JOINT), tmp_path / "run", config())
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
    (tmp_path / "mine.jsonl").write_text("\n".join(rows))
    said, damaged = joined(tmp_path / "mine.jsonl", queries, "z")
    assert [number for number, _ in damaged] == [4, 6, 7] and len(said) == 17
    who = from_file(tmp_path / "mine.jsonl", "Mine", get_benchmark("ibims1"), items)
    predict(items, who.answerer, tmp_path / "run", config(**who.config()), joined_damaged=damaged)
    scored = score(tmp_path / "run")
    # z was given: it equals the column's z label and, along the ray, the true distance.
    for name in ("delta1 (label: z)", "delta1 (true distance)"):
        assert value(scored, name) == 17 / 20
    assert scored.tasks[0].scores[0].failures == 3
    assert scored.tasks[0].scores[0].valid_only == 1


def test_two_runs_are_compared_query_by_query(depthlm: Path, tmp_path: Path) -> None:
    items = items_of(depthlm)
    predict(items, OracleAnswerer(JOINT), tmp_path / "a", config())
    who = choose("says:03.00", get_benchmark("ibims1"), None)
    predict(items, who.answerer, tmp_path / "b", config(**who.config()))
    a, b = read_run(tmp_path / "a"), read_run(tmp_path / "b")
    found = compare(a, b)["depth"]["delta1 (true distance)"]
    assert found.value == pytest.approx(1 - value(score(tmp_path / "b"), "delta1 (true distance)"))
    assert found.samples == 20 and found.clusters == 4 and found.interval is not None
    assert found.interval.low <= found.value <= found.interval.high
    # On the queries both have.
    predict(items[:2], OracleAnswerer(JOINT), tmp_path / "c", config())
    assert compare(read_run(tmp_path / "c"), b)["depth"]["RMSE"].samples == 10


def test_floors_run_as_models_too(depthlm: Path, tmp_path: Path) -> None:
    items = items_of(depthlm)
    who = choose("constant", get_benchmark("ibims1"), items)
    predict(items, who.answerer, tmp_path / "run", config(**who.config()))
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
