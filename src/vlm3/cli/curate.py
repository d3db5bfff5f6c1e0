"""`vlm3 data curate`: the options, a bar over scenes, and what was left out."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlm3.cli.console import kept_on_interrupt

if TYPE_CHECKING:
    from vlm3.curation.launch import Outcome
    from vlm3.data.manifests import Unit

_folder = click.Path(file_okay=False, path_type=Path)


@click.command(
    epilog="\b\nExamples:\n"
    "  vlm3 data curate ddad --root ddad_train_val -o shards/ddad --workers 8\n"
    "  vlm3 data curate folder --root mine -o shards/mine --fov-deg 65\n"
    "  srun vlm3 data curate hm3d --root hm3d -o shards/hm3d --launcher slurm"
)
@click.argument("source")
@click.option("--root", required=True, type=_folder, help="The data set as downloaded.")
@click.option("-o", "--output", "out", required=True, type=_folder, help="Where the shards go.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1))
@click.option(
    "--launcher",
    default="local",
    show_default=True,
    type=click.Choice(["local", "ray", "slurm"]),
    help="Processes here, a Ray cluster, or an array job.",
)
@click.option("--rank", type=click.IntRange(0), help="Of an array job that is not Slurm's.")
@click.option("--world", type=click.IntRange(1), help="How many ranks it has.")
@click.option("--scenes", type=click.IntRange(1), help="Only the first so many.")
@click.option(
    "--points", default=100, show_default=True, type=click.IntRange(0), help="Labels a picture."
)
@click.option(
    "--pairs",
    default=4,
    show_default=True,
    type=click.IntRange(0),
    help="Partners drawn for each picture, where poses and depth allow.",
)
@click.option(
    "--f-px",
    default=1000.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Reduce pictures of longer focal length to this one; 0 keeps their size.",
)
@click.option(
    "--multiple",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="Sides of reduced ones.",
)
@click.option("--fov-deg", type=float, help="Horizontal field of view, where nothing says.")
@click.option("--calibrator", metavar="C", help="anycalib, or package.module:factory.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--depthlm", is_flag=True, help="As DepthLM reads it, for vlm3 data export.")
def curate(source: str, root: Path, out: Path, **given: Any) -> None:
    """Make shards of data set SOURCE (vlm3 data list names them).

    The same command again goes on where it stopped. Frames that cannot be used are named and left
    out; nothing below --root is ever changed.
    """
    from vlm3.curation.intrinsics import Calibration
    from vlm3.curation.launch import Share
    from vlm3.curation.launch import curate as run
    from vlm3.curation.prepare import Size
    from vlm3.curation.units import Job
    from vlm3.errors import InputError

    rank, world = given["rank"], given["world"]
    if (rank is None) != (world is None):
        raise InputError("--rank and --world go together")
    job = Job(
        source,
        root,
        out,
        points=given["points"],
        per_view=given["pairs"],
        size=Size(given["f_px"], given["multiple"]),
        calibration=Calibration(given["fov_deg"], given["calibrator"]),
        seed=given["seed"],
        depthlm=given["depthlm"],
    )
    done = 0

    def kept() -> str:
        return f"{done} scenes are kept in {out}; the same command goes on from there"

    with kept_on_interrupt(kept), _scenes_bar(source) as (start, show):

        def tell(unit: "Unit") -> None:
            nonlocal done
            done += 1
            show(unit)

        outcome = run(
            job,
            launcher=given["launcher"],
            workers=given["workers"],
            share=None if rank is None else Share(rank, world),
            most_scenes=given["scenes"],
            start=start,
            tell=tell,
        )
    _report(out, outcome)


def _report(out: Path, outcome: "Outcome") -> None:
    """Prints what was left out, what was made, and a summary of the labels."""
    from vlm3.curation.summary import summary

    for line in _left_out(outcome.units):
        click.echo(f"vlm3: warning: {line}", err=True)
    if outcome.joined is None:
        click.echo(f"{len(outcome.units)} scenes done; other ranks are still at work")
        return
    found = outcome.joined
    with_pairs = f" and {found.pairs} pairs" if found.pairs else ""
    shards = "1 shard" if found.shards == 1 else f"{found.shards} shards"
    click.echo(f"{found.samples} pictures{with_pairs} in {shards} in {out}")
    for line in summary(out, outcome.units):
        click.echo(line)


@contextmanager
def _scenes_bar(
    source: str,
) -> "Iterator[tuple[Callable[[int], None], Callable[[Unit], None]]]":
    """A bar on stderr over scenes, with the pictures so far; on a terminal only."""
    with ExitStack() as stack:
        bars: list[Any] = []
        pictures = 0

        def start(count: int) -> None:
            if sys.stderr.isatty():
                made: Any = click.progressbar(
                    length=count, label=source, file=sys.stderr, show_pos=True
                )
                bars.append(stack.enter_context(made))

        def tell(unit: "Unit") -> None:
            nonlocal pictures
            pictures += unit.samples
            for bar in bars:
                bar.label = f"{source}, {pictures} pictures"
                bar.update(1)

        yield start, tell


def _left_out(units: "Iterable[Unit]", most: int = 10) -> list[str]:
    """A line for each kind of failure and remark: what, how often, and the first that had it."""
    from vlm3.curation.summary import kinds

    units = list(units)
    lines = [f"scene {unit.scene}: {unit.failed}" for unit in units if unit.failed]
    told = [(unit.scene, remark) for unit in units for remark in unit.remarks]
    lines += [
        f"scene {scene}: {text}" + (f" (and {count - 1} scenes more like it)" if count > 1 else "")
        for scene, text, count in kinds(told)
    ]
    frames = [(f"{u.scene}/{key}", reason) for u in units for key, reason in u.skipped]
    lines += [
        f"{frame}: {text}" + (f" (and {count - 1} more like it)" if count > 1 else "")
        for frame, text, count in kinds(frames)
    ]
    more = [f"{len(lines) - most} other kinds of failure are in units/*.json"]
    return lines[:most] + (more if len(lines) > most else [])
