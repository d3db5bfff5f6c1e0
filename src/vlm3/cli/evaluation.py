"""The commands `vlm3 eval`, `score` and `report`: parse, call, print.

Loads nothing but click until a command runs.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlm3.cli.evaluation_steps import (
    able_tasks,
    answering,
    config_of_some,
    run_predictions,
    wanted_samples,
    written_only,
)
from vlm3.cli.loading_options import asking_options
from vlm3.cli.photo_options import outputs_option

if TYPE_CHECKING:
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
@click.option("--queries", metavar="FILE", help="Only write the questions, for --predictions.")
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

    if listing or benchmark is None or as_json:
        _list(benchmark, listing, as_json)
        return
    wanted = wanted_samples(benchmark, data, count, seed, split, calibrator)
    kits = {"lmms": lmms, "vlmevalkit": vlmevalkit}
    if written_only(wanted, queries, kits, settings["protocol"]):
        return
    if output is None:
        raise InputError("where should the run go? Give -o DIR, or --queries FILE")
    if unknown := sorted(set(tasks) - set(wanted.benchmark.tasks)):
        raise InputError(
            f"{benchmark} has no task {unknown[0]!r}, only {', '.join(wanted.benchmark.tasks)}"
        )
    if predictions is not None and predictions.endswith(".tsv"):
        from vlm3.eval.vlmevalkit import join

        join(Path(predictions), benchmark, Path(output), name=name or Path(predictions).stem)
    else:
        items, who = answering(wanted, predictions, name, settings)
        able = able_tasks(who, wanted, tasks)
        config = {
            "benchmark": benchmark,
            "data": None if data is None else Path(data).resolve().name,
            "model": predictions or settings["model"],
            **who.config(),
            **({"name": name} if name else {}),
            "tasks": able,
            "count": "all" if count == "all" else wanted.count,
            "seed": wanted.seed,
            "device": settings["device"],
            **config_of_some(wanted),
        }
        run_predictions(wanted, items, who, output, config, joined=predictions is not None)
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
@outputs_option("A file ending in .html, .md or .tex. Repeat for several forms. Default: print.")
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
            "queries of this run: the table is of the others"
        )
