"""Run folders of older versions, whose checkpoints are read by unpickling, made into today's.

Unpickling runs whatever code lies in a file. That is why nothing else in vlm3 does it, and why the
command asks first.
"""

from pathlib import Path

import torch

from vlm3 import disk, partials
from vlm3.errors import CheckpointError, InputError
from vlm3.train import tensor_store
from vlm3.train.checkpoint import named_tensors


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
    partials.restored(folder)
    return [path for path in sorted(folder.glob("step-[0-9]*[0-9]")) if _is_old(path)]


def _is_old(path: Path) -> bool:
    return (path / ".metadata").exists()


def convert(path: Path) -> None:
    """Rewrites one checkpoint. UNPICKLES what it reads: only after the user has agreed.

    Raises:
        CheckpointError: it cannot be read, or is not a run's.
    """
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with disk.new_folder(path) as partial:
        whole = partial / "whole.pt"
        try:
            dcp_to_torch_save(path, whole)
            state = torch.load(whole, weights_only=True, mmap=True)
            tensors = named_tensors(state["model"], state["optimizer"])
            parts = tensor_store.write_parts(partial, tensors, rank=0)
            tensor_store.write_index(partial, tensors, [part.to_json() for part in parts])
            whole.unlink()
        except Exception as error:
            if (refusal := disk.refusal(error)) is not None and disk.is_full(refusal):
                raise
            # torch raises whatever its parts raise; nothing has been changed yet.
            text = str(error).strip().splitlines()
            raise CheckpointError(
                f"{path} cannot be converted ({text[-1][:200] if text else error!r}); it is as it "
                "was"
            ) from error
