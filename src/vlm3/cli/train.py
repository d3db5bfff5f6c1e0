"""`vlm3 train`, `vlm3 plan` and `vlm3 data`: parse, call, print."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlm3.cli.console import kept_on_interrupt
from vlm3.cli.overrides import as_field, overridden, with_folders
from vlm3.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from vlm3.train.config import PromptConfig
    from vlm3.train.curriculum import Curriculum


class _Recipes(click.Group):
    """Recipes as commands: those whose fields are changed by name, and those that were added."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """The recipe of that name.

        Raises:
            InputError: there is none; the message lists the names.
        """
        added = super().get_command(ctx, cmd_name)
        if added is not None:
            return added
        from vlm3.train.recipes import RECIPES

        if cmd_name not in RECIPES:
            names = ", ".join([*RECIPES, *self.commands])
            raise InputError(f"no recipe {cmd_name!r}; choose one of {names}")
        return click.Command(
            cmd_name,
            callback=lambda changes: _train(cmd_name, changes),
            params=[click.Argument(["changes"], nargs=-1, type=click.UNPROCESSED)],
            context_settings={"ignore_unknown_options": True, "help_option_names": []},
        )


@click.group(cls=_Recipes, invoke_without_command=True)
@click.pass_context
def train(context: click.Context) -> None:
    """Train by a recipe: --field value changes a field, --dry-run shows what would be done.

    Recipes: debug_cpu, depth_4b, objects_4b, correspondence_4b, pose_4b, joint_4b, and nano, which
    has a trainer of its own. The same command again goes on where it stopped. --folders A,B trains
    on your own shards instead of Table 5's sets; scenes that vlm3 eval shards asks about are left
    out. On several GPUs:
    torchrun --nproc-per-node 8 -m vlm3 train RECIPE ...

    vlm3 train convert-run DIR makes the checkpoints of an older vlm3 readable.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _train(recipe: str, changes: tuple[str, ...]) -> None:
    from vlm3.train.flat_settings import to_json
    from vlm3.train.parts import RENDERED, RenderedWorlds

    dry = "--dry-run" in changes
    given = [as_field(c) for c in changes if c != "--dry-run"]
    run = overridden(recipe, with_folders(recipe, given))
    parts = [part for stage in run.data.stages for part in stage.parts]
    if left := _other_words(run.model.source, run.prompt):
        click.echo(f"vlm3: warning: {left}", err=True)
    if dry:
        click.echo(json.dumps(to_json(run, every_kind=True), indent=1, allow_nan=False))
        click.echo(f"steps: {run.steps}, warm-up: {run.optim.warmup_steps(run.steps)}")
        if run.data.root or all(isinstance(part, RENDERED) for part in parts):
            from vlm3.train.datasets import curriculum
            from vlm3.train.loss_module import token_px_of

            multiple_px = token_px_of(run.model.source)
            found = curriculum(run.data, run.prompt, seed=run.seed, multiple_px=multiple_px)
            drawn = run.steps * run.loader.batch
            click.echo(_books_of(found, drawn, most_epochs=run.logging.most_epochs))
        return
    if find_spec("warp") is None and any(isinstance(part, RenderedWorlds) for part in parts):
        raise MissingDependencyError('worlds need Warp; install it with: pip install "vlm3[train]"')
    import torch

    from vlm3.train.trainer import train as go

    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    with kept_on_interrupt(
        lambda: f"checkpoints are kept in {run.out}; the same command goes on from the last one"
    ):
        go(run)


def _other_words(source: str, prompt: "PromptConfig") -> str | None:
    """What to tell who trains a model in other words, or at another lens, than it knows."""
    from vlm3.train.loss_module import SIZES

    if source in SIZES or not (source == "nano" or Path(source).is_dir()):
        return None
    from vlm3.model import NANO_PATH, Settings
    from vlm3.tasks.protocol import get_protocol

    own = Settings.read(NANO_PATH if source == "nano" else Path(source))
    if own.protocol is not None and own.protocol != prompt.protocol:
        return (
            f"{source} was trained with protocol {own.protocol!r}, and is trained with "
            f"{prompt.protocol!r} from now on; --protocol {own.protocol} keeps its own"
        )
    prep = get_protocol(prompt.protocol).prep
    f_px = prompt.f_px or prep.target_px
    if own.f_px is not None and prep.kind != "long_side" and own.f_px != f_px:
        return (
            f"{source} was trained at a focal length of {own.f_px:g} px, and is trained at "
            f"{f_px:g} px from now on; --f-px {own.f_px:g} keeps its own"
        )
    return None


