"""Run folders of older versions, whose checkpoints are read by unpickling, made into today's.

Unpickling runs whatever code lies in a file. That is why nothing else in vlm3 does it, and why the
command asks first.
"""

import shutil
from pathlib import Path

import torch

from vlm3.errors import CheckpointError, InputError
from vlm3.train import tensor_store
from vlm3.train.checkpoint import named_tensors

_OLD = ".unconverted"


def unconverted(out: Path) -> list[Path]:
    """The checkpoints of a run folder that an older vlm3 wrote, oldest first.

    Raises:
        InputError: the folder is no run folder.
    """
    folder = out / "checkpoints"
    if not folder.is_dir():
        raise InputError(
            f"{out} has no checkpoints: give the folder that vlm3 train --output named"
        )
    # A conversion that was stopped between its two renamings.
    for left in sorted(folder.glob(f"step-*{_OLD}")):
        whole = left.with_name(left.name.removesuffix(_OLD))
        if whole.exists():
            shutil.rmtree(left)
        else:
            left.rename(whole)
    return [path for path in sorted(folder.glob("step-[0-9]*[0-9]")) if _is_old(path)]


def _is_old(path: Path) -> bool:
    return (path / ".metadata").exists()


def convert(path: Path) -> None:
    """Rewrites one checkpoint. UNPICKLES what it reads: only after the user has agreed.

    Raises:
        CheckpointError: it cannot be read, or is not a run's.
    """
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    whole = partial / "whole.pt"
    try:
        dcp_to_torch_save(path, whole)
        state = torch.load(whole, weights_only=True, mmap=True)
        tensors = named_tensors(state["model"], state["optimizer"])
        parts = tensor_store.write_parts(partial, tensors, rank=0)
        tensor_store.write_index(partial, tensors, [part.to_json() for part in parts])
        whole.unlink()
    except Exception as error:
        # torch raises whatever its parts raise; nothing has been changed yet.
        shutil.rmtree(partial, ignore_errors=True)
        text = str(error).strip().splitlines()
        raise CheckpointError(
            f"{path} cannot be converted ({text[-1][:200] if text else error!r}); it is as it was"
        ) from error
    old = path.with_name(path.name + _OLD)
    path.rename(old)
    partial.rename(path)
    shutil.rmtree(old)
