"""A tokenizer for small models made from scratch: byte-level BPE, every digit its own token.

The released checkpoints bring Qwen's tokenizer. A model of a few million parameters would spend
most of them on its 151,643 words, so ours learns a few hundred from the sentences it will meet,
with Qwen's rule for cutting text and Qwen's special tokens: stock classes load it.
"""

import json
from collections.abc import Iterable
from typing import Any

from vlm3.model.finding import NANO_PATH

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""The special tokens of Qwen's vision language models, in their order."""

_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.content is string -%}{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part.type == 'text' -%}{{- part.text -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>' -}}
{%- endfor -%}
"""
"""Turns that end in `<|im_end|>`; that roles alternate says who speaks.

ChatML puts five tokens between a question and its answer, this one: the cost of many
questions about one picture is what comes after the numbers that vary.
"""


def train_tokenizer(sentences: Iterable[str], *, words: int) -> Any:
    """Learns a tokenizer from sentences.

    Args:
        sentences: text of questions and answers.
        words: size of the learnt vocabulary, the 256 bytes included, special tokens not.

    Returns:
        A `transformers.Qwen2Tokenizer` with Qwen's special tokens and the chat template.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.NFC()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=words,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    learner.train_from_iterator(sentences, trainer)
    learnt = json.loads(learner.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(SPECIAL_TOKENS),
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def nano_tokenizer() -> Any:
    """The tokenizer of the packaged weights: small models from scratch have its vocabulary."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(NANO_PATH, local_files_only=True)