@train.command("convert-run")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
def convert_run(folder: Path, yes: bool) -> None:
    """Rewrite the checkpoints of a run FOLDER that an older vlm3 wrote.

    Reading them runs whatever code lies in them, so do this with folders of your own, or of
    somebody you trust. The new ones hold tensors and JSON only.
    """
    from vlm3.lock import writing
    from vlm3.train.convert import convert, unconverted

    with writing(folder):
        found = unconverted(folder)
        if not found:
            click.echo(f"{folder} has nothing to convert")
            return
        question = (
            f"{len(found)} checkpoints in {folder} are read by unpickling, which runs whatever "
            "code lies in them. Do you trust where they come from?"
        )
        if not yes and not click.confirm(question):
            raise InputError(f"{folder} was left as it is")
        for path in found:
            convert(path)
            click.echo(f"converted {path.name}")


def _books_of(found: "Curriculum", samples: int, *, most_epochs: float) -> str:
    """The mixture report of so many samples."""
    from vlm3.data.paper_tables import book_text, books, warnings_of

    # Stages before the last are drawn before the mixture and are no part of it.
    names = [source.name for source in found.sources[: len(found.mixture.sizes)]]
    lines = books(names, found.mixture, samples - found.opening_samples)
    return book_text(lines, warnings_of(lines, most_epochs=most_epochs), found.absent)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("recipe")
@click.option("--gpu", default="H100", show_default=True, help="H200, H100, A100 or L40S.")
@click.option("--gpus", default=8, show_default=True, type=click.IntRange(1))
@click.option("--mfu", default=0.4, show_default=True, help="Share of the peak that is reached.")
@click.argument("changes", nargs=-1, type=click.UNPROCESSED)
def plan(recipe: str, gpu: str, gpus: int, mfu: float, changes: tuple[str, ...]) -> None:
    """Say what RECIPE costs: FLOPs and tokens a sample, samples a second, hours, memory, epochs."""
    from vlm3.data.paper_tables import book_text, books, plan_table, warnings_of
    from vlm3.train.parts import TableSets
    from vlm3.train.plan import plan as count

    run = overridden(recipe, changes)
    click.echo(count(run, gpu=gpu, gpus=gpus, mfu=mfu).text())
    whole = sum(part.share for part in run.data.parts)
    for part in run.data.parts:
        if isinstance(part, TableSets):
            sets, mixture, absent = plan_table(part.table, weights=part.weights)
            samples = round(run.data.samples * part.share / whole)
            lines = books([s.name for s in sets], mixture, samples)
            warned = warnings_of(lines, most_epochs=run.logging.most_epochs)
            click.echo(f"\n{', '.join(part.tasks)}\n{book_text(lines, warned, absent)}")


@click.group()
def data() -> None:
    """Data sets: curate them, check, index and measure shards, report a mixture."""


@data.command("books")
@click.option("--table", default="depth", show_default=True, help="depth or pairs (Table 5).")
@click.option("--samples", default=32_000_000, show_default=True, type=click.IntRange(1))
@click.option("--weights", default="table5", show_default=True, help="table5, size or uniform.")
@click.option("--drawn", type=click.IntRange(0), help="Samples drawn so far: step x batch.")
@click.option("--most", default=2.0, show_default=True, help="Warn above so many epochs.")
@click.option("--as-in-paper", is_flag=True, help="With the set that only the authors have.")
def books_command(
    table: str, samples: int, weights: str, drawn: int | None, most: float, as_in_paper: bool
) -> None:
    """Print the mixture report: samples requested, planned and drawn, and epochs of each set."""
    from vlm3.data.paper_tables import book_text, books, plan_table, warnings_of

    sets, mixture, absent = plan_table(table, weights=weights, with_absent=as_in_paper)
    lines = books([s.name for s in sets], mixture, samples, drawn=drawn)
    click.echo(book_text(lines, warnings_of(lines, most_epochs=most), absent))


@data.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def index(folder: Path) -> None:
    """Index the tars in FOLDER, written by any tool."""
    from vlm3.data.shard_index import build_index

    click.echo(f"{build_index(folder)} samples in {folder}")


@data.command()
@click.argument("folder")
@click.option("--samples", default=400, show_default=True, type=click.IntRange(1))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(0))
@click.option("--f-px", default=1000.0, show_default=True, help="Focal length of the pictures.")
@click.option("--multiple", default=32, show_default=True, help="Pixels a token spans.")
def bench(folder: str, samples: int, workers: int, f_px: float, multiple: int) -> None:
    """Measure samples a second through the whole loader, beside bare decode and resize."""
    from vlm3.train.bench import measure

    click.echo(
        measure(folder, samples=samples, workers=workers, f_px=f_px, multiple_px=multiple).text()
    )
