"""What a report of runs is made of: sections of rows and cells. Knows no benchmark and no form."""

from dataclasses import dataclass
from typing import Literal

from vlm3.eval.resample import Difference
from vlm3.eval.score import Score

Kind = Literal["run", "floor", "published", "expert"]


@dataclass(frozen=True)
class Cell:
    """One number.

    Attributes:
        value: as its column's unit has it; None for a gap.
        low: lower end of its interval.
        high: upper end.
        valid_only: the value over what could be read, where that is not everything.
        digits: after the point.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    valid_only: float | None = None
    digits: int = 3

    def text(self) -> str:
        """The value alone."""
        return "" if self.value is None else f"{self.value:.{self.digits}f}"

    def range(self) -> str:
        """The interval, or nothing."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.low:.{self.digits}f} to {self.high:.{self.digits}f}"

    def whole(self) -> str:
        """Value, [interval] and (value over what could be read), those that there are."""
        text = self.text()
        if self.low is not None and self.high is not None:
            text += f" [{self.low:.{self.digits}f}, {self.high:.{self.digits}f}]"
        if self.valid_only is not None:
            text += f" ({self.valid_only:.{self.digits}f})"
        return text


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: who.
        kind: a run, a floor, or a published model or expert.
        cells: one a column.
        samples: how many queries; None for published rows.
        failures: how many of them could not be read.
        seconds: mean time of a query, where known.
        cost_usd: of all queries, where known.
        protocol: the wording of its prompts.
    """

    name: str
    kind: Kind
    cells: tuple[Cell, ...]
    samples: int | None = None
    failures: int | None = None
    seconds: float | None = None
    cost_usd: float | None = None
    protocol: str = ""


@dataclass(frozen=True)
class ResultSection:
    """One task of one benchmark.

    Attributes:
        title: benchmark and task.
        columns: names of the metrics, the primary one first.
        better: for each column which direction is better.
        rows: runs, floors, published.
        notes: footnotes.
        differences: (A, B, metric, A - B) of the runs, first against the others.
    """

    title: str
    columns: tuple[str, ...]
    better: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    differences: tuple[tuple[str, str, str, Difference], ...] = ()


@dataclass(frozen=True)
class RunReport:
    """Sections, and where every run came from."""

    sections: tuple[ResultSection, ...]
    origins: tuple[tuple[str, str], ...]


def cell_of(score: Score | None) -> Cell:
    """A score as a table shows it; a gap where there is none."""
    if score is None:
        return Cell(None)
    scale = 100.0 if score.unit == "percent" else 1.0
    low, high = (None if v is None else v * scale for v in (score.low, score.high))
    valid = score.valid_only if score.failures else None
    return Cell(
        score.value * scale,
        low,
        high,
        None if valid is None else valid * scale,
        digits_of(score.unit),
    )


def digits_of(unit: str) -> int:
    """How many digits after the point a unit is shown with."""
    return {"percent": 1, "degrees": 1, "pixels": 2}.get(unit, 3)
