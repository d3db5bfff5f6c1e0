"""What a run needs to go on, in one file of safetensors: whole or not there, and no pickle.

OUT/run.json            settings, when the run began and when it ends
OUT/state.safetensors   weights, averaged weights, heads, optimizers; step and stage in its header
OUT/model/              the averaged weights as a checkpoint that `vlm3` asks
OUT/result.json         the last check, when the run is done
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vlm3 import disk
from vlm3.errors import CheckpointError
from vlm3.model import PictureInput, Settings, save_checkpoint

Tensor = torch.Tensor
STATE = "state.safetensors"
_FACTS = "facts"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a file that is whole as soon as it has its name."""
    disk.write(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def save_state(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes a run's state in place of the one before."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with disk.whole(folder / STATE) as partial:
        save_file(held, partial, metadata={_FACTS: json.dumps(facts, allow_nan=False)})


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Reads tensors and facts; None where a run has not saved yet.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()[_FACTS])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); remove it to begin again from random weights"
        ) from error


def save_model(
    folder: Path, model: Any, tokenizer: Any, spec: PictureInput, settings: Settings
) -> None:
    """Writes a checkpoint folder in place of the one before."""
    with disk.new_folder(folder) as partial:
        save_checkpoint(model, tokenizer, spec, partial, settings=settings)
