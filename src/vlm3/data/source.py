"""Where conversations come from: anything that has a length and gives one for a place.

`ShardSource` reads shards. Sources that make what they give (worlds) live where training does.
"""

from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from vlm3.data.heldout import held_out_pairs, held_out_pictures, tail_of
from vlm3.data.questions import Asker
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.tasks.conversation import Conversation


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

    Args:
        name: what messages call it.
        shards: the folder.
        asker: how it is asked.
        by_scene: keep whole scenes for evaluation, see `vlm3.data.heldout`; else the end of the
            folder, at most one sample in twenty.

    Raises:
        InputError: no shards there, or no pairs.
    """

    def __init__(self, name: str, shards: Shards, asker: Asker, *, by_scene: bool = False) -> None:
        self.name, self.shards, self.asker = name, shards, asker
        self.pairs = bool({"correspondence", "pose"} & set(asker.tasks))
        if self.pairs and {"depth", "objects"} & set(asker.tasks):
            raise InputError(f"{name}: ask about pictures and about pairs in two sources")
        self.count = shards.pairs if self.pairs else len(shards)
        if not self.count:
            raise InputError(f"{shards.store.root} has no pairs.npy: it holds single pictures")
        self._kept = tail_of(self.count)
        self._order: NDArray[np.int64] | None = None
        if by_scene:
            kept = (held_out_pairs if self.pairs else held_out_pictures)(shards)
            # Checks take the first ones that are held out: those should be of every kept scene.
            mixed = np.random.default_rng(0).permutation(np.flatnonzero(kept))
            self._order = np.concatenate([np.flatnonzero(~kept), mixed])
            self._kept = len(mixed)
        if len(self) < 1:
            raise InputError(
                f"{shards.store.root} has nothing left to train on beside what is kept"
            )

    def __len__(self) -> int:
        return self.count - self._kept

    def conversation(self, place: int, seed: tuple[int, ...]) -> Conversation:
        """See `Source`."""
        rng = np.random.default_rng(seed)
        place = self._place(place)
        if not self.pairs:
            return self.asker.single(self.shards.picture(place), self.shards.record(place), rng)
        first, second, pair = self.shards.pair(place)
        pictures = self.shards.picture(first), self.shards.picture(second)
        return self.asker.pair(pictures, pair, rng)

    def describe(self, place: int) -> str:
        """See `Source`."""
        place = self._place(place)
        kind = f"{self.shards.store.root} pair {place}" if self.pairs else self.shards.name(place)
        return f"{self.name}: {kind}"

    def pictures(self, place: int) -> tuple[int, ...]:
        """Which pictures of the shards sample `place` shows, in order."""
        place = self._place(place)
        return self.shards.places(place) if self.pairs else (place,)

    def _place(self, place: int) -> int:
        return place if self._order is None else int(self._order[place])
