"""Law: what is saved and loaded says the same, tied or not, either family, adapters or none."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from toys import KINDS, NAMES, SPECS, build, loaded_logits, logits

from vlm3.errors import CheckpointError, InputError
from vlm3.model import CheckpointWarning, Settings, load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def saved(tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Name -> (model, folder)."""
    out = {}
    for name, (family, tied) in zip(NAMES, KINDS, strict=True):
        model = build(tiny_tokenizer, family, tied=tied)
        folder = tmp_path_factory.mktemp(name)
        save_checkpoint(
            model, tiny_tokenizer, SPECS[family], folder, settings=Settings(), dtype=torch.float32
        )
        out[name] = model, folder
    return out


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_is_the_same(
    saved: dict[str, Any], tiny_tokenizer: Any, name: str
) -> None:
    from transformers import AutoModelForImageTextToText

    model, folder = saved[name]
    spec = SPECS[name.split("-")[0]]
    ours = logits(model, tiny_tokenizer, spec)
    assert ours.std() > 0.1, "logits that do not vary would make this test empty"
    apart = float((loaded_logits(folder) - ours).abs().max())
    stock = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    theirs = float((logits(stock, tiny_tokenizer, spec) - ours).abs().max())
    print(f"{name}: loaded by vlm3 {apart:.1e}, by transformers {theirs:.1e}")
    assert apart < 1e-5 and theirs < 1e-5
    tied = model.lm_head.weight is model.get_input_embeddings().weight
    config = json.loads((folder / "config.json").read_text())
    assert config["tie_word_embeddings"] is config["text_config"]["tie_word_embeddings"] is tied
    assert load_checkpoint(folder, device="cpu").picture_input == spec


def test_experts_are_written_as_the_official_files_have_them(saved: dict[str, Any]) -> None:
    """Rows and columns exchanged: (experts, width, 2 x inner), (experts, inner, width)."""
    model, folder = saved["qwen3_vl_moe-untied"]
    held = load_file(folder / "model.safetensors")
    for name, shape in (("gate_up_proj", (4, 48, 40)), ("down_proj", (4, 20, 48))):
        key = f"model.language_model.layers.0.mlp.experts.{name}"
        assert tuple(held[key].shape) == shape
        assert torch.equal(held[key].transpose(1, 2), model.state_dict()[key])
    text = json.loads((folder / "config.json").read_text())["text_config"]
    assert text["num_experts"] == 4 and "num_local_experts" not in text


def test_untied_by_training_is_saved_whole(tiny_tokenizer: Any, tmp_path: Path) -> None:
    """What the weights are counts, not what the config says."""
    model = build(tiny_tokenizer, "qwen3_vl", tied=True)
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    ours = logits(model, tiny_tokenizer, SPECS["qwen3_vl"])
    save_checkpoint(
        model,
        tiny_tokenizer,
        SPECS["qwen3_vl"],
        tmp_path,
        settings=Settings(),
        dtype=torch.float32,
    )
    assert (loaded_logits(tmp_path) - ours).abs().max() < 1e-5


@pytest.fixture(scope="module")
def adapted(saved: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Name -> (the adapter's folder, the merged model)."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    out = {}
    for name in ("qwen3_vl-untied", "qwen2_5_vl-tied"):
        base = AutoModelForImageTextToText.from_pretrained(saved[name][1], dtype=torch.float32)
        config = LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"])
        config.init_lora_weights = False
        torch.manual_seed(1)
        tuned = get_peft_model(base, config)
        folder = tmp_path_factory.mktemp(f"adapter-{name}")
        tuned.save_pretrained(folder)
        out[name] = folder, tuned.merge_and_unload().eval()
    return out


@pytest.mark.parametrize("name", ["qwen3_vl-untied", "qwen2_5_vl-tied"])
def test_an_adapter_is_put_on_its_base(
    saved: dict[str, Any], adapted: dict[str, Any], tiny_tokenizer: Any, name: str
) -> None:
    folder, merged = adapted[name]
    spec = SPECS[name.split("-")[0]]
    wanted = logits(merged, tiny_tokenizer, spec)
    plain = logits(saved[name][0], tiny_tokenizer, spec)
    found = loaded_logits(folder)
    print(f"{name}: adapter folder {float((found - wanted).abs().max()):.1e} from merged")
    assert (found - wanted).abs().max() < 1e-4
    assert (plain - wanted).abs().max() > 0.01, "an adapter that does nothing would prove nothing"


def test_a_merged_one_beside_its_adapter_is_not_added_twice(
    adapted: dict[str, Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    folder, merged = adapted["qwen3_vl-untied"]
    spec = SPECS["qwen3_vl"]
    save_checkpoint(
        merged, tiny_tokenizer, spec, tmp_path, settings=Settings(), dtype=torch.float32
    )
    for path in folder.glob("adapter_*"):
        shutil.copy(path, tmp_path)
    with pytest.warns(CheckpointWarning, match="taken as they are"):
        found = loaded_logits(tmp_path)
    assert (found - logits(merged, tiny_tokenizer, spec)).abs().max() < 1e-5


def _edit(name: str, **changes: Any) -> Any:
    def apply(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return apply


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_edit("adapter_config.json", base_model_name_or_path="/no/such"), "is an adapter for"),
        (_edit("adapter_config.json", base_model_name_or_path=None), "name the base"),
        (_edit("adapter_config.json", peft_type="IA3"), "vlm3 reads LORA"),
        (_edit("adapter_config.json", r=8), "cannot be put on its base"),
        (_edit("adapter_config.json", target_modules=["q_proj"]), "does not fit its base"),
        (_edit("adapter_config.json", target_modules=7), "cannot be put on its base"),
        (lambda f: (f / "adapter_config.json").write_text("[1]"), "holds a list"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"\x80\x04."), "cannot be put"),
        (
            lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"),
            "is pickled",
        ),
    ],
)
def test_damaged_adapters_are_one_line(
    adapted: dict[str, Any], tmp_path: Path, damage: Any, says: str
) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(adapted["qwen3_vl-untied"][0], folder)
    damage(folder)
    with pytest.raises(CheckpointError, match=says) as caught:
        load_checkpoint(folder, device="cpu")
    assert "\n" not in str(caught.value)


def test_the_dtype_is_as_asked(saved: dict[str, Any]) -> None:
    folder = saved["qwen3_vl-tied"][1]
    assert load_checkpoint(folder, device="cpu").model.dtype == torch.float32
    assert load_checkpoint(folder, device="cpu", dtype="bfloat16").model.dtype == torch.bfloat16
    with pytest.raises(InputError, match="dtype is 'int8'; give float32, bfloat16, float16"):
        load_checkpoint(folder, device="cpu", dtype="int8")


def test_small_models_are_float32_on_a_gpu_too(saved: dict[str, Any], tmp_path: Path) -> None:
    from vlm3.model.loading import _default_dtype

    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert _default_dtype(saved["qwen3_vl-tied"][1], gpu) == torch.float32
    # A file with a hole in it: as large as a 1B model's, and no bytes on the disk.
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(10**9)
    assert _default_dtype(tmp_path, gpu) == torch.bfloat16
    assert _default_dtype(tmp_path, cpu) == torch.float32
