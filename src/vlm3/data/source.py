"""Where conversations come from: anything that has a length and gives one for a place.

`ShardSource` reads shards. Sources that make what they give (worlds) live where training does.
"""

from typing import Protocol as Interface

import numpy as np

from vlm3.data.questions import Asker
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.tasks.conversation import Conversation

HELD_OUT = 64
"""Samples kept from the end of each folder for checks, at most one in twenty."""


class Source(Interface):
    """Labelled pictures of one kind."""

    name: str

    def __len__(self) -> int:
        """Samples to train on."""

    def conversation(self, place: int, seed: tuple[int, ...]) -> Conversation:
        """Sample `place` asked with the chance of `seed`; places from len() on are held out.

        Raises:
            InputError: this sample is damaged; training leaves it out and says so.
        """

    def describe(self, place: int) -> str:
        """What messages call a sample."""


class ShardSource:
    """Shards, asked in one way; pairs where the asker asks about pairs.

    Raises:
        InputError: no shards there, or no pairs.
    """

    def __init__(self, name: str, shards: Shards, asker: Asker) -> None:
        self.name, self.shards, self.asker = name, shards, asker
        self.pairs = bool({"correspondence", "pose"} & set(asker.tasks))
        if self.pairs and {"depth", "objects"} & set(asker.tasks):
            raise InputError(f"{name}: ask about pictures and about pairs in two sources")
        self.count = shards.pairs if self.pairs else len(shards)
        if not self.count:
            raise InputError(f"{shards.store.root} has no pairs.npy: it holds single pictures")

    def __len__(self) -> int:
        return self.count - min(HELD_OUT, self.count // 20)

    def conversation(self, place: int, seed: tuple[int, ...]) -> Conversation:
        """See `Source`."""
        rng = np.random.default_rng(seed)
        if not self.pairs:
            return self.asker.single(self.shards.picture(place), self.shards.record(place), rng)
        first, second, pair = self.shards.pair(place)
        pictures = self.shards.picture(first), self.shards.picture(second)
        return self.asker.pair(pictures, pair, rng)

    def describe(self, place: int) -> str:
        """See `Source`."""
        kind = f"{self.shards.store.root} pair {place}" if self.pairs else self.shards.name(place)
        return f"{self.name}: {kind}"
