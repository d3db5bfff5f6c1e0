"""What is known of real pictures: floors, the oracle's ceiling, and SIFT. Skips without them."""

from pathlib import Path

import numpy as np
import pytest
from helpers import real

from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.models import choose
from vlm3.eval.predict import predict
from vlm3.eval.readers import EVERY, Wanted, read_items
from vlm3.eval.score import Scored, score


def run(name: str, data: Path | None, model: str, out: Path, count: int | None = None) -> Scored:
    benchmark = get_benchmark(name)
    items = list(read_items(Wanted(benchmark, data, count or benchmark.count, benchmark.seed)))
    who = choose(model, benchmark, items)
    tasks = [t for t in benchmark.tasks if t in who.solver.tasks]
    predict(items, who.solver, out, {"benchmark": name, **who.config(), "tasks": tasks})
    return score(out)


def values(scored: Scored, task: str) -> dict[str, float]:
    return {s.name: s.value for part in scored.tasks if part.task == task for s in part.scores}


def test_the_best_constant_on_ibims(tmp_path: Path) -> None:
    scored = run("ibims1", real("ibims1_a"), "says:02.75", tmp_path, EVERY)
    assert values(scored, "depth")["delta1 (label: z)"] == pytest.approx(0.359, abs=5e-4)
    floors = {name.split(":")[0]: s[0].value for name, s in scored.tasks[0].floors.items()}
    assert floors["constant, the best"] == pytest.approx(0.359, abs=5e-4)
    assert floors["median of each picture (oracle)"] == pytest.approx(0.58, abs=5e-3)


def test_the_oracle_scores_what_rounding_allows(tmp_path: Path) -> None:
    depth = values(run("ibims1", real("ibims1_a"), "oracle", tmp_path / "d"), "depth")
    assert depth["delta1 (true distance)"] == 1 and depth["AbsRel"] < 0.002
    pairs = run("rgbd-pairs", real("rgbd_hololens_a"), "oracle", tmp_path / "p", 8)
    match, pose = values(pairs, "correspondence"), values(pairs, "pose")
    assert 0.02 < match["EPE"] < 0.25 and match["> 1 px"] == 0
    assert pose["AUC@30"] > 0.99 and pose["AUC@30 signed"] > 0.99


def test_sift_finds_the_motion(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="no OpenCV")
    scored = run("rgbd-pairs", real("rgbd_hololens_a"), "sift", tmp_path, 12)
    floors = next(part.floors for part in scored.tasks if part.task == "pose")
    best = max(scores[0].value for scores in floors.values())
    assert values(scored, "pose")["AUC@30"] > best + 0.2
    seconds = [part.seconds for part in scored.tasks]
    assert np.isfinite(np.array(seconds, dtype=float)).all()
