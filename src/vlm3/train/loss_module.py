"""The model in training: from random weights or a checkpoint, wrapped so that it returns losses.

The loss is computed inside the wrapped module: sharding gathers weights when that is called, and
the output layer is to run at answers alone. Knows no data.
"""

import re
from dataclasses import dataclass, replace
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
    pixel_values,
    save_checkpoint,
    write_adapter,
)
from vlm3.train import tree, varlen
from vlm3.train.attention import choose
from vlm3.train.collate import TensorBatch, stock_rows
from vlm3.train.compiled import compile_layers
from vlm3.train.config import ModelConfig, Packing, ParallelConfig, PromptConfig
from vlm3.train.forward import read_answers
from vlm3.train.packing import IGNORE

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


class LossModule(torch.nn.Module):
    """Losses of a batch's answer tokens (n,)."""

    def __init__(self, model: Any, spec: PictureInput) -> None:
        super().__init__()
        self.model, self.spec = model, spec

    def forward(self, batch: TensorBatch) -> torch.Tensor:
        """Cross entropy of each answer token, in the order of the row."""
        return answer_losses(stock(self.model), batch, self.spec)


def answer_losses(model: Any, batch: TensorBatch, spec: PictureInput) -> torch.Tensor:
    """Cross entropy of each answer token (n,); the output layer runs at those alone.

    Args:
        model: the stock model. With the attention of `vlm3.train.tree` nothing is read back from
            the device on the way; with any other, the library's own forward pass runs.
        batch: from `collate`, on the model's device.
        spec: how the model wants its pictures.
    """
    if attention_of(model) == tree.NAME:
        hidden, wanted = (
            read_answers(model.model, batch, spec),
            batch["labels"][0, batch["answers"]],
        )
    else:
        rows = masked_for(model, stock_rows(batch))
        inputs = {k: v for k, v in rows.items() if k not in ("labels", "patches")}
        # Without use_cache=False the library would drop the mask of a packed row, silently.
        read = model.model(
            **inputs, pixel_values=pixel_values(rows["patches"], spec), use_cache=False
        )
        answers = rows["labels"] != IGNORE
        hidden, wanted = read.last_hidden_state[answers], rows["labels"][answers]
    logits = model.lm_head(hidden).float()
    return torch.nn.functional.cross_entropy(logits, wanted, reduction="none")


def answer_loss(model: Any, batch: TensorBatch, spec: PictureInput) -> torch.Tensor:
    """Mean cross entropy over the answers' tokens."""
    return answer_losses(model, batch, spec).mean()


def attention_of(model: Any) -> str:
    """The attention of a stock model's text part: the whole model's config keeps saying sdpa."""
    return str(model.config.text_config._attn_implementation)


def masked_for(model: Any, rows: TensorBatch) -> TensorBatch:
    """Rows with their mask as the model's attention takes it."""
    mask = rows.get("attention_mask")
    if mask is None or attention_of(model) != "eager":
        return rows
    # Plain attention adds its mask, and added as it is a mask of truths hides nothing; the kernels
    # take it as it is.
    added = torch.zeros(mask.shape, dtype=torch.bfloat16, device=mask.device)
    return rows | {"attention_mask": added.masked_fill_(~mask, float("-inf"))}


@dataclass(frozen=True)
class Start:
    """A model to train and what belongs to it.

    Attributes:
        trainee: the module that returns losses.
        tokenizer: the model's.
        spec: how it wants its pictures.
        attention: which one computes the text, and why, as a line for the log.
        compiled: which layers are compiled, or why none, as a line for the log.
    """

    trainee: LossModule
    tokenizer: Any
    spec: PictureInput
    attention: str = ""
    compiled: str = ""

    @property
    def blocks(self) -> list[Any]:
        """The layers that are sharded and recomputed one by one."""
        inner = stock(self.trainee.model).model
        return [*inner.visual.blocks, *inner.language_model.layers]

    def keep(self, vision: int, text: int) -> None:
        """Leaves the activations of so many layers in memory, which are then not recomputed."""
        inner = stock(self.trainee.model).model
        kept = [*inner.visual.blocks[:vision], *inner.language_model.layers[:text]]
        for layer in kept:
            layer.gradient_checkpointing = False


def begin(
    config: ModelConfig,
    parallel: ParallelConfig,
    packing: Packing = "independent",
    *,
    seed: int,
    device: str | None = None,
) -> Start:
    """Builds or loads a model to train, in float32.

    Args:
        config: which.
        parallel: how it computes.
        packing: of the rows, which not every attention takes.
        seed: of random weights.
        device: where it is going to be trained; the GPU if there is one.

    Raises:
        CheckpointError: `config.source` cannot be loaded.
        MissingDependencyError: LoRA without peft, or an attention that is not installed.
        InputError: an attention that this machine cannot run.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if config.source in SIZES:
        tokenizer, size = nano_tokenizer(), SIZES[config.source]
        model, spec = build_small(tokenizer, size, seed=seed), size.picture_input
    elif config.source == "4b-random":
        from vlm3.train.sizes import random_4b

        model, tokenizer, spec = random_4b(seed, device)
    else:
        loaded = load_checkpoint(config.source, device="cpu", dtype=torch.float32)
        model, tokenizer, spec = loaded.model, loaded.tokenizer, loaded.picture_input
    attention, why = choose(parallel, packing, model.config.text_config, torch.device(device))
    if attention == varlen.NAME:
        varlen.register()
    # Pictures are attended to one by one unless all are given at once, as `tree` takes them.
    vision = "sdpa" if attention == varlen.NAME else attention
    model.set_attn_implementation({"text_config": attention, "vision_config": vision})
    if parallel.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.freeze_vision:
        model.model.visual.requires_grad_(False)
    if config.lora_rank:
        model = _with_lora(model, config.lora_rank, seed=seed, recompute=parallel.recompute)
    model.train()
    compiled = compile_layers(stock(model), parallel, torch.device(device))
    return Start(LossModule(model, spec), tokenizer, spec, why, compiled)


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
        prompt: the wording that the model learnt, for its `vlm3.json`.
    """
    fresh.trainee.load_state_dict(weights)
    trained = fresh.trainee.model
    settings = Settings(
        protocol=prompt.protocol,
        f_px=prompt.f_px,
        long_side_px=prompt.long_side_px,
        max_tokens=prompt.max_tokens,
    )
    then = "make room; the same command goes on from the last checkpoint"
    with disk.new_folder(folder, then=then) as partial:
        if model.lora_rank:
            base = Path(model.source)
            name = str(base.resolve()) if base.is_dir() else model.source
            write_adapter(trained, partial / "adapter", base=name, settings=settings)
            trained = trained.merge_and_unload()
        save_checkpoint(trained, fresh.tokenizer, fresh.spec, partial, settings=settings)
    return folder
