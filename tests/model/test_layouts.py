"""Every layout of weights people have, asked the same eight questions; prints one table.

What this process computes with is asked twice, by the fast engine and by the naive one, which must
agree. What other programs run is asked through stand-ins of vLLM and of llama.cpp's server, which
must be given the questions that a model here would be; and without them one line says what to do.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from toys import SPECS, build

from vlm3.errors import CheckpointError, InputError, MissingDependencyError, Vlm3Error
from vlm3.infer.depthlm import QUESTION, ArrowPredictor
from vlm3.infer.loading import load
from vlm3.infer.predictor import Predictor
from vlm3.model import Settings, load_checkpoint, save_checkpoint
from vlm3.model.save import write_adapter
from vlm3.view import View

EIGHT = np.stack([np.linspace(8, 150, 8), np.linspace(90, 10, 8)], axis=1)
SETTINGS = Settings(protocol="joint", f_px=125.0, max_tokens=400)
ROWS: list[tuple[str, str, str]] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Prints what was asked, and how."""
    ROWS.clear()
    yield
    print("\n| layout | asked through | eight questions |\n|---|---|---|")
    for row in ROWS:
        print("| " + " | ".join(row) + " |")


@pytest.fixture(scope="module")
def view() -> View:
    image = np.random.default_rng(1).integers(0, 256, (100, 160, 3), np.uint8)
    return View.open(image, f_px=125)


def write(tokenizer: Any, folder: Path, family: str, *, tied: bool = True) -> Path:
    model = build(tokenizer, family, tied=tied)
    spec = SPECS[family]
    save_checkpoint(model, tokenizer, spec, folder, settings=SETTINGS, dtype=torch.float32)
    return folder


def sharded(tokenizer: Any, folder: Path) -> Path:
    """The layout of large checkpoints: files with an index."""
    write(tokenizer, folder, "qwen3_vl", tied=False)
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {}
    for k, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{k:05d}-of-00002.safetensors"
        save_file({n: tensors[n] for n in part}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def adapter(tokenizer: Any, folder: Path) -> Path:
    """LoRA on its base, both where peft has them."""
    peft = pytest.importorskip("peft", reason="LoRA needs peft")
    base = write(tokenizer, folder / "base", "qwen3_vl", tied=False)
    model = load_checkpoint(base, device="cpu").model
    config = peft.LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)")
    lora = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, value in lora.named_parameters():
            if "lora_" in name:
                value.normal_(0, 0.5)
    write_adapter(lora, folder / "adapter", base=str(base), settings=SETTINGS)
    return folder / "adapter"


HERE: dict[str, Callable[[Any, Path], Path]] = {
    "Qwen3-VL, one file, tied": lambda t, f: write(t, f, "qwen3_vl"),
    "Qwen3-VL, index, untied": sharded,
    "Qwen2.5-VL, untied": lambda t, f: write(t, f, "qwen2_5_vl", tied=False),
    "Qwen3-VL-MoE, untied": lambda t, f: write(t, f, "qwen3_vl_moe", tied=False),
    "LoRA on its base": adapter,
}


@pytest.mark.parametrize("layout", list(HERE))
def test_computed_here(layout: str, tiny_tokenizer: Any, tmp_path: Path, view: View) -> None:
    predictor = load(HERE[layout](tiny_tokenizer, tmp_path / "model"), device="cpu")
    fast = predictor.depth(view, EIGHT, readout="digits")
    naive = predictor.depth(view, EIGHT, readout="digits", engine="naive")
    assert len(fast.raw_text) == 8 and len(set(fast.prompt)) == 8
    assert fast.raw_text == naive.raw_text
    assert any(text.strip() for text in fast.raw_text)
    ROWS.append((layout, "this process, fast = naive", "8 texts of random weights"))


class FakeVllm:
    """vLLM's offline interface; says 2.75 m to everything."""

    prompts: list[Any]

    def __init__(self, model: str, **options: Any) -> None:
        from transformers import AutoTokenizer

        FakeVllm.prompts = []
        self.tokenizer = AutoTokenizer.from_pretrained(model)

    def get_tokenizer(self) -> Any:
        return self.tokenizer

    def generate(self, prompts: Any, sampling: Any, *, use_tqdm: bool) -> list[Any]:
        FakeVllm.prompts += [prompt["prompt"] for prompt in prompts]
        one = SimpleNamespace(text="02.75", token_ids=[], logprobs=[], finish_reason="stop")
        return [SimpleNamespace(outputs=[one]) for _ in prompts]


