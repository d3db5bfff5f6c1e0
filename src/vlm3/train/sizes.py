"""Model sizes as their configs have them, and the paper's with random weights.

Random weights serve measurements where no weights can be had.
"""

from dataclasses import dataclass
from typing import Any

import torch

from vlm3.model import PictureInput, nano_tokenizer
from vlm3.model.folder import has_experts


@dataclass(frozen=True)
class Experts:
    """The experts of a layer.

    Attributes:
        number: of them.
        active: how many of them a token goes through.
        inner: inner width of each.
        layers: how many layers have them.
    """

    number: int
    active: int
    inner: int
    layers: int


@dataclass(frozen=True)
class ModelSize:
    """What a model costs; the numbers are those of its config.

    Attributes:
        vision: layers, width, inner width of the vision tower.
        text: layers, width, inner width.
        heads: query heads, key-value heads, width of a head.
        vocabulary: rows of the output layer.
        deepstack: layers of the vision tower that also feed the text.
        patch_px: side of a patch; two by two become a token.
        tied: whether the output layer is the embedding.
        experts: None in a dense model.
    """

    vision: tuple[int, int, int]
    text: tuple[int, int, int]
    heads: tuple[int, int, int]
    vocabulary: int
    deepstack: tuple[int, ...]
    patch_px: int = 16
    tied: bool = True
    experts: Experts | None = None

    @classmethod
    def of(cls, config: Any) -> "ModelSize":
        """From the stock config of a Qwen3-VL, with experts or without, or Qwen2.5-VL."""
        text, vision = config.text_config, config.vision_config
        # Qwen2.5-VL derives the width of a head, feeds no layer from inside its vision tower, and
        # has three matrices in that tower's inner layers where Qwen3-VL has two.
        older = config.model_type == "qwen2_5_vl"
        head = text.hidden_size // text.num_attention_heads if older else text.head_dim
        inner = vision.intermediate_size * 3 // 2 if older else vision.intermediate_size
        experts = None
        if getattr(text, "num_experts", None):
            experts = Experts(
                text.num_experts,
                text.num_experts_per_tok,
                text.moe_intermediate_size,
                sum(has_experts(text, layer) for layer in range(text.num_hidden_layers)),
            )
        return cls(
            (vision.depth, vision.hidden_size, inner),
            (text.num_hidden_layers, text.hidden_size, text.intermediate_size),
            (text.num_attention_heads, text.num_key_value_heads, head),
            text.vocab_size,
            () if older else tuple(vision.deepstack_visual_indexes),
            vision.patch_size,
            bool(config.tie_word_embeddings),
            experts,
        )

    @property
    def block_weights(self) -> tuple[int, int]:
        """Weights of all layers that a token goes through: vision, text."""
        layers, width, inner = self.vision
        vision = layers * (4 * width**2 + 2 * width * inner)
        depth, wide, mlp = self.text
        query, shared, head = self.heads
        text = depth * 2 * wide * head * (query + shared)
        if self.experts is None:
            return vision, text + depth * 3 * wide * mlp
        layers = self.experts.layers
        text += (depth - layers) * 3 * wide * mlp
        text += layers * wide * (3 * self.experts.active * self.experts.inner + self.experts.number)
        return vision, text

    @property
    def idle_weights(self) -> int:
        """Weights of the experts that a token does not go through."""
        if self.experts is None:
            return 0
        idle = self.experts.layers * (self.experts.number - self.experts.active)
        return 3 * self.text[1] * self.experts.inner * idle

    @property
    def inner(self) -> int:
        """Inner width that a token meets in a layer of the text model, the widest."""
        if self.experts is None:
            return self.text[2]
        active = self.experts.active * self.experts.inner
        return max(active, self.text[2]) if self.experts.layers < self.text[0] else active

    @property
    def weights(self) -> int:
        """All weights: layers, embedding and output layer, mergers."""
        merge = (1 + len(self.deepstack)) * 4 * self.vision[1] * (4 * self.vision[1] + self.text[1])
        words = (1 if self.tied else 2) * self.vocabulary * self.text[1]
        return sum(self.block_weights) + self.idle_weights + words + merge


# Qwen/Qwen3-VL-4B-Instruct, config.json.
SIZE_4B = ModelSize((24, 1024, 4096), (36, 2560, 9728), (32, 8, 128), 151_936, (5, 11, 17))
_LARGE_VISION = (27, 1152, 4304)
_LARGE_DEEPSTACK = (8, 16, 24)
SIZES_BY_ID = {
    "Qwen/Qwen3-VL-4B-Instruct": SIZE_4B,
    "Qwen/Qwen3-VL-8B-Instruct": ModelSize(
        _LARGE_VISION, (36, 4096, 12_288), (32, 8, 128), 151_936, _LARGE_DEEPSTACK, tied=False
    ),
    "Qwen/Qwen3-VL-32B-Instruct": ModelSize(
        _LARGE_VISION, (64, 5120, 25_600), (64, 8, 128), 151_936, _LARGE_DEEPSTACK, tied=False
    ),
    "Qwen/Qwen3-VL-30B-A3B-Instruct": ModelSize(
        _LARGE_VISION,
        (48, 2048, 6144),
        (32, 4, 128),
        151_936,
        _LARGE_DEEPSTACK,
        tied=False,
        experts=Experts(128, 8, 768, 48),
    ),
}
"""Sizes that are planned without a hub; the numbers of their config.json."""


def config_4b(tokenizer: Any) -> Any:
    """The paper's, see `stock_config`."""
    return stock_config(SIZE_4B, tokenizer)


def stock_config(size: ModelSize, tokenizer: Any) -> Any:
    """The stock config of a Qwen3-VL, with the special tokens of a tokenizer."""
    from transformers import Qwen3VLConfig, Qwen3VLMoeConfig

    token_id = tokenizer.convert_tokens_to_ids
    made: Any = Qwen3VLConfig
    experts: dict[str, Any] = {}
    if size.experts is not None:
        made = Qwen3VLMoeConfig
        experts = {
            "num_experts": size.experts.number,
            "num_experts_per_tok": size.experts.active,
            "moe_intermediate_size": size.experts.inner,
        }
    return made(
        text_config=experts
        | {
            "vocab_size": size.vocabulary,
            "hidden_size": size.text[1],
            "intermediate_size": size.text[2],
            "num_hidden_layers": size.text[0],
            "num_attention_heads": size.heads[0],
            "num_key_value_heads": size.heads[1],
            "head_dim": size.heads[2],
            "max_position_embeddings": 262_144,
            "tie_word_embeddings": size.tied,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5_000_000.0,
                "mrope_section": [24, 20, 20],
                "mrope_interleaved": True,
            },
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": None,
        },
        vision_config={
            "depth": size.vision[0],
            "hidden_size": size.vision[1],
            "intermediate_size": size.vision[2],
            "num_heads": 16,
            "patch_size": size.patch_px,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "out_hidden_size": size.text[1],
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": list(size.deepstack),
        },
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=size.tied,
    )


def random_4b(seed: int, device: str = "cpu") -> tuple[Any, Any, PictureInput]:
    """Model, the tokenizer of nano, picture input."""
    from transformers import Qwen3VLForConditionalGeneration

    tokenizer = nano_tokenizer()
    config = config_4b(tokenizer)
    torch.manual_seed(seed)
    with torch.device(device):
        model = Qwen3VLForConditionalGeneration(config)
    half = (0.5, 0.5, 0.5)
    return model, tokenizer, PictureInput(SIZE_4B.patch_px, 2, 2, half, half)
