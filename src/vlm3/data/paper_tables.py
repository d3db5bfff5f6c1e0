"""Table 5 of the paper as data: which sets, how many samples, which weights; the mixture report.

The weights of the depth sets are read as shares, p = w / sum(w); those of the pairs are the numbers
of pairs ("same for mixture weights"). The paper does not say so; read as weights a picture, the
small sets would be counted by their size twice.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from vlm3.data.mixture import ENDLESS, Mixture, weights_of
from vlm3.errors import InputError

TABLES = ("depth", "pairs")


@dataclass(frozen=True)
class SetPlan:
    """One set of a table.

    Attributes:
        name: as in the paper.
        folder: where its shards are looked for, below the data folder.
        samples: pictures, or pairs.
        weight: as in the paper.
        absent: why nobody else can have it, and what that changes; None when it is public.
    """

    name: str
    folder: str
    samples: int
    weight: float
    absent: str | None = None


def table(name: str) -> tuple[SetPlan, ...]:
    """The sets of Table 5: "depth", or "pairs" for correspondence and pose.

    Raises:
        InputError: another name.
    """
    if name not in TABLES:
        raise InputError(f"no table {name!r}; choose {' or '.join(TABLES)}")
    text = files("vlm3.data").joinpath("tables", f"{name}.json").read_text("utf-8")
    sets: list[dict[str, Any]] = json.loads(text)["sets"]
    return tuple(SetPlan(**fields) for fields in sets)


@dataclass(frozen=True)
class Line:
    """One source in the mixture report; `drawn` is None before a run."""

    name: str
    size: int
    asked: float
    planned: int
    epochs: float
    drawn: int | None = None


def books(
    names: Sequence[str],
    mixture: Mixture,
    samples: int,
    *,
    drawn: int | None = None,
) -> tuple[Line, ...]:
    """What a run of `samples` asks of each source, plans, and has drawn after `drawn`."""
    planned = mixture.drawn(samples)
    done = mixture.drawn(drawn) if drawn is not None else (None,) * len(names)
    total = sum(mixture.weights)
    return tuple(
        Line(n, size, weight / total, count, count / size if size else 0.0, so_far)
        for n, size, weight, count, so_far in zip(
            names, mixture.sizes, mixture.weights, planned, done, strict=True
        )
    )


def warnings_of(lines: Sequence[Line], *, most_epochs: float) -> tuple[str, ...]:
    """A sentence for each source that comes more often than wished."""
    return tuple(
        f"{line.name} is seen {line.epochs:.2f} times, more than {most_epochs:g}"
        for line in lines
        if line.epochs > most_epochs
    )


def book_text(lines: Sequence[Line], warned: Sequence[str], absent: Sequence[SetPlan]) -> str:
    """The mixture report as a table, warnings and absent sets below it."""
    rows = [f"{'set':<28} {'size':>11} {'share %':>8} {'planned':>11} {'drawn':>11} {'epochs':>7}"]
    for line in lines:
        drawn = "-" if line.drawn is None else str(line.drawn)
        size = "endless" if line.size >= ENDLESS else str(line.size)
        rows.append(
            f"{line.name:<28} {size:>11} {line.asked * 100:>8.2f} {line.planned:>11} "
            f"{drawn:>11} {line.epochs:>7.2f}"
        )
    rows += [f"warning: {text}" for text in warned]
    rows += [f"absent: {one.name}: {one.absent}" for one in absent]
    return "\n".join(rows)


def plan_table(
    name: str,
    *,
    weights: str = "table5",
    with_absent: bool = False,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
) -> tuple[tuple[SetPlan, ...], Mixture, tuple[SetPlan, ...]]:
    """The sets that are drawn from, their mixture, and the sets that are left out.

    Args:
        name: of the table.
        weights: "table5", "uniform" or "size".
        with_absent: as the paper had it, its internal set included.
        sizes: samples at hand, by folder; those of the paper where not given.
        seed: of the mixture.
    """
    every = table(name)
    sets = tuple(one for one in every if with_absent or one.absent is None)
    counts = [(sizes or {}).get(one.folder, one.samples) for one in sets]
    chosen = weights_of(weights, counts, [one.weight for one in sets])
    mixture = Mixture(tuple(counts), chosen, seed=seed)
    return sets, mixture, tuple(one for one in every if one not in sets)
