"""`vlm3 train nano`: parse, call, print."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

import click

from vlm3.errors import MissingDependencyError


@click.command("nano")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/nano"),
    show_default=True,
    metavar="DIR",
    help="Folder of the run; its model is DIR/model.",
)
@click.option("--minutes", type=float, default=28.0, show_default=True, help="Wall-clock budget.")
@click.option("--init", metavar="MODEL", help="Go on from a checkpoint folder, or from nano.")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option(
    "--render-device",
    default="cpu",
    show_default=True,
    help="Where pictures are rendered: cpu or cuda:0.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes that render; else cores less 2.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--tiny", is_flag=True, help="The miniature that learns on a CPU core.")
@click.option("--dry-run", is_flag=True, help="Print the recipe and leave.")
def nano(
    out: Path,
    minutes: float,
    init: str | None,
    device: str,
    render_device: str,
    workers: int | None,
    seed: int,
    tiny: bool,
    dry_run: bool,
) -> None:
    """Train the small model of the package, by the clock: from nothing to four tasks.

    Worlds are rendered beside it. The same command again goes on where it stopped, and the deadline
    stays; SIGTERM and Ctrl-C save first.
    """
    # The cores belong to the workers; more threads here would wait for them, spinning.
    os.environ["OMP_NUM_THREADS"] = "1"
    from vlm3.nano.recipe import MINIATURE, NANO, checked_minutes, continued

    recipe = MINIATURE if tiny else NANO
    recipe = continued(recipe) if init else recipe
    checked_minutes(minutes)
    if dry_run:
        click.echo(json.dumps({"minutes": minutes} | recipe.to_json(), indent=1, allow_nan=False))
        return
    if find_spec("warp") is None:
        raise MissingDependencyError('worlds need Warp; install it with: pip install "vlm3[train]"')
    import torch

    from vlm3.nano.run import NanoRun
    from vlm3.nano.trainer import train

    torch.set_num_threads(1)
    count = workers or max(1, (os.cpu_count() or 2) - (2 if device == "cuda" else 1))
    done = train(NanoRun(out, recipe, minutes, init, device, render_device, count, seed))
    if done:
        click.echo(f"done: {out / 'model'}")
