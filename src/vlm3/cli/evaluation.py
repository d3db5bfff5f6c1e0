"""The commands `vlm3 eval`, `score` and `report`: parse, call, print.

Loads nothing but click until a command runs.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlm3.cli.console import duration, kept_on_interrupt
from vlm3.cli.loading_options import asking_options, loading

if TYPE_CHECKING:
    from vlm3.eval.predict import EvalProgress
    from vlm3.eval.predictions import Run


@click.command(
    name="eval",
    help="""Let a model answer BENCHMARK, and score it.

    Writes predictions.jsonl and scores.json into the output folder. A run that was stopped goes on
    when the same command is given again.

    BENCHMARK is a name that --list shows, with what it measures and where to get it.""",
    epilog="\b\nExamples:\n  vlm3 eval --list\n  vlm3 eval worlds --count 16 -o runs/nano-worlds\n"
    "  vlm3 eval ibims1 --data ibims1 --model facebook/VLM3-depth -o runs/vlm3-ibims1\n"
    "  vlm3 eval rgbd-pairs --data redkitchen --model sift -o runs/sift\n"
    "  vlm3 eval shards --data shards/mine -o runs/before\n"
    "  vlm3 eval ibims1 --data ibims1 --queries queries.jsonl\n"
    "  vlm3 eval ibims1 --data ibims1 --predictions mine.jsonl --name Mine -o runs/mine",
)
@click.argument("benchmark", required=False)
@click.option("--list", "listing", is_flag=True, help="Show all benchmarks, and do nothing else.")
@click.option("--json", "as_json", is_flag=True, help="With --list: everything about them.")
@click.option("--data", metavar="DIR", help="The benchmark's data; worlds needs none.")
@asking_options(
    "nano, a checkpoint folder or hub id; openai:NAME or vllm:FOLDER; oracle; a floor (constant, "
    "median, identity, majority); says:TEXT; or an expert (sift, disk-lightglue, moge-2, roma, "
    "vggt, ...)."
)
@click.option("--count", metavar="N|all", help="Fewer or more samples than the benchmark's own.")
@click.option("--seed", type=int, metavar="S", help="Of the sampling. Default: the benchmark's.")
@click.option(
    "--split",
    type=click.Choice(["heldout", "all"]),
    help="Of shards: the scenes that training keeps out (default), or every picture.",
)
@click.option(
    "--calibrator",
    metavar="C",
    help="For pictures without intrinsics, such as spatialrgpt's: none, anycalib, or "
    "package.module:factory.",
)
@click.option("--task", "tasks", multiple=True, metavar="T", help="Only this task; repeatable.")
@click.option(
    "--predictions",
    metavar="FILE",
    help="Join answers made elsewhere (jsonl, or VLMEvalKit's tsv).",
)
@click.option("--name", metavar="TEXT", help="What tables call this run.")
@click.option("--queries", metavar="FILE", help="Only write what is asked, for --predictions.")
@click.option("--lmms", metavar="DIR", help="Only write a task for lmms-eval there.")
@click.option("--vlmevalkit", metavar="DIR", help="Only write a table for VLMEvalKit there.")
@click.option("-o", "--output", metavar="DIR", help="Where the run goes; resumed if it is there.")
def evaluate(
    benchmark: str | None,
    listing: bool,
    as_json: bool,
    data: str | None,
    count: str | None,
    seed: int | None,
    split: str | None,
    calibrator: str | None,
    tasks: tuple[str, ...],
    predictions: str | None,
    name: str | None,
    queries: str | None,
    lmms: str | None,
    vlmevalkit: str | None,
    output: str | None,
    **settings: Any,
) -> None:
    """Answers a benchmark; see the help text."""
    from vlm3.errors import InputError
    from vlm3.eval.benchmarks import get_benchmark
    from vlm3.eval.join import write_queries
    from vlm3.eval.models import FLOORS, choose, from_file
    from vlm3.eval.predict import predict
    from vlm3.eval.readers import WITHOUT_INTRINSICS, Wanted, how_many, read_items

    if listing or benchmark is None or as_json:
        _list(benchmark, listing, as_json)
        return
    model, protocol = settings["model"], settings["protocol"]
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
    uncalibrated = chosen.reader in WITHOUT_INTRINSICS
    if wanted.calibrator is not None and not uncalibrated:
        raise InputError(f"the pictures of {benchmark} have their cameras; leave --calibrator out")
    if queries is not None:
        written = write_queries(read_items(wanted), Path(queries))
        click.echo(f"{written} queries written to {queries}")
        return
    for where, kit in ((lmms, "lmms"), (vlmevalkit, "vlmevalkit")):
        if where is not None:
            from vlm3.eval import lmms as for_lmms
            from vlm3.eval import vlmevalkit as for_vlmevalkit
            from vlm3.tasks.protocol import get_protocol

            words = get_protocol(protocol or chosen.protocol)
            export = (for_lmms if kit == "lmms" else for_vlmevalkit).export
            written = export(read_items(wanted), chosen, words, Path(where))
            click.echo(f"{written} questions written to {where}")
            return
    if output is None:
        raise InputError("where should the run go? Give -o DIR, or --queries FILE")
    unknown = set(tasks) - set(chosen.tasks)
    if unknown:
        raise InputError(
            f"{benchmark} has no task {sorted(unknown)[0]!r}, only {', '.join(chosen.tasks)}"
        )
    if predictions is not None and predictions.endswith(".tsv"):
        from vlm3.eval.vlmevalkit import join

        join(Path(predictions), benchmark, Path(output), name=name or Path(predictions).stem)
        _report([output], ())
        return
    if predictions is not None:
        items = list(read_items(wanted))
        who = from_file(Path(predictions), name or Path(predictions).stem, chosen, items)
        for line, why in who.damaged:
            click.echo(f"vlm3: warning: {predictions}, line {line} not used: {why}", err=True)
        if who.unanswered:
            click.echo(
                f"vlm3: warning: {predictions} has no usable answer to {len(who.unanswered)} of "
                f"{sum(len(item.queries) for item in items)} queries, the first "
                f"{who.unanswered[0]!r}: they count as failures",
                err=True,
            )
    else:
        items = list(read_items(wanted)) if model in FLOORS else []
        who = choose(benchmark=chosen, items=items, **loading(settings))
    able = [t for t in chosen.tasks if t in who.solver.tasks and (not tasks or t in tasks)]
    if not able:
        raise InputError(
            f"{who.name} answers {', '.join(sorted(who.solver.tasks))}, "
            f"{benchmark} asks {', '.join(tasks or chosen.tasks)}"
        )
    config = {
        "benchmark": benchmark,
        "data": None if data is None else Path(data).resolve().name,
        "model": predictions or model,
        **who.config(),
        **({"name": name} if name else {}),
        "tasks": able,
        "count": "all" if count == "all" else wanted.count,
        "seed": wanted.seed,
        "device": settings["device"],
        # Said where it can matter; other runs keep the configuration they had.
        **({"split": wanted.split} if chosen.reader == "shards" else {}),
        **({"calibrator": wanted.calibrator or "none"} if uncalibrated else {}),
    }
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
    if chosen.reader == "shards" and wanted.split == "heldout" and wanted.data is not None:
        from vlm3.data.heldout import kept_line
        from vlm3.data.shards import Shards

        click.echo(kept_line(Shards(wanted.data)), err=True)
    click.echo(
        f"{progress.queries} answers from {progress.items} pictures or pairs{there}", err=True
    )
    if predictions is None and 2 * progress.failures > progress.fresh:
        click.echo(
            f"vlm3: warning: {progress.failures} of {progress.fresh} answers could not be read; "
            f"raw_text in {output}/predictions.jsonl shows them, and --protocol asks otherwise",
            err=True,
        )
    _report([output], ())


def _list(benchmark: str | None, listing: bool, as_json: bool) -> None:
    """Prints the benchmarks; refuses what does not go with it, and an absent name."""
    from vlm3.cli import benchmark_list
    from vlm3.errors import InputError

    if benchmark is not None:
        other = "--list shows all benchmarks" if listing else "--json goes with --list"
        raise InputError(f"{other}; leave it or {benchmark!r} out")
    if not listing:
        raise InputError("which benchmark? Give a name; vlm3 eval --list shows them")
    if as_json:
        click.echo(json.dumps(benchmark_list.as_json(), allow_nan=False))
    else:
        click.echo(benchmark_list.as_text())


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="OUT...")
@click.option("--json", "as_json", is_flag=True, help="Print scores.json, one line a run.")
def score(runs: tuple[str, ...], as_json: bool) -> None:
    """Score runs again from their predictions; needs no model and no data."""
    from vlm3.eval.score import score as score_run
    from vlm3.eval.score import write

    for folder in runs:
        scored = score_run(folder)
        write(scored)
        for line, why in scored.run.damaged:
            click.echo(f"vlm3: warning: {scored.run.path}, line {line}: {why}", err=True)
        if as_json:
            click.echo(json.dumps(scored.to_json(), allow_nan=False))
    if not as_json:
        _report(list(runs), ())


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="OUT...")
@click.option(
    "-o",
    "--output",
    "outputs",
    metavar="FILE",
    multiple=True,
    help="A file ending in .html, .md or .tex. Repeat for several forms. Default: print.",
)
def report(runs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    """Set runs beside each other, their floors and the published rows.

    The first run is compared with each of the others, paired by query.
    """
    _report(list(runs), outputs)


def _report(runs: list[str], outputs: tuple[str, ...]) -> None:
    from vlm3 import disk
    from vlm3.errors import InputError
    from vlm3.eval.report.page import as_html
    from vlm3.eval.report.render import as_latex, as_markdown, as_text
    from vlm3.eval.report.table import build
    from vlm3.eval.score import score as score_run
    from vlm3.eval.score import write

    forms = {".html": as_html, ".md": as_markdown, ".tex": as_latex}
    for output in outputs:
        if Path(output).suffix not in forms:
            raise InputError(f"{output!r} ends in none of {', '.join(forms)}; name the form by it")
        disk.check_place(output)
    scored = [score_run(folder) for folder in runs]
    for one in scored:
        write(one)
        for line in _gaps(one.run):
            click.echo(f"vlm3: warning: {line}", err=True)
    made = build(scored)
    if not outputs:
        click.echo(as_text(made))
    for output in outputs:
        disk.write(output, forms[Path(output).suffix](made))
        click.echo(f"written to {output}", err=True)


def _gaps(run: "Run") -> Iterator[str]:
    """What of a run is not in its table."""
    there = sum(map(len, run.rows.values()))
    if not run.complete:
        yield f"{run.path} is unfinished: the table is of the {there} answers there so far"
    if run.missing:
        yield (
            f"{run.path} has no usable answer to {run.missing} of the {there + run.missing} "
            "queries that were asked: the table is of the others"
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
