"""`vlm3 study`: parse, call, print."""

from pathlib import Path

import click

from vlm3.cli.console import kept_on_interrupt


@click.command()
@click.argument("name", required=False)
@click.option("--list", "list_all", is_flag=True, help="Say what studies there are.")
@click.option(
    "-o",
    "--output",
    "out",
    default=Path("studies"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Pictures, runs and tables; shared by all studies.",
)
@click.option(
    "--samples",
    type=click.IntRange(16),
    help="Pictures the base run trains on; without it the study's own number.",
)
@click.option(
    "--mosaics",
    type=click.IntRange(16),
    help="Mosaics every run has seen before; without it the study's own number.",
)
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1, 20))
@click.pass_context
def study(
    context: click.Context,
    name: str | None,
    list_all: bool,
    out: Path,
    samples: int | None,
    mosaics: int | None,
    seeds: int,
) -> None:
    """Compare runs that differ in one thing: NAME is one of --list.

    Renders small worlds once, trains small models from starts that have learnt to point, asks all
    about the same held-out worlds, and prints a table with intervals. The same command again goes
    on where it stopped.
    """
    if list_all or name is None:
        from vlm3.ablations.studies import STUDIES

        for key, one in STUDIES.items():
            click.echo(f"{key:<12} {one.asks}\n{'':<12} paper: {one.paper}")
        if name is None and not list_all:
            click.echo(f"\n{context.get_usage()}")
        return
    import torch

    from vlm3.ablations.run import run_study, table
    from vlm3.ablations.studies import study as checked
    from vlm3.lock import writing

    checked(name)
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    with (
        kept_on_interrupt(
            lambda: f"what was trained and measured is kept in {out}; the same command goes on"
        ),
        writing(out),
    ):
        lines = run_study(
            name,
            out,
            samples=samples,
            mosaics=mosaics,
            seeds=seeds,
            say=lambda text: click.echo(text, err=True),
        )
    click.echo(table(name, lines))
    click.echo(f"{out / name}.md and .json")
