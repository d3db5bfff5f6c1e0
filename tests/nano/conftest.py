"""A toy of nano whose weights disagree, and three rendered pairs."""

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("warp", reason="worlds need Warp")

from vlm3.model import NANO_PATH, build_small, nano_tokenizer
from vlm3.nano.batches import BatchMaker
from vlm3.nano.forward import Forward
from vlm3.nano.pairs import Record
from vlm3.nano.recipe import MINIATURE
from vlm3.nano.rendering import PairRenderer
from vlm3.nano.store import Store
from vlm3.nano.tokens import TokenWriter

torch.set_num_threads(1)
CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return nano_tokenizer()


@pytest.fixture(scope="session")
def model(tokenizer: Any) -> Any:
    made = build_small(tokenizer, MINIATURE.size)
    torch.manual_seed(0)
    with torch.no_grad():  # Away from where every answer is alike.
        for weight in made.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    return made


@pytest.fixture(scope="session")
def forward(model: Any) -> Forward:
    return Forward(model, torch.float32)


@pytest.fixture(scope="session")
def renderer() -> PairRenderer:
    return PairRenderer(NANO_PATH / "tokenizer.json", 0)


@pytest.fixture(scope="session")
def records(renderer: PairRenderer) -> list[Record]:
    size = MINIATURE.views[0].rendered_px
    made = [renderer.pair(k, 0, size, kind="room") for k in (1, 2)]
    made.append(renderer.pair(3, 0, size, kind="street"))
    assert not any(one is None for one in made)
    return made  # type: ignore[return-value]


@pytest.fixture(scope="session")
def maker(tokenizer: Any, records: list[Record]) -> BatchMaker:
    store = Store(MINIATURE.views[0].rendered_px, 4, CPU)
    store.add(records)
    return BatchMaker(MINIATURE, TokenWriter(tokenizer, CPU), [store])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
