"""A small model straight from its safetensors file, where nothing about the file is unusual.

The library's own loading translates the names of weights of all its model families, draws what is
missing and reports on it; where names and shapes in the file are the model's, nothing of that is
needed. Everything else is left to the library, with its reports.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vlm3.model.folder import EXPERTS_TURNED
from vlm3.model.weight_files import SINGLE

# Larger models take seconds to read; they are left to the library, which is careful with memory.
_MOST_BYTES = 2 * 10**9


def mapped_model(folder: Path, config: Any, dtype: torch.dtype) -> Any | None:
    """The model with the weights of `model.safetensors`.

    Args:
        folder: checked already.
        config: the library's own.
        dtype: of the weights.

    Returns:
        The model, equal to what `from_pretrained` gives; None where the file does not hold the
        model's weights by name and shape, or is large.
    """
    from safetensors import safe_open
    from transformers.generation import GenerationConfig
    from transformers.models.auto.modeling_auto import AutoModelForImageTextToText

    path = folder / SINGLE
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    if config.model_type in EXPERTS_TURNED:
        return None
    with safe_open(path, framework="pt") as file:
        shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        with _without_first_values():
            made = AutoModelForImageTextToText.from_config(
                config, dtype=dtype, attn_implementation="sdpa"
            )
        wanted = {name: list(value.shape) for name, value in made.state_dict().items()}
        tied = set(made.all_tied_weights_keys)
        if shapes != {name: shape for name, shape in wanted.items() if name not in tied}:
            return None
        held = {name: file.get_tensor(name).to(dtype) for name in shapes}
    made.load_state_dict(held, strict=False, assign=True)
    made.tie_weights()
    if (folder / "generation_config.json").is_file():
        made.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return made.eval()


@contextmanager
def _without_first_values() -> Iterator[None]:
    """Within, weights are not drawn: every one is read from the file."""
    from transformers.initialization import no_init_weights

    with no_init_weights():
        yield
