"""What a batch of answers has come to: tokens written, who is still writing, what is forced next.

All on the host, and fed once a step. Knows token ids and forms, no model and no device.
"""

from collections.abc import Collection, Sequence
from typing import Any

from vlm3.infer.decoding.grammar import Automaton


class Progress:
    """Answers of one batch while they are written, all by the same number of tokens at a time.

    Args:
        count: of answers.
        ends: the tokens that end one.
        limit: of tokens an answer; what has not ended by then is cut off.
        form: that answers must have.

    Attributes:
        written: for each answer its tokens, the one that ended it included.
        rows: which answers are still in the batch, in its order; some may have ended.
    """

    def __init__(
        self, count: int, ends: Collection[int], *, limit: int, form: Automaton | None
    ) -> None:
        self.written: list[list[int]] = [[] for _ in range(count)]
        self.rows = list(range(count))
        self._ends, self._form = frozenset(ends), form
        self._ended = [False] * count
        self._states = [form.start] * count if form else []
        self._left = limit

    def states(self) -> list[frozenset[Any]]:
        """Of the rows in the batch, where each stands in the form."""
        return [self._states[row] for row in self.rows]

    def take(self, tokens: Sequence[int]) -> None:
        """One more token for every row in the batch; those that have ended do not write it."""
        self._left -= 1
        for row, token in zip(self.rows, tokens, strict=True):
            if not self._ended[row]:
                self._write(row, token)

    def _write(self, row: int, token: int) -> None:
        self.written[row].append(token)
        if token in self._ends:
            self._ended[row] = True
        elif self._form:
            self._states[row] = self._form.after(self._states[row], token)
            self._ended[row] = self._form.only_end(self._states[row])

    def force(self) -> list[list[int]]:
        """Writes what the form leaves no choice about, as far as that goes in every row at once.

        Returns:
            For each row in the batch as many tokens; some numbers for those that have ended.
        """
        if not self._form:
            return [[] for _ in self.rows]
        most, running = self._left, [row for row in self.rows if not self._ended[row]]
        runs: dict[int, list[int]] = {}
        for row in running:
            runs[row] = self._form.forced(self._states[row], most)
            most = min(most, len(runs[row]))
            if not most:
                break
        if not running or not most:
            return [[] for _ in self.rows]
        self._left -= most
        for row in running:
            for token in runs[row][:most]:
                self._write(row, token)
        return [runs.get(row, [0] * most)[:most] for row in self.rows]

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be written."""
        return self._left == 0 or all(self._ended[row] for row in self.rows)

    @property
    def running(self) -> list[int]:
        """Places in the batch of the rows that go on."""
        return [place for place, row in enumerate(self.rows) if not self._ended[row]]

    def keep(self, places: Sequence[int]) -> None:
        """Drops all rows of the batch but these."""
        self.rows = [self.rows[place] for place in places]

    def cut_off(self, row: int) -> bool:
        """Whether an answer has neither its end nor its whole form."""
        return not self._ended[row]
