"""Data sets: anything that has a length and gives a sample for a place.

`ShardDataset` reads shards; worlds and mosaics are made while training (`vlm3.worlds.dataset`,
`vlm3.train.mosaics`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from vlm3.data.decoding import decode
from vlm3.data.heldout import held_out_pairs, held_out_pictures, tail_of
from vlm3.data.pair_rows import read_row
from vlm3.data.record import Record
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.tasks.base import TaskName
from vlm3.tasks.registry import paired
from vlm3.tasks.sample import ObjectQuestions, Points, Sample
from vlm3.view import View


class Dataset(Interface):
    """Labelled pictures of one kind."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def __len__(self) -> int:
        """Samples to train on."""

    def sample(self, place: int, rng: np.random.Generator) -> Sample:
        """Sample `place`, with the chance of `rng` where it varies; from len() on held out.

        Raises:
            InputError: this sample is damaged; training leaves it out and says so.
        """

    def describe(self, place: int) -> str:
        """What messages call a sample."""


class ShardDataset:
    """The pictures of a folder of shards, or its pairs.

    Args:
        name: what reports call it.
        shards: the folder.
        pairs: whether a sample is a pair.
        by_scene: keep whole scenes for evaluation, see `vlm3.data.heldout`; else the end of the
            folder, at most one sample in twenty.

    Raises:
        InputError: no shards there, or no pairs.
    """

    def __init__(
        self, name: str, shards: Shards, *, pairs: bool = False, by_scene: bool = False
    ) -> None:
        self.name, self.shards, self.pairs, self.by_scene = name, shards, pairs, by_scene
        self.count = shards.pairs if self.pairs else len(shards)
        if not self.count:
            raise InputError(f"{shards.store.root} has no pairs.npy: it holds single pictures")
        self._kept = tail_of(self.count)
        self._order: NDArray[np.int64] | None = None
        if by_scene:
            kept = (held_out_pairs if self.pairs else held_out_pictures)(shards)
            # Validation takes the first of those held out: they should be of every kept scene.
            mixed = np.random.default_rng(0).permutation(np.flatnonzero(kept))
            self._order = np.concatenate([np.flatnonzero(~kept), mixed])
            self._kept = len(mixed)
        if len(self) < 1:
            raise InputError(
                f"{shards.store.root} has nothing left to train on beside what is kept"
            )

    def __len__(self) -> int:
        return self.count - self._kept

    def sample(self, place: int, rng: np.random.Generator) -> Sample:
        """See `Dataset`; shards are the same every time."""
        at, key = self._place(place), self.describe(place)
        return (
            pair_sample(self.shards, at, key) if self.pairs else single_sample(self.shards, at, key)
        )

    def describe(self, place: int) -> str:
        """See `Dataset`."""
        place = self._place(place)
        kind = f"{self.shards.store.root} pair {place}" if self.pairs else self.shards.name(place)
        return f"{self.name}: {kind}"

    def pictures(self, place: int) -> tuple[int, ...]:
        """Which pictures of the shards sample `place` shows, in order."""
        place = self._place(place)
        return self.shards.places(place) if self.pairs else (place,)

    def _place(self, place: int) -> int:
        return place if self._order is None else int(self._order[place])


LOOKED_AT = 256
"""Records in which labels are looked for before a folder is said to have none."""


def lacking_labels(shards: Shards, tasks: Sequence[TaskName]) -> str | None:
    """Why a folder cannot teach any of these tasks; None where it can, as far as was looked.

    A folder of pictures, depth and poses has no questions about objects; one without poses has
    no pairs. What asks for them would otherwise be drawn and left out, sample by sample.
    """
    if paired(tasks):
        return None if shards.pairs else "no pairs there; they are made where poses are"
    for place in np.unique(np.linspace(0, len(shards) - 1, LOOKED_AT).astype(int)).tolist():
        try:
            record = shards.record(place)
        except InputError:
            return None  # Damaged: training says so, sample by sample.
        if ("depth" in tasks and len(record.xy_px)) or ("objects" in tasks and record.questions):
            return None
    return f"no labels for {' or '.join(tasks)} there"


def single_sample(shards: Shards, place: int, key: str) -> Sample:
    """A picture of shards with its record.

    Raises:
        InputError: its record is damaged.
    """
    record = shards.record(place)
    return Sample(
        key,
        (record.camera,),
        (partial(open_picture, shards, place, record),),
        points=Points(record.xy_px, record.distance_m),
        objects=ObjectQuestions(record.questions),
        metric=record.metric,
        calibrated=record.intrinsics == "given",
    )


def pair_sample(shards: Shards, place: int, key: str) -> Sample:
    """A pair of shards with its records; only what is known of both pictures together.

    Raises:
        InputError: a record or the pair's row is damaged.
    """
    places, row = shards.places(place), shards.pair_row(place)
    records = [shards.record(at) for at in places]
    cameras = (records[0].camera, records[1].camera)
    matches, motion = read_row(row, *cameras)
    return Sample(
        key,
        cameras,
        tuple(
            partial(open_picture, shards, at, record)
            for at, record in zip(places, records, strict=True)
        ),
        matches=matches,
        motion=motion,
        metric=bool(row["metric"]),
    )


def open_picture(shards: Shards, place: int, record: Record) -> View:
    """A picture of shards with its camera.

    Raises:
        InputError: it is damaged, or not of the size that its record says.
    """
    image = decode(shards.picture(place))
    image.setflags(write=False)
    return View(image, record.camera, intrinsics=record.intrinsics)
