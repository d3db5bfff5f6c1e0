"""`vlm3 data`: list, inspect, check, leaks, export, and `curate` of `cli.curate`. Thin."""

import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import click

from vlm3.cli.console import kept_on_interrupt
from vlm3.cli.curate import curate

_folder = click.Path(file_okay=False, path_type=Path)


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--markdown", is_flag=True, help="The table of the documents.")
@click.argument("source", required=False)
def list_sources(as_json: bool, markdown: bool, source: str | None) -> None:
    """List the data sets that can be curated; all about SOURCE, if one is named.

    Verified on: files of the set, its authors' code, their documentation, readers of others, or
    only files that the tests write.
    """
    import json

    from vlm3.datasets import get_facts, names
    from vlm3.datasets.listing import licence_source, verified_on
    from vlm3.datasets.listing import markdown as table

    found = [get_facts(name) for name in ([source] if source else names())]
    if markdown:
        click.echo(table(one.name for one in found), nl=False)
    elif as_json:
        fields = (
            *("name", "title", "licence", "licence_from", "url", "layout", "tasks"),
            *("verified", "against", "needs"),
        )
        for one in found:
            click.echo(json.dumps({name: getattr(one, name) for name in fields}, allow_nan=False))
    elif source:
        one = found[0]
        click.echo(f"{one.title} ({one.name})\nlicence   {one.licence}")
        if read_in := licence_source(one):
            click.echo(f"          as read in: {read_in}")
        click.echo(f"from      {one.url}")
        click.echo(f"--root    {one.layout}\ntasks     {', '.join(one.tasks)}")
        click.echo(f"verified  on {verified_on(one)}")
        if one.needs:
            click.echo(f"needs     {', '.join(one.needs)}: pip install 'vlm3[data]'")
    else:
        wide = max(len(one.name) for one in found)
        title_wide = max(len(one.title) for one in found)
        head = f"{'source':<{wide}} {'data set':<{title_wide}} {'tasks':<20}"
        click.echo(f"{head} {'verified on':<13} licence")
        for one in found:
            tasks = ", ".join(one.tasks).replace("correspondence", "matches")
            line = f"{one.name:<{wide}} {one.title:<{title_wide}} {tasks:<20}"
            click.echo(f"{line} {one.verified:<13} {one.licence}")
        click.echo(
            "vlm3 data list SOURCE says where to get it, which layout is read and against what it "
            "was checked"
        )


@click.command()
@click.argument("folder", type=_folder)
@click.option("-o", "--output", "out", type=_folder, help="Folder for card.md and sheet.jpg.")
@click.option("--pictures", default=12, show_default=True, type=click.IntRange(1, 200))
def inspect(folder: Path, out: Path | None, pictures: int) -> None:
    """Print the card of the shards in FOLDER; with -o, draw their labels on a sheet too."""
    from vlm3 import disk
    from vlm3.curation.data_card import card, sheet
    from vlm3.data.shards import Shards

    shards = Shards(folder)
    text = card(shards).text
    click.echo(text, nl=False)
    if out is not None:
        disk.write(out / "card.md", text)
        with disk.whole(out / "sheet.jpg") as partial:
            sheet(shards, pictures=pictures).save(partial, "JPEG", quality=90)
        click.echo(f"\n{out / 'card.md'}, {out / 'sheet.jpg'}")


