"""Tiny models of both families, tied and untied, and what they say about one conversation."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vlm3.model import Checkpoint, PictureInput, load_checkpoint

HALF = (0.5, 0.5, 0.5)
SPECS = {
    "qwen3_vl": PictureInput(8, 2, 2, HALF, HALF, 1024, 10**6),
    "qwen3_vl_moe": PictureInput(8, 2, 2, HALF, HALF, 1024, 10**6),
    "qwen2_5_vl": PictureInput(14, 2, 2, HALF, HALF, 3136, 10**6),
}
KINDS = [(family, tied) for family in SPECS for tied in (True, False)]
NAMES = [f"{family}-{'tied' if tied else 'untied'}" for family, tied in KINDS]


def build(tokenizer: Any, family: str, *, tied: bool, seed: int = 0) -> Any:
    """A model whose random weights are large enough to disagree."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLMoeConfig,
        Qwen3VLMoeForConditionalGeneration,
    )

    token = tokenizer.convert_tokens_to_ids
    text: dict[str, Any] = {
        "vocab_size": 384,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "tie_word_embeddings": tied,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_section": [4, 4, 4],
        },
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 48,
        "patch_size": SPECS[family].patch_px,
    }
    config_class: Any
    model_class: Any
    if family != "qwen2_5_vl":
        text["head_dim"] = 24
        text["rope_parameters"]["mrope_interleaved"] = True
        vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
        config_class, model_class = Qwen3VLConfig, Qwen3VLForConditionalGeneration
        if family == "qwen3_vl_moe":
            # Sides differ, so that an exchange of rows and columns cannot pass.
            text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 20}
            config_class, model_class = Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration
    else:
        vision |= {"fullatt_block_indexes": [1]}
        config_class, model_class = Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
    config = config_class(
        text_config=text,
        vision_config=vision,
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=tied,
    )
    torch.manual_seed(seed)
    model = model_class(config).eval()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 3 or parameter.ndim == 2:
                parameter.mul_(5)
    return model


def logits(model: Any, tokenizer: Any, spec: PictureInput) -> torch.Tensor:
    """Of two pictures and a line."""
    checkpoint = Checkpoint(model, tokenizer, spec, None, "toy", Path("toy"))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    side = spec.token_px
    shapes = ((2 * side, 3 * side, 3), (3 * side, 2 * side, 3))
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "0880 0512"}]
    batch = checkpoint.encode([{"role": "user", "content": content}], images)
    with torch.no_grad():
        found: torch.Tensor = model(**batch, use_cache=False).logits
    return found


def loaded_logits(folder: Path) -> torch.Tensor:
    """The same of a folder."""
    checkpoint = load_checkpoint(folder, device="cpu")
    return logits(checkpoint.model, checkpoint.tokenizer, checkpoint.picture_input)
