"""The command `vlm3 figure`. Loads nothing but click until it runs."""

from pathlib import Path

import click


@click.command(
    epilog="\b\nExamples:\n  vlm3 figure runs/nano-worlds -o figures\n"
    "  vlm3 figure runs/ibims1 --data ibims1 --count 2 --form pdf -o figures"
)
@click.argument("run", type=click.Path(exists=True, path_type=Path), metavar="RUN")
@click.option("-o", "--output", required=True, metavar="DIR", help="Where the figures go.")
@click.option("--data", metavar="DIR", type=click.Path(path_type=Path), help="The benchmark's.")
@click.option(
    "--count", default=3, show_default=True, type=click.IntRange(1), help="Pictures or pairs."
)
@click.option("--form", type=click.Choice(["png", "svg", "pdf"]), default="png", show_default=True)
def figure(run: Path, output: str, data: Path | None, count: int, form: str) -> None:
    """Draw what an evaluation RUN answered, beside the truth.

    One figure a picture or pair and task, from the folder that `vlm3 eval` wrote. Needs no model;
    the pictures are read from the benchmark's data again.
    """
    from vlm3 import disk
    from vlm3.eval.report.figures import run_figures
    from vlm3.viz.style import require_matplotlib, save_figure

    require_matplotlib()
    folder = Path(output)
    disk.make_folder(folder)
    for key, task, drawn in run_figures(run, data, count):
        name = "".join(char if char.isalnum() or char in "-_" else "-" for char in key)
        click.echo(str(save_figure(drawn, folder / f"{name}-{task}.{form}")))
