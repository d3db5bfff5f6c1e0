"""Asked as the model's settings say, wherever it runs: behind a server, in vLLM, or here."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlm3.errors import InputError
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.engines.served import Told, told_of
from vlm3.infer.loading import load
from vlm3.infer.predictor import MAX_TOKENS, Predictor
from vlm3.model.digest import model_digest
from vlm3.view import View

OURS = {"protocol": "joint", "f_px": 125, "max_tokens": 400, "multiple_px": 16, "weights": "ab"}


def entries(**more: Any) -> Any:
    return {"object": "list", "data": [{"id": "other"}, {"id": "m", "created": 1, **more}]}


def test_what_a_vlm3_server_tells() -> None:
    told = told_of(entries(vlm3=OURS), "m")
    assert (told.protocol, told.f_px, told.max_tokens) == ("joint", 125.0, 400)
    assert (told.multiple_px, told.weights, told.ours) == (16, "ab", True)
    # A protocol without a focal length, and an engine that has no weights.
    bare = told_of(entries(vlm3={"protocol": "release-corr", "f_px": None}), "m")
    assert bare.f_px is None and bare.weights is None and bare.ours


@pytest.mark.parametrize(
    "nothing",
    [None, [], "text", 3, {}, {"data": None}, {"data": {}}, {"data": [None, 3]}, entries(),
     {"data": [{"id": "another", "root": "x"}]}],
)  # fmt: skip
def test_a_server_that_tells_nothing(nothing: Any) -> None:
    assert told_of(nothing, "m") == Told()


def test_what_names_a_model_separates_and_times_do_not() -> None:
    one = told_of(entries(root="/a", created=1, permission=[{"id": "x1"}]), "m")
    again = told_of(entries(root="/a", created=2, permission=[{"id": "x2"}]), "m")
    assert one == again != told_of(entries(root="/b"), "m")


@pytest.mark.parametrize(
    "wrong",
    [{"f_px": "far"}, {"f_px": -1}, {"f_px": float("nan")}, {"f_px": True}, {"max_tokens": 1.5},
     {"multiple_px": 0}, {"protocol": ["joint"]}, {"weights": 3}, {"most_px2": -3},
     {"max_tokens": 10**400}],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))) as caught:
        told_of(entries(vlm3=OURS | wrong), "m")
    assert len(str(caught.value)) < 250


class Recorder:
    """vLLM's offline interface with the folder's own tokenizer; remembers what it was given."""

    asked: list[Any]

    def __init__(self, model: str, **options: Any) -> None:
        from transformers import AutoTokenizer

        Recorder.asked = []
        self.tokenizer = AutoTokenizer.from_pretrained(model)

    def get_tokenizer(self) -> Any:
        return self.tokenizer

    def generate(self, prompts: Any, sampling: Any, *, use_tqdm: bool) -> list[Any]:
        Recorder.asked += prompts
        reason = "length" if sampling.max_tokens < 9 else "stop"
        one = SimpleNamespace(text="02.75", token_ids=[], logprobs=[], finish_reason=reason)
        return [SimpleNamespace(outputs=[one]) for _ in prompts]


@pytest.mark.parametrize("protocol", [None, "joint", "paper"])
def test_vllm_is_given_the_prompts_and_pictures_that_the_local_engine_is(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, protocol: str | None
) -> None:
    fake = SimpleNamespace(LLM=Recorder, SamplingParams=lambda **given: SimpleNamespace(**given))
    monkeypatch.setitem(sys.modules, "vllm", fake)
    local = load(tiny_folder, protocol=protocol, device="cpu")
    inside = load(f"vllm:{tiny_folder}", protocol=protocol)
    for one in ("protocol", "multiple_px", "max_tokens"):
        assert getattr(inside, one) == getattr(local, one)
    assert inside.engine.weights == local.engine.weights == model_digest(tiny_folder)  # type: ignore[attr-defined]
    if protocol != "paper":
        assert inside.protocol.prep.target_px == 125.0
    view = View.open(np.random.default_rng(1).integers(0, 256, (120, 200, 3), np.uint8), f_px=150)
    seen: list[Any] = []

    class Watching(ConstantEngine):
        def open(self, images: Any) -> Any:
            seen.extend(images)
            return super().open(images)

    Predictor(
        Watching("02.75"), local.protocol, local.multiple_px, max_tokens=local.max_tokens
    ).depth(view, [[10, 20], [50, 60]])
    answer = inside.depth(view, [[10, 20], [50, 60]])
    content = [{"type": "image"}, {"type": "text"}]
    whole = [
        local.engine._checkpoint.prompt_text(  # type: ignore[attr-defined]
            [{"role": "user", "content": [content[0], content[1] | {"text": prompt}]}]
        )
        for prompt in answer.prompt
    ]
    assert [one["prompt"] for one in Recorder.asked] == whole
    for one in Recorder.asked:
        (picture,) = one["multi_modal_data"]["image"]
        np.testing.assert_array_equal(np.asarray(picture), seen[0])
        assert isinstance(picture, Image.Image)
    with inside.engine.open([seen[0]]) as scene:
        assert inside.engine.ask(scene, ["q"], max_new_tokens=4) == ["02.75 [cut off]"]


def test_defaults_where_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that is not there is told by the first question, not by loading."""
    monkeypatch.setenv("VLM3_CACHE", str(tmp_path))
    asked = load("openai:VLM3-depth", base_url="http://127.0.0.1:9/v1")
    assert (asked.protocol.name, asked.multiple_px) == ("release-depth", 32)
    assert asked.max_tokens == MAX_TOKENS


@pytest.mark.parametrize("url", ["localhost:8000/v1", "http://[::1", "http://", "file:///x", "?"])
def test_an_address_that_is_none_is_one_line(url: str) -> None:
    with pytest.raises(InputError, match="the server's address is"):
        load("openai:m", base_url=url, protocol="joint")
