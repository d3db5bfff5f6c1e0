import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vlm3
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.infer.predictor import Predictor
from vlm3.model import NANO_PATH
from vlm3.tasks.protocol import get_protocol

SCRIPTS = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))


def answer_by_kind(question: str) -> str:
    if question.startswith("Distance in meters from the camera to"):
        return "03.10"
    if "picture 2" in question:
        return "1010 0498"
    if question.startswith("Rotation"):
        return "-010.0 +002.0 -004.0"
    if question.startswith("Direction"):
        return "+0.20 -0.10 +0.97"
    if question.startswith("Distance"):
        return "00.61"
    if re.match("How wide|What is the distance", question):
        return "01.25 m"
    return "region 1" if question.startswith("Which") else "no"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(
        engine=OracleEngine(answer_by_kind), protocol=get_protocol("joint"), multiple_px=16
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
