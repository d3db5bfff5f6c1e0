"""Processes and meshes: where the model lies, and sums over all ranks.

One process, DistributedDataParallel, or `fully_shard` over replicas x shards (hybrid sharding).
Knows no data.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from vlm3.errors import InputError


@dataclass(frozen=True)
class Parallel:
    """This process among the others.

    Attributes:
        rank: of this process.
        world: number of processes.
        device: its own.
        shape: replicas and shards; None without sharding.
    """

    rank: int
    world: int
    device: torch.device
    shape: tuple[int, int] | None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes, in float64."""
        return self._reduced(values, "sum")

    def largest(self, value: float) -> float:
        """The largest over all processes."""
        return self._reduced([value], "max")[0]

    def _reduced(self, values: Sequence[float], how: str) -> list[float]:
        if self.world == 1:
            return list(values)
        # Numbers of the host, summed there: a GPU need not be waited for.
        table = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(table, dist.ReduceOp.SUM if how == "sum" else dist.ReduceOp.MAX)
        return [float(v) for v in table.tolist()]

    def gathered(self, names: Sequence[str]) -> list[str]:
        """The names of all processes."""
        if self.world == 1:
            return list(names)
        every: list[Any] = [None] * self.world
        dist.all_gather_object(every, list(names))
        return [name for part in every for name in part]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier()


def start(mesh: str, shape: tuple[int, ...]) -> Parallel:
    """Joins the processes that torchrun started, or stands alone.

    Raises:
        InputError: the mesh does not fit the number of processes.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    local = int(os.environ.get("LOCAL_RANK", 0))
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if shape and shape[0] * shape[1] != world:
        raise InputError(f"mesh {mesh} needs {shape[0] * shape[1]} processes, there are {world}")
    if mesh in ("none", "ddp") and (mesh == "ddp") != (world > 1):
        raise InputError(f"mesh {mesh} does not fit {world} processes; give auto")
    if gpu:
        torch.cuda.set_device(device)
    chosen = (shape[0], shape[1]) if shape else None
    if mesh == "auto" and (world > 1 or gpu):
        # Hybrid: shards within a node, replicas over nodes.
        inside = int(os.environ.get("LOCAL_WORLD_SIZE", world))
        chosen = (world // inside, inside)
    if (world > 1 or chosen) and not dist.is_initialized():
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "29517")
        # Both: sums of tensors run where those lie, checkpoints over the CPU.
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo", rank=rank, world_size=world
        )
    return Parallel(rank, world, device, chosen)


def spread(trainee: Any, blocks: Sequence[Any], parallel: Parallel, *, bf16: bool) -> Any:
    """The module that is called in training, on its device and spread over the mesh."""
    trainee.to(parallel.device)
    if parallel.shape is not None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        mesh = init_device_mesh(
            parallel.device.type, parallel.shape, mesh_dim_names=("replicate", "shard")
        )
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if bf16 else None, reduce_dtype=torch.float32
        )
        # A one-dimensional mesh where there is one replica: plain sharding.
        chosen = mesh["shard"] if parallel.shape[0] == 1 else mesh
        for block in (*blocks, trainee):
            fully_shard(block, mesh=chosen, mp_policy=policy)
        return trainee
    if parallel.world > 1:
        return torch.nn.parallel.DistributedDataParallel(trainee)
    return trainee


def precision(parallel: Parallel, *, bf16: bool) -> AbstractContextManager[Any]:
    """bfloat16 computation where no sharding policy brings it and the processor has it.

    A CPU without such instructions emulates them: fifteen times slower than float32, measured.
    """
    if not bf16 or parallel.shape is not None or not _has_bf16(parallel.device):
        return nullcontext()
    return torch.autocast(parallel.device.type, torch.bfloat16)


def _has_bf16(device: torch.device) -> bool:
    if device.type != "cpu":
        return True
    # Missing in older releases: float32 then.
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def last_of_several(module: Any, last: bool) -> AbstractContextManager[Any]:
    """Gradients of a DDP module are summed over processes at the last forward pass only."""
    if last or not isinstance(module, torch.nn.parallel.DistributedDataParallel):
        return nullcontext()
    return module.no_sync()
