"""Small Qwen3-VL models from scratch: the stock architecture with other numbers in its config."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from vlm3.model.picture import PictureInput


@dataclass(frozen=True)
class SmallSize:
    """The dimensions of a small model, of nano unless given. The names are those of the config.

    The vision tower's positions are a square table of `position_table` entries a side, which the
    stock code interpolates to each picture.
    """

    patch_px: int = 8
    merge: int = 2
    vision_hidden: int = 256
    vision_layers: int = 8
    vision_heads: int = 4
    vision_mlp: int = 1024
    deepstack: tuple[int, ...] = (4,)
    position_table: int = 32
    text_hidden: int = 320
    text_layers: int = 6
    text_heads: int = 5
    text_kv_heads: int = 5
    text_mlp: int = 960
    rope_theta: float = 1000.0

    @property
    def picture_input(self) -> PictureInput:
        """Patches of `patch_px`, `merge` by `merge` a token, values scaled to [-1, 1]."""
        half = (0.5, 0.5, 0.5)
        return PictureInput(
            patch_px=self.patch_px, merge=self.merge, temporal=2, mean=half, std=half
        )


def build_small(tokenizer: Any, size: SmallSize, *, seed: int = 0) -> Any:
    """A `Qwen3VLForConditionalGeneration` with random weights, in float32.

    The vision tower's position table starts as a two-dimensional sine-cosine table of the
    amplitude of the content: as the library draws it (standard deviation 0.02) a small model
    did not learn in thousands of pictures where the text points; so it does in a thousand.

    Args:
        tokenizer: from `train_tokenizer`.
        size: the dimensions.
        seed: of the random weights.
    """
    from transformers import Qwen3VLForConditionalGeneration

    config = _config(tokenizer, size)
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config).eval()
    table = model.model.visual.pos_embed.weight
    with torch.no_grad():
        table.copy_(_sine_cosine_table(size.position_table, table.shape[1]) * 0.3)
    generation = model.generation_config
    generation.eos_token_id = tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    generation.do_sample = False
    return model


def _config(tokenizer: Any, size: SmallSize) -> Any:
    """The library's config of a model of that size, with the tokenizer's special tokens."""
    from transformers import Qwen3VLConfig

    head_dim = size.text_hidden // size.text_heads
    third = head_dim // 6
    token_id = tokenizer.convert_tokens_to_ids
    return Qwen3VLConfig(
        text_config={
            # Whole blocks of 64 rows: what fast matrix kernels like.
            "vocab_size": math.ceil(len(tokenizer) / 64) * 64,
            "hidden_size": size.text_hidden,
            "intermediate_size": size.text_mlp,
            "num_hidden_layers": size.text_layers,
            "num_attention_heads": size.text_heads,
            "num_key_value_heads": size.text_kv_heads,
            "head_dim": head_dim,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": size.rope_theta,
                "mrope_section": [head_dim // 2 - 2 * third, third, third],
                "mrope_interleaved": True,
            },
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": None,
        },
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_hidden,
            "intermediate_size": size.vision_mlp,
            "num_heads": size.vision_heads,
            "patch_size": size.patch_px,
            "temporal_patch_size": 2,
            "spatial_merge_size": size.merge,
            "in_channels": 3,
            "out_hidden_size": size.text_hidden,
            "num_position_embeddings": size.position_table**2,
            "deepstack_visual_indexes": list(size.deepstack),
        },
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=True,
    )


def _sine_cosine_table(side: int, width: int) -> torch.Tensor:
    """(side**2, width): sines and cosines of row and column, from half a turn to 32 turns."""
    count = width // 4
    frequency = torch.exp(torch.linspace(0, math.log(64.0), count)) * math.pi / side / 2
    row, column = torch.meshgrid(
        torch.arange(side, dtype=torch.float32),
        torch.arange(side, dtype=torch.float32),
        indexing="ij",
    )
    parts = [
        wave(axis.reshape(-1, 1) * frequency)
        for axis in (row, column)
        for wave in (torch.sin, torch.cos)
    ]
    table = torch.zeros(side * side, width)
    joined = torch.cat(parts, dim=1)
    table[:, : joined.shape[1]] = joined
    return table
