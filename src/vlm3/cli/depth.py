"""The command `vlm3 depth`: distances at pixels, of a grid, and of many pictures."""

from typing import TYPE_CHECKING, Any

import click

from vlm3.cli.photo_options import (
    camera_options,
    every_option,
    examples,
    form_option,
    full_size_option,
    grid_option,
    model_options,
    output_options,
    points_option,
    readout_option,
    refine_option,
)
from vlm3.cli.picture_sources import are_many
from vlm3.cli.pipeline import ask_and_print, ask_depth_map, wanted_grid
from vlm3.errors import InputError

if TYPE_CHECKING:
    from vlm3.output.results import Kind


@click.command(
    epilog=examples(
        "vlm3 depth photo.jpg --at 320,240",
        "vlm3 depth photo.jpg --at 320,240 --at 10,20 --f-px 615 --json",
        "vlm3 depth photo.jpg --grid 64x48 -o depth.png -o depth.html",
        "vlm3 depth photo.jpg --grid 64x48 --full-size -o depth.png",
        "vlm3 depth holiday/ -o maps",
        "vlm3 depth walk.mp4 --every 0.5 -o frames --form png",
    )
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@points_option
@grid_option()
@output_options(
    "of a grid .npz, .png (16 bit, millimetres along the axis), .ply, .glb, .rrd (rerun) or .html "
    "(a page to turn and measure); of points .html; of many pictures a folder"
)
@refine_option
@full_size_option
@form_option
@every_option
@readout_option
@camera_options(1)
@model_options
def depth(
    images: tuple[str, ...],
    points: tuple[tuple[float, ...], ...],
    grid: tuple[int, int] | None,
    refine: bool,
    full_size: bool,
    forms: tuple[str, ...],
    every_s: float | None,
    **settings: Any,
) -> None:
    """Tell how far points of IMAGE are.

    In metres: distance is the straight line from the camera, depth z is along its axis. Without
    intrinsics, the focal length comes from EXIF, else a field of view of 60 degrees is assumed.

    Several pictures, a folder, a pattern or a video: a map of each into the folder -o, 64x48 cells
    without --grid. The same command goes on where it was stopped. Pictures that cannot be read are
    named and skipped; the exit code is then 1.
    """
    if are_many(images):
        if points:
            named = ", ".join(images[:3])
            raise InputError(
                f"--at is for one picture, and {named} may be several, which get maps: leave it out"
            )
        from vlm3.cli.folder import depth_recipe, maps_of_many

        recipe = depth_recipe(
            settings,
            grid=grid or (64, 48),
            refine=refine,
            full_size=full_size,
            forms=forms or ("png", "npz"),
        )
        click.get_current_context().exit(maps_of_many(images, every_s, recipe, settings))
    if forms or every_s is not None:
        raise InputError("--form and --every are for many pictures; name a file's form by -o FILE")
    cells = wanted_grid(points, grid, settings)
    if full_size and not cells:
        raise InputError("--full-size fills in a grid: give --grid CxR -o FILE with it")
    if cells:
        kind: Kind = "full depth" if full_size else "depth map"
        ask_depth_map(kind, images[0], settings, cells, refine=refine)
    else:
        ask_and_print(
            "points",
            list(images),
            settings,
            lambda asked, views, readout: asked.depth(views[0], points, readout=readout),
        )
