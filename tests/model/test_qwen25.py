"""The other family: a tiny Qwen2.5-VL folder in Hugging Face layout loads and is asked alike."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import build

from vlm3.model import load_checkpoint


@pytest.fixture(scope="module")
def folder(tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = build(tiny_tokenizer, "qwen2_5_vl", tied=False)
    path = tmp_path_factory.mktemp("qwen25")
    model.save_pretrained(path)
    tiny_tokenizer.save_pretrained(path)
    (path / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "patch_size": 14,
                "merge_size": 2,
                "temporal_patch_size": 2,
                "image_mean": [0.48145466, 0.4578275, 0.40821073],
                "image_std": [0.26862954, 0.26130258, 0.27577711],
            }
        )
    )
    return path


def test_loads_and_positions_equal_get_rope_index(folder: Path) -> None:
    checkpoint = load_checkpoint(folder, device="cpu")
    assert checkpoint.token_px == 28
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((56, 84, 3), (84, 56, 3))]
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "0880 0512"}]
    batch = checkpoint.encode([{"role": "user", "content": content}], images)
    stock, _ = checkpoint.model.model.get_rope_index(
        batch["input_ids"],
        mm_token_type_ids=batch["mm_token_type_ids"],
        image_grid_thw=batch["image_grid_thw"],
        attention_mask=batch["attention_mask"],
    )
    assert torch.equal(stock, batch["position_ids"])
    with torch.no_grad():
        ours = checkpoint.model(**batch, use_cache=False).logits
        batch.pop("position_ids")
        theirs = checkpoint.model(**batch, use_cache=False).logits
    assert (ours - theirs).abs().max() < 1e-5


def test_answers_in_text(folder: Path) -> None:
    from vlm3.infer.engines.naive import NaiveEngine

    engine = NaiveEngine(load_checkpoint(folder, device="cpu"))
    with engine.open([np.zeros((56, 56, 3), np.uint8)]) as scene:
        (text,) = engine.ask(scene, ["Distance: 0880 0512"], max_new_tokens=4)
    assert isinstance(text, str)
