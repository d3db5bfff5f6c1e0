"""The command `vlm3 ask`: questions in words about pictures."""

from pathlib import Path
from typing import Any

import click

from vlm3.cli.photo_options import (
    box_option,
    camera_options,
    every_option,
    examples,
    model_options,
    output_options,
)
from vlm3.cli.picture_sources import PICTURES, VIDEOS, are_many, find_sources, no_video
from vlm3.cli.pipeline import ask_and_print
from vlm3.errors import InputError


@click.command(
    epilog=examples(
        'vlm3 ask photo.jpg "How wide is {0}?" --box 40,60,200,180',
        'vlm3 ask photo.jpg "Is {0} behind {1}?" --box 40,60,200,180 --box 300,20,400,90',
        'vlm3 ask a.jpg b.jpg c.jpg "Which picture shows the window best?" --model Qwen/...',
        'vlm3 ask walk.mp4 --every 2 "Does the camera turn left or right?" --model Qwen/...',
    )
)
@click.argument("words", nargs=-1, required=True, metavar="IMAGE... QUESTION")
@box_option("A region in pixels; the first is {0} in the question, the next {1}, ...")
@output_options("of one picture .html")
@every_option
@camera_options(3)
@model_options
def ask(
    words: tuple[str, ...],
    boxes: tuple[tuple[float, ...], ...],
    every_s: float | None,
    **settings: Any,
) -> None:
    """Ask about regions of IMAGE, or about several IMAGEs, in words.

    Of one picture sizes, distances, directions, comparisons; {0}, {1} in QUESTION stand for the
    boxes.

    Several pictures, a folder, a pattern or a video are shown together, in the order given, and
    QUESTION is put once: "the second picture" means the second one. The answer is printed as the
    model writes it. nano was never taught such questions.
    """
    *images, question = words
    if not images or _is_picture(question):
        raise InputError(
            f"the last word is the QUESTION, and {question!r} came there: give the pictures, then "
            "the question in quotes"
        )
    if are_many(images):
        if boxes or "{0}" in question or settings["outputs"] or settings["figures"]:
            raise InputError(
                "{0} and --box, -o and --figure are for one picture; of several leave them out, "
                "and say in words what is meant"
            )
        ask_and_print(
            "points",
            find_sources(images, every_s),
            settings,
            lambda asked, views, readout: asked.ask_views(views, question),
            question,
        )
        return
    if every_s is not None:
        raise no_video()
    ask_and_print(
        "points",
        images,
        settings,
        lambda asked, views, readout: asked.ask(views[0], question, boxes),
        question,
    )


def _is_picture(word: str) -> bool:
    """Whether a word looks like the name of a picture or video."""
    return " " not in word and Path(word).suffix.lower() in PICTURES | VIDEOS
