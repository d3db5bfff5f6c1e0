"""A standard Hugging Face vision language model and its picture input; no modelling file."""

from vlm3.model.checkpoint import Checkpoint, pixel_values
from vlm3.model.finding import NANO_PATH
from vlm3.model.folder import CheckpointWarning
from vlm3.model.loading import load_checkpoint
from vlm3.model.picture import Grid, PictureInput, mrope_positions, patchify
from vlm3.model.save import save_checkpoint, write_adapter
from vlm3.model.settings import Settings
from vlm3.model.small import SmallSize, build_small
from vlm3.model.tokenizer import (
    CHAT_TEMPLATE,
    SPECIAL_TOKENS,
    nano_tokenizer,
    train_tokenizer,
)

__all__ = [
    "CHAT_TEMPLATE",
    "NANO_PATH",
    "SPECIAL_TOKENS",
    "Checkpoint",
    "CheckpointWarning",
    "Grid",
    "PictureInput",
    "Settings",
    "SmallSize",
    "build_small",
    "load_checkpoint",
    "mrope_positions",
    "nano_tokenizer",
    "patchify",
    "pixel_values",
    "save_checkpoint",
    "train_tokenizer",
    "write_adapter",
]
