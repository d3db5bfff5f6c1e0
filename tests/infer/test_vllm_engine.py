"""vLLM's answers equal the naive engine's; runs only where vLLM and a GPU are."""

import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from vlm3.errors import InputError, MissingDependencyError
from vlm3.infer.decoding.grammar import Grammar
from vlm3.infer.engines.naive import NaiveEngine
from vlm3.infer.engines.vllm import VllmEngine
from vlm3.model import NANO_PATH, load_checkpoint


def test_without_vllm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        VllmEngine("nano")


class FakeLLM:
    """vLLM's offline interface as of 0.32: what it is given, and completions in its own types."""

    seen: ClassVar[list[Any]] = []

    def __init__(self, model: str, **options: Any) -> None:
        self.options = options

    def get_tokenizer(self) -> Any:
        def template(messages: Any, *, tokenize: bool, add_generation_prompt: bool) -> str:
            assert add_generation_prompt and not tokenize
            return "".join(
                "<image>" if part["type"] == "image" else part["text"]
                for part in messages[0]["content"]
            )

        return SimpleNamespace(apply_chat_template=template)

    def generate(self, prompts: Any, sampling: Any, *, use_tqdm: bool) -> list[Any]:
        self.seen.append([prompt["prompt"] for prompt in prompts])
        assert all(len(p["multi_modal_data"]["image"]) == 2 for p in prompts)
        assert all(len(set(p["multi_modal_uuids"]["image"])) == 2 for p in prompts)
        assert sampling.temperature == 0 and sampling.logprobs == 20
        logprobs = [
            {
                7: SimpleNamespace(logprob=-0.1, rank=1, decoded_token="7"),
                3: SimpleNamespace(logprob=-2.4, rank=2, decoded_token="3"),
            },
            {1: SimpleNamespace(logprob=-0.0, rank=1, decoded_token="<|im_end|>")},
        ]
        one = SimpleNamespace(text="7", token_ids=[7, 1], logprobs=logprobs)
        return [SimpleNamespace(outputs=[one]) for _ in prompts]


def test_what_vllm_is_given_and_what_is_read(
    pictures: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = SimpleNamespace(LLM=FakeLLM, SamplingParams=lambda **given: SimpleNamespace(**given))
    monkeypatch.setitem(sys.modules, "vllm", fake)
    one = VllmEngine("m", max_model_len=64)
    with pytest.raises(InputError, match="opened for 2 at a time"):
        one.open([*pictures[:2], pictures[0]])
    more = VllmEngine("m", limit_mm_per_prompt={"image": 3})
    assert len(more.open([*pictures[:2], pictures[0]]).images) == 3
    FakeLLM.seen.clear()
    with one.open(pictures[:2]) as scene:
        replies = one.reply(scene, ["a", "b", "c"], max_new_tokens=4)
        assert one.ask(scene, [], max_new_tokens=4) == []
        with pytest.raises(InputError, match="leave grammar out"):
            one.reply(scene, ["a"], max_new_tokens=4, grammar=Grammar(("x",)))
    assert FakeLLM.seen == [["<image><image>a"], ["<image><image>b", "<image><image>c"]]
    reply = replies[0]
    assert reply.text == "7" and reply.pieces == ("7", "") and reply.logp is not None
    assert reply.logp[0, reply.symbols.index("3")] == pytest.approx(-2.4)


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
