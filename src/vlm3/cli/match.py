"""The command `vlm3 match`: where points of one picture are in another."""

from typing import Any

import click

from vlm3.cli.photo_options import (
    camera_options,
    examples,
    grid_option,
    many_pairs_options,
    model_options,
    output_options,
    points_option,
    readout_option,
)
from vlm3.cli.pipeline import ask_and_print, ask_grid, wanted_grid
from vlm3.errors import InputError


@click.command(
    epilog=examples(
        "vlm3 match a.jpg b.jpg --at 320,240 --at 100,80",
        "vlm3 match a.jpg b.jpg --at 320,240 --f-px 615 --f-px 980",
        "vlm3 match a.jpg b.jpg --grid 32x24 -o matches.npz",
        "vlm3 match walk/ --pairs sequential --overlap 3 -o matches",
    )
)
@click.argument("images", nargs=-1, required=True, metavar="A B | IMAGE...")
@points_option
@grid_option()
@output_options("of a grid .npz, of points .html; of many pairs a folder")
@many_pairs_options
@readout_option
@camera_options(2)
@model_options
def match(
    images: tuple[str, ...],
    points: tuple[tuple[float, ...], ...],
    grid: tuple[int, int] | None,
    pairs: str | None,
    overlap: int | None,
    every_s: float | None,
    **settings: Any,
) -> None:
    """Find points of picture A in picture B.

    More than two pictures, a folder, a pattern or a video: the matches of a grid, 32x24 cells
    without --grid, of each of their pairs into the folder -o, and pairs.csv. The same command goes
    on where it was stopped.
    """
    from vlm3.cli.pairs import matches_of_many, one_pair

    pair = one_pair(images, pairs, overlap, every_s)
    if pair is None:
        if points:
            raise InputError("--at is for one pair; many get a grid: leave --at out")
        cells = grid or (32, 24)
        code = matches_of_many(images, every_s, pairs, overlap, cells, settings)
        click.get_current_context().exit(code)
    wanted = wanted_grid(points, grid, settings)
    if wanted:
        ask_grid(
            "match map",
            pair,
            settings,
            wanted,
            lambda asked, views, readout, progress: asked.match_map(
                views[0], views[1], grid=wanted, readout=readout, progress=progress
            ),
        )
        return
    ask_and_print(
        "points",
        pair,
        settings,
        lambda asked, views, readout: asked.match(views[0], views[1], points, readout=readout),
    )
