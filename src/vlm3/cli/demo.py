"""The command `vlm3 demo`. Loads nothing but click until it runs."""

from typing import Any

import click

from vlm3.cli.loading_options import loading
from vlm3.cli.photo_options import examples, model_options


@click.command(
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
    from vlm3.cli.demo_run import run

    written = run(output, echo=_silent if as_json else click.echo, **loading(settings))
    if as_json:
        click.echo(written["answers"].read_text(encoding="utf-8"), nl=False)


def _silent(line: str) -> None:
    """Takes a line and drops it."""
