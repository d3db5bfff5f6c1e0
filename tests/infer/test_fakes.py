"""Fakes answer from what they were given and say so when they cannot."""

import json
from pathlib import Path

import numpy as np
import pytest

from vlm3.errors import InputError
from vlm3.infer.engines.base import Engine
from vlm3.infer.engines.fakes import ConstantEngine, OracleEngine, ReplayEngine

PICTURE = np.zeros((16, 16, 3), np.uint8)


def ask(engine: Engine, *questions: str) -> list[str]:
    with engine.open([PICTURE]) as scene:
        assert scene.images[0] is PICTURE
        return engine.ask(scene, questions, max_new_tokens=8)


def test_oracle_answers_from_labels_in_the_order_asked() -> None:
    assert ask(OracleEngine({"a": "1", "b": "2"}), "b", "a", "b") == ["2", "1", "2"]
    assert ask(OracleEngine(str.upper), "b", "a") == ["B", "A"]


def test_oracle_does_not_hide_missing_labels() -> None:
    with pytest.raises(KeyError):
        ask(OracleEngine({"a": "1"}), "b")


def test_constant() -> None:
    assert ask(ConstantEngine("x"), "b", "a") == ["x", "x"]


def record(path: Path, *pairs: tuple[str, str]) -> Path:
    lines = [json.dumps({"prompt": prompt, "text": text}) for prompt, text in pairs]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path


def test_replay_hands_out_repeated_prompts_in_file_order(tmp_path: Path) -> None:
    engine = ReplayEngine(record(tmp_path / "r.jsonl", ("a", "1"), ("b", "2"), ("a", "3°")))
    assert ask(engine, "a", "b") == ["1", "2"]
    assert ask(engine, "a") == ["3°"]
    with pytest.raises(InputError, match="no \\(further\\) answer to 'a'"):
        ask(engine, "a")
    with pytest.raises(InputError, match="no \\(further\\) answer to 'never'"):
        ask(engine, "never")


@pytest.mark.parametrize("line", ["{", "[]", "1", '{"prompt": "a"}', '{"prompt": 1, "text": "b"}'])
def test_replay_names_the_damaged_line(tmp_path: Path, line: str) -> None:
    path = record(tmp_path / "r.jsonl", ("a", "1"))
    path.write_text(path.read_text() + line)
    with pytest.raises(InputError, match="line 3") as caught:
        ReplayEngine(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [lambda p: p / "missing", lambda p: p])
def test_replay_without_a_file(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="cannot read"):
        ReplayEngine(make(tmp_path))
