"""The weight files of a checkpoint folder: whether all are there and whole, by their headers alone.

Everything here says in one line what is wrong and what to do. Knows no torch.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from vlm3.errors import CheckpointError
from vlm3.model.side_files import kind_of, read_object

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
COPY_AGAIN = "copy the whole checkpoint folder again"
"""What to do about a folder that a copy left incomplete."""
_SHARD = re.compile(r"model-\d+-of-(\d+)\.safetensors")


def has_weights(folder: Path) -> bool:
    """Whether a folder holds a model's own weights, whole or not."""
    return (
        (folder / SINGLE).is_file()
        or (folder / INDEX).is_file()
        or any(_SHARD.fullmatch(path.name) for path in folder.glob("model-*.safetensors"))
    )


def check_weights(folder: Path) -> None:
    """Refuses a folder without whole weights.

    Raises:
        CheckpointError: they are missing, incomplete, damaged, pickled, or there twice.
    """
    single, index = folder / SINGLE, folder / INDEX
    if index.is_file():
        _check_shards(folder, _weight_map(index))
    elif single.is_file():
        _header(single)
    else:
        raise CheckpointError(_without_weights(folder))


def _check_shards(folder: Path, weight_map: Mapping[str, str]) -> None:
    shards = sorted(set(weight_map.values()))
    absent = [shard for shard in shards if not (folder / shard).is_file()]
    if absent:
        raise CheckpointError(
            f"{folder} lacks {len(absent)} of {len(shards)} weight files, {absent[0]} first"
        )
    if (folder / SINGLE).is_file() and SINGLE not in shards:
        # transformers would take the single file without a word, vLLM the shards.
        raise CheckpointError(
            f"{folder} holds two sets of weights, {SINGLE} and the {len(shards)} files that "
            f"{INDEX} names: remove the one that is out of date"
        )
    for shard in shards:
        held = _header(folder / shard)
        lost = sorted(
            name for name, file in weight_map.items() if file == shard and name not in held
        )
        if lost:
            raise CheckpointError(
                f"{folder / shard} lacks {len(lost)} tensors that {INDEX} says are in it, "
                f"{lost[0]} first: {COPY_AGAIN}"
            )


def _weight_map(index: Path) -> dict[str, str]:
    found = read_object(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"{index}: weight_map is {kind_of(found)}; {COPY_AGAIN}")
    for name, file in found.items():
        plain = isinstance(file, str) and re.fullmatch(r"[\w.-]+\.safetensors", file)
        if not plain:
            raise CheckpointError(
                f"{index}: {name[:80]} points to {str(file)[:80]!r}; a .safetensors file in "
                "this folder is allowed"
            )
    return found


def _header(path: Path) -> dict[str, int]:
    """How many values each tensor of a safetensors file has, if all their bytes are there."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
            return {name: math.prod(file.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or cut short ({str(error)[:100]}): copy the file again"
        ) from error


def held_weights(folder: Path) -> int:
    """How many values the weight files of a checked folder hold."""
    if (folder / INDEX).is_file():
        names = sorted(set(_weight_map(folder / INDEX).values()))
    else:
        names = [SINGLE]
    return sum(sum(_header(folder / name).values()) for name in names)


def _without_weights(folder: Path) -> str:
    """Why there are no weights to be read."""
    shards = sorted(p.name for p in folder.glob("*.safetensors") if _SHARD.fullmatch(p.name))
    if shards:
        found = _SHARD.fullmatch(shards[0])
        whole = int(found[1]) if found else len(shards)
        return (
            f"{folder} holds weight files ({len(shards)} of {whole}) and no {INDEX}, the index "
            f"that says what is in which: {COPY_AGAIN}"
        )
    pickled = next((p for s in ("*.bin", "*.pt", "*.pth") for p in folder.glob(s)), None)
    if pickled:
        return (
            f"{folder} holds pickled weights ({pickled.name}), which can run code when opened; "
            "convert them to safetensors"
        )
    other = next(folder.glob("*.safetensors"), None)
    if other:
        return f"{folder} holds {other.name}, and no {SINGLE}: rename it if it is the whole model"
    return f"{folder} has no {SINGLE}: the weights are missing"
