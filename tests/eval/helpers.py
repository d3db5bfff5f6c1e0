"""Real pictures or a skip; an solver that counts and can be stopped."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from vlm3.eval.items import Item, Query
from vlm3.eval.solvers import Prediction
from vlm3.tasks.base import TaskName

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


def real(name: str) -> Path:
    """A folder of real pictures, or a skip: research licences keep them out of the project."""
    if not (REAL / name).is_dir():
        pytest.skip(f"no ../shared/data/{name}: real pictures under research licences")
    return REAL / name


class Counting:
    """Answers through another solver and counts; stops, as a kill would, after so many items."""

    def __init__(self, inner: object, stop_after: int | None = None) -> None:
        self.inner, self.stop_after, self.items, self.queries = inner, stop_after, 0, 0

    @property
    def tasks(self) -> frozenset[TaskName]:
        return self.inner.tasks  # type: ignore[attr-defined,no-any-return]

    def solve(self, item: Item, queries: Sequence[Query]) -> list[Prediction]:
        if self.items == self.stop_after:
            raise KeyboardInterrupt
        self.items += 1
        self.queries += len(queries)
        return self.inner.solve(item, queries)  # type: ignore[attr-defined,no-any-return]
