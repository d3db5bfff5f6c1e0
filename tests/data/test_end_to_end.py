"""Three sets, from raw files: curated, in the books, trained on, evaluated."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from raw_sets import WRITERS

from vlm3.cli.main import main
from vlm3.data.paper_tables import table
from vlm3.train.flat_settings import changed
from vlm3.train.parts import TableSets
from vlm3.train.recipes import recipe
from vlm3.train.trainer import train

SETS = ("argoverse2", "nuscenes", "matterport3d")


@pytest.mark.slow
def test_raw_files_to_a_scored_model(tmp_path: Path) -> None:
    data = tmp_path / "shards"
    for name in SETS:
        WRITERS[name](tmp_path / "raw" / name)
        said = CliRunner().invoke(
            main,
            f"data curate {name} --root {tmp_path}/raw/{name} -o {data}/{name} --pairs 0",
        )
        assert said.exit_code == 0, said.output
    absent = tuple(s.folder for s in table("depth") if s.folder not in SETS)
    command = "train debug_cpu --dry-run --parts.0.kind depth --pointing 0 --samples 64 --data"
    said = CliRunner().invoke(main, [*command.split(), str(data), "--without", *absent])
    assert said.exit_code == 0, said.output
    # The books have a line a set that is there, and name the others as absent.
    books = said.output.splitlines()
    for name in SETS:
        assert any(line.startswith(name) for line in books), said.output
    run = changed(
        recipe("debug_cpu"),
        out=tmp_path / "run",
        parts=(TableSets("depth", ("depth",)),),
        data=str(data),
        without=absent,
        samples=64,
        pointing=0,
        batch=16,
        workers=0,
        check_every=2,
        held_out=0,
    )
    train(run)
    WRITERS["depthlm"](tmp_path / "eval")
    model = next(p.parent for p in sorted((tmp_path / "run").glob("**/model.safetensors")))
    command = f"eval ibims1 --data {tmp_path}/eval --model {model} --count 4 -o {tmp_path}/scores"
    done = subprocess.run(
        [sys.executable, "-m", "vlm3", *command.split()],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "delta1" in (tmp_path / "scores" / "scores.json").read_text()
    assert len((tmp_path / "scores" / "predictions.jsonl").read_text().splitlines()) >= 4
