"""The command `vlm3 scene`: several pictures of one place into one world.

Loads nothing but click until a command runs.
"""

from typing import TYPE_CHECKING, Any

import click

from vlm3 import strict_json
from vlm3.cli.console import held_warnings, kept_on_interrupt, progress_line
from vlm3.cli.loading_options import loading
from vlm3.cli.photo_options import (
    camera_options,
    examples,
    grid_option,
    model_options,
    outputs_option,
    readout_option,
    refine_option,
)
from vlm3.cli.pipeline import opened
from vlm3.errors import InputError

if TYPE_CHECKING:
    from vlm3.multiview.build import SceneModel
    from vlm3.tasks.answers import Readout
    from vlm3.view import View


@click.command(
    epilog=examples(
        "vlm3 scene a.jpg b.jpg c.jpg -o scene.glb --fov-deg 65",
        "vlm3 scene walk/*.jpg --grid 64x48 --refine -o scene.html -o colmap/",
    )
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@grid_option("48x36")
@refine_option
@readout_option
@outputs_option(
    ".glb, .ply, .npz, .html, .rrd (rerun), or a folder for a COLMAP model. Repeatable."
)
@camera_options(3)
@model_options
def scene(
    images: tuple[str, ...],
    grid: tuple[int, int],
    refine: bool,
    outputs: tuple[str, ...],
    readout: "Readout | None",
    **settings: Any,
) -> None:
    """Put several IMAGEs of one place into one world.

    Asks how the camera moved between pairs, both ways; averages the answers against outliers; fuses
    the depth maps. Give pictures in the order they were taken. The world is the first one's camera.
    Where the motions contradict each other, or the model's own matches, nothing is written: one
    line says which pictures do not fit, and the exit code is 2.
    """
    from vlm3.output.lens import lens_record, lens_words
    from vlm3.output.results import notes
    from vlm3.output.scenes import check, contradictions, summary, write_scene

    check(outputs)
    views, made = _built(images, grid, settings, refine=refine, readout=readout)
    fused, written = write_scene(made, outputs, model=settings["model"])
    record: dict[str, Any] = {
        "output": [str(path) for path in written],
        "readout": made.maps[0].readout,
        **summary(made, fused),
    }
    cautions = (*contradictions(made), *notes(settings["model"], views))
    world_from_cam = made.cameras.world_from_cam
    if settings["as_json"]:
        record |= {
            "intrinsics": [view.intrinsics for view in views],
            "lenses": [lens_record(view) for view in views],
            "images": images,
            "world_from_cam": world_from_cam.tolist(),
            "notes": cautions,
        }
        click.echo(strict_json.dumps(record))
        return
    for k, (image, view, pose) in enumerate(zip(images, views, world_from_cam, strict=True), 1):
        x, y, z = pose[:3, 3]
        place = f"({x:+.2f}, {y:+.2f}, {z:+.2f}) m  {image}"
        click.echo(f"camera {k}: {place}, {lens_words(view)}")
    for name, text in record.items():
        click.echo(f"{name}: {', '.join(text) if isinstance(text, list) else text}")
    for note in cautions:
        click.echo(f"note: {note}")


def _built(
    images: tuple[str, ...],
    grid: tuple[int, int],
    settings: dict[str, Any],
    *,
    refine: bool,
    readout: "Readout | None",
) -> "tuple[list[View], SceneModel]":
    """Opens the pictures and asks for their motions and maps; refuses what cannot become one."""
    from vlm3.infer.loading import load
    from vlm3.infer.maps import grid_px
    from vlm3.multiview.build import build_scene, check_protocol, question_count
    from vlm3.tasks.protocol import get_protocol

    if len(images) < 2:
        raise InputError("a scene needs two pictures or more")
    protocol = get_protocol(settings["protocol"] or "joint")
    check_protocol(protocol)
    with held_warnings():
        views = opened(images, settings)
        for view in views:
            grid_px(view.camera, *grid)
    predictor = load(**loading(settings))
    total = question_count(protocol, views, grid)
    with (
        kept_on_interrupt(lambda: "nothing was written"),
        progress_line(total, at_most=refine) as progress,
    ):
        made = build_scene(
            predictor, views, grid=grid, readout=readout, refine=refine, progress=progress
        )
    return views, made
