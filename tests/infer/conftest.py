"""Tiny checkpoints of both families whose answers differ from question to question."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlm3.model import Checkpoint, PictureInput, Settings, load_checkpoint

Speak = Callable[[Any, Any], None]


def give_voice(model: Any, tokenizer: Any, symbols: str) -> None:
    """An output layer of its own that can write these symbols and the end, nothing else.

    A tied one repeats the prompt's last token.
    """
    rows = torch.randn(model.lm_head.weight.shape, generator=torch.manual_seed(0))
    ids = tokenizer.convert_tokens_to_ids(list(symbols.replace(" ", "Ġ")))
    allowed = torch.zeros(len(rows), 1)
    allowed[[*ids, tokenizer.eos_token_id]] = 1
    model.lm_head.weight = torch.nn.Parameter(rows * allowed)


@pytest.fixture(scope="session")
def qwen3(tiny_folder: Path) -> Checkpoint:
    checkpoint = load_checkpoint(tiny_folder, device="cpu")
    give_voice(checkpoint.model, checkpoint.tokenizer, "0123456789. ")
    return checkpoint


@pytest.fixture(scope="session")
def qwen25(tiny_tokenizer: Any) -> Checkpoint:
    """Another vision tower, biases on the projections, other rotary sections, no DeepStack."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    def token_id(token: str) -> int:
        return int(tiny_tokenizer.convert_tokens_to_ids(token))

    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 384,
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [2, 2, 2],
            },
            "eos_token_id": tiny_tokenizer.eos_token_id,
            "pad_token_id": tiny_tokenizer.pad_token_id,
            "bos_token_id": None,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 32,
            "fullatt_block_indexes": [1],
            "out_hidden_size": 48,
        },
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(1)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3)
    model.generation_config.eos_token_id = tiny_tokenizer.eos_token_id
    model.generation_config.pad_token_id = tiny_tokenizer.pad_token_id
    give_voice(model, tiny_tokenizer, "0123456789. ")
    half = (0.5, 0.5, 0.5)
    return Checkpoint(
        model=model,
        tokenizer=tiny_tokenizer,
        picture_input=PictureInput(8, 2, 2, half, half),
        settings=Settings(protocol="joint", f_px=125.0),
        name="tiny-qwen2.5",
        path=Path(),
    )


@pytest.fixture(scope="session")
def pictures() -> list[Any]:
    rng = np.random.default_rng(3)
    shapes = ((32, 48, 3), (96, 32, 3), (48, 48, 3))
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
