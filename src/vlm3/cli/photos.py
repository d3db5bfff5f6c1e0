"""Commands about photographs: depth, cloud, match, pose, ask."""

from pathlib import Path
from typing import Any

import click

from vlm3.cli.console import numbers
from vlm3.cli.photo_options import (
    camera_options,
    every_option,
    examples,
    form_option,
    full_size_option,
    grid_option,
    model_options,
    output_options,
    overlap_option,
    pairs_option,
    points_option,
    readout_option,
    refine_option,
)
from vlm3.cli.picture_sources import PICTURES, VIDEOS, are_many, find_sources
from vlm3.cli.pipeline import ask_and_print, ask_grid, wanted_grid
from vlm3.errors import InputError


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
        ask_grid(
            "full depth" if full_size else "depth map",
            list(images),
            settings | {"refine": refine},
            cells,
            lambda asked, views, readout, progress: asked.depth_map(
                views[0], grid=cells, readout=readout, refine=refine, progress=progress
            ),
        )
    else:
        ask_and_print(
            "points",
            list(images),
            settings,
            lambda asked, views, readout: asked.depth(views[0], points, readout=readout),
        )


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
    ask_grid(
        "cloud",
        [image],
        settings | {"refine": refine},
        grid,
        lambda asked, views, readout, progress: asked.depth_map(
            views[0], grid=grid, readout=readout, refine=refine, progress=progress
        ),
    )


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
@pairs_option
@overlap_option
@every_option
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
    from vlm3.cli.pairs import is_one_pair, matches_of_many

    if not is_one_pair(images, pairs, overlap):
        if points:
            raise InputError("--at is for one pair; many get a grid: leave --at out")
        cells = grid or (32, 24)
        code = matches_of_many(images, every_s, pairs, overlap, cells, settings)
        click.get_current_context().exit(code)
    image_a, image_b = _two(images, every_s)
    wanted = wanted_grid(points, grid, settings)
    if wanted:
        ask_grid(
            "match map",
            [image_a, image_b],
            settings,
            wanted,
            lambda asked, views, readout, progress: asked.match_map(
                views[0], views[1], grid=wanted, readout=readout, progress=progress
            ),
        )
        return
    ask_and_print(
        "points",
        [image_a, image_b],
        settings,
        lambda asked, views, readout: asked.match(views[0], views[1], points, readout=readout),
    )


def _two(images: tuple[str, ...], every_s: float | None) -> tuple[str, str]:
    """The pictures of one pair."""
    if every_s is not None:
        raise InputError("--every is the time between frames of a video, and no video was given")
    first, second = images
    return first, second


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
@pairs_option
@overlap_option
@every_option
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
    from vlm3.cli.pairs import is_one_pair, motions_of_many

    if not is_one_pair(images, pairs, overlap):
        code = motions_of_many(images, every_s, pairs, overlap, settings)
        click.get_current_context().exit(code)
    image_a, image_b = _two(images, every_s)
    ask_and_print(
        "pose",
        [image_a, image_b],
        settings,
        lambda asked, views, readout: asked.pose(*views, readout=readout, check=True),
    )


@click.command(
    epilog=examples(
        'vlm3 ask photo.jpg "How wide is {0}?" --box 40,60,200,180',
        'vlm3 ask photo.jpg "Is {0} behind {1}?" --box 40,60,200,180 --box 300,20,400,90',
        'vlm3 ask a.jpg b.jpg c.jpg "Which picture shows the window best?" --model Qwen/...',
        'vlm3 ask walk.mp4 --every 2 "Does the camera turn left or right?" --model Qwen/...',
    )
)
@click.argument("words", nargs=-1, required=True, metavar="IMAGE... QUESTION")
@click.option(
    "--box",
    "boxes",
    metavar="x1,y1,x2,y2",
    callback=numbers("x1,y1,x2,y2"),
    multiple=True,
    help="A region in pixels; the first is {0} in the question, the next {1}, ...",
)
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
        raise InputError("--every is the time between frames of a video, and no video was given")
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
