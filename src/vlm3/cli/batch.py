"""Many results into one folder: one model a process, resumable, with a sheet at the end.

The folder holds, for each result, its files, a preview, and a line in manifest.jsonl. What the
manifest says is done is not repeated. Pictures that cannot be read are named and skipped.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from vlm3 import __version__, strict_json
from vlm3.cli import manifest
from vlm3.cli.console import Countdown
from vlm3.cli.contact_sheet import MOST, contact_sheet
from vlm3.cli.worker_jobs import WorkerJob, WorkerRecipe
from vlm3.cli.workers import makers
from vlm3.errors import InputError
from vlm3.lock import writing

SHEET, PREVIEWS = "contact_sheet.jpg", "previews"
SKIPPED = 1
"""The exit code where some pictures could not be read and the others are written."""

AnyJob = TypeVar("AnyJob", bound=WorkerJob)
AskedJob = TypeVar("AskedJob", bound=WorkerJob, contravariant=True)


class FolderRecipe(WorkerRecipe[AskedJob], Protocol[AskedJob]):
    """What a whole folder is filled with.

    Attributes:
        folder: where.
        kind: what a line of the manifest is about, in the plural: "depth maps".
        of: what each is made from, in the plural: "pictures".
    """

    @property
    def folder(self) -> Path:
        """See the class."""

    @property
    def kind(self) -> str:
        """See the class."""

    @property
    def of(self) -> str:
        """See the class."""

    def common(self) -> dict[str, Any]:
        """Everything beside pictures and model that changes a result."""


@dataclass(frozen=True)
class Done:
    """What a run came to.

    Attributes:
        records: lines of the manifest, in the order of the jobs.
        kept: how many of them were there before.
        skipped: jobs whose pictures could not be read.
    """

    records: list[dict[str, Any]]
    kept: int
    skipped: int

    @property
    def exit_code(self) -> int:
        """0, or SKIPPED."""
        return SKIPPED if self.skipped else 0


def fill_folder(
    recipe: FolderRecipe[AnyJob], jobs: Sequence[AnyJob], settings: Mapping[str, Any]
) -> Done:
    """Makes what is not there yet, in this process or on every graphics card.

    Raises:
        InputError: nothing could be made, or another process writes there.
        KeyboardInterrupt: interrupted; says what is kept.
    """
    folder, done = recipe.folder, dict[int, dict[str, Any]]()
    with makers(recipe, settings, len(jobs)) as asked, writing(folder):
        common = {"vlm3": __version__, **asked.facts, **recipe.common()}
        there = manifest.read_manifest(folder, recipe.kind)
        keys = [manifest.key_of(job.content, common) for job in jobs]
        for index, (job, key) in enumerate(zip(jobs, keys, strict=True)):
            old = there.get(job.name)
            if old is not None and old["key"] == key and manifest.is_complete(folder, old):
                done[index] = old
        kept, skipped = len(done), 0
        todo = [index for index in range(len(jobs)) if index not in done]
        shown = Countdown(len(todo), recipe.of)
        try:
            for at, made, problem in asked.run([jobs[index] for index in todo]):
                if made is None:
                    shown.clear()
                    click.echo(f"vlm3: warning: skipped: {problem}", err=True)
                    skipped += 1
                    shown.skip()
                    continue
                index = todo[at]
                name = jobs[index].name
                record = {"name": name, "kind": recipe.kind, "key": keys[index], **made}
                manifest.append(folder, record)
                done[index] = record
                shown.step()
        except KeyboardInterrupt as stop:
            shown.clear()
            raise KeyboardInterrupt(
                f"{len(done)} of {len(jobs)} {recipe.of} are in {folder}; the same command goes "
                "on from there"
            ) from stop
        shown.clear()
        if not done:
            raise InputError(f"none of the {len(jobs)} {recipe.of} can be read; see above")
        records = [done[index] for index in sorted(done)]
        pictured = contact_sheet([folder / r["preview"] for r in records], folder / SHEET)
    if settings["as_json"]:
        for record in records:
            click.echo(strict_json.dumps(record))
    _summary(recipe, records, kept=kept, skipped=skipped, pictured=pictured)
    return Done(records, kept, skipped)


def output_folder(settings: Mapping[str, Any], advice: str = "") -> Path:
    """The folder that -o names, refusing what only one picture can have."""
    outputs = settings["outputs"]
    if settings["figures"]:
        raise InputError(f"--figure is for one picture; many get a sheet, {SHEET}")
    if len(outputs) != 1:
        raise InputError("many pictures go into one folder: give -o FOLDER, once")
    folder = Path(outputs[0])
    if folder.suffix and not folder.is_dir():
        raise InputError(
            f"many pictures go into a folder, not into {str(folder)!r}: give -o FOLDER without an "
            f"ending{advice}"
        )
    return folder


def lenses_of(records: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Of how many pictures the lens came from where; a picture counts once."""
    found: dict[str, str] = {}
    for record in records:
        if isinstance(record["intrinsics"], str):
            found[record["source"]] = record["intrinsics"]
        else:
            found |= dict(zip(record["source"], record["intrinsics"], strict=True))
    return Counter(found.values())


def _summary(
    recipe: FolderRecipe[Any],
    records: Sequence[Mapping[str, Any]],
    *,
    kept: int,
    skipped: int,
    pictured: int,
) -> None:
    there = f", {kept} of them there already" if kept else ""
    what = recipe.kind if len(records) != 1 else recipe.kind.removesuffix("s")
    click.echo(f"{len(records)} {what} in {recipe.folder}{there}; {skipped} skipped", err=True)
    lens = lenses_of(records)
    click.echo(
        "focal lengths: " + ", ".join(f"{count} {name}" for name, count in lens.items()), err=True
    )
    if lens["assumed"]:
        from vlm3.view import ASSUMED_FOV_DEG

        click.echo(
            f"vlm3: warning: of {lens['assumed']} pictures nothing says what camera took them; "
            f"{ASSUMED_FOV_DEG:g} degrees were assumed, so their lengths may be off by a common "
            "factor: give --f-px, --fov-deg or --calibrator",
            err=True,
        )
    part = f" ({pictured} of them)" if len(records) > MOST else ""
    click.echo(f"{recipe.folder / SHEET}: all at a glance{part}", err=True)
