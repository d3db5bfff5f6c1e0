"""The command `measure`: metres between points of a photograph, and the size of regions."""

from typing import TYPE_CHECKING, Any

import click

from vlm3.cli.loading_options import loading
from vlm3.cli.photo_options import (
    box_option,
    camera_options,
    examples,
    model_options,
    numbers_option,
    readout_option,
)
from vlm3.cli.pipeline import print_answers, rehearsed
from vlm3.errors import InputError

if TYPE_CHECKING:
    from vlm3.tasks.answers import Readout


@click.command(
    epilog=examples(
        "vlm3 measure photo.jpg --from 120,400 --to 310,400",
        "vlm3 measure photo.jpg --box 40,60,200,180 --f-px 615 --json",
    )
)
@click.argument("image")
@numbers_option(
    "--from", "starts", form="X,Y", help="A pixel to measure from; repeat it, with a --to each."
)
@numbers_option("--to", "ends", form="X,Y", help="A pixel to go to.")
@box_option("A region in pixels, drawn tightly: its width, height and distance. Repeatable.")
@readout_option
@camera_options(1)
@model_options
def measure(
    image: str,
    starts: tuple[tuple[float, ...], ...],
    ends: tuple[tuple[float, ...], ...],
    boxes: tuple[tuple[float, ...], ...],
    readout: "Readout | None",
    **settings: Any,
) -> None:
    """Measure in IMAGE: metres between two points, the size of a region.

    The straight line in space between the points that the model's distances give. p10 to p90 holds
    80 % of what the model holds possible; an error of the focal length is not in it, and changes
    every length in proportion.
    """
    from vlm3.cli.printing import measured_lines, measured_records
    from vlm3.infer.loading import load

    if len(starts) != len(ends):
        raise InputError(
            f"--from was given {len(starts)} times and --to {len(ends)} times; they go in pairs"
        )
    if not starts and not boxes:
        raise InputError("give two points with --from X,Y --to X,Y, or a region with --box")
    pairs = list(zip(starts, ends, strict=True))
    (view,) = rehearsed(
        [image], settings, "02.75", lambda asked, views: asked.measure(views[0], pairs, boxes)
    )
    predictor = load(**loading(settings))
    found = predictor.measure(view, pairs, boxes, readout=readout)
    print_answers(
        settings,
        measured_records(found, predictor, view),
        measured_lines(found, predictor, view),
    )
