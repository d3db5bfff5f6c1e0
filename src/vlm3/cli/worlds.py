"""`vlm3 worlds`: render shards, look at a contact sheet, measure speed, make a furniture pack."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Literal

import click

from vlm3.cli.console import kept_on_interrupt

_split = click.option("--split", type=click.Choice(["train", "heldout"]), default="train")
_kind = click.option("--kind", type=click.Choice(["room", "street"]), help="Only one kind.")
_seed = click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
_size = click.option(
    "--size", default="320x240", show_default=True, metavar="WxH", help="Picture size in pixels."
)
_device = click.option("--device", default="cpu", show_default=True, help="cpu or cuda:0.")

_pack = click.option(
    "--pack", type=click.Path(exists=True), help="Furniture pack; see `vlm3 worlds assets`."
)

_Split = Literal["train", "heldout"]
_Kind = Literal["room", "street"]


@click.group()
def worlds() -> None:
    """Rendered rooms and streets with exact truth."""


@worlds.command()
@click.option(
    "-o", "--output", "out", required=True, type=click.Path(path_type=Path), help="Folder."
)
@click.option("--count", required=True, type=click.IntRange(1), help="How many worlds.")
@click.option(
    "--f-px", "focal", type=click.FloatRange(1), help="Focal length in pixels; else free lenses."
)
@_seed
@_size
@_split
@_kind
@_device
@_pack
def render(
    out: Path,
    count: int,
    focal: float | None,
    seed: int,
    size: str,
    split: _Split,
    kind: _Kind | None,
    device: str,
    pack: str | None,
) -> None:
    """Write pictures and truth as webdataset tars; the same command again goes on."""
    from vlm3.lock import writing
    from vlm3.worlds.shards import render_shards, shard_paths

    width_px, height_px = _parsed(size)

    def kept() -> str:
        whole = sum(path.is_file() for path in shard_paths(out, count))
        return (
            f"{whole} of {len(shard_paths(out, count))} shards are kept in {out}; the same command "
            "goes on from there"
        )

    reached_by = render_shards(
        out,
        count,
        seed,
        width_px=width_px,
        height_px=height_px,
        f_px=focal,
        split=split,
        kind=kind,
        device=device,
        pack=pack,
    )
    with (
        kept_on_interrupt(kept),
        writing(out),
        # Closed before the folder is let go, so that the shard it was writing is gone by then.
        closing(reached_by),
        click.progressbar(length=count, label="worlds", file=sys.stderr) as bar,
    ):
        done = 0
        for reached in reached_by:
            bar.update(reached - done)
            done = reached
    click.echo(f"{count} worlds in {out}")


@worlds.command()
@click.option(
    "-o", "--output", "out", required=True, type=click.Path(path_type=Path), help="PNG or JPEG."
)
@click.option("--count", default=8, show_default=True, type=click.IntRange(1, 64))
@click.option("--plain", is_flag=True, help="Pictures only, no truth below them.")
@_seed
@_size
@_split
@_kind
@_pack
def look(
    out: Path,
    count: int,
    plain: bool,
    seed: int,
    size: str,
    split: _Split,
    kind: _Kind | None,
    pack: str | None,
) -> None:
    """Draw a contact sheet: pictures, distances, objects with their sizes."""
    from vlm3 import disk
    from vlm3.errors import InputError
    from vlm3.worlds.sheet import contact_sheet

    form = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}.get(out.suffix.lower())
    if form is None:
        raise InputError(f"cannot write {str(out)!r}: give a name that ends in .png or .jpg")
    disk.check_place(out)
    width_px, height_px = _parsed(size)
    sheet = contact_sheet(
        count,
        seed=seed,
        split=split,
        kind=kind,
        width_px=width_px,
        height_px=height_px,
        overlays=not plain,
        pack=pack,
    )
    with disk.whole(out) as partial:
        sheet.save(partial, form)
    click.echo(f"{count} worlds on {out}")


@worlds.command()
@click.option("--count", default=20, show_default=True, type=click.IntRange(1), help="Worlds.")
@click.option(
    "--views",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Views of each world, rendered together.",
)
@_seed
@_size
@_kind
@_device
@_pack
def bench(
    count: int,
    views: int,
    seed: int,
    size: str,
    kind: _Kind | None,
    device: str,
    pack: str | None,
) -> None:
    """Measure views a second, scene building included, and peak memory."""
    from vlm3.worlds.bench import measure

    width_px, height_px = _parsed(size)
    result = measure(
        count,
        seed=seed,
        width_px=width_px,
        height_px=height_px,
        kind=kind,
        device=device,
        pack=pack,
        together=views,
    )
    click.echo(result.text())


@worlds.command()
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Folder with .sh3f libraries (Debian: sweethome3d-furniture).",
)
@click.option(
    "-o", "--output", "out", required=True, type=click.Path(path_type=Path), help="The pack, .npz."
)
@click.option("--triangles", default=900, show_default=True, type=click.IntRange(50, 5000))
@click.option("--cc0-only", is_flag=True, help="Leave out the credited CC-BY libraries.")
def assets(source: Path, out: Path, triangles: int, cc0_only: bool) -> None:
    """Make a furniture pack of real sizes from Sweet Home 3D libraries."""
    from vlm3 import disk
    from vlm3.worlds.assets import make_pack

    disk.check_place(out)
    report = make_pack(source, out, triangles=triangles, cc0_only=cc0_only)
    click.echo(report)


def _parsed(size: str) -> tuple[int, int]:
    from vlm3.errors import InputError

    parts = size.lower().split("x")
    if len(parts) != 2 or not all(p.isdigit() and 8 <= int(p) <= 4096 for p in parts):
        raise InputError(f"size is {size!r}; give WIDTHxHEIGHT, each 8 to 4096, such as 320x240")
    return int(parts[0]), int(parts[1])
