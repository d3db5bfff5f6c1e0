"""The model in training: from random weights or a checkpoint, wrapped so that it returns losses.

The loss is computed inside the wrapped module: sharding gathers weights when that is called, and
the output layer is to run at answers alone. Knows no data.
"""

import re
import shutil
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from vlm3 import disk
from vlm3.errors import InputError, MissingDependencyError
from vlm3.model import (
    NANO_PATH,
    PictureInput,
    Settings,
    SmallSize,
    build_small,
    load_checkpoint,
    nano_tokenizer,
    save_checkpoint,
    write_adapter,
)
from vlm3.train import varlen
from vlm3.train.collate import TensorBatch, answer_losses
from vlm3.train.config import ModelConfig, ParallelConfig, PromptConfig

TINY = SmallSize(
    vision_hidden=96,
    vision_layers=3,
    vision_heads=3,
    vision_mlp=192,
    deepstack=(1,),
    position_table=16,
    text_hidden=96,
    text_layers=3,
    text_heads=3,
    text_kv_heads=1,
    text_mlp=192,
    rope_theta=10_000.0,
)
SIZES = {
    "small": SmallSize(),
    "tiny": TINY,
    "tiny-wide": replace(
        TINY,
        vision_hidden=160,
        vision_heads=5,
        vision_mlp=320,
        text_hidden=192,
        text_heads=6,
        text_kv_heads=2,
        text_mlp=384,
    ),
}
"""Models from random weights by name: nano's architecture, and two toys."""


class Trainee(torch.nn.Module):
    """Losses of a batch's answer tokens (n,)."""

    def __init__(self, model: Any, spec: PictureInput) -> None:
        super().__init__()
        self.model, self.spec = model, spec

    def forward(self, batch: TensorBatch) -> torch.Tensor:
        """Cross entropy of each answer token."""
        return answer_losses(stock(self.model), self.prepared(batch), self.spec)

    def prepared(self, batch: TensorBatch) -> TensorBatch:
        """The batch with its mask as the model's attention takes it."""
        mask = batch.get("attention_mask")
        # The text's own config: that of the whole model keeps saying sdpa.
        config = stock(self.model).config.text_config
        if mask is not None and config._attn_implementation == "eager":
            # Plain attention adds its mask, and added as it is a mask of truths hides nothing; the
            # kernels take it as it is.
            added = torch.zeros(mask.shape, dtype=torch.bfloat16, device=mask.device)
            return batch | {"attention_mask": added.masked_fill_(~mask, float("-inf"))}
        return batch


@dataclass(frozen=True)
class Start:
    """A model to train and what belongs to it.

    Attributes:
        trainee: the module that returns losses.
        tokenizer: the model's.
        spec: how it wants its pictures.
    """

    trainee: Trainee
    tokenizer: Any
    spec: PictureInput

    @property
    def blocks(self) -> list[Any]:
        """The layers that are sharded and recomputed one by one."""
        inner = stock(self.trainee.model).model
        return [*inner.visual.blocks, *inner.language_model.layers]


def begin(
    config: ModelConfig, parallel: ParallelConfig, *, seed: int, device: str = "cpu"
) -> Start:
    """Builds or loads a model to train, in float32.

    Args:
        config: which.
        parallel: how it computes.
        seed: of random weights.
        device: where the largest are made; all others on the CPU.

    Raises:
        CheckpointError: `config.source` cannot be loaded.
        MissingDependencyError: LoRA without peft, or an attention that is not installed.
        InputError: an attention that this machine cannot run.
    """
    _check_attention(parallel.attention)
    if config.source in SIZES:
        tokenizer, size = nano_tokenizer(), SIZES[config.source]
        model, spec = build_small(tokenizer, size, seed=seed), size.picture_input
    elif config.source == "4b-random":
        from vlm3.train.sizes import random_4b

        model, tokenizer, spec = random_4b(seed, device)
    else:
        loaded = load_checkpoint(config.source, device="cpu", dtype=torch.float32)
        model, tokenizer, spec = loaded.model, loaded.tokenizer, loaded.picture_input
    if parallel.attention == varlen.NAME:
        varlen.register()
    # Pictures are attended to one by one: there is nothing to pack.
    vision = "sdpa" if parallel.attention == varlen.NAME else parallel.attention
    model.set_attn_implementation({"text_config": parallel.attention, "vision_config": vision})
    if parallel.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.freeze_vision:
        model.model.visual.requires_grad_(False)
    if config.lora_rank:
        model = _with_lora(model, config.lora_rank, seed=seed, recompute=parallel.recompute)
    model.train()
    made = Start(Trainee(model, spec), tokenizer, spec)
    if parallel.compile:
        for block in made.blocks:
            block.compile()
    return made


def _check_attention(name: str) -> None:
    if name == varlen.NAME and not torch.cuda.is_available():
        raise InputError("attention varlen needs a GPU; give sdpa")
    if name == "flash_attention_2" and find_spec("flash_attn") is None:
        raise MissingDependencyError(
            "attention flash_attention_2 needs the package flash-attn, which is built on the "
            "machine; give varlen, which comes with torch"
        )


def token_px_of(source: str) -> int:
    """Pixels a token of a model spans, from its folder; the hub's models have 32.

    Raises:
        InputError: the model is neither a folder nor the name of one on the hub.
    """
    if source in SIZES:
        return SIZES[source].picture_input.token_px
    folder = NANO_PATH if source == "nano" else Path(source)
    if folder.is_dir():
        return PictureInput.read(folder).token_px
    if source != "4b-random" and not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source):
        raise InputError(
            f"no model {source!r}: give a folder, a hub id, or one of {', '.join(SIZES)}"
        )
    return 32


def _with_lora(model: Any, rank: int, *, seed: int, recompute: bool) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingDependencyError("lora_rank needs peft: pip install 'vlm3[train]'") from error
    names = "q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj"
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=rf".*language_model.*\.({names})",
    )
    torch.manual_seed(seed)
    if recompute:
        model.enable_input_require_grads()
    return get_peft_model(model, config)


def stock(model: Any) -> Any:
    """The library's own model, inside low-rank additions or not."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def export(
    fresh: Start, weights: dict[str, Any], folder: Path, *, model: ModelConfig, prompt: PromptConfig
) -> Path:
    """Writes trained weights in the layout stock libraries read; whole or not there.

    Low-rank additions are merged, and kept beside in `adapter`, as peft writes them.

    Args:
        fresh: the model as training began with it, on the CPU; it is changed.
        weights: the trained ones.
        folder: where to.
        model: what `fresh` was made from.
        prompt: what the model was asked, for its `vlm3.json`.
    """
    fresh.trainee.load_state_dict(weights)
    trained = fresh.trainee.model
    settings = Settings(
        protocol=prompt.protocol,
        f_px=prompt.f_px,
        long_side_px=prompt.long_side_px,
        max_tokens=prompt.max_tokens,
    )
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with disk.naming(folder, then="make room; the same command goes on from the last checkpoint"):
        try:
            if model.lora_rank:
                base = Path(model.source)
                name = str(base.resolve()) if base.is_dir() else model.source
                write_adapter(trained, partial / "adapter", base=name, settings=settings)
                trained = trained.merge_and_unload()
            save_checkpoint(trained, fresh.tokenizer, fresh.spec, partial, settings=settings)
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder
