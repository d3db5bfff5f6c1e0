"""The command `vlm3 pose`: how the camera moved between two pictures."""

from typing import Any

import click

from vlm3.cli.photo_options import (
    camera_options,
    examples,
    many_pairs_options,
    model_options,
    output_options,
    readout_option,
)
from vlm3.cli.pipeline import ask_and_print


@click.command(
    epilog=examples(
        "vlm3 pose a.jpg b.jpg --fov-deg 65",
        "vlm3 pose a.jpg b.jpg --intrinsics 615,615,320,240 --intrinsics 980,980,640,360 --json",
        "vlm3 pose walk/ --pairs exhaustive -o motions",
        "vlm3 pose walk/ --pairs pairs.txt -o motions",
        "vlm3 pose a.jpg b.jpg c.jpg --pairs first -o motions",
    )
)
@click.argument("images", nargs=-1, required=True, metavar="A B | IMAGE...")
@output_options(
    ".html, .rrd (rerun), or a folder for a COLMAP model; of many pairs a folder for all motions"
)
@many_pairs_options
@readout_option
@camera_options(2)
@model_options
def pose(
    images: tuple[str, ...],
    pairs: str | None,
    overlap: int | None,
    every_s: float | None,
    **settings: Any,
) -> None:
    """Tell how the camera moved from A to B.

    Rotation, direction and distance in the frame of A's camera: X right, Y down, Z forward. Yaw
    turns right, pitch looks up, roll banks to the right. The reverse question and the
    model's own matches are held against the motion, which gives a confidence from 0 to 1.

    More than two pictures, a folder, a pattern or a video: the motions of their pairs, printed and
    in poses.csv and poses.jsonl in the folder -o. The same command goes on where it was stopped.
    With --pairs first these are the cameras of all pictures in the first one's frame.
    """
    from vlm3.cli.pairs import motions_of_many, one_pair

    pair = one_pair(images, pairs, overlap, every_s)
    if pair is None:
        code = motions_of_many(images, every_s, pairs, overlap, settings)
        click.get_current_context().exit(code)
    ask_and_print(
        "pose",
        pair,
        settings,
        lambda asked, views, readout: asked.pose(*views, readout=readout, check=True),
    )
