"""What lies in a checkpoint folder, looked at before anything heavy is loaded.

Everything here says in one line what is wrong and what to do; the weights themselves are looked at
in `weight_files`. Knows no torch.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

from vlm3.errors import CheckpointError
from vlm3.model.picture import PictureInput
from vlm3.model.side_files import kind_of, read_object
from vlm3.model.template import find_template
from vlm3.model.weight_files import COPY_AGAIN, check_weights, has_weights, held_weights

FAMILIES = {
    "qwen3_vl": "Qwen3-VL",
    "qwen3_vl_moe": "Qwen3-VL-MoE",
    "qwen2_5_vl": "Qwen2.5-VL",
}
"""The model types that are read, and their names."""
EXPERTS_TURNED = ("qwen3_vl_moe",)
"""Families whose files hold the matrices of experts with rows and columns exchanged."""

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

# What the quantisers wrote before it stood in config.json.
_QUANTISER_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}


class CheckpointWarning(UserWarning):
    """Something in a checkpoint folder that was left aside."""


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, and no weights to put it on."""
    return (folder / ADAPTER_CONFIG).is_file() and not has_weights(folder)


def check_folder(folder: Path) -> str | None:
    """Refuses what cannot work, in a sentence.

    Returns:
        The chat template.

    Raises:
        CheckpointError: missing, incomplete, pickled, quantised, damaged, or of another family.

    Warns:
        CheckpointWarning: an adapter lies beside whole weights.
    """
    refuse_gguf(folder)
    _check_config(folder)
    check_weights(folder)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise CheckpointError(f"{folder} has no tokenizer.json: copy the whole checkpoint folder")
    for name in ("tokenizer_config.json", "generation_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            read_object(folder / name)
    PictureInput.read(folder)
    template = find_template(folder)
    if template is None:
        raise CheckpointError(
            f"{folder} has no chat template; it is chat_template.jinja, chat_template.json, or a "
            f"key of tokenizer_config.json: {COPY_AGAIN}"
        )
    if (folder / ADAPTER_CONFIG).is_file():
        warnings.warn(
            f"{folder} holds whole weights and an adapter ({ADAPTER_CONFIG}): the weights are "
            "taken as they are, for an adapter that is merged must not be added again; if they "
            "are the base's, move the adapter to a folder of its own and load that",
            CheckpointWarning,
            stacklevel=4,
        )
    return template


def _check_config(folder: Path) -> None:
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} has no config.json: it is not a checkpoint folder")
    config = read_object(path)
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise CheckpointError(f"{path}: model_type is {kind_of(kind)}; {COPY_AGAIN}")
    if kind not in FAMILIES:
        raise CheckpointError(
            f"{folder} holds a model of type {kind!r}; vlm3 asks vision language models of type "
            + " or ".join(FAMILIES)
        )
    for section in (config, config.get("text_config")):
        quantised = section.get("quantization_config") if isinstance(section, dict) else None
        if quantised is not None:
            how = quantised.get("quant_method") if isinstance(quantised, dict) else None
            raise _quantised(folder, str(how)[:40])
    for name, how in _QUANTISER_FILES.items():
        if (folder / name).is_file():
            raise _quantised(folder, how)
    for name in ("text_config", "vision_config"):
        if name in config and not isinstance(config[name], dict):
            raise CheckpointError(f"{path}: {name} is {kind_of(config[name])}; {COPY_AGAIN}")


def _quantised(folder: Path, how: str) -> CheckpointError:
    return CheckpointError(
        f"{folder} holds quantised weights ({how}), which vlm3 does not compute with: give the "
        f"unquantised checkpoint, or vllm:{folder} to run these in vLLM"
    )


