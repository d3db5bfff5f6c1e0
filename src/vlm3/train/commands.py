"""`vlm3 train`: what can be trained. Loads nothing but click before a command runs."""

from pathlib import Path

import click


@click.group()
def train() -> None:
    """Train a model."""


@train.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for checkpoints, the log and the model; the same folder goes on.",
)
@click.option("--steps", type=click.IntRange(1), default=20_000, show_default=True)
@click.option(
    "--batch", type=click.IntRange(1), default=8, show_default=True, help="Lessons a step."
)
@click.option("--seed", type=int, default=0, show_default=True)
def nano(out: Path, steps: int, batch: int, seed: int) -> None:
    """Train the small packaged model on rendered worlds, on a CPU.

    About 1.5 seconds a step of eight pictures on one core, and a second core that renders. Stop it
    whenever you like: the same command goes on from the last save.
    """
    import importlib.util

    from vlm3.errors import MissingDependencyError

    if importlib.util.find_spec("warp") is None:
        raise MissingDependencyError('worlds need Warp; install it with: pip install "vlm3[train]"')
    import torch

    from vlm3.train.nano import NanoRun, train_nano

    torch.set_num_threads(1)
    folder = train_nano(NanoRun(out=out, steps=steps, batch=batch, seed=seed))
    click.echo(f"saved {folder}")
