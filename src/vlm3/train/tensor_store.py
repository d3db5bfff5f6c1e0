"""Tensors that lie in parts over many processes, on disk: safetensors, and an index in JSON.

Every process writes the parts it holds, with their place in the whole tensor; any number of
processes, holding the tensors in other parts, read what they need. Nothing is unpickled. Knows no
run and no model.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from vlm3 import disk
from vlm3.errors import CheckpointError
from vlm3.model.side_files import read_object

INDEX = "index.json"
_FORMAT = "vlm3 run 1"
_FILE = re.compile(r"rank-\d{5}-\d{3}\.safetensors")
# A process copies its parts to the host file by file: so much memory at a time.
_FILE_BYTES = 1 << 30
# A 4B model over 256 processes makes about a million parts, of some 100 bytes each.
_INDEX_BYTES = 512 << 20


@dataclass(frozen=True)
class TensorPart:
    """A block of one tensor in one file.

    Attributes:
        tensor: the tensor's name.
        file: the file in the folder.
        key: the block's name in that file.
        offset: its first element in the whole tensor, an index an axis.
        shape: its shape.
    """

    tensor: str
    file: str
    key: str
    offset: tuple[int, ...]
    shape: tuple[int, ...]

    def to_json(self) -> str:
        """As a line of JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def checked(cls, tensor: str, value: Any, whole: tuple[int, ...]) -> "TensorPart":
        """From the index.

        Raises:
            CheckpointError: wrong types, a file elsewhere, or a block outside the tensor.
        """
        try:
            file, key = value["file"], value["key"]
            offset, shape = (_sizes(value[name]) for name in ("offset", "shape"))
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{INDEX} describes {tensor} wrongly ({error!r})") from error
        inside = len(offset) == len(shape) == len(whole) and all(
            start + count <= full for start, count, full in zip(offset, shape, whole, strict=True)
        )
        if not (isinstance(file, str) and _FILE.fullmatch(file) and isinstance(key, str)):
            raise CheckpointError(f"{INDEX} names a file that no run writes, for {tensor}")
        if not inside:
            raise CheckpointError(f"{INDEX} has a block of {tensor} outside its shape {whole}")
        return cls(tensor, file, key, offset, shape)


def _sizes(values: Any) -> tuple[int, ...]:
    if not (isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)):
        raise TypeError("sizes are whole numbers from 0")
    return tuple(values)


def write_parts(
    folder: Path, tensors: Mapping[str, torch.Tensor], *, rank: int
) -> list[TensorPart]:
    """Writes the blocks that this process is to write, and flushes them to the disk.

    Of copies only one is written: by the first replica, and of plain tensors by the first process.

    Args:
        folder: there already.
        tensors: by name; plain or DTensor.
        rank: of this process.

    Returns:
        What was written.

    Raises:
        OSError, SafetensorError: the disk is full, or gone.
    """
    parts: list[TensorPart] = []
    known: dict[tuple[Any, ...], tuple[str, str]] = {}
    pending: dict[str, torch.Tensor] = {}
    waiting, number = 0, 0
    file = f"rank-{rank:05d}-{number:03d}.safetensors"

    def flush() -> None:
        if pending:
            save_file(pending, folder / file)
            disk.sync(folder / file)
            pending.clear()

    for name, tensor in tensors.items():
        if not _is_writer(tensor, rank):
            continue
        offset, block = _block(tensor)
        if not block.numel() and tensor.numel():
            continue  # More processes than rows: this one holds none of it.
        place = (block.data_ptr(), tuple(block.shape), block.stride(), block.dtype, offset)
        if block.numel() and place in known:  # Tied weights: written once.
            parts.append(TensorPart(name, *known[place], offset, tuple(block.shape)))
            continue
        size = block.numel() * block.element_size()
        if waiting and waiting + size > _FILE_BYTES:
            flush()
            waiting, number = 0, number + 1
            file = f"rank-{rank:05d}-{number:03d}.safetensors"
        # A copy: blocks may share memory, which safetensors does not write.
        pending[name] = block.detach().to("cpu", copy=True).contiguous()
        waiting += size
        known[place] = (file, name)
        parts.append(TensorPart(name, file, name, offset, tuple(block.shape)))
    flush()
    return parts


def write_index(folder: Path, tensors: Mapping[str, torch.Tensor], parts: Sequence[str]) -> None:
    """Writes the index: the last thing, by one process.

    Args:
        folder: with the parts.
        tensors: by name.
        parts: `Part.to_json` of all processes.
    """
    listed: dict[str, Any] = {
        name: {"dtype": _dtype_name(t.dtype), "shape": list(t.shape), "parts": []}
        for name, t in tensors.items()
    }
    for line in parts:
        part = json.loads(line)
        listed[part.pop("tensor")]["parts"].append(part)
    path = folder / INDEX
    path.write_text(
        json.dumps({"format": _FORMAT, "tensors": listed}, allow_nan=False), encoding="utf-8"
    )
    disk.sync(path)
    disk.sync(folder)


