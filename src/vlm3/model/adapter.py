"""Low-rank adapters as peft writes them: a small folder beside the model they change."""

from pathlib import Path
from typing import Any

from vlm3.errors import CheckpointError, MissingDependencyError
from vlm3.model.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from vlm3.model.side_files import kind_of, read_object


def base_name(folder: Path) -> str:
    """The model that an adapter changes: a folder, a hub id, or "nano".

    Raises:
        CheckpointError: the adapter is no LoRA, is pickled, or does not say what it changes.
    """
    path = folder / ADAPTER_CONFIG
    config = read_object(path)
    if config.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{path}: peft_type is {str(config.get('peft_type'))[:40]!r}; vlm3 reads LORA: merge "
            "other adapters into their base with peft first"
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        raise CheckpointError(
            f"{folder} has no {ADAPTER_WEIGHTS}"
            + (": adapter_model.bin is pickled, convert it to safetensors" if pickled else "")
        )
    named = config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise CheckpointError(f"{path}: base_model_name_or_path is {kind_of(named)}; name the base")
    return named


def with_adapter(model: Any, folder: Path) -> Any:
    """The model with an adapter merged into its weights.

    Raises:
        CheckpointError: the adapter does not fit the model.
        MissingDependencyError: peft is not installed.
    """
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError as error:
        raise MissingDependencyError(
            f"{folder} is an adapter, which needs peft: pip install 'vlm3[train]'"
        ) from error
    from safetensors import safe_open

    try:
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            stored = set(file.keys())
        wrapped = PeftModel.from_pretrained(model, folder, low_cpu_mem_usage=False)
        used = set(get_peft_model_state_dict(wrapped))
        merged = wrapped.merge_and_unload(safe_merge=True)
    except Exception as error:
        # peft raises whatever its parts raise: each means that adapter and base do not fit.
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CheckpointError(
            f"the adapter in {folder} cannot be put on its base ({reason})"
        ) from error
    odd = sorted(stored ^ used)
    if odd:
        raise CheckpointError(
            f"the adapter in {folder} does not fit its base: {len(odd)} tensors differ, {odd[0]} "
            "first"
        )
    return merged
