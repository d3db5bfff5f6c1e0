"""What a run costs, counted: FLOPs, memory, samples a second, hours.

Counts multiplications of weights and attention, forward and backward (three times forward), no
recomputation: model FLOPs, as MFU is defined. Both are held against torch's own counts; the speed
is an assumption until measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vlm3.errors import InputError
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.registry import TASKS
from vlm3.train.collate import MicroBatch
from vlm3.train.config import ModelConfig, ParallelConfig, RunConfig
from vlm3.train.loss_module import SIZES
from vlm3.train.sizes import SIZE_4B, SIZES_BY_ID, ModelSize

# Dense bf16 TFLOP/s and memory in GB, from the makers' data sheets.
GPUS = {"H200": (989.0, 141), "H100": (989.0, 80), "A100": (312.0, 80), "L40S": (362.0, 48)}
MFU = 0.40
"""Assumed until measured on the machine at hand; `--mfu` says otherwise."""
SAFE_SHARE = 0.85
"""Of a GPU's memory, what is counted on: packed rows differ, and memory is cut into pieces."""
PICTURE_SHARE, ANSWER_SHARE = 0.75, 0.07
"""Of the tokens of a depth sample: those of its picture, those of its answers."""


@dataclass(frozen=True)
class Shape:
    """What one sample holds: visual tokens of each picture, and tokens of text."""

    pictures: tuple[int, ...]
    text: int

    @property
    def tokens(self) -> int:
        """Of pictures and text together."""
        return sum(self.pictures) + self.text


# Typical pictures of Table 5's sets at a focal length of 1000 px, and ten questions in the paper's
# words; the pose protocol is asked at 750 px in the release, 1000 in the paper.
SHAPES = {
    name: Shape((picture,) * task.pictures, text)
    for name, task in TASKS.items()
    if task.typical_tokens is not None
    for picture, text in [task.typical_tokens]
}


def model_flops(size: ModelSize, pictures: Sequence[int], rows: Sequence[int]) -> float:
    """Model FLOPs, forward and backward.

    Args:
        size: of the model.
        pictures: tokens of each.
        rows: tokens of each conversation, those of its pictures included.
    """
    layers, width, _ = size.vision
    depth, wide, _ = size.text
    query, _, head = size.heads
    vision, text = size.block_weights
    patches = [4 * n for n in pictures]
    merge = (1 + len(size.deepstack)) * 4 * width * (4 * width + wide)
    linear = 2 * vision * sum(patches) + 2 * merge * sum(pictures) + 2 * text * sum(rows)
    # Every pair of patches of a picture; of the tokens the causal half counts.
    attention = sum(4 * layers * width * n * n for n in patches)
    attention += sum(2 * depth * query * head * n * n for n in rows)
    return 3.0 * (linear + attention)


def sample_flops(size: ModelSize, shape: Shape) -> float:
    """Model FLOPs of one sample."""
    return model_flops(size, shape.pictures, (shape.tokens,))