@click.command(
    epilog="\b\nExamples:\n"
    "  vlm3 data export shards/mine --to trl -o mine-trl --protocol paper\n"
    "  vlm3 data export shards/mine --to llama-factory -o mine-lf --count 10000"
)
@click.argument("folder", metavar="SHARDS", type=_folder)
@click.option(
    "--to",
    required=True,
    type=click.Choice(["trl", "llama-factory", "ms-swift", "depthlm"]),
    help="Who reads it.",
)
@click.option("-o", "--output", required=True, type=_folder, help="A new folder.")
@click.option(
    "--protocol", metavar="P", help="Whose words and picture size. Default: joint, all four tasks."
)
@click.option(
    "--multiple",
    default=32,
    show_default=True,
    type=click.IntRange(1),
    help="Sides of pictures: 32 for Qwen3-VL, 28 for Qwen2.5-VL.",
)
@click.option("--count", type=click.IntRange(1), help="At most so many rows, drawn at random.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
def export(
    folder: Path,
    to: str,
    output: Path,
    protocol: str | None,
    multiple: int,
    count: int | None,
    seed: int,
) -> None:
    """Write the shards in SHARDS for another trainer: conversations, and resized pictures.

    What vlm3 eval shards asks about is left out. depthlm is DepthLM's jsonl, with that set's own
    labels, of every picture as it is stored.
    """
    from vlm3.curation.export import export as run
    from vlm3.curation.export_depthlm import to_depthlm
    from vlm3.errors import InputError
    from vlm3.tasks.protocol import get_protocol

    if to == "depthlm":
        if protocol is not None or count is not None:
            raise InputError("depthlm has no words and every picture; leave the options out")
        rows = to_depthlm(folder, output)
    else:
        words = get_protocol(protocol or "joint")
        rows = run(folder, to, output, protocol=words, multiple_px=multiple, count=count, seed=seed)
    with kept_on_interrupt(lambda: "nothing was written"), closing(rows):
        written = max(rows)
    click.echo(f"{written} rows in {output}")


@click.command()
@click.argument("folder", type=_folder)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1))
def check(folder: Path, workers: int) -> None:
    """Check the shards in FOLDER: hashes, records, pictures, pairs. Exit code 1 if any is bad."""
    from vlm3.curation.integrity import Note
    from vlm3.curation.integrity import check as run
    from vlm3.data.shards import Shards
    from vlm3.errors import InputError

    problems = count = 0
    try:
        length = len(Shards(folder))
    except InputError:
        # `run` says what is wrong with it.
        length = 0
    shown: Any = nullcontext()
    if sys.stderr.isatty():
        shown = click.progressbar(length=length, label="pictures", file=sys.stderr)
    with shown as bar:
        for found in run(folder, workers=workers):
            if isinstance(found, int):
                count += found
                if bar is not None:
                    bar.update(found)
            else:
                problems += not isinstance(found, Note)
                click.echo(f"note: {found}" if isinstance(found, Note) else found)
    click.echo(f"{count} samples in {folder}: {problems or 'no'} problems")
    if problems:
        sys.exit(1)


@click.command(
    epilog="\b\nExamples:\n"
    "  vlm3 data leaks shards/hm3d shards/scannetpp --eval shards/ibims1 --eval sunrgbd/"
)
@click.argument("train", nargs=-1, required=True, type=_folder)
@click.option(
    "--eval", "held_out", required=True, multiple=True, type=_folder, help="Shards or pictures."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def leaks(train: tuple[Path, ...], held_out: tuple[Path, ...], as_json: bool) -> None:
    """Look for pictures of evaluation sets in the shards TRAIN. Exit code 1 if there are any.

    By scene, by the split that the data set gives, and by looks: 128-bit fingerprints that hardly
    change when a picture is resized or encoded again.
    """
    from vlm3.curation import leaks as checks

    found = checks.leaks(train, held_out)
    if as_json:
        click.echo(checks.as_json(found))
    else:
        click.echo(f"{found.compared[0]} pictures to train on, {found.compared[1]} to evaluate on")
        for split in ("val", "test"):
            if found.splits[split]:
                click.echo(f"{found.splits[split]} pictures to train on are of split {split}")
        for scene in found.scenes[:20]:
            click.echo(f"scene in both: {scene}")
        for ours, theirs, bits in found.near[:20]:
            click.echo(f"looks the same: {ours} and {theirs} ({bits} of 128 bits differ)")
        if not found.found:
            click.echo("no leak found")
        elif len(found.scenes) > 20 or len(found.near) > 20:
            click.echo(f"in all {len(found.scenes)} scenes and {len(found.near)} pairs; see --json")
    if found.found:
        sys.exit(1)


def add_to(group: click.Group) -> None:
    """Adds these commands to `vlm3 data`."""
    commands: tuple[click.Command, ...] = (curate, list_sources, inspect, check, leaks, export)
    for command in commands:
        group.add_command(command)