def _in_config(method: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["quantization_config"] = {"quant_method": method, "bits": 4, "group_size": 128}
        path.write_text(json.dumps(config))

    return change


def _in_file(name: str) -> Callable[[Path], None]:
    return lambda folder: Path(folder / name).write_text('{"bits": 4, "group_size": 128}') and None


QUANTISED = {
    "AWQ": (_in_config("awq"), "awq"),
    "AWQ, older": (_in_file("quant_config.json"), "awq"),
    "GPTQ": (_in_config("gptq"), "gptq"),
    "GPTQ, older": (_in_file("quantize_config.json"), "gptq"),
    "compressed-tensors": (_in_config("compressed-tensors"), "compressed-tensors"),
}


@pytest.mark.parametrize("layout", list(QUANTISED))
def test_run_by_vllm(
    layout: str, tiny_folder: Path, tmp_path: Path, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    change, method = QUANTISED[layout]
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    change(folder)
    with pytest.raises(CheckpointError, match=rf"quantised weights \({method}\).* vllm:{folder}"):
        load(folder)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingDependencyError, match=r"needs vLLM and a GPU: pip install"):
        load(f"vllm:{folder}")
    fake = SimpleNamespace(LLM=FakeVllm, SamplingParams=lambda **given: SimpleNamespace(**given))
    monkeypatch.setitem(sys.modules, "vllm", fake)
    found = load(f"vllm:{folder}").depth(view, EIGHT, readout="digits")
    np.testing.assert_allclose(found.distance_m, 2.75)
    here = load(tiny_folder, device="cpu")
    assert found.prompt == here.depth(view, EIGHT).prompt
    assert all(text.count(q) == 1 for text, q in zip(FakeVllm.prompts, found.prompt, strict=True))
    ROWS.append((layout, "vLLM (stand-in)", f"{int(found.parsed.sum())} parsed of 8"))


class LlamaServer(BaseHTTPRequestHandler):
    """As llama.cpp's server answers: its list of models, completions, and pictures it cannot read.

    Source: ggml-org/llama.cpp, tools/server/README.md; the refusal is that of its issue 13566.
    """

    asked: list[Any]
    eyes = True

    def log_message(self, *args: object) -> None: ...

    def do_GET(self) -> None:
        entry = {"id": "m", "object": "model", "owned_by": "llamacpp", "meta": {"n_params": 4}}
        self.send(200, {"object": "list", "data": [entry]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(body)
        if not self.eyes:
            message = "image input is not supported - hint: you may need to provide the mmproj"
            error = {"code": 500, "message": message, "type": "server_error"}
            self.send(500, {"error": error})
            return
        text = "<answer> 2.75 </answer>" if "arrow" in str(body["messages"]) else "02.75"
        message_ = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message_}
        head = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
        self.send(200, head | {"choices": [choice]})

    def send(self, code: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def llama(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("openai", reason="asking a server needs openai")
    LlamaServer.asked, LlamaServer.eyes = [], True
    server = ThreadingHTTPServer(("127.0.0.1", 0), LlamaServer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def gguf(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"GGUF")
    return folder


def test_run_by_llama_cpp(llama: str, tmp_path: Path, view: View) -> None:
    folder = gguf(tmp_path / "model", "Qwen3VL-4B-Q4_K_M.gguf", "mmproj-Qwen3VL-4B-F16.gguf")
    command = (
        rf"llama-server -m {folder}/Qwen3VL-4B-Q4_K_M.gguf "
        rf"--mmproj {folder}/mmproj-Qwen3VL-4B-F16.gguf, and give openai:NAME"
    )
    for name in (folder, folder / "Qwen3VL-4B-Q4_K_M.gguf", f"vllm:{folder}"):
        with pytest.raises(CheckpointError, match=command) as caught:
            load(name)
        assert "\n" not in str(caught.value)
    blind = gguf(tmp_path / "blind", "model-q4.gguf")
    with pytest.raises(CheckpointError, match="without it no picture is read"):
        load(blind)
    with pytest.raises(CheckpointError, match="and not the model"):
        load(gguf(tmp_path / "tower", "mmproj-F16.gguf"))
    found = load("openai:m", base_url=llama, protocol="joint", cache=False).depth(view, EIGHT)
    np.testing.assert_allclose(found.distance_m, 2.75)
    assert len(LlamaServer.asked) == 8
    urls = {body["messages"][0]["content"][0]["image_url"]["url"] for body in LlamaServer.asked}
    assert len(urls) == 1
    ROWS.append(("GGUF", "llama.cpp's server (stand-in)", f"{int(found.parsed.sum())} parsed of 8"))


def test_a_server_without_eyes_is_one_line(llama: str, view: View) -> None:
    LlamaServer.eyes = False
    with pytest.raises(InputError, match="without eyes: start llama-server with --mmproj"):
        load("openai:m", base_url=llama, protocol="joint", cache=False).depth(view, EIGHT)
    assert len(LlamaServer.asked) == 1


def pixtral(folder: Path) -> Path:
    """DepthLM's architecture at toy size, in the files that the library's processor writes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        LlavaConfig,
        LlavaForConditionalGeneration,
        PreTrainedTokenizerFast,
    )
    from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: k for k, word in enumerate(special + letters)}
    plain = Tokenizer(models.BPE(vocab=words, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="</s>",
    )
    template = (
        "<s>{% for m in messages %}[INST]{% for p in m.content %}{% if p.type == 'image' %}[IMG]"
        "{% else %}{{ p.content }}{% endif %}{% endfor %}[/INST]{% endfor %}"
    )
    tokenizer.chat_template = template
    config = LlavaConfig(
        vision_config={
            "model_type": "pixtral",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 1024,
            "patch_size": 16,
        },
        text_config={
            "model_type": "mistral",
            "vocab_size": 320,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "eos_token_id": 2,
            "bos_token_id": 1,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        projector_hidden_act="gelu",
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim == 2:
                value.mul_(5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    PixtralImageProcessorPil(patch_size={"height": 16, "width": 16}).save_pretrained(folder)
    whole = {"processor_class": "PixtralProcessor", "patch_size": 16, "spatial_merge_size": 1}
    (folder / "processor_config.json").write_text(json.dumps(whole))
    return folder


def test_depthlm_by_its_own_protocol(tmp_path: Path, view: View, llama: str) -> None:
    folder = pixtral(tmp_path / "pixtral")
    asked = load(f"depthlm:{folder}", device="cpu")
    assert isinstance(asked, ArrowPredictor)
    found = asked.depth(view, EIGHT)
    assert len(found.raw_text) == 8 and set(found.prompt) == {QUESTION}
    # Eight pictures that differ by their arrow only: a random model need not tell them apart.
    engine: Any = asked.engine
    image = np.zeros((70, 90, 3), np.uint8)
    inputs = engine.inputs([image], "Q")
    mark = engine.model.config.image_token_index
    # Sides are rounded up to whole patches; a mark of its own ends each row.
    assert inputs["image_sizes"].tolist() == [[80, 96]]
    assert int((inputs["input_ids"] == mark).sum()) == 5 * 6
    text = engine.tokenizer.decode(inputs["input_ids"][0])
    assert text.count("[IMG_BREAK]") == 4 and text.count("[IMG_END]") == 1
    ROWS.append(("DepthLM, Pixtral", "this process, red arrow", "8 texts of random weights"))
    served = load("depthlm:openai:m", base_url=llama, cache=False).depth(view, EIGHT)
    np.testing.assert_allclose(served.distance_m, 2.75)
    urls = {body["messages"][0]["content"][0]["image_url"]["url"] for body in LlamaServer.asked}
    assert len(urls) == 8, "every point is shown in a picture of its own"
    ROWS.append(("DepthLM, served", "a server (stand-in), red arrow", "8 parsed of 8"))


def test_depthlm_on_qwen(tiny_folder: Path, view: View) -> None:
    found = load(f"depthlm:{tiny_folder}", device="cpu").depth(view, EIGHT[2:4])
    assert len(found.raw_text) == 2


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "cannot be loaded as a Pixtral model"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "cannot be loaded as a Pixtral"),
    ],
)
def test_damaged_pixtral_is_one_line(
    damage: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    folder = pixtral(tmp_path / "pixtral")
    damage(folder)
    with pytest.raises(CheckpointError, match=says) as caught:
        load(f"depthlm:{folder}", device="cpu")
    assert "\n" not in str(caught.value)


def test_arrow_as_depthlm_draws_it() -> None:
    """Five red pixels to the left of the point, a head of two a side: utils/datasets.py."""
    from vlm3.infer.depthlm import marked_pixel, resized, with_arrow

    grey = View.open(np.full((40, 60, 3), 90, np.uint8), f_px=750)
    picture = resized(grey)
    assert picture.shape == (40, 60, 3) and marked_pixel(grey, (30.7, 20.2)) == (30, 20)
    drawn = with_arrow(picture, 30, 20)
    assert drawn is not None
    red = {(int(x), int(y)) for y, x in np.argwhere((drawn == (255, 0, 0)).all(-1))}
    shaft = {(30 - d, 20) for d in range(1, 6)}
    assert red == shaft | {(28, 21), (28, 19), (27, 22), (27, 18)}
    assert with_arrow(picture, 4, 20) is None and with_arrow(picture, 30, 35) is None
    assert with_arrow(picture, 5, 5) is not None and with_arrow(picture, 54, 34) is not None
    double = View.open(np.zeros((40, 60, 3), np.uint8), f_px=375)
    assert resized(double).shape == (80, 120, 3) and marked_pixel(double, (10.5, 7.5)) == (20, 14)


def test_near_the_border_is_unparsed_and_options_are_refused(view: View) -> None:
    from vlm3.infer.depthlm import PROTOCOL
    from vlm3.infer.engines.fakes import ConstantEngine

    asked = ArrowPredictor(ConstantEngine("<answer> 3.5 </answer>"), PROTOCOL, 1)
    found = asked.depth(view, [[80, 50], [0.2, 50]])
    assert found.parsed.tolist() == [True, False] and found.distance_m[0] == 3.5
    assert np.isnan(found.distance_m[1])
    for options in ({"readout": "median"}, {"grammar": True}, {"engine": "naive"}):
        with pytest.raises(InputError, match="digits as written"):
            asked.depth(view, [[80, 50]], **options)
    with pytest.raises(Vlm3Error, match="has no prompt for pose"):
        Predictor.pose(asked, view, view)
    with pytest.raises(InputError, match="a protocol of its own"):
        load("depthlm:x", protocol="joint")
