"""The steps of `vlm3 eval`: which samples, who answers, the run and its progress.

Loads nothing but click until a command runs.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlm3.cli.console import duration, kept_on_interrupt
from vlm3.cli.loading_options import loading

if TYPE_CHECKING:
    from vlm3.eval.items import Item
    from vlm3.eval.models import Chosen
    from vlm3.eval.predict import EvalProgress
    from vlm3.eval.readers import Wanted


def wanted_samples(
    benchmark: str,
    data: str | None,
    count: str | None,
    seed: int | None,
    split: str | None,
    calibrator: str | None,
) -> "Wanted":
    """Which samples the options name; refuses those that the benchmark does not have."""
    from vlm3.errors import InputError
    from vlm3.eval.benchmarks import get_benchmark
    from vlm3.eval.readers import WITHOUT_INTRINSICS, Wanted

    chosen = get_benchmark(benchmark)
    wanted = Wanted(
        chosen,
        None if data is None else Path(data),
        _count(count, chosen.count),
        chosen.seed if seed is None else seed,
        None if calibrator == "none" else calibrator,
        "all" if split == "all" else "heldout",
    )
    if split is not None and chosen.reader != "shards":
        raise InputError(f"{benchmark} has one split; leave --split out")
    if wanted.calibrator is not None and chosen.reader not in WITHOUT_INTRINSICS:
        raise InputError(f"the pictures of {benchmark} have their cameras; leave --calibrator out")
    return wanted


def written_only(
    wanted: "Wanted", queries: str | None, kits: dict[str, str | None], protocol: str | None
) -> bool:
    """Writes the questions, where only they are wanted: for `--predictions`, or for another kit.

    Args:
        wanted: the samples.
        queries: the file for their queries; None: not wanted.
        kits: "lmms" and "vlmevalkit" -> the folder of its task; None: not wanted.
        protocol: whose words a kit asks in; None: the benchmark's.

    Returns:
        Whether it was.
    """
    from vlm3.eval.readers import read_items

    if queries is not None:
        from vlm3.eval.join import write_queries

        written = write_queries(read_items(wanted), Path(queries))
        click.echo(f"{written} queries written to {queries}")
        return True
    for kit, where in kits.items():
        if where is not None:
            from vlm3.eval import lmms, vlmevalkit
            from vlm3.tasks.protocol import get_protocol

            words = get_protocol(protocol or wanted.benchmark.protocol)
            export = (lmms if kit == "lmms" else vlmevalkit).export
            written = export(read_items(wanted), wanted.benchmark, words, Path(where))
            click.echo(f"{written} questions written to {where}")
            return True
    return False


def answering(
    wanted: "Wanted", predictions: str | None, name: str | None, settings: dict[str, Any]
) -> "tuple[list[Item], Chosen]":
    """Who answers: a file of predictions or a model; and the items, where they had to be read."""
    from vlm3.eval.models import FLOORS, choose, from_file
    from vlm3.eval.readers import read_items

    if predictions is None:
        items = list(read_items(wanted)) if settings["model"] in FLOORS else []
        return items, choose(benchmark=wanted.benchmark, items=items, **loading(settings))
    items = list(read_items(wanted))
    path = Path(predictions)
    who = from_file(path, name or path.stem, wanted.benchmark, items)
    for line, why in who.damaged:
        click.echo(f"vlm3: warning: {predictions}, line {line} not used: {why}", err=True)
    if who.unanswered:
        click.echo(
            f"vlm3: warning: {predictions} has no usable answer to {len(who.unanswered)} of "
            f"{sum(len(item.queries) for item in items)} queries, the first "
            f"{who.unanswered[0]!r}: they count as failures",
            err=True,
        )
    return items, who


def able_tasks(who: "Chosen", wanted: "Wanted", tasks: tuple[str, ...]) -> list[str]:
    """The benchmark's tasks that are wanted and can be answered; refuses if there are none."""
    from vlm3.errors import InputError

    benchmark = wanted.benchmark
    able = [t for t in benchmark.tasks if t in who.solver.tasks and (not tasks or t in tasks)]
    if not able:
        raise InputError(
            f"{who.name} answers {', '.join(sorted(who.solver.tasks))}, "
            f"{benchmark.name} asks {', '.join(tasks or benchmark.tasks)}"
        )
    return [*able]


