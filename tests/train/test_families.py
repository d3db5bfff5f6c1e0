"""Training from checkpoints of either family, tied or not: what is exported is what was trained."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "model"))

from test_loop import curve, tiny
from toys import KINDS, NAMES, SPECS, build, loaded_logits, logits

from vlm3.model import Settings, load_checkpoint, save_checkpoint
from vlm3.train import trainer as loop
from vlm3.train.loss_module import begin
from vlm3.train.sizes import ModelSize
from vlm3.train.trainer import train

torch.set_num_threads(1)


def base(tokenizer: Any, name: str, folder: Path) -> Path:
    family, tied = dict(zip(NAMES, KINDS, strict=True))[name]
    model = build(tokenizer, family, tied=tied)
    save_checkpoint(
        model, tokenizer, SPECS[family], folder, settings=Settings(), dtype=torch.float32
    )
    return folder


@pytest.mark.parametrize("name", ["qwen3_vl-untied", "qwen2_5_vl-tied", "qwen3_vl_moe-untied"])
def test_what_is_trained_is_what_is_exported(
    tiny_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    model = base(tiny_tokenizer, name, tmp_path / "base")
    made: list[Any] = []
    monkeypatch.setattr(loop, "begin", lambda *a, **k: made.append(begin(*a, **k)) or made[-1])
    run = tiny(tmp_path, model=str(model), samples=16, clip=1.0, warmup=0.0)
    assert train(run) == 2
    assert all(np.isfinite(curve(run)))
    start = made[0]
    trained = start.trainee.model.eval()
    trained.set_attn_implementation("sdpa")
    spec = SPECS[name.split("-")[0]]
    ours = logits(trained, start.tokenizer, spec)
    theirs = loaded_logits(run.out / "export")
    first = loaded_logits(model)
    # Exported in bfloat16: eight bits of each weight.
    apart = float((theirs - ours).abs().max() / ours.abs().max())
    same = float((theirs.argmax(-1) == ours.argmax(-1)).double().mean())
    print(f"{name}: exported differs by {apart:.1e} of the largest, top-1 the same {same:.3f}")
    assert apart < 0.05 and same > 0.9
    assert float((first - ours).abs().max()) > 1e-3, "training must have changed something"
    exact = trained.to(torch.bfloat16).float()
    stored = load_checkpoint(run.out / "export", device="cpu").model.state_dict()
    for key, value in exact.state_dict().items():
        assert torch.equal(value, stored[key]), key


def test_an_adapter_is_kept_beside_the_merged_weights(tiny_tokenizer: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    model = base(tiny_tokenizer, "qwen2_5_vl-untied", tmp_path / "base")
    run = tiny(tmp_path, model=str(model), samples=16, clip=1.0, lora_rank=4, rate=0.05)
    train(run)
    merged = loaded_logits(run.out / "export")
    adapter = run.out / "export" / "adapter"
    names = {path.name for path in adapter.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "vlm3.json"}
    assert load_checkpoint(adapter, device="cpu").settings.f_px == 50.0
    found = loaded_logits(adapter)
    apart = float((found - merged).abs().max() / merged.abs().max())
    print(f"adapter on its base, beside the merged export in bfloat16: {apart:.1e}")
    assert apart < 0.05
    moved = float((loaded_logits(model) - merged).abs().max() / merged.abs().max())
    assert moved > 2 * apart, "an adapter that does nothing would prove nothing"


@pytest.mark.parametrize("name", NAMES)
def test_sizes_count_every_weight(tiny_tokenizer: Any, name: str) -> None:
    family, tied = dict(zip(NAMES, KINDS, strict=True))[name]
    model = build(tiny_tokenizer, family, tied=tied)
    size = ModelSize.of(model.config)
    matrices = {
        parameter
        for key, parameter in model.named_parameters()
        if (parameter.ndim == 2 and "pos_embed" not in key) or ".experts." in key
    }
    assert size.weights == sum(p.numel() for p in matrices)
