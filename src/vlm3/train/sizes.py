"""The paper's model size with random weights, for measurements where no weights can be had."""

from dataclasses import dataclass
from typing import Any

import torch

from vlm3.model import PictureInput, nano_tokenizer


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
    """

    vision: tuple[int, int, int]
    text: tuple[int, int, int]
    heads: tuple[int, int, int]
    vocabulary: int
    deepstack: tuple[int, ...]
    patch_px: int = 16
    tied: bool = True

    @classmethod
    def of(cls, config: Any) -> "ModelSize":
        """From the stock config of a Qwen3-VL or Qwen2.5-VL."""
        text, vision = config.text_config, config.vision_config
        # Qwen2.5-VL derives the width of a head, feeds no layer from inside its vision tower, and
        # has three matrices in that tower's inner layers where Qwen3-VL has two.
        older = config.model_type == "qwen2_5_vl"
        head = text.hidden_size // text.num_attention_heads if older else text.head_dim
        inner = vision.intermediate_size * 3 // 2 if older else vision.intermediate_size
        return cls(
            (vision.depth, vision.hidden_size, inner),
            (text.num_hidden_layers, text.hidden_size, text.intermediate_size),
            (text.num_attention_heads, text.num_key_value_heads, head),
            text.vocab_size,
            () if older else tuple(vision.deepstack_visual_indexes),
            vision.patch_size,
            bool(config.tie_word_embeddings),
        )

    @property
    def block_weights(self) -> tuple[int, int]:
        """Weights of all layers: vision, text."""
        layers, width, inner = self.vision
        vision = layers * (4 * width**2 + 2 * width * inner)
        depth, wide, mlp = self.text
        query, shared, head = self.heads
        text = depth * (2 * wide * head * (query + shared) + 3 * wide * mlp)
        return vision, text

    @property
    def weights(self) -> int:
        """All weights: layers, embedding and output layer, mergers."""
        merge = (1 + len(self.deepstack)) * 4 * self.vision[1] * (4 * self.vision[1] + self.text[1])
        words = (1 if self.tied else 2) * self.vocabulary * self.text[1]
        return sum(self.block_weights) + words + merge


# Qwen/Qwen3-VL-4B-Instruct, config.json.
SIZE_4B = ModelSize((24, 1024, 4096), (36, 2560, 9728), (32, 8, 128), 151_936, (5, 11, 17))


def config_4b(tokenizer: Any) -> Any:
    """The stock config, with the special tokens of a tokenizer."""
    from transformers import Qwen3VLConfig

    token_id = tokenizer.convert_tokens_to_ids
    size = SIZE_4B
    return Qwen3VLConfig(
        text_config={
            "vocab_size": size.vocabulary,
            "hidden_size": size.text[1],
            "intermediate_size": size.text[2],
            "num_hidden_layers": size.text[0],
            "num_attention_heads": size.heads[0],
            "num_key_value_heads": size.heads[1],
            "head_dim": size.heads[2],
            "max_position_embeddings": 262_144,
            "tie_word_embeddings": True,
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
        tie_word_embeddings=True,
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
