"""The command line: parse, call, print.

Answers go to stdout, as a table or, with --json, one object a line; everything else to stderr.
Every import that costs time stands inside the command that needs it.
"""

import atexit
import gc
import json
from typing import Any

import click

from vlm3 import __version__
from vlm3.cli.console import Group
from vlm3.cli.data import add_to
from vlm3.cli.evaluation import evaluate, report, score
from vlm3.cli.figure import figure
from vlm3.cli.fov import fov
from vlm3.cli.loading_options import loading
from vlm3.cli.measure import measure
from vlm3.cli.photo_options import as_json_option, examples, model_options
from vlm3.cli.photos import ask, cloud, depth, match, pose
from vlm3.cli.scene import scene
from vlm3.cli.serve import app, serve
from vlm3.cli.study import study
from vlm3.cli.train import data, plan, train
from vlm3.cli.train_nano import nano
from vlm3.cli.worlds import worlds
from vlm3.threads import share_cores


@click.group(
    cls=Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "vlm3 demo -o demo",
        "vlm3 depth photo.jpg --at 320,240 --fov-deg 65",
        'vlm3 ask photo.jpg "How wide is {0}?" --box 40,60,200,180',
    ),
)
@click.version_option(__version__, message="vlm3 %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """3D answers from a vision language model: distance, objects, matches, camera pose."""
    share_cores()
    # At its end Python looks through all objects for garbage, half a second after a model was
    # loaded; frozen ones are left out, and the process gives its memory back anyway.
    atexit.register(gc.freeze)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@main.command(
    epilog=examples(
        "vlm3 demo",
        "vlm3 demo -o out --model my-checkpoint",
    )
)
@click.option(
    "-o",
    "--output",
    default="vlm3-demo",
    show_default=True,
    metavar="DIR",
    help="Where the figures, report.html and answers.jsonl go.",
)
@model_options
def demo(output: str, as_json: bool, **settings: Any) -> None:
    """Run all four tasks on two photographs.

    They lie in the package, with the truth to put beside each answer. Writes four figures, one
    report.html that needs nothing else, and answers.jsonl, which is also what --json prints.
    """
    from vlm3.cli.demo import run

    written = run(output, echo=_silent if as_json else click.echo, **loading(settings))
    if as_json:
        click.echo(written["answers"].read_text(encoding="utf-8"), nl=False)


@main.command()
@click.option(
    "--self-check",
    metavar="MODEL",
    help="Also ask this model by the fast and by the naive engine, and compare.",
)
@as_json_option
@click.pass_context
def doctor(context: click.Context, self_check: str | None, as_json: bool) -> None:
    """Check what is installed and what works.

    Says what to do about the rest. Exit code 1 if something that vlm3 needs does not work.
    """
    from vlm3.cli.doctor import examine

    findings = []
    for finding in examine(self_check):
        findings.append(finding)
        if as_json:
            click.echo(json.dumps(finding.to_json(), allow_nan=False))
        else:
            click.echo(f"{finding.status:<8} {finding.subject}: {finding.found}")
            if finding.advice:
                click.echo(f"{'':<8} -> {finding.advice}")
    context.exit(int(any(finding.status == "broken" for finding in findings)))


def _silent(line: str) -> None:
    """Takes a line and drops it."""


add_to(data)
train.add_command(nano)
for command in (
    depth,
    cloud,
    measure,
    match,
    pose,
    ask,
    fov,
    scene,
    evaluate,
    score,
    report,
    figure,
):
    main.add_command(command)
for command in (train, plan, data, study, worlds, app, serve):
    main.add_command(command)
