"""How fast the loader is, beside the bare work it cannot avoid: decode and resize.

Both run in as many workers, in turns, on the same files: what else the machine does falls on both.
"""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vlm3.data.dataset import ShardDataset
from vlm3.data.decoding import decode
from vlm3.data.mixture import Mixture
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.model import PictureInput, train_tokenizer
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.question_writer import QuestionWriter
from vlm3.train.collate import Collator
from vlm3.train.config import LoaderConfig
from vlm3.train.curriculum import AskedDataset, Curriculum
from vlm3.train.dataloader import Stream
from vlm3.view import resize_image

_BATCH = 16
_ROUNDS = 4
_PREFETCH = 2


@dataclass(frozen=True)
class Speed:
    """Samples a second of the loader and of bare work, a round each.

    Attributes:
        loader: samples a second through the whole path.
        bare: decode and resize alone, in as many workers.
        workers: of each.
        first_s: time to the loader's first batch.
    """

    loader: tuple[float, ...]
    bare: tuple[float, ...]
    workers: int
    first_s: float

    @property
    def ratio(self) -> float:
        """The median over rounds."""
        return float(np.median(np.array(self.loader) / self.bare))

    def text(self) -> str:
        """One line."""
        each = ", ".join(f"{a / b:.2f}" for a, b in zip(self.loader, self.bare, strict=True))
        return (
            f"{np.median(self.loader):.0f} samples/s with {self.workers} workers, bare decode + "
            f"resize in as many {np.median(self.bare):.0f}/s: ratio {self.ratio:.2f} ({each} in "
            f"turns); first batch after {self.first_s:.1f} s"
        )


class _Bare(torch.utils.data.Dataset[int]):
    """The pictures of the same samples, decoded and resized, and nothing sent back."""

    def __init__(self, stream: Stream, shards: Shards, writer: QuestionWriter) -> None:
        self.stream, self.shards, self.writer = stream, shards, writer

    def __getitem__(self, step: int) -> int:
        for count in range(step * _BATCH, (step + 1) * _BATCH):
            place = self.stream.found.mixture[count].place
            plan = self.writer.plan(self.shards.record(place).camera)
            resize_image(decode(self.shards.picture(place)), plan)
        return step


def measure(
    folder: str | Path, *, samples: int, workers: int, f_px: float, multiple_px: int
) -> Speed:
    """Both, in turns, on the same samples.

    Raises:
        InputError: no shards there, or too few samples requested.
    """
    if samples < 2 * _ROUNDS * _BATCH:
        raise InputError(f"samples is {samples}; give at least {2 * _ROUNDS * _BATCH}")
    shards = Shards(folder)
    writer = QuestionWriter(get_protocol("joint").with_focal(f_px), (DEPTH,), multiple_px)
    source = AskedDataset(ShardDataset("bench", shards), writer)
    found = Curriculum((source,), Mixture((len(source),), (1.0,)), ())
    half = (0.5, 0.5, 0.5)
    tokenizer = train_tokenizer(["Distance in meters: 0123456789"], words=300)
    collator = Collator(tokenizer, PictureInput(multiple_px // 2, 2, 2, half, half), "chat")
    config = LoaderConfig(_BATCH, packing="chat", workers=workers)
    stream = Stream(config, found, collator, 0, 1, seed=0)
    each = samples // (_BATCH * _ROUNDS)
    count = _ROUNDS * (each + _PREFETCH * max(1, workers)) + 2
    begun = time.perf_counter()
    whole = _batches(stream, count, workers)
    next(whole)
    first = time.perf_counter() - begun
    bare = _batches(_Bare(stream, shards, writer), count, workers)
    next(bare)
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for batches, out in zip((whole, bare), rates, strict=True):
            out.append(_rate(batches, each, workers))
    return Speed(tuple(rates[0]), tuple(rates[1]), workers, first)


def _batches(dataset: torch.utils.data.Dataset[Any], count: int, workers: int) -> Iterator[Any]:
    """Batches 0, 1, ... as `Stream.steps` has them."""
    return iter(
        torch.utils.data.DataLoader(
            dataset,
            batch_size=None,
            sampler=range(count),
            num_workers=workers,
            prefetch_factor=_PREFETCH if workers else None,
            multiprocessing_context="spawn" if workers else None,
        )
    )


def _rate(batches: Iterator[Any], steps: int, workers: int) -> float:
    """Samples a second; before, takes what lay ready, and after, waits until workers rest."""
    for _ in range(_PREFETCH * workers):
        next(batches)
    begun = time.perf_counter()
    for _ in range(steps):
        next(batches)
    seconds = time.perf_counter() - begun
    time.sleep(1.5 * _PREFETCH * seconds / steps * bool(workers))
    return steps * _BATCH / seconds


def picture_file(width_px: int, height_px: int, seed: int) -> bytes:
    """A JPEG with as much detail as a photograph, for measurements."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 256, (height_px // 6, width_px // 6, 3), dtype=np.uint8)
    image = Image.fromarray(low).resize((width_px, height_px), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()
