"""What a training run is: one frozen value, made by a recipe, changed on the command line."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vlm3.errors import InputError
from vlm3.tasks.base import Task
from vlm3.train.collate import Packing

Kind = Literal["depth", "pairs", "objects", "folders", "worlds", "pointing"]
Reference = Literal["normalised", "relative", "pixels", "marker"]
RENDERED = ("worlds", "pointing")
"""Kinds of parts that need no data: they are made while training."""
ATTENTIONS = ("auto", "tree", "sdpa", "eager", "varlen", "flash_attention_2")


@dataclass(frozen=True)
class Part:
    """One part of the data.

    Attributes:
        kind: "depth" and "pairs" are the sets of Table 5, "objects" the folder `objects`, "folders"
            those named, all below `Run.data`; "worlds" and "pointing" (mosaics) are rendered while
            training.
        tasks: what is asked.
        share: of all samples, beside the other parts.
        weights: within the part: table5, size or uniform.
        folders: of kind "folders": names of sets.
        folder_weights: their shares; empty for those of `weights`.
        colors: questions for the colour at a point, beside those of the tasks, in rendered worlds:
            what the mosaics taught is lost where nothing asks for it.
        worlds: of kind "worlds": room, street or both.
        tilt_deg: cameras of rendered worlds are turned up or down by at most this, so that the
            place in a picture says less of the distance.
        views: of kind "worlds": single views to train on, kept once rendered and shown again,
            mirrored and repainted; 0 for a new world each time. On a CPU, drawing a picture costs
            more than learning from it.
    """

    kind: Kind
    tasks: tuple[Task, ...]
    share: float = 1.0
    weights: Literal["table5", "size", "uniform"] = "table5"
    folders: tuple[str, ...] = ()
    folder_weights: tuple[float, ...] = ()
    colors: int = 0
    worlds: Literal["room", "street", "both"] = "room"
    tilt_deg: float = 0.0
    views: int = 0


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        name: of the recipe.
        out: folder for checkpoints, log and the exported model.
        model: a checkpoint to start from; "small" is nano's architecture, "tiny" and "tiny-wide"
            are toys, all from random weights; "4b-random", the paper's size, is for measurements.
        protocol: whose words and pictures.
        parts: of the data.
        data: folder or address with one folder of shards a set.
        without: folders of sets to do without.
        samples: in all; a sample is one picture, or one pair, with all its questions.
        batch: samples an optimiser step, over all processes.
        rate: highest learning rate.
        packing: "independent" or "chat"; see `train.batch`.
        questions: a picture and task at most.
        pointing: samples at the start that are mosaics alone; see `train.pointing`.
        reference: how a pixel is named: "normalised" as in the paper; "relative" in thousandths of
            each side; "pixels" in tenths of those of the picture; "marker" draws it, and asks one
            question a picture.
        f_px: focal length of every picture; None for the protocol's own.
        long_side_px: bring the longer side to it instead, whatever the lens; to compare.
        size_px: of rendered pictures, width and height.
        max_tokens: most tokens a picture may take.
        budget: most places of one forward pass, in tokens.
        mesh: "auto", "none", "ddp", or replicas x shards such as "4x8".
        precision: of the computation, bf16 only where the processor has it; weights and
            optimiser are float32 always.
        recompute: activations in the backward pass (gradient checkpointing); on a GPU only those
            that do not fit its memory.
        compile: every layer by torch.compile.
        attention: "tree" needs no mask; sdpa, eager; for chat packing on a GPU also varlen (torch's
            own) or flash_attention_2 (the package); "auto" tries what this machine has.
        optimizer: AdamW, or Muon on the matrices beside it.
        schedule: cosine; level with a fall over the last third; or flat to the end.
        warmup: share of the steps over which the rate rises.
        clip: largest gradient norm.
        freeze_vision: leave the vision tower as it is.
        lora_rank: above 0, train low-rank additions only.
        seed: of weights, order and questions.
        workers: processes that prepare batches, for each training process.
        save_every: steps.
        check_every: steps between checks on held-out samples.
        held_out: samples a part in those checks.
        keep: checkpoints beside the best.
        most_epochs: warn above.
        tensorboard: write its event files too.
    """

    name: str
    out: Path
    model: str
    protocol: str
    parts: tuple[Part, ...]
    samples: int
    batch: int
    rate: float
    data: str = ""
    without: tuple[str, ...] = ()
    packing: Packing = "chat"
    questions: int = 10
    pointing: int = 0
    reference: Reference = "normalised"
    f_px: float | None = None
    long_side_px: int | None = None
    size_px: tuple[int, int] = (160, 128)
    max_tokens: int | None = None
    budget: int = 16_384
    mesh: str = "auto"
    precision: Literal["bf16", "fp32"] = "bf16"
    recompute: bool = True
    compile: bool = False
    attention: str = "auto"
    optimizer: Literal["adamw", "muon"] = "adamw"
    schedule: Literal["cosine", "level", "flat"] = "cosine"
    warmup: float = 0.1
    clip: float = 0.02
    freeze_vision: bool = False
    lora_rank: int = 0
    seed: int = 0
    workers: int = 4
    save_every: int = 500
    check_every: int = 500
    held_out: int = 24
    keep: int = 2
    most_epochs: float = 2.0
    tensorboard: bool = field(default=False)

    def __post_init__(self) -> None:
        positive = {
            n: getattr(self, n)
            for n in (
                "samples",
                "batch",
                "rate",
                "budget",
                "clip",
                "save_every",
                "check_every",
            )
        }
        for name, value in positive.items():
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}; give a number above 0")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup is {self.warmup}; give a share from 0 to below 1")
        if self.mesh not in ("auto", "none", "ddp") and len(self.mesh_shape()) != 2:
            raise InputError(f"mesh is {self.mesh!r}; give auto, none, ddp or 4x8")
        if self.attention not in ATTENTIONS:
            raise InputError(f"attention is {self.attention!r}; give {', '.join(ATTENTIONS)}")
        if self.packing == "independent" and self.attention in ("varlen", "flash_attention_2"):
            raise InputError(
                f"{self.attention} cannot keep independent questions apart: give attention tree, "
                "sdpa or eager"
            )
        if not 0 <= self.pointing <= self.samples:
            raise InputError(f"pointing is {self.pointing}; give 0 to {self.samples} samples")
        if self.f_px is not None and self.long_side_px is not None:
            raise InputError("f_px and long_side_px were given; give only one of them")
        if not self.parts:
            raise InputError("there are no parts: nothing to train on")

    @property
    def steps(self) -> int:
        """Optimiser steps: as many as come nearest to the samples asked for."""
        return max(1, int(self.samples / self.batch + 0.5))

    @property
    def warmup_steps(self) -> int:
        """Steps over which the rate rises: rounded up, as transformers does."""
        return math.ceil(self.warmup * self.steps)

    def mesh_shape(self) -> tuple[int, ...]:
        """Replicas and shards of a mesh such as "4x8"; empty if it is none."""
        parts = self.mesh.split("x")
        if len(parts) == 2 and all(p.isdigit() and int(p) > 0 for p in parts):
            return int(parts[0]), int(parts[1])
        return ()

    def rate_at(self, step: int) -> float:
        """The share of the full rate at a step, from 0: up, then down."""
        rise = self.warmup_steps
        if step < rise:
            return step / rise
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise)))
        if self.schedule == "flat":
            return 1.0
        return min(1.0, 3 * (self.steps - step) / self.steps)
