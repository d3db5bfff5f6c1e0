"""Checkpoints of a run: whole or not there, on any mesh, and never the last good one lost.

    OUT/checkpoints/step-00000500/   weights, optimiser, step (torch.distributed.checkpoint)
    OUT/checkpoints/best             the name of the best, if checks were made

A checkpoint is written under another name and renamed when complete; older ones go after that.
"""

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load as load_state
from torch.distributed.checkpoint.state_dict_saver import save as save_state

from vlm3.errors import CheckpointError
from vlm3.train.parallel import Parallel


class SaveWarning(UserWarning):
    """A checkpoint that could not be written; training goes on with the one before."""


def latest(out: Path) -> Path | None:
    """The newest complete checkpoint of a run."""
    found = sorted((out / "checkpoints").glob("step-[0-9]*[0-9]"))
    return found[-1] if found else None


def step_of(path: Path) -> int:
    """The optimiser steps done when a checkpoint was written."""
    return int(path.name.removeprefix("step-"))


def save(
    out: Path,
    step: int,
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    parallel: Parallel,
    *,
    keep: int,
) -> bool:
    """Writes a checkpoint; False, with a warning, when that failed and nothing changed."""
    folder = out / "checkpoints"
    final = folder / f"step-{step:08d}"
    partial = folder / f"step-{step:08d}.partial"
    if parallel.first:
        shutil.rmtree(partial, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    parallel.wait()
    weights, moments = get_state_dict(model, list(optimizers))
    reason = ""
    try:
        save_state(
            {"model": weights, "optimizer": moments},
            checkpoint_id=partial,
            no_dist=not dist.is_initialized(),
        )
    # A full disk, a lost mount: whatever it is, the run can go on and the last one is still there.
    except (Exception, CheckpointException) as error:
        reason = str(error).strip().splitlines()[-1][:200] if str(error).strip() else repr(error)
    if parallel.sums([float(bool(reason))])[0]:
        if parallel.first:
            shutil.rmtree(partial, ignore_errors=True)
            warnings.warn(
                f"checkpoint {final.name} could not be written ({reason}); the one before it stays",
                SaveWarning,
                stacklevel=2,
            )
        parallel.wait()
        return False
    if parallel.first:
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _tidy(folder, keep)
    parallel.wait()
    return True


def mark_best(out: Path, step: int) -> None:
    """Notes the best checkpoint, which is then kept."""
    partial = out / "checkpoints" / "best.partial"
    partial.write_text(f"step-{step:08d}")
    partial.replace(out / "checkpoints" / "best")


def _tidy(folder: Path, keep: int) -> None:
    note = folder / "best"
    best = note.read_text() if note.is_file() else ""
    for old in sorted(folder.glob("step-[0-9]*[0-9]"))[:-keep]:
        if old.name != best:
            shutil.rmtree(old, ignore_errors=True)


def load(path: Path, model: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """Reads a checkpoint, whatever mesh wrote it; returns its step.

    Raises:
        CheckpointError: it does not fit the model or cannot be read.
    """
    weights, moments = get_state_dict(model, list(optimizers))
    state: dict[str, Any] = {"model": weights, "optimizer": moments}
    try:
        load_state(state, checkpoint_id=path, no_dist=not dist.is_initialized())
    except (Exception, CheckpointException) as error:
        raise CheckpointError(
            f"{path} cannot be read ({str(error).strip().splitlines()[-1][:200]}); remove it to go "
            "on from the one before, or give another out folder"
        ) from error
    set_state_dict(
        model,
        list(optimizers),
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
    )
    return step_of(path)


def whole_weights(model: torch.nn.Module) -> dict[str, Any]:
    """All weights on the first process's CPU; empty on the others."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_model_state_dict(model, options=options))
