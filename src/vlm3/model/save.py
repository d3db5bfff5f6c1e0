"""Writes checkpoint folders in the layout of the official ones."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vlm3.model.folder import EXPERTS_TURNED
from vlm3.model.picture import PictureInput
from vlm3.model.settings import SETTINGS_FILE, Settings
from vlm3.model.side_files import read_object, write_object

# What the official folders name, of the family's own processors.
_PROCESSORS = {
    "qwen3_vl": ("Qwen3VLProcessor", "Qwen2VLImageProcessorFast", "Qwen3VLVideoProcessor"),
    "qwen3_vl_moe": ("Qwen3VLProcessor", "Qwen2VLImageProcessorFast", "Qwen3VLVideoProcessor"),
    "qwen2_5_vl": ("Qwen2_5_VLProcessor", "Qwen2VLImageProcessorFast", "Qwen2VLVideoProcessor"),
}


def save_checkpoint(
    model: Any,
    tokenizer: Any,
    spec: PictureInput,
    folder: Path,
    *,
    settings: Settings,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Writes a checkpoint in the layout of the official ones.

    transformers 5 and 4.57 and vLLM read it. What 5 alone would write, 4.57 cannot read, and
    without `tie_word_embeddings` inside the text config 4.57 would load a random output layer
    without a word. The output layer is left out only where it is the embedding itself.

    Args:
        model: of one of the families in `vlm3.model.folder`.
        tokenizer: its tokenizer, with a chat template.
        spec: its picture input.
        folder: made if missing.
        settings: written as `vlm3.json`.
        dtype: of the weights on disk.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    tied = model.lm_head.weight is model.get_input_embeddings().weight
    weights = _official_weights(model, dtype, tied=tied)
    # The library leaves the output layer out, or puts it in, by what the config says.
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = tied
    model.save_pretrained(folder, state_dict=weights, save_original_format=False)
    tokenizer.save_pretrained(folder)
    _write_config(folder, dtype, tied=tied)
    _write_tokenizer(folder, tokenizer)
    _write_processors(folder, spec, model.config.model_type)
    _write_settings(folder, settings)


def write_adapter(model: Any, folder: Path, *, base: str, settings: Settings) -> None:
    """Writes the low-rank additions of a peft model alone, as peft does.

    Args:
        model: with one LoRA adapter in it, not yet merged.
        folder: made if missing.
        base: what it is put on: a folder, a hub id, or "nano".
        settings: written as `vlm3.json`.
    """
    for config in model.peft_config.values():
        config.base_model_name_or_path = base
        config.inference_mode = True
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    # peft's own card is a form that nobody has filled in.
    (folder / "README.md").unlink(missing_ok=True)
    _write_settings(folder, settings)


def _official_weights(model: Any, dtype: torch.dtype, *, tied: bool) -> dict[str, torch.Tensor]:
    """The weights as the official files hold them; a tied output layer is left out."""
    weights = {
        name: value.to(dtype).contiguous()
        for name, value in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    if model.config.model_type in EXPERTS_TURNED:
        # As the official files and 4.57 have them; the library would leave them as they are now.
        for name in weights:
            if ".mlp.experts." in name:
                weights[name] = weights[name].transpose(1, 2).contiguous()
    return weights


def _write_processors(folder: Path, spec: PictureInput, family: str) -> None:
    whole, image, video = _PROCESSORS[family]
    shared = {
        # Of a model from scratch: a side of two tokens at least, a thousand at most.
        "size": {
            "shortest_edge": spec.min_pixels or (2 * spec.token_px) ** 2,
            "longest_edge": spec.max_pixels or (1000 * spec.token_px) ** 2,
        },
        "patch_size": spec.patch_px,
        "merge_size": spec.merge,
        "temporal_patch_size": spec.temporal,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
        "processor_class": whole,
    }
    write_object(folder / "preprocessor_config.json", shared | {"image_processor_type": image})
    write_object(
        folder / "video_preprocessor_config.json", shared | {"video_processor_type": video}
    )


def _write_settings(folder: Path, settings: Settings) -> None:
    known = {k: v for k, v in asdict(settings).items() if v is not None}
    write_object(folder / SETTINGS_FILE, known)


def _write_config(folder: Path, dtype: torch.dtype, *, tied: bool) -> None:
    path = folder / "config.json"
    config = read_object(path)
    text = config["text_config"]
    rope = text.pop("rope_parameters")
    text["rope_theta"] = rope.pop("rope_theta")
    text["rope_scaling"] = {"rope_type": "default"} | rope
    text["tie_word_embeddings"] = config["tie_word_embeddings"] = tied
    if "num_local_experts" in text:
        # The name of 5 alone; 4.57 would build as many experts as it likes.
        text["num_experts"] = text.pop("num_local_experts")
    for section in (config, text, config["vision_config"]):
        section["dtype"] = str(dtype).removeprefix("torch.")
    write_object(path, config)


def _write_tokenizer(folder: Path, tokenizer: Any) -> None:
    whole = read_object(folder / "tokenizer.json")
    words = whole["model"]
    write_object(folder / "vocab.json", words["vocab"])
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in words["merges"]]
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(pairs) + "\n", encoding="utf-8"
    )
    path = folder / "tokenizer_config.json"
    config = read_object(path)
    for key in ("extra_special_tokens", "backend", "add_prefix_space", "is_local"):
        config.pop(key, None)
    fields = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    added = whole["added_tokens"]
    config["additional_special_tokens"] = [token["content"] for token in added]
    config["added_tokens_decoder"] = {
        str(token["id"]): {field: token[field] for field in fields} for token in added
    }
    config["chat_template"] = tokenizer.chat_template
    write_object(path, config)
