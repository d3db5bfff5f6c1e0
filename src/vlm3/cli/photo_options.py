"""Options that several commands share. Imports nothing that costs time."""

from collections.abc import Callable
from typing import Any

import click

from vlm3.cli.console import numbers
from vlm3.cli.loading_options import Command, asking_options, together


def examples(*lines: str) -> str:
    """Examples at the end of a help text, a line each; the mark keeps click from joining them."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line."
)

model_options = together(asking_options(), as_json_option)


calibrator_option = click.option(
    "--calibrator",
    metavar="C",
    help="For pictures without a focal length, in place of 60 degrees: anycalib, or "
    "package.module:factory. Default: none.",
)


def camera_options(pictures: int) -> Callable[[Command], Command]:
    """The lens, of one picture, of two, or of any number (3)."""
    twice = {
        1: "",
        2: " Give it twice if the pictures differ: for A, then for B.",
    }.get(pictures, " Give it once a picture if they differ.")
    return together(
        _lens("--f-px", "F", "Focal length in pixels of the picture as given." + twice, type=float),
        _lens("--fov-deg", "D", "Horizontal field of view in degrees." + twice, type=float),
        numbers_option(
            "--intrinsics",
            form="fx,fy,cx,cy",
            help="Focal lengths and principal point in pixels." + twice,
        ),
        calibrator_option,
    )


def _lens(flag: str, metavar: str, help: str, **how: Any) -> Callable[[Command], Command]:
    """An option that may be given for each picture."""
    return click.option(flag, multiple=True, metavar=metavar, help=help, **how)


def numbers_option(*names: str, form: str, help: str) -> Callable[[Command], Command]:
    """An option with numbers, such as X,Y, as often as it is given.

    Args:
        names: of the option and its argument.
        form: what stands in the help, one name a number.
        help: of the option.
    """
    return click.option(*names, metavar=form, callback=numbers(form), multiple=True, help=help)


points_option = numbers_option(
    "--at",
    "points",
    form="X,Y",
    help="A pixel, from the top left corner; as often as you like.",
)


def box_option(help: str) -> Callable[[Command], Command]:
    """--box, a region as its corners."""
    return numbers_option("--box", "boxes", form="x1,y1,x2,y2", help=help)


def _grid(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    if value is None:
        return None
    columns, _, rows = value.lower().partition("x")
    if not (columns.isdecimal() and rows.isdecimal()):
        raise click.BadParameter(f"{value!r} is not COLUMNSxROWS, such as 64x48")
    return int(columns), int(rows)


def grid_option(default: str | None = None) -> Callable[[Command], Command]:
    """--grid, as (columns, rows) or None."""
    return click.option(
        "--grid",
        metavar="CxR",
        callback=_grid,
        default=default,
        show_default=default is not None,
        help="Ask for every cell of a grid of C columns and R rows.",
    )


def outputs_option(help: str) -> Callable[[Command], Command]:
    """-o, a file for each form that is wanted."""
    return click.option("-o", "--output", "outputs", metavar="FILE", multiple=True, help=help)


def output_options(endings: str) -> Callable[[Command], Command]:
    """Files for the answers and for a drawing of them; `endings` are the allowed ones."""
    return together(
        outputs_option(f"Where the answers go: {endings}. Repeat for several forms."),
        click.option(
            "--figure",
            "figures",
            metavar="FILE",
            multiple=True,
            help="Draw the answers: .png, .svg or .pdf.",
        ),
    )


readout_option = click.option(
    "--readout",
    type=click.Choice(["digits", "median", "mean"]),
    help="Which number of an answer: the digits written, or the median or mean of their "
    "probabilities. Default: median, and digits from a server that gives no probabilities.",
)

refine_option = click.option(
    "--refine",
    is_flag=True,
    help="Ask every second cell, the others only where their neighbours disagree.",
)

full_size_option = click.option(
    "--full-size",
    is_flag=True,
    help="Write every pixel, filled in between the cells along the picture's edges: .png, .exr or "
    ".npz.",
)

form_option = click.option(
    "--form",
    "forms",
    type=click.Choice(["png", "npz", "exr", "ply", "glb", "html"]),
    multiple=True,
    help="Of many pictures: what to write of each. Repeatable. Default: png and npz.",
)

every_option = click.option(
    "--every",
    "every_s",
    type=float,
    metavar="SECONDS",
    help="Of a video: the time between frames. Default: 1.",
)

many_pairs_options = together(
    click.option(
        "--pairs",
        "pairs",
        metavar="P",
        help="Of many pictures, which pairs: sequential (each with the next), exhaustive (all), "
        "first (the first with each other one), or a file with two names a line, as of COLMAP and "
        "hloc. Default: sequential.",
    ),
    click.option(
        "--overlap",
        type=click.IntRange(min=1),
        metavar="N",
        help="With --pairs sequential: each with the next N. Default: 1.",
    ),
    every_option,
)
"""Which pairs of many pictures, and the frames of a video."""