def refuse_gguf(path: Path) -> None:
    """Refuses a GGUF file, or a folder of them, with the command that serves it.

    Raises:
        CheckpointError: it is one. Files of the vision tower have mmproj in their names
            (llama.cpp, docs/multimodal.md).
    """
    folder = path if path.is_dir() else path.parent
    every = sorted(file for file in folder.glob("*.gguf") if file.is_file())
    given = path if path.is_file() and path.suffix == ".gguf" else None
    if not every or (path.is_dir() and has_weights(folder)) or (path.is_file() and not given):
        return
    models = [file for file in every if "mmproj" not in file.name.lower()]
    towers = [file for file in every if file not in models]
    model = given if given in models else next(iter(models), None)
    if model is None:
        raise CheckpointError(
            f"{folder} holds the vision tower of a GGUF model ({towers[0].name}) and not the model"
        )
    tower = towers[0].name if towers else "FILE"
    lost = "" if towers else "; the mmproj file is not there, and without it no picture is read"
    raise CheckpointError(
        f"{path} holds weights in GGUF ({model.name}), which llama.cpp runs: start llama-server -m "
        f"{folder / model.name} --mmproj {folder / tower}, and give openai:NAME with its address, "
        f"such as --base-url http://localhost:8080/v1{lost}"
    )


_LARGEST = {
    "text_config": {
        "num_hidden_layers": 1000,
        "hidden_size": 10**6,
        "intermediate_size": 10**7,
        "num_attention_heads": 10**5,
        "num_key_value_heads": 10**5,
        "vocab_size": 10**8,
        "num_experts": 10**5,
        "moe_intermediate_size": 10**7,
    },
    "vision_config": {
        "depth": 1000,
        "hidden_size": 10**6,
        "intermediate_size": 10**7,
        "num_heads": 10**5,
        "out_hidden_size": 10**6,
        "patch_size": 256,
        "temporal_patch_size": 16,
        "spatial_merge_size": 16,
        "in_channels": 16,
    },
}


def check_size(folder: Path, config: Any) -> None:
    """Refuses a config of a model that is larger than the weights in the folder.

    The library makes up what is missing: with a key lost it would fill the memory with its own
    usual size of 8 billion random weights.

    Args:
        folder: checked already.
        config: the library's own, with what it puts in where the file says nothing.

    Raises:
        CheckpointError: a number that no model has, or more weights than are there.
    """
    path = folder / "config.json"
    for section, largest in _LARGEST.items():
        for name, most in largest.items():
            value = getattr(getattr(config, section), name, None)
            if value is not None and not (type(value) is int and 1 <= value <= most):
                raise CheckpointError(
                    f"{path}: {name} of {section} is {kind_of(value)}; a whole number from 1 to "
                    f"{most:,} is allowed"
                )
    text, vision = config.text_config, config.vision_config
    step = getattr(text, "decoder_sparse_step", 1)
    if not (type(step) is int and step >= 1):
        raise CheckpointError(f"{path}: decoder_sparse_step is {step!r:.40}; give 1 or more")
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    table = getattr(vision, "num_position_embeddings", None) or 0
    if not all(type(value) is int and 0 <= value <= 10**7 for value in (head, table)):
        raise CheckpointError(f"{path}: head_dim or num_position_embeddings is no possible number")
    merged = vision.hidden_size * vision.spatial_merge_size**2
    patch = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    least = (
        text.vocab_size * text.hidden_size
        + 3 * text.hidden_size * _inner_width(text)
        + text.num_hidden_layers * 2 * text.hidden_size * head * text.num_attention_heads
        + vision.depth
        * vision.hidden_size
        * (4 * vision.hidden_size + 2 * vision.intermediate_size)
        + vision.hidden_size * (patch + table)
        + merged * (merged + vision.out_hidden_size)
    )
    held = held_weights(folder)
    if least > held:
        raise CheckpointError(
            f"{path} describes a model of {least:,} weights or more, and the folder holds "
            f"{held:,}: they are of different models, or incomplete; {COPY_AGAIN}"
        )


def has_experts(text: Any, layer: int) -> bool:
    """Whether a text layer has experts, by the library's own config."""
    if not getattr(text, "num_experts", None):
        return False
    return layer not in text.mlp_only_layers and (layer + 1) % text.decoder_sparse_step == 0


def _inner_width(text: Any) -> int:
    """Rows of the inner matrices of all text layers together; of experts, those of all."""
    sparse = sum(has_experts(text, layer) for layer in range(text.num_hidden_layers))
    dense = (text.num_hidden_layers - sparse) * text.intermediate_size
    if not sparse:
        return int(dense)
    return int(dense + sparse * text.num_experts * text.moe_intermediate_size)


def positive(value: Any) -> bool:
    """Whether a JSON value is a finite number above 0."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        # Whole numbers of any length are JSON; a float holds those up to here.
        and 0 < value <= sys.float_info.max
    )
