"""Depth maps of many pictures into one folder."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click
import numpy as np

from vlm3.cli import manifest
from vlm3.cli.batch import PREVIEWS, fill_folder
from vlm3.cli.contact_sheet import preview, save_preview
from vlm3.cli.picture_sources import PictureSource, find_sources
from vlm3.cli.recipe import GridRecipe, recipe_fields

if TYPE_CHECKING:
    from vlm3.infer.maps import DepthMap
    from vlm3.infer.predictor import Predictor
    from vlm3.output.results import Kind
    from vlm3.tasks.base import TaskName
    from vlm3.view import View


@dataclass(frozen=True, kw_only=True)
class DepthMaps(GridRecipe):
    """A depth map of every picture.

    Attributes:
        model: its name, for headings.
        refine: as in `Predictor.depth_map`.
        full_size: write every pixel, filled in.
        forms: endings without their dot.
    """

    model: str
    refine: bool
    full_size: bool
    forms: tuple[str, ...]
    kind = "depth maps"
    of = "pictures"
    task: ClassVar["TaskName"] = "depth"
    same_result = frozenset({"folder", "model"})

    @property
    def output(self) -> "Kind":
        """What is written of each."""
        return "full depth" if self.full_size else "depth map"

    def make(
        self, predictor: "Predictor", job: PictureSource, opened: "Sequence[View]"
    ) -> dict[str, Any]:
        """Answers one input, writes each file whole or not at all; the manifest's entry."""
        from vlm3.output.lens import lens_record

        began = time.perf_counter()
        (view,) = opened
        depth = predictor.depth_map(view, grid=self.grid, readout=self.readout, refine=self.refine)
        files = [self._write(depth, view, f"{job.name}.{form}") for form in self.forms]
        small = f"{PREVIEWS}/{job.name}.jpg"
        save_preview(preview(view.image, depth.distance_m, job.origin), self.folder / small)
        known = depth.distance_m[np.isfinite(depth.distance_m)]
        quantiles = np.quantile(known, (0.02, 0.5, 0.98)).tolist() if known.size else [None] * 3
        return {
            "source": job.origin,
            "files": files,
            "png_unit_m": _png_unit_m(self.folder, files),
            "preview": small,
            "model": predictor.engine.name,
            "protocol": depth.protocol,
            "readout": depth.readout,
            "width_px": view.camera.width_px,
            "height_px": view.camera.height_px,
            "fx_px": view.camera.fx_px,
            "intrinsics": view.intrinsics,
            "lens": lens_record(view),
            "questions": int(depth.asked.sum()),
            "unread": int((~np.isfinite(depth.distance_m)).sum()),
            "distance_m": dict(zip(("p2", "p50", "p98"), quantiles, strict=True)),
            "seconds": round(time.perf_counter() - began, 3),
        }

    def _write(self, depth: "DepthMap", view: "View", name: str) -> str:
        from vlm3.output.maps import DepthUnitWarning
        from vlm3.output.results import write

        with warnings.catch_warnings():
            # The manifest names the unit of every picture.
            warnings.simplefilter("ignore", DepthUnitWarning)
            write(depth, self.folder / name, kind=self.output, views=[view], model=self.model)
        return name


def maps_of_many(
    images: Sequence[str], every_s: float | None, recipe: DepthMaps, settings: Mapping[str, Any]
) -> int:
    """Asks for the map of every picture and writes it.

    Returns:
        The exit code: 0, or `batch.SKIPPED`.

    Raises:
        InputError: settings that cannot be, or none of the pictures can be read.
        KeyboardInterrupt: interrupted; says what is kept.
    """
    from vlm3.output.results import check

    check(recipe.output, [f"x.{form}" for form in recipe.forms], ())
    done = fill_folder(recipe, find_sources(images, every_s), settings)
    odd = sum(record["png_unit_m"] not in (None, 0.001) for record in done.records)
    if odd:
        click.echo(
            f"vlm3: warning: {odd} .png files hold more than 65 m and are not in millimetres: "
            f"png_unit_m in {recipe.folder / manifest.NAME} and their text unit_m name the unit",
            err=True,
        )
    return done.exit_code


def depth_recipe(
    settings: Mapping[str, Any],
    *,
    grid: tuple[int, int],
    refine: bool,
    full_size: bool,
    forms: tuple[str, ...],
) -> DepthMaps:
    """The recipe that a command's settings give."""
    return DepthMaps(
        **recipe_fields(settings, ", and the kind of files with --form"),
        model=settings["model"],
        grid=grid,
        refine=refine,
        full_size=full_size,
        forms=forms,
    )


def _png_unit_m(folder: Path, files: Sequence[str]) -> float | None:
    """What one step of the 16-bit picture is worth."""
    from PIL import Image

    for name in files:
        if name.endswith(".png"):
            with Image.open(folder / name) as written:
                return float(written.info["unit_m"])
    return None
