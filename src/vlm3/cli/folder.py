"""Depth maps of many pictures into one folder: one model, resumable, with a sheet at the end.

The folder holds, for each picture, its files, a preview, and a line in manifest.jsonl. A line's key
is a digest of the picture's content, the model's, and every setting: what has the same key and its
files there is not asked again. A picture that cannot be read is named and skipped.
"""

import hashlib
import json
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from vlm3 import __version__, disk, strict_json
from vlm3.cli.console import Countdown
from vlm3.cli.contact_sheet import MOST, contact_sheet, preview
from vlm3.cli.loading_options import loading
from vlm3.cli.picture_sources import Source, find_sources
from vlm3.cli.pipeline import lenses
from vlm3.errors import InputError
from vlm3.lock import writing

if TYPE_CHECKING:
    from vlm3.infer.maps import DepthMap
    from vlm3.infer.predictor import Predictor
    from vlm3.view import View

MANIFEST, SHEET, PREVIEWS = "manifest.jsonl", "contact_sheet.jpg", "previews"
_THEN = "make room; the same command goes on from there"
SKIPPED = 1
"""The exit code where some pictures could not be read and the others are written."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is made of every picture.

    Attributes:
        grid: columns and rows.
        refine: as in `Predictor.depth_map`.
        full_size: write every pixel, filled in.
        forms: endings without their dot.
    """

    grid: tuple[int, int]
    refine: bool
    full_size: bool
    forms: tuple[str, ...]


def maps_of_many(
    images: Sequence[str], settings: Mapping[str, Any], wanted: Wanted, every_s: float | None
) -> int:
    """Asks for the map of every picture and writes it.

    Returns:
        The exit code: 0, or SKIPPED.

    Raises:
        InputError: settings that cannot be, or none of the pictures can be read.
        KeyboardInterrupt: interrupted; says what is kept.
    """
    from vlm3.infer.generation import require
    from vlm3.infer.predictor import load
    from vlm3.output.results import check

    folder = _folder(settings)
    kind: Any = "full depth" if wanted.full_size else "depth map"
    check(kind, [f"x.{form}" for form in wanted.forms], ())
    lens = lenses(settings, 1)[0]
    sources = find_sources(images, every_s)
    predictor = load(**loading(settings))
    require(predictor.protocol, "depth")
    common = {
        "vlm3": __version__,
        "model": getattr(predictor.engine, "weights", None) or predictor.engine.name,
        "protocol": predictor.protocol.name,
        "lens": {name: value for name, value in lens.items() if name != "calibrate"},
        "calibrator": settings["calibrator"],
        "readout": settings["readout"],
        "int8": settings["int8"],
        **vars(wanted),
    }
    records: list[dict[str, Any]] = []
    skipped = kept = 0
    with writing(folder):
        there = _read(folder)
        shown = Countdown(len(sources), "pictures")
        try:
            for source in sources:
                key = _key(source, common)
                old = there.get(source.name)
                if old is not None and old["key"] == key and _complete(folder, old):
                    records.append(old)
                    kept += 1
                    shown.skip()
                    continue
                try:
                    view = _opened(source, lens, wanted.grid)
                except InputError as error:
                    shown.clear()
                    click.echo(f"vlm3: warning: skipped: {error}", err=True)
                    skipped += 1
                    shown.skip()
                    continue
                made = _make(predictor, source, view, folder, wanted, settings)
                records.append({"key": key, **made})
                _append(folder, records[-1])
                if settings["as_json"]:
                    click.echo(strict_json.dumps(records[-1]))
                shown.step()
        except KeyboardInterrupt as stop:
            shown.clear()
            raise KeyboardInterrupt(
                f"{len(records)} of {len(sources)} pictures are in {folder}; the same command "
                "goes on from there"
            ) from stop
        shown.clear()
        if not records:
            raise InputError(f"none of the {len(sources)} pictures can be read; see above")
        pictured = contact_sheet([folder / r["preview"] for r in records], folder / SHEET)
    _summary(folder, records, kept=kept, skipped=skipped, pictured=pictured)
    return SKIPPED if skipped else 0


def _folder(settings: Mapping[str, Any]) -> Path:
    outputs = settings["outputs"]
    if settings["figures"]:
        raise InputError(f"--figure is for one picture; many get a sheet, {SHEET}")
    if len(outputs) != 1:
        raise InputError("many pictures go into one folder: give -o FOLDER, once")
    folder = Path(outputs[0])
    if folder.suffix and not folder.is_dir():
        raise InputError(
            f"many pictures go into a folder, not into {str(folder)!r}: give -o FOLDER without an "
            "ending, and the kind of files with --form"
        )
    return folder