def config_of_some(wanted: "Wanted") -> dict[str, str]:
    """What only some runs have in their configuration; the others keep the one they had."""
    from vlm3.eval.readers import WITHOUT_INTRINSICS

    reader = wanted.benchmark.reader
    return {
        **({"split": wanted.split} if reader == "shards" else {}),
        **({"calibrator": wanted.calibrator or "none"} if reader in WITHOUT_INTRINSICS else {}),
    }


def run_predictions(
    wanted: "Wanted",
    items: "list[Item]",
    who: "Chosen",
    output: str,
    config: dict[str, Any],
    *,
    joined: bool,
) -> None:
    """Asks what the folder does not hold yet, and shows the progress."""
    from vlm3.eval.predict import predict
    from vlm3.eval.readers import how_many, read_items

    shown = _Shown(output, len(items) or how_many(wanted), who.doubt)
    with kept_on_interrupt(
        lambda: f"{shown.kept} answers are kept in {output}; the same command goes on from there"
    ):
        progress = predict(
            items or read_items(wanted),
            who.solver,
            Path(output),
            config,
            show=shown,
            joined_damaged=who.damaged,
        )
    there = f", {progress.resumed} of them there already" if progress.resumed else ""
    if kept := who.kept():
        there += f", {kept} kept from an earlier run with this server"
    shown.clear()
    if wanted.benchmark.reader == "shards" and wanted.split == "heldout" and wanted.data:
        from vlm3.data.heldout import kept_line
        from vlm3.data.shards import Shards

        click.echo(kept_line(Shards(wanted.data)), err=True)
    click.echo(
        f"{progress.queries} answers from {progress.items} pictures or pairs{there}", err=True
    )
    if not joined and 2 * progress.failures > progress.fresh:
        click.echo(
            f"vlm3: warning: {progress.failures} of {progress.fresh} answers could not be read; "
            f"raw_text in {output}/predictions.jsonl shows them, and --protocol asks otherwise",
            err=True,
        )


class _Shown:
    """The progress of a run on stderr: where it goes on from, and on a terminal what is left.

    Args:
        folder: of the run.
        total: pictures or pairs; None where that is not known.
        doubt: what to tell where a run goes on; None for nothing.
    """

    def __init__(self, folder: str, total: int | None, doubt: str | None) -> None:
        self._folder, self._total, self._doubt = folder, total, doubt
        self._live = sys.stderr.isatty()
        self._began: float | None = None
        self._before = self._width = self.kept = 0

    def __call__(self, at: "EvalProgress") -> None:
        if not at.items and at.resumed:
            click.echo(f"going on: {self._folder} holds {at.resumed} answers already", err=True)
            if self._doubt:
                click.echo(f"vlm3: warning: {self._doubt}", err=True)
        self.kept = at.resumed + at.fresh
        if not at.fresh:
            # What was there before passes at no cost, and says nothing about the rest.
            self._before, self._began = at.items, time.monotonic()
        if not self._live:
            return
        of = f" of {self._total}" if self._total else ""
        line = f"{at.items}{of} pictures, {at.queries} queries, {at.failures} not read"
        if self._total and at.fresh and self._began is not None:
            each = (time.monotonic() - self._began) / (at.items - self._before)
            line += f", {duration(each * max(0, self._total - at.items))} left"
        click.echo(f"\r{line:<{self._width}}", nl=False, err=True)
        self._width = len(line)

    def clear(self) -> None:
        """Takes the progress line away."""
        if self._live and self._width:
            click.echo(f"\r{'':<{self._width}}\r", nl=False, err=True)


def _count(text: str | None, default: int) -> int:
    from vlm3.errors import InputError
    from vlm3.eval.readers import EVERY

    if text is None:
        return default
    if text == "all":
        return EVERY
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--count is {text!r}; give a whole number from 1, or all")
    return int(text)