def read(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Fills tensors in place, each process those blocks that it holds.

    Raises:
        CheckpointError: other names or shapes than those stored, or damaged files.
    """
    listed = _listed(folder, tensors)
    files: dict[str, Any] = {}
    try:
        for name, tensor in tensors.items():
            offset, block = _block(tensor)
            fill(folder, name, block, offset, listed[name], files)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder} cannot be read ({str(error)[:200]})") from error


@torch.no_grad()
def fill(
    folder: Path,
    name: str,
    block: torch.Tensor,
    offset: tuple[int, ...],
    parts: Sequence[TensorPart],
    files: dict[str, Any],
) -> None:
    """Fills a block of a tensor, which begins at `offset`, from the parts that touch it.

    `files` keeps what has been opened.

    Raises:
        CheckpointError: parts are missing, or of another kind.
        OSError, SafetensorError: a file cannot be read.
    """
    left = block.numel()
    for part in parts:
        common = _overlap(offset, tuple(block.shape), part)
        if common is None:
            continue
        if part.file not in files:
            # Mapped, as long as the handle lives; it has no close of its own.
            files[part.file] = safe_open(folder / part.file, framework="pt")
        values = _values(files[part.file], part, common)
        if values.dtype != block.dtype:
            raise CheckpointError(
                f"{folder}: {name} is stored as {_dtype_name(values.dtype)} and the run has "
                f"{_dtype_name(block.dtype)}"
            )
        here = tuple(slice(a - o, b - o) for (a, b), o in zip(common, offset, strict=True))
        block[here].copy_(values)
        left -= values.numel()
    if left:
        raise CheckpointError(f"{folder} lacks parts of {name}")


def _listed(folder: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, list[TensorPart]]:
    """The parts of each tensor, after checking that names and shapes are the same."""
    found = read_object(folder / INDEX, limit_bytes=_INDEX_BYTES)
    stored = found.get("tensors")
    if found.get("format") != _FORMAT or not isinstance(stored, dict):
        raise CheckpointError(
            f"{folder / INDEX} is of format {str(found.get('format'))[:40]!r}; this vlm3 reads "
            f"{_FORMAT!r}"
        )
    odd = sorted(set(tensors) ^ {k for k in stored if k in tensors or k.startswith("model/")})
    if odd:
        where = "run" if odd[0] in tensors else "checkpoint"
        raise CheckpointError(
            f"{folder} is of another model or optimiser: {len(odd)} tensors differ, {odd[0]} is "
            f"only in the {where}"
        )
    listed = {}
    for name, tensor in tensors.items():
        entry, shape = stored[name], list(tensor.shape)
        kept = entry.get("shape") if isinstance(entry, dict) else None
        parts = entry.get("parts") if isinstance(entry, dict) else None
        if kept != shape or not isinstance(parts, list):
            raise CheckpointError(
                f"{folder}: {name} has shape {shape} in the run, {str(kept)[:80]} in the checkpoint"
            )
        listed[name] = [TensorPart.checked(name, part, tuple(shape)) for part in parts]
    return listed


def _values(file: Any, part: TensorPart, common: Sequence[tuple[int, int]]) -> torch.Tensor:
    """The values of a region of the whole tensor, from a part that holds it."""
    if not common:
        whole: torch.Tensor = file.get_tensor(part.key)
        return whole
    block = file.get_slice(part.key)
    if tuple(block.get_shape()) != part.shape:
        raise CheckpointError(f"{part.file} holds {part.key} in another shape than {INDEX} says")
    values: torch.Tensor = block[
        tuple(slice(a - o, b - o) for (a, b), o in zip(common, part.offset, strict=True))
    ]
    return values


def _overlap(
    offset: tuple[int, ...], shape: tuple[int, ...], part: TensorPart
) -> list[tuple[int, int]] | None:
    """What a block and a part share, as first and past-last index of each axis; None: nothing."""
    ranges = [
        (max(a, b), min(a + m, b + n))
        for a, m, b, n in zip(offset, shape, part.offset, part.shape, strict=True)
    ]
    return None if any(first >= last for first, last in ranges) else ranges


def _block(tensor: torch.Tensor) -> tuple[tuple[int, ...], torch.Tensor]:
    """Where this process's block of a tensor begins, and the block."""
    if not isinstance(tensor, DTensor):
        return (0,) * tensor.ndim, tensor
    local = tensor.to_local()
    _, offset = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return tuple(offset), local


def _is_writer(tensor: torch.Tensor, rank: int) -> bool:
    if not isinstance(tensor, DTensor):
        return rank == 0
    coordinate = tensor.device_mesh.get_coordinate() or ()
    return all(
        place == 0
        for place, kind in zip(coordinate, tensor.placements, strict=True)
        if isinstance(kind, Replicate)
    )


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
