"""Checkpoints of a run: whole or not there, on any mesh, and never the last good one lost.

    OUT/checkpoints/step-00000500/index.json          where each tensor's parts lie
    OUT/checkpoints/step-00000500/*.safetensors       weights and the optimiser's moments
    OUT/checkpoints/best                              the name of the best, if checks were made

Nothing in a checkpoint can run code when it is read: see `vlm3.train.tensor_store`. A checkpoint is
there when it is complete (`vlm3.disk.new_folder`); older ones go after that.
"""

import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)

from vlm3 import disk
from vlm3.errors import CheckpointError, InputError
from vlm3.train import tensor_store
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
    tensors = named_tensors(*get_state_dict(model, list(optimizers)))
    reason = ""
    try:
        with _place(final, parallel) as partial:
            _write(partial, tensors, parallel)
    except _NotWrittenError as error:
        reason = str(error)
    except (InputError, OSError) as error:
        # Of the first process, which alone gives the folder its name.
        reason = _last_line(error)
    reasons = parallel.gathered([reason] if reason and parallel.first else [])
    if parallel.first:
        if reasons:
            warnings.warn(
                f"checkpoint {final.name} could not be written ({reason}); the one before it stays",
                SaveWarning,
                stacklevel=2,
            )
        else:
            _tidy(folder, keep)
    parallel.wait()
    return not reasons


class _NotWrittenError(Exception):
    """What one process could not do; all of them raise it."""


@contextmanager
def _place(final: Path, parallel: Parallel) -> Iterator[Path]:
    """The folder that all processes write into; the first one makes and names it."""
    with ExitStack() as held:
        made, wrong = "", ""
        if parallel.first:
            try:
                made = str(held.enter_context(disk.new_folder(final)))
            except (InputError, OSError) as error:
                wrong = _last_line(error)
        place, reason = parallel.gathered([made, wrong])[:2]
        if reason:
            raise _NotWrittenError(reason)
        yield Path(place)


def _write(folder: Path, tensors: dict[str, torch.Tensor], parallel: Parallel) -> None:
    """Writes all of a checkpoint into a folder.

    Raises:
        _NotWrittenError: in every process, what one of them could not do.
    """
    reason = ""
    parts: list[tensor_store.TensorPart] = []
    # A full disk, a lost mount: whatever it is, the run can go on and the last one is still there.
    try:
        parts = tensor_store.write_parts(folder, tensors, rank=parallel.rank)
    except Exception as error:
        reason = _last_line(error)
    everywhere = parallel.gathered([part.to_json() for part in parts])
    if parallel.first and not reason:
        try:
            tensor_store.write_index(folder, tensors, everywhere)
        except OSError as error:
            reason = _last_line(error)
    if reasons := parallel.gathered([reason] if reason else []):
        raise _NotWrittenError(reasons[0])


def mark_best(out: Path, step: int) -> None:
    """Notes the best checkpoint, which is then kept."""
    disk.write(out / "checkpoints" / "best", f"step-{step:08d}")


def _tidy(folder: Path, keep: int) -> None:
    note = folder / "best"
    best = note.read_text() if note.is_file() else ""
    for old in sorted(folder.glob("step-[0-9]*[0-9]"))[:-keep]:
        if old.name != best:
            shutil.rmtree(old, ignore_errors=True)


def load(path: Path, model: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """Reads a checkpoint, whatever mesh wrote it; returns its step.

    Only tensors come from the file: rates and the like are the run's own.

    Raises:
        CheckpointError: it does not fit the model, cannot be read, or is of the form that runs code
            when it is read.
    """
    if (path / ".metadata").exists():
        raise CheckpointError(
            f"{path} is a checkpoint of an older vlm3, whose form can run code when it is opened; "
            f"if you trust where it comes from: vlm3 train convert-run {path.parent.parent}"
        )
    weights, moments = get_state_dict(model, list(optimizers))
    try:
        tensor_store.read(path, named_tensors(weights, moments))
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; remove {path.name} to go on from the one before, or give another out folder"
        ) from error
    set_state_dict(
        model,
        list(optimizers),
        model_state_dict=weights,
        optim_state_dict=moments,
    )
    return step_of(path)


def named_tensors(weights: dict[str, Any], moments: dict[str, Any]) -> dict[str, torch.Tensor]:
    """All tensors of a state, by names such as model/lm_head.weight and optimizer/.../exp_avg."""
    named = {f"model/{name}": value for name, value in weights.items()}
    for parameter, state in moments["state"].items():
        named |= {f"optimizer/{parameter}/{key}": value for key, value in state.items()}
    return {k: v if isinstance(v, torch.Tensor) else torch.tensor(v) for k, v in named.items()}


def _last_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[-1][:200] if text else repr(error)


def whole_weights(model: torch.nn.Module) -> dict[str, Any]:
    """All weights on the first process's CPU; empty on the others."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_model_state_dict(model, options=options))
