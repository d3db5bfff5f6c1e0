"""vLLM's answers equal the naive engine's; runs only where vLLM and a GPU are."""

import sys
from typing import Any

import pytest
import torch

from vlm3.errors import MissingDependencyError
from vlm3.infer.local import NaiveEngine
from vlm3.infer.vllm import VllmEngine
from vlm3.model import NANO_PATH, load_checkpoint


def test_without_vllm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        VllmEngine("nano")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="vLLM needs a CUDA device")
def test_texts_equal_the_naive_engine(pictures: list[Any]) -> None:
    pytest.importorskip("vllm", reason="the extra vllm is not installed")
    questions = [f"in picture 2: {i:04d} 0512" for i in range(8)]
    naive = NaiveEngine(load_checkpoint(NANO_PATH, device="cuda"))
    fast = VllmEngine(str(NANO_PATH), max_model_len=2048)
    texts = []
    for engine in (naive, fast):
        with engine.open(pictures[:2]) as scene:
            texts.append(engine.ask(scene, questions, max_new_tokens=10))
    assert sum(a == b for a, b in zip(*texts, strict=True)) >= 6
