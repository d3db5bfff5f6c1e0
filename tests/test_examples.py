import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joint_answers import answering

import vlm3
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.infer.predictor import Predictor
from vlm3.model import NANO_PATH
from vlm3.tasks.protocol import get_protocol

SCRIPTS = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(
        engine=OracleEngine(answering()), protocol=get_protocol("joint"), multiple_px=16
    )
    monkeypatch.setattr(vlm3, "load", lambda *args, **kwargs: predictor, raising=False)


def test_there_are_examples() -> None:
    assert [path.stem for path in SCRIPTS] == ["00_depth", "01_match", "02_pose", "03_ask"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_runs_with_a_fake_engine(
    script: Path, fake: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = runpy.run_path(str(script), run_name="__main__")
    assert np.all(names["answer"].parsed) or all(names["answer"].parsed.values())
    assert "truth" in capsys.readouterr().out


@pytest.mark.skipif(not NANO_PATH.is_dir(), reason="nano's weights are not in the tree yet")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_runs_with_nano(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(script), run_name="__main__")
    assert "truth" in capsys.readouterr().out
