"""The command `vlm3 cloud`: the points of a picture as a coloured cloud."""

from typing import Any

import click

from vlm3.cli.photo_options import (
    camera_options,
    examples,
    grid_option,
    model_options,
    output_options,
    readout_option,
    refine_option,
)
from vlm3.cli.pipeline import ask_depth_map, wanted_grid


@click.command(
    epilog=examples(
        "vlm3 cloud photo.jpg -o cloud.ply",
        "vlm3 cloud photo.jpg --grid 160x120 --refine -o cloud.glb --fov-deg 65",
        "vlm3 cloud photo.jpg -o cloud.html",
    )
)
@click.argument("image")
@grid_option("64x48")
@output_options(".ply, .glb, .npz, .rrd (rerun) or .html (a page to turn and measure)")
@refine_option
@readout_option
@camera_options(1)
@model_options
def cloud(image: str, grid: tuple[int, int], refine: bool, **settings: Any) -> None:
    """Write the points of IMAGE as a coloured cloud.

    Metres, in the camera's frame: X right, Y down, Z forward (.glb: Y up, as glTF wants it).
    """
    wanted_grid((), grid, settings)
    ask_depth_map("cloud", image, settings, grid, refine=refine)
