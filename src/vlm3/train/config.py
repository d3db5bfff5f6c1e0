"""What a training run is: one frozen value, nested by who reads what.

A recipe makes it, and the command line changes its settings (`train.flat_settings`). Each module
takes the piece it needs; the whole is for the trainer alone. Imports neither torch nor a model.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vlm3.errors import InputError
from vlm3.tasks.references import Reference
from vlm3.train.parts import DataConfig

Packing = Literal["independent", "chat"]
ATTENTIONS = ("auto", "tree", "sdpa", "eager", "varlen", "flash_attention_2")


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value}; give a number above 0")


@dataclass(frozen=True)
class ModelConfig:
    """Which weights are trained; read by `train.loss_module`.

    Attributes:
        source: a checkpoint to start from; "small" is nano's architecture, "tiny" and "tiny-wide"
            are toys, all from random weights; "4b-random", the paper's size, is for measurements.
        freeze_vision: leave the vision tower as it is.
        lora_rank: above 0, train low-rank additions only.
    """

    source: str
    freeze_vision: bool = False
    lora_rank: int = 0


@dataclass(frozen=True)
class PromptConfig:
    """How a sample is shown and its questions worded; read by `train.datasets` and its sources.

    Attributes:
        protocol: whose words and pictures.
        questions: a picture and task at most.
        reference: how a pixel is named: "normalised" as in the paper; "relative" in thousandths of
            each side; "pixels" in tenths of those of the picture; "marker" draws it, and asks one
            question a picture.
        f_px: focal length of every picture; None for the protocol's own.
        long_side_px: bring the longer side to it instead, whatever the lens; to compare.
        size_px: of rendered pictures, width and height.
        max_tokens: most tokens a picture may take.
    """

    protocol: str
    questions: int = 10
    reference: Reference = "normalised"
    f_px: float | None = None
    long_side_px: int | None = None
    size_px: tuple[int, int] = (160, 128)
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.f_px is not None and self.long_side_px is not None:
            raise InputError("f_px and long_side_px were given; give only one of them")


@dataclass(frozen=True)
class LoaderConfig:
    """How samples become batches; read by `train.dataloader` and `train.collate`.

    Attributes:
        batch: samples an optimiser step, over all processes.
        packing: "independent" or "chat"; see `train.collate`.
        budget: most places of one forward pass, in tokens.
        workers: processes that prepare batches, for each training process.
    """

    batch: int
    packing: Packing = "chat"
    budget: int = 16_384
    workers: int = 4

    def __post_init__(self) -> None:
        _check_positive(batch=self.batch, budget=self.budget)


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser and its rate; read by `train.optim`.

    Attributes:
        rate: highest learning rate.
        optimizer: AdamW, or Muon on the matrices beside it.
        schedule: cosine; level with a fall over the last third; or flat to the end.
        warmup: share of the steps over which the rate rises.
        clip: largest gradient norm.
    """

    rate: float
    optimizer: Literal["adamw", "muon"] = "adamw"
    schedule: Literal["cosine", "level", "flat"] = "cosine"
    warmup: float = 0.1
    clip: float = 0.02

    def __post_init__(self) -> None:
        _check_positive(rate=self.rate, clip=self.clip)
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup is {self.warmup}; give a share from 0 to below 1")

    def warmup_steps(self, steps: int) -> int:
        """Steps of a run of `steps` over which the rate rises: rounded up, as transformers does."""
        return math.ceil(self.warmup * steps)

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate at a step, from 0, of a run of `steps`: up, then down."""
        return self.rate * self._share_at(step, steps)

    def _share_at(self, step: int, steps: int) -> float:
        rise = self.warmup_steps(steps)
        if step < rise:
            return step / rise
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
        if self.schedule == "flat":
            return 1.0
        return min(1.0, 3 * (steps - step) / steps)


@dataclass(frozen=True)
class ParallelConfig:
    """How a step is computed; read by `train.parallel` and `train.loss_module`.

    Attributes:
        mesh: "auto", "none", "ddp", or replicas x shards such as "4x8".
        precision: of the computation, bf16 only where the processor has it; weights and
            optimiser are float32 always.
        recompute: activations in the backward pass (gradient checkpointing); on a GPU only those
            that do not fit its memory.
        compile: layers by torch.compile, a class of them once; "auto" is on for a GPU, where it
            works, and off on a CPU.
        attention: "tree" needs no mask; sdpa, eager; for chat packing on a GPU also varlen (torch's
            own) or flash_attention_2 (the package); "auto" tries what this machine has.
    """

    mesh: str = "auto"
    precision: Literal["bf16", "fp32"] = "bf16"
    recompute: bool = True
    compile: Literal["auto", "on", "off"] = "auto"
    attention: str = "auto"

    def __post_init__(self) -> None:
        if self.mesh not in ("auto", "none", "ddp") and len(self.mesh_shape()) != 2:
            raise InputError(f"mesh is {self.mesh!r}; give auto, none, ddp or 4x8")
        if self.compile not in ("auto", "on", "off"):
            raise InputError(f"compile is {self.compile!r}; give auto, on or off")
        if self.attention not in ATTENTIONS:
            raise InputError(f"attention is {self.attention!r}; give {', '.join(ATTENTIONS)}")

    @property
    def bf16(self) -> bool:
        """Whether bfloat16 is wanted where the processor has it."""
        return self.precision == "bf16"

    def mesh_shape(self) -> tuple[int, ...]:
        """Replicas and shards of a mesh such as "4x8"; empty if it is none."""
        parts = self.mesh.split("x")
        if len(parts) == 2 and all(p.isdigit() and int(p) > 0 for p in parts):
            return int(parts[0]), int(parts[1])
        return ()


@dataclass(frozen=True)
class CheckpointConfig:
    """When a run is saved.

    Attributes:
        save_every: steps.
        keep: checkpoints beside the best.
    """

    save_every: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        _check_positive(save_every=self.save_every)


@dataclass(frozen=True)
class ValidationConfig:
    """Checks on held-out samples.

    Attributes:
        check_every: steps between checks on held-out samples.
        held_out: samples a part in those checks.
    """

    check_every: int = 500
    held_out: int = 24

    def __post_init__(self) -> None:
        _check_positive(check_every=self.check_every)


@dataclass(frozen=True)
class LoggingConfig:
    """What a run logs and warns about.

    Attributes:
        most_epochs: warn above.
        tensorboard: write its event files too.
    """

    most_epochs: float = 2.0
    tensorboard: bool = False


@dataclass(frozen=True)
class RunConfig:
    """One training run.

    Attributes:
        name: of the recipe.
        out: folder for checkpoints, log and the exported model.
        model: which weights are trained.
        data: what they are trained on.
        prompt: how a sample is shown and its questions worded.
        loader: how samples become batches.
        optim: the optimiser and its rate.
        parallel: how a step is computed.
        checkpoint: when the run is saved.
        validation: checks on held-out samples.
        logging: what it logs and warns about.
        seed: of weights, order and questions.
    """

    name: str
    out: Path
    model: ModelConfig
    data: DataConfig
    prompt: PromptConfig
    loader: LoaderConfig
    optim: OptimConfig
    parallel: ParallelConfig = ParallelConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    validation: ValidationConfig = ValidationConfig()
    logging: LoggingConfig = LoggingConfig()
    seed: int = 0

    def __post_init__(self) -> None:
        attention = self.parallel.attention
        if self.loader.packing == "independent" and attention in ("varlen", "flash_attention_2"):
            raise InputError(
                f"{attention} cannot keep independent questions apart: give attention tree, sdpa "
                "or eager"
            )

    @property
    def steps(self) -> int:
        """Optimiser steps: as many as come nearest to the requested samples."""
        return max(1, int(self.data.samples / self.loader.batch + 0.5))
