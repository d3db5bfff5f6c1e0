"""Where a checkpoint is: in the package, in a folder, in the hub's cache, or on the hub."""

import re
from pathlib import Path

from vlm3.errors import CheckpointError
from vlm3.model.adapter import base_name
from vlm3.model.folder import ADAPTER_CONFIG, is_adapter, refuse_gguf

NANO_PATH = Path(__file__).parents[1] / "assets" / "nano"
"""The small model that lives in the package."""
_HUB_FILES = ["*.json", "*.jinja", "*.txt", "*.safetensors"]


def find_folder(name: str) -> Path:
    """The folder of "nano", a local path, or a hub id, which is fetched if need be."""
    if name == "nano":
        return NANO_PATH
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        refuse_gguf(folder)
        raise CheckpointError(
            f"{name} is a file: give the folder that holds config.json and the weights"
        )
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise CheckpointError(
            f"no model {name!r}: give nano, a folder, or a hub id such as facebook/VLM3-depth"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=True))
    except Exception:  # Not in the cache: whatever its error, the hub is next.
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except Exception as error:
        raise CheckpointError(
            f"{name} is no folder here and could not be fetched from the hub "
            f"({type(error).__name__}); check the name and the network, or give a local folder"
        ) from error


def base_of(adapter: Path) -> Path:
    """The folder of the model that an adapter was trained on."""
    named = base_name(adapter)
    # As peft wrote it: a path from where training ran, or beside the adapter.
    beside = adapter / named
    if not Path(named).expanduser().is_dir() and beside.is_dir():
        return beside
    try:
        base = find_folder(named)
    except CheckpointError as error:
        raise CheckpointError(
            f"{adapter} is an adapter for {named!r}, which is not here ({error}); correct "
            f"base_model_name_or_path in {ADAPTER_CONFIG}"
        ) from error
    if is_adapter(base):
        raise CheckpointError(
            f"{adapter} is an adapter for {named!r}, which is an adapter itself: merge that first"
        )
    return base
