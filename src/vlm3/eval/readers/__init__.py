"""Readers: a folder in a foreign format -> items. Foreign conventions end here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from vlm3.datasets.base import READ_ERRORS, reason
from vlm3.errors import InputError
from vlm3.eval.benchmark import Benchmark
from vlm3.eval.items import Item

_HOME = {
    "depthlm": "depthlm",
    "spatialrgpt": "spatialrgpt",
    "pairs": "pairs",
    "kitti-object": "lidar",
    "ddad-dgp": "lidar",
    "nuscenes-mmdet3d": "lidar",
    "rgbd-pairs": "rgbd",
    "shards": "shards",
    "worlds": "worlds",
    "depthvlm": "depthvlm",
    "crosspoint": "crosspoint",
    "vrrpi": "vrrpi",
    "multispa": "multispa",
    "vsibench": "vsibench",
    "3dsrbench": "threedsr",
    "viewspatial": "viewspatial",
    "omnispatial": "omnispatial",
}


WITHOUT_INTRINSICS = frozenset(
    {
        "spatialrgpt",
        "depthvlm",
        "crosspoint",
        "multispa",
        "vsibench",
        "3dsrbench",
        "viewspatial",
        "omnispatial",
    }
)
"""Readers whose sets say nothing, or not enough, about the cameras of their pictures."""

EVERY = 2**62
"""As a count: each labelled pixel of a DepthLM set once, in place of the published draw."""


@dataclass(frozen=True)
class Wanted:
    """Which samples of a benchmark are wanted.

    Attributes:
        benchmark: which.
        data: the folder; None where the benchmark needs none.
        count: how many queries (depth, objects), pairs, or worlds; EVERY for all there are.
        seed: of the sampling.
        calibrator: what gives the camera of pictures without intrinsics; None: EXIF, or 60 degrees.
        split: of shards: "heldout" for what training keeps out, "all" for everything.
    """

    benchmark: Benchmark
    data: Path | None
    count: int
    seed: int
    calibrator: str | None = None
    split: Literal["heldout", "all"] = "heldout"

    @property
    def folder(self) -> Path:
        """The folder.

        Raises:
            InputError: none was given, or it is not there.
        """
        if self.data is None:
            raise InputError(
                f"{self.benchmark.name} needs --data DIR with {self.benchmark.data_format}"
            )
        if not self.data.is_dir():
            raise InputError(
                f"{str(self.data)!r} is not a folder; give one with {self.benchmark.data_format}"
            )
        return self.data


def _next(wanted: Wanted, items: Iterator[Item]) -> Item | None:
    """The next item, whatever is damaged in the files it is read from."""
    try:
        return next(items, None)
    except READ_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{str(wanted.data)!r} cannot be read ({reason(error)}); expected "
            f"{wanted.benchmark.data_format}"
        ) from error


def how_many(wanted: Wanted) -> int | None:
    """How many items there will be, where that is known or cheap to find; for progress.

    Raises:
        InputError: as `read_items`.
    """
    reader = wanted.benchmark.reader
    if reader == "worlds":
        # A view of each world, and a pair of every second.
        return wanted.count + (wanted.count + 1) // 2
    if reader in ("depthlm", "spatialrgpt", "pairs"):
        return sum(1 for _ in read_items(wanted))
    return None


def read_items(wanted: Wanted) -> Iterator[Item]:
    """The items of a benchmark, one after the other, in an order that never changes.

    Raises:
        InputError: the data is missing or not in the format.
    """
    if wanted.count < 1:
        raise InputError(f"count is {wanted.count}; give 1 or more")
    module = import_module(f"vlm3.eval.readers.{_HOME[wanted.benchmark.reader]}")
    read: Callable[[Wanted], Iterator[Item]] = module.read
    found = False
    items = read(wanted)
    while (item := _next(wanted, items)) is not None:
        found = True
        yield item
    if not found:
        raise InputError(
            f"no sample found in {str(wanted.data)!r}; expected {wanted.benchmark.data_format}"
        )
