"""Shared fixtures: tiny random models, so that no test needs a download."""

import os

# Before any test imports transformers: nothing here may look for a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Before any test imports torch: the suite runs in as many processes as there are cores.
os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SENTENCES = (
    "Distance in meters from the camera to the point (x, y), each in [0, 2000): 0880 0512",
    "user",
    "assistant",
)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    from vlm3.model import train_tokenizer

    return train_tokenizer(SENTENCES, words=320)


@pytest.fixture(scope="session")
def tiny_model(tiny_tokenizer: Any) -> Any:
    """A Qwen3-VL of about 0.2 M parameters whose random weights are large enough to disagree."""
    import torch

    from vlm3.model import SmallSize, build_small

    torch.set_num_threads(1)
    size = SmallSize(
        vision_hidden=48,
        vision_layers=2,
        vision_heads=2,
        vision_mlp=64,
        deepstack=(0,),
        position_table=8,
        text_hidden=48,
        text_layers=2,
        text_heads=2,
        text_kv_heads=1,
        text_mlp=64,
        rope_theta=10_000.0,
    )
    model = build_small(tiny_tokenizer, size)
    # Drawn as the library does, every question would get the same answer.
    with torch.no_grad():
        for parameter in model.model.language_model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3)
    return model


@pytest.fixture(scope="session")
def tiny_folder(
    tiny_model: Any, tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny model as a checkpoint folder."""
    import torch

    from vlm3.model import PictureInput, Settings, save_checkpoint

    folder = tmp_path_factory.mktemp("tiny")
    half = (0.5, 0.5, 0.5)
    save_checkpoint(
        tiny_model,
        tiny_tokenizer,
        PictureInput(8, 2, 2, half, half),
        folder,
        settings=Settings(protocol="joint", f_px=125.0),
        dtype=torch.float32,
    )
    return folder


@pytest.fixture(autouse=True)
def fresh_public_names() -> Iterator[None]:
    """`vlm3` remembers a name at its first use: also one that a test had put in its place."""
    yield
    import vlm3

    for name in vlm3._HOME:
        vars(vlm3).pop(name, None)