def _key(source: Source, common: Mapping[str, Any]) -> str:
    text = json.dumps([source.content, common], sort_keys=True, default=list, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    """The last line of every picture; one that a killed process left half-written is none."""
    path = folder / MANIFEST
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and {"name", "key", "files", "preview"} <= set(record):
            found[record["name"]] = record
    return found


def _complete(folder: Path, record: Mapping[str, Any]) -> bool:
    return all((folder / name).is_file() for name in (*record["files"], record["preview"]))


def _append(folder: Path, record: Mapping[str, Any]) -> None:
    path = folder / MANIFEST
    # A half-written line gets an end of its own, so that it does not take this one with it.
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with disk.naming(path, then=_THEN), path.open("a", encoding="utf-8") as file:
        file.write("\n" * torn + strict_json.dumps(record) + "\n")


def _opened(source: Source, lens: Mapping[str, Any], grid: tuple[int, int]) -> "View":
    from vlm3.infer.maps import grid_px
    from vlm3.view import AssumedCameraWarning

    with warnings.catch_warnings():
        # The summary says of how many a lens was assumed.
        warnings.simplefilter("ignore", AssumedCameraWarning)
        view = source.open(**lens)
    grid_px(view.camera, *grid)
    return view


def _make(
    predictor: "Predictor",
    source: Source,
    view: "View",
    folder: Path,
    wanted: Wanted,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Asks, writes every file whole or not at all, and tells what was made."""
    began = time.perf_counter()
    depth = predictor.depth_map(
        view, grid=wanted.grid, readout=settings["readout"], refine=wanted.refine
    )
    files = [
        _write(depth, view, folder, source.name, form, wanted, settings) for form in wanted.forms
    ]
    small = f"{PREVIEWS}/{source.name}.jpg"
    with disk.whole(folder / small, then=_THEN) as partial:
        preview(view.image, depth.distance_m, source.origin).save(partial, "JPEG", quality=88)
    known = depth.distance_m[np.isfinite(depth.distance_m)]
    low, middle, high = np.quantile(known, (0.02, 0.5, 0.98)).tolist() if known.size else [None] * 3
    return {
        "name": source.name,
        "source": source.origin,
        "files": files,
        "png_unit_m": _png_unit_m(folder, files),
        "preview": small,
        "model": predictor.engine.name,
        "protocol": depth.protocol,
        "readout": depth.readout,
        "width_px": view.camera.width_px,
        "height_px": view.camera.height_px,
        "fx_px": view.camera.fx_px,
        "intrinsics": view.intrinsics,
        "questions": int(depth.asked.sum()),
        "unread": int((~np.isfinite(depth.distance_m)).sum()),
        "distance_m": {"p2": low, "p50": middle, "p98": high},
        "seconds": round(time.perf_counter() - began, 3),
    }


def _write(
    depth: "DepthMap",
    view: "View",
    folder: Path,
    name: str,
    form: str,
    wanted: Wanted,
    settings: Mapping[str, Any],
) -> str:
    from vlm3.output.maps import DepthUnitWarning
    from vlm3.output.results import write

    kind: Any = "full depth" if wanted.full_size else "depth map"
    with warnings.catch_warnings():
        # The manifest names the unit of every picture.
        warnings.simplefilter("ignore", DepthUnitWarning)
        path = folder / f"{name}.{form}"
        write(depth, path, kind=kind, views=[view], model=settings["model"])
    return path.name


def _png_unit_m(folder: Path, files: Sequence[str]) -> float | None:
    """What one step of the 16-bit picture is worth."""
    from PIL import Image

    for name in files:
        if name.endswith(".png"):
            with Image.open(folder / name) as written:
                return float(written.info["unit_m"])
    return None


def _summary(
    folder: Path, records: Sequence[Mapping[str, Any]], *, kept: int, skipped: int, pictured: int
) -> None:
    lens = Counter(record["intrinsics"] for record in records)
    there = f", {kept} of them there already" if kept else ""
    click.echo(f"{len(records)} maps in {folder}{there}; {skipped} skipped", err=True)
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
    odd = sum(record["png_unit_m"] not in (None, 0.001) for record in records)
    if odd:
        click.echo(
            f"vlm3: warning: {odd} .png files hold more than 65 m and are not in millimetres: "
            f"png_unit_m in {folder / MANIFEST} and their text unit_m name the unit",
            err=True,
        )
    part = f" ({pictured} of them)" if len(records) > MOST else ""
    click.echo(f"{folder / SHEET}: all at a glance{part}", err=True)
