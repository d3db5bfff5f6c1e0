"""How fast the loader is, beside the bare work it cannot avoid: decode and resize."""

import io
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vlm3.data.mixture import Mixture
from vlm3.data.questions import Asker, decode
from vlm3.data.shards import Shards
from vlm3.data.source import ShardSource
from vlm3.errors import InputError
from vlm3.model import PictureInput, train_tokenizer
from vlm3.tasks.protocol import get_protocol
from vlm3.train.batch import Collator
from vlm3.train.config import Part, Run
from vlm3.train.sources import Curriculum, FromShards
from vlm3.train.stream import Stream
from vlm3.view import resize_image

_BATCH = 16


@dataclass(frozen=True)
class Speed:
    """Samples a second; `first_s` is the time to the first batch."""

    loader: float
    bare: float
    workers: int
    first_s: float

    def text(self) -> str:
        """One line."""
        return (
            f"{self.loader:.0f} samples/s with {self.workers} workers, first batch after "
            f"{self.first_s:.1f} s; bare decode + resize in one process {self.bare:.0f}/s: "
            f"ratio {self.loader / self.bare / max(1, self.workers):.2f} a worker"
        )


class _Bare(torch.utils.data.Dataset[int]):
    """The pictures of the same samples, decoded and resized, and nothing sent back."""

    def __init__(self, stream: Stream, shards: Shards, asker: Asker) -> None:
        self.stream, self.shards, self.asker = stream, shards, asker

    def __getitem__(self, step: int) -> int:
        for count in range(step * _BATCH, (step + 1) * _BATCH):
            place = self.stream.found.mixture[count].place
            plan = self.asker.plan(self.shards.record(place).camera)
            resize_image(decode(self.shards.picture(place)), plan)
        return step


def measure(
    folder: str | Path, *, samples: int, workers: int, f_px: float, multiple_px: int
) -> Speed:
    """Both, one after the other, on the same samples.

    Raises:
        InputError: no shards there, or too few samples asked for.
    """
    if samples < 4 * _BATCH:
        raise InputError(f"samples is {samples}; give at least {4 * _BATCH}")
    shards = Shards(folder)
    asker = Asker(get_protocol("joint").with_focal(f_px), ("depth",), multiple_px)
    source = FromShards(ShardSource("bench", shards, asker))
    run = Run(
        name="bench",
        out=Path(),
        model="",
        protocol="joint",
        parts=(Part("depth", ("depth",)),),
        samples=samples,
        batch=_BATCH,
        rate=1.0,
        packing="chat",
        workers=workers,
    )
    found = Curriculum((source,), Mixture((len(source),), (1.0,)), ())
    half = (0.5, 0.5, 0.5)
    tokenizer = train_tokenizer(["Distance in meters: 0123456789"], words=300)
    collator = Collator(tokenizer, PictureInput(multiple_px // 2, 2, 2, half, half), "chat")
    stream = Stream(run, found, collator, 0, 1)
    begun = time.perf_counter()
    steps = stream.steps(0)
    next(steps)
    first = time.perf_counter() - begun
    loader = _rate(lambda: next(steps, None), run.steps - 1)
    bare = _Bare(stream, shards, asker)
    bare[0]
    numbers = iter(range(1, run.steps))
    return Speed(loader, _rate(lambda: bare[next(numbers)], run.steps - 1), workers, first)


def _rate(one: object, steps: int) -> float:
    assert callable(one)
    begun = time.perf_counter()
    for _ in range(steps):
        one()
    return steps * _BATCH / (time.perf_counter() - begun)


def picture_file(width_px: int, height_px: int, seed: int) -> bytes:
    """A JPEG with as much detail as a photograph, for measurements."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 256, (height_px // 6, width_px // 6, 3), dtype=np.uint8)
    image = Image.fromarray(low).resize((width_px, height_px), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()