def batch_flops(config: Any, batch: MicroBatch) -> float:
    """Model FLOPs of one forward pass and its backward pass, from what is in it."""
    merge = config.vision_config.spatial_merge_size**2
    pictures = [t * h * w // merge for t, h, w in batch.tensors["image_grid_thw"].tolist()]
    count = len(batch.names)
    return model_flops(ModelSize.of(config), pictures, [batch.tokens // count] * count)


def peak_flops(device: torch.device) -> float:
    """Dense bf16 FLOP/s of this device; 0 where it is not known."""
    if device.type != "cuda":
        return 0.0
    name = torch.cuda.get_device_name(device)
    return next((peak * 1e12 for key, (peak, _) in GPUS.items() if key in name), 0.0)


@dataclass(frozen=True)
class Plan:
    """The answer to `vlm3 plan`."""

    gpu: str
    gpus: int
    tflop_a_sample: float
    tokens_a_sample: int
    samples_a_second: float
    hours: float
    memory_gb: float
    fits: bool

    def text(self) -> str:
        """As lines."""
        fits = "fits" if self.fits else "does NOT fit: more GPUs, a smaller budget, or lora_rank"
        return "\n".join(
            (
                f"GPUs              {self.gpus} x {self.gpu}",
                f"tokens a sample   {self.tokens_a_sample}",
                f"TFLOP a sample    {self.tflop_a_sample:.1f}",
                f"samples a second  {self.samples_a_second:.1f} "
                f"({self.samples_a_second / self.gpus:.2f} a GPU)",
                f"hours             {self.hours:.1f}",
                f"memory a GPU      {self.memory_gb:.0f} GB of {GPUS[self.gpu][1]}: {fits}",
            )
        )


def plan(run: RunConfig, *, gpu: str, gpus: int, mfu: float = MFU) -> Plan:
    """Counts what a run on pictures like the paper's costs.

    Raises:
        InputError: an unknown GPU, an impossible number of them, or a model that is a toy or whose
            config cannot be read.
    """
    size = size_of(run.model.source)
    if gpu not in GPUS:
        raise InputError(f"no figures for {gpu!r}; choose {', '.join(GPUS)}")
    if gpus < 1 or not 0 < mfu <= 1:
        raise InputError(f"gpus is {gpus} and mfu {mfu}; give 1 or more, and a share up to 1")
    parts = run.data.parts
    total = sum(part.share for part in parts)
    flops = tokens = 0.0
    for part in parts:
        task = next((t for t in part.tasks if t in SHAPES), DEPTH.name)
        flops += part.share / total * sample_flops(size, SHAPES[task])
        tokens += part.share / total * SHAPES[task].tokens
    peak, capacity = GPUS[gpu]
    rate = gpus * peak * 1e12 * mfu / flops
    shape = run.parallel.mesh_shape()
    shards = shape[1] if shape else min(gpus, 8)
    memory = _memory_gb(size, run.model, run.parallel, run.loader.budget, shards)
    return Plan(
        gpu,
        gpus,
        flops / 1e12,
        round(tokens),
        rate,
        run.data.samples / rate / 3600,
        memory,
        memory < 0.92 * capacity,
    )


def size_of(source: str) -> ModelSize:
    """The size of a model, from its config: a folder's, or the hub's.

    Raises:
        InputError: see `plan`.
    """
    if source == "4b-random":
        return SIZE_4B
    if source in SIZES_BY_ID:
        return SIZES_BY_ID[source]
    if source in SIZES or source == "nano":
        raise InputError(
            f"{source!r} is a toy, and plan counts pictures of the paper's size; start the run "
            "with vlm3 train, whose progress line has the time left"
        )
    from transformers import AutoConfig

    try:
        return ModelSize.of(AutoConfig.from_pretrained(source))
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"no Qwen3-VL or Qwen2.5-VL config found for the model {source!r}; give a "
            "checkpoint folder or a hub id that can be reached"
        ) from error


def _memory_gb(
    size: ModelSize, model: ModelConfig, parallel: ParallelConfig, budget: int, shards: int
) -> float:
    """Weights, gradients and two moments in float32 over the shards, and activations.

    Peak of a forward and backward pass of `budget` places: what the layers were given, all that
    one layer keeps while it is recomputed (or all layers, without), and the logits of answers.
    """
    trained = 0.02 if model.lora_rank else 1.0
    state = size.weights * (4 + 12 * trained) / shards
    blocks = sum(size.block_weights) + size.idle_weights
    gathered = 2 * 2 * (size.vocabulary * size.text[1] + blocks / 30)
    patches = 4 * PICTURE_SHARE * budget
    given = (budget * size.text[0] * size.text[1] + patches * size.vision[0] * size.vision[1]) * 2
    text, vision = layer_bytes(size)
    if parallel.recompute:
        kept = given + max(budget * text, patches * vision)
    else:
        kept = budget * text * size.text[0] + patches * vision * size.vision[0]
    # Logits in float32, their softmax, their gradient.
    logits = 3 * 4 * ANSWER_SHARE * budget * size.vocabulary
    masks = budget**2 * 2 if parallel.attention in ("sdpa", "eager") else 0
    return (state + gathered + kept + logits + masks) / 1e9


def layers_to_keep(
    size: ModelSize,
    model: ModelConfig,
    parallel: ParallelConfig,
    budget: int,
    *,
    shards: int,
    capacity: float,
) -> tuple[int, int]:
    """How many layers of vision and text need not be recomputed: memory is used, not time.

    Args:
        size: of the model.
        model: what of it is trained.
        parallel: how a pass is computed.
        budget: most tokens of a pass.
        shards: the model is spread over.
        capacity: bytes of a GPU.

    Returns:
        Layers of the vision tower and of the text whose activations can be kept for the backward
        pass. Those of the text first: they save more work a byte.
    """
    left = SAFE_SHARE * capacity
    left -= 1e9 * _memory_gb(size, model, parallel, budget, shards)
    text, vision = layer_bytes(size)
    # What a layer was given is kept in any case, and is counted already.
    each_text = budget * (text - 2 * size.text[1])
    each_vision = 4 * PICTURE_SHARE * budget * (vision - 2 * size.vision[1])
    kept_text = min(size.text[0], max(0, int(left // each_text)))
    left -= kept_text * each_text
    return min(size.vision[0], max(0, int(left // each_vision))), kept_text


def layer_bytes(size: ModelSize) -> tuple[int, int]:
    """What one layer keeps for its backward pass, in bfloat16: a token of text, a patch of vision.

    Without the weights of attention, which fused kernels do not keep. Held against what autograd
    saves in tests/train/test_plan.py.
    """
    _, wide, _ = size.text
    _, width, mlp = size.vision
    inner = size.inner
    return 2 * (25 * wide + 4 * inner), 2 * (7 * width + 3 * mlp)
