"""The command line: parse, call, print.

Answers go to stdout, as a table or, with --json, one object a line; everything else to stderr.
Every import that costs time stands inside the command that needs it.
"""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from vlm3 import __version__
from vlm3.app.commands import app, serve
from vlm3.console import Group, held_warnings, numbers, progress_line
from vlm3.data.commands import add_to
from vlm3.errors import InputError
from vlm3.eval.commands import evaluate, report, score
from vlm3.show.commands import figure
from vlm3.study.commands import study
from vlm3.train.commands import data, plan, train
from vlm3.worlds.commands import worlds

if TYPE_CHECKING:
    from vlm3.infer.predict import Predictor
    from vlm3.show.outputs import Kind
    from vlm3.tasks.base import Answer
    from vlm3.view import View

Command = Callable[..., None]

# Spelled out, because reading them from vlm3.tasks.protocol would make --help load numpy.
_PROTOCOL_NAMES = "paper, release-depth, release-object, release-corr, release-pose or joint"


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order the help shows them."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _examples(*lines: str) -> str:
    """Examples at the end of a help text, a line each; the mark keeps click from joining them."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")

_model_options = _options(
    click.option(
        "--model",
        default="nano",
        show_default=True,
        metavar="M",
        help="nano, a checkpoint folder, a hub id such as facebook/VLM3-depth, or openai:NAME.",
    ),
    click.option(
        "--base-url",
        metavar="URL",
        help="Of an OpenAI-compatible server, with --model openai:NAME.",
    ),
    click.option(
        "--protocol",
        metavar="P",
        help=f"How to ask: {_PROTOCOL_NAMES}. Default: what the model was trained with.",
    ),
    click.option("--device", metavar="D", help="cpu or cuda. Default: the GPU if there is one."),
    click.option(
        "--int8",
        is_flag=True,
        help="On a CPU: compute in whole numbers, faster, if the answers stay what they were.",
    ),
    _as_json,
)


def _camera_options(pictures: int) -> Callable[[Command], Command]:
    twice = {
        1: "",
        2: " Give it twice if the pictures differ: for A, then for B.",
    }.get(pictures, " Give it once a picture if they differ.")
    return _options(
        click.option(
            "--f-px",
            type=float,
            multiple=True,
            metavar="F",
            help="Focal length in pixels of the picture as given." + twice,
        ),
        click.option(
            "--fov-deg",
            type=float,
            multiple=True,
            metavar="D",
            help="Horizontal field of view in degrees." + twice,
        ),
        click.option(
            "--intrinsics",
            metavar="fx,fy,cx,cy",
            callback=numbers("fx,fy,cx,cy"),
            multiple=True,
            help="Focal lengths and principal point in pixels." + twice,
        ),
    )


_points = click.option(
    "--at",
    "points",
    metavar="X,Y",
    callback=numbers("X,Y"),
    multiple=True,
    help="A pixel, from the top left corner; as often as you like.",
)


def _grid(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    if value is None:
        return None
    columns, _, rows = value.lower().partition("x")
    if not (columns.isdecimal() and rows.isdecimal()):
        raise click.BadParameter(f"{value!r} is not COLUMNSxROWS, such as 64x48")
    return int(columns), int(rows)


def _grid_option(default: str | None = None) -> Callable[[Command], Command]:
    return click.option(
        "--grid",
        metavar="CxR",
        callback=_grid,
        default=default,
        show_default=default is not None,
        help="Ask for every cell of a grid of C columns and R rows.",
    )


def _output_options(endings: str) -> Callable[[Command], Command]:
    return _options(
        click.option(
            "-o",
            "--output",
            "outputs",
            metavar="FILE",
            multiple=True,
            help=f"Where the answers go: {endings}. Repeat for several forms.",
        ),
        click.option(
            "--figure",
            "figures",
            metavar="FILE",
            multiple=True,
            help="Draw the answers: .png, .svg or .pdf.",
        ),
    )


_refine = click.option(
    "--refine",
    is_flag=True,
    help="Ask every second cell, the others only where their neighbours disagree.",
)


@click.group(
    cls=Group,
    invoke_without_command=True,
    epilog=_examples(
        "vlm3 demo -o demo",
        "vlm3 depth photo.jpg --at 320,240 --fov-deg 65",
        'vlm3 ask photo.jpg "How wide is {0}?" --box 40,60,200,180',
    ),
)
@click.version_option(__version__, message="vlm3 %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """3D answers from a vision language model: distance, objects, matches, camera pose."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@main.command(
    epilog=_examples(
        "vlm3 depth photo.jpg --at 320,240",
        "vlm3 depth photo.jpg --at 320,240 --at 10,20 --f-px 615 --json",
        "vlm3 depth photo.jpg --grid 64x48 -o depth.png -o depth.html",
    )
)
@click.argument("image")
@_points
@_grid_option()
@_output_options(
    "of a grid .npz, .png (16 bit, millimetres along the axis), .ply, .glb, .rrd (rerun) or .html "
    "(a page to turn and measure); of points .html"
)
@_refine
@_camera_options(1)
@_model_options
def depth(
    image: str,
    points: tuple[tuple[float, ...], ...],
    grid: tuple[int, int] | None,
    refine: bool,
    **settings: Any,
) -> None:
    """Tell how far points of IMAGE are.

    In metres: distance is the straight line from the camera, depth z is along its axis. Without
    intrinsics, the focal length comes from EXIF, else a field of view of 60 degrees is assumed.
    """
    wanted = _wants_map(points, grid, settings)
    if wanted:
        _write_map(
            "depth map",
            [image],
            settings,
            lambda asked, views, progress: asked.depth_map(
                views[0], grid=wanted, refine=refine, progress=progress
            ),
        )
    else:
        _ask("points", [image], settings, lambda asked, views: asked.depth(views[0], points))


@main.command(
    epilog=_examples(
        "vlm3 cloud photo.jpg -o cloud.ply",
        "vlm3 cloud photo.jpg --grid 160x120 --refine -o cloud.glb --fov-deg 65",
        "vlm3 cloud photo.jpg -o cloud.html",
    )
)
@click.argument("image")
@_grid_option("64x48")
@_output_options(".ply, .glb, .npz, .rrd (rerun) or .html (a page to turn and measure)")
@_refine
@_camera_options(1)
@_model_options
def cloud(image: str, grid: tuple[int, int], refine: bool, **settings: Any) -> None:
    """Write the points of IMAGE as a coloured cloud.

    Metres, in the camera's frame: X right, Y down, Z forward (.glb: Y up, as glTF wants it).
    """
    _wants_map((), grid, settings)
    _write_map(
        "cloud",
        [image],
        settings,
        lambda asked, views, progress: asked.depth_map(
            views[0], grid=grid, refine=refine, progress=progress
        ),
    )


@main.command(
    epilog=_examples(
        "vlm3 match a.jpg b.jpg --at 320,240 --at 100,80",
        "vlm3 match a.jpg b.jpg --at 320,240 --f-px 615 --f-px 980",
        "vlm3 match a.jpg b.jpg --grid 32x24 -o matches.npz",
    )
)
@click.argument("image_a", metavar="A")
@click.argument("image_b", metavar="B")
@_points
@_grid_option()
@_output_options("of a grid .npz, of points .html")
@_camera_options(2)
@_model_options
def match(
    image_a: str,
    image_b: str,
    points: tuple[tuple[float, ...], ...],
    grid: tuple[int, int] | None,
    **settings: Any,
) -> None:
    """Find points of picture A in picture B."""
    wanted = _wants_map(points, grid, settings)
    if wanted:
        _write_map(
            "match map",
            [image_a, image_b],
            settings,
            lambda asked, views, progress: asked.match_map(
                views[0], views[1], grid=wanted, progress=progress
            ),
        )
        return
    _ask(
        "points",
        [image_a, image_b],
        settings,
        lambda asked, views: asked.match(views[0], views[1], points),
    )


@main.command(
    epilog=_examples(
        "vlm3 pose a.jpg b.jpg --fov-deg 65",
        "vlm3 pose a.jpg b.jpg --intrinsics 615,615,320,240 --intrinsics 980,980,640,360 --json",
    )
)
@click.argument("image_a", metavar="A")
@click.argument("image_b", metavar="B")
@_output_options(".html, .rrd (rerun), or a folder for a COLMAP model")
@_camera_options(2)
@_model_options
def pose(image_a: str, image_b: str, **settings: Any) -> None:
    """Tell how the camera moved from A to B.

    Rotation, direction and distance in the frame of A's camera: X right, Y down, Z forward. Yaw
    turns right, pitch looks up, roll banks to the right.
    """
    _ask("pose", [image_a, image_b], settings, lambda asked, views: asked.pose(*views))


@main.command(
    epilog=_examples(
        'vlm3 ask photo.jpg "How wide is {0}?" --box 40,60,200,180',
        'vlm3 ask photo.jpg "Is {0} behind {1}?" --box 40,60,200,180 --box 300,20,400,90',
    )
)
@click.argument("image")
@click.argument("question")
@click.option(
    "--box",
    "boxes",
    metavar="x1,y1,x2,y2",
    callback=numbers("x1,y1,x2,y2"),
    multiple=True,
    help="A region in pixels; the first is {0} in the question, the next {1}, ...",
)
@_output_options(".html")
@_camera_options(1)
@_model_options
def ask(
    image: str,
    question: str,
    boxes: tuple[tuple[float, ...], ...],
    **settings: Any,
) -> None:
    """Ask about regions of IMAGE, in words.

    Sizes, distances, directions, comparisons; {0}, {1} in QUESTION stand for the boxes.
    """
    _ask(
        "points",
        [image],
        settings,
        lambda asked, views: asked.ask(views[0], question, boxes),
        question,
    )


@main.command(
    epilog=_examples(
        "vlm3 demo",
        "vlm3 demo -o out --model my-checkpoint",
    )
)
@click.option(
    "-o",
    "--output",
    default="vlm3-demo",
    show_default=True,
    metavar="DIR",
    help="Where the figures, report.html and answers.jsonl go.",
)
@_model_options
def demo(output: str, as_json: bool, **settings: Any) -> None:
    """Run all four tasks on two photographs.

    They lie in the package, with the truth to put beside each answer. Writes four figures, one
    report.html that needs nothing else, and answers.jsonl, which is also what --json prints.
    """
    from vlm3.demo import run

    written = run(output, echo=_silent if as_json else click.echo, **_loading(settings))
    if as_json:
        click.echo(written["answers"].read_text(encoding="utf-8"), nl=False)


@main.command()
@click.option(
    "--self-check",
    metavar="MODEL",
    help="Also ask this model by the fast and by the naive engine, and compare.",
)
@_as_json
@click.pass_context
def doctor(context: click.Context, self_check: str | None, as_json: bool) -> None:
    """Check what is installed and what works.

    Says what to do about the rest. Exit code 1 if something that vlm3 needs does not work.
    """
    from vlm3.doctor import examine

    findings = []
    for finding in examine(self_check):
        findings.append(finding)
        if as_json:
            click.echo(json.dumps(finding.to_json()))
        else:
            click.echo(f"{finding.status:<8} {finding.subject}: {finding.found}")
            if finding.advice:
                click.echo(f"{'':<8} -> {finding.advice}")
    context.exit(int(any(finding.status == "broken" for finding in findings)))


@main.command(
    epilog=_examples(
        "vlm3 scene a.jpg b.jpg c.jpg -o scene.glb --fov-deg 65",
        "vlm3 scene walk/*.jpg --grid 64x48 --refine -o scene.html -o colmap/",
    )
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@_grid_option("48x36")
@_refine
@click.option(
    "-o",
    "--output",
    "outputs",
    metavar="FILE",
    multiple=True,
    help=".glb, .ply, .npz, .html, .rrd (rerun), or a folder for a COLMAP model. Repeatable.",
)
@_camera_options(3)
@_model_options
def scene(
    images: tuple[str, ...],
    grid: tuple[int, int],
    refine: bool,
    outputs: tuple[str, ...],
    **settings: Any,
) -> None:
    """Put several IMAGEs of one place into one world.

    Asks how the camera moved between pairs, both ways; averages the answers against outliers; fuses
    the depth maps. Give pictures in the order they were taken. The world is the first one's camera.
    """
    from vlm3.infer.dense import grid_px
    from vlm3.infer.predict import load
    from vlm3.scene.build import build_scene
    from vlm3.show.scene_files import check, summary, write_scene
    from vlm3.tasks.protocol import get_protocol

    check(outputs)
    if len(images) < 2:
        raise InputError("a scene needs two pictures or more")
    protocol = get_protocol(settings["protocol"] or "joint")
    if not {"pose", "depth"} <= protocol.tasks:
        raise InputError(f"protocol {protocol.name!r} has not both pose and depth; try joint")
    with held_warnings():
        views = _open(images, settings)
        for view in views:
            grid_px(view.camera, *grid)
    predictor = load(**_loading(settings))
    with progress_line() as progress:
        made = build_scene(predictor, views, grid=grid, refine=refine, progress=progress)
    fused, written = write_scene(made, outputs, model=settings["model"])
    said = {"output": [str(path) for path in written], **summary(made, fused)}
    if settings["as_json"]:
        poses = made.cameras.world_from_cam.tolist()
        click.echo(json.dumps({**said, "images": images, "world_from_cam": poses}))
        return
    for k, pose in enumerate(made.cameras.world_from_cam):
        x, y, z = pose[:3, 3]
        click.echo(f"camera {k + 1}: ({x:+.2f}, {y:+.2f}, {z:+.2f}) m  {images[k]}")
    for name, text in said.items():
        click.echo(f"{name}: {', '.join(text) if isinstance(text, list) else text}")


def _loading(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of a command's options `vlm3.load` takes."""
    chosen = {name: settings[name] for name in ("model", "protocol", "device")}
    return chosen | {name: settings[name] for name in ("base_url", "int8") if settings[name]}


def _silent(line: str) -> None:
    """Takes a line and drops it."""


def _open(paths: Sequence[str], settings: Mapping[str, Any]) -> list["View"]:
    """The pictures with their cameras: one value of an option is for all, several are in order."""
    given = {name: settings[name] for name in ("f_px", "fov_deg", "intrinsics") if settings[name]}
    if len(given) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{names} were given; give only one of them")
    cameras: list[dict[str, Any]] = [{} for _ in paths]
    for name, values in given.items():
        if len(values) not in (1, len(paths)):
            allowed = {1: "once", 2: "once for both pictures, or twice: A, then B"}.get(
                len(paths), f"once for all pictures, or {len(paths)} times, in their order"
            )
            option = name.replace("_", "-")
            raise InputError(f"--{option} was given {len(values)} times; give it {allowed}")
        cameras = [{name: values[i % len(values)]} for i in range(len(paths))]
    return [_open_one(path, **camera) for path, camera in zip(paths, cameras, strict=True)]


def _open_one(
    path: str,
    f_px: float | None = None,
    fov_deg: float | None = None,
    intrinsics: tuple[float, float, float, float] | None = None,
) -> "View":
    from vlm3.view import View

    if intrinsics is None:
        return View.open(path, f_px=f_px, fov_deg=fov_deg)
    fx, fy, cx, cy = intrinsics
    view = View.open(path, f_px=fx)
    camera = replace(view.camera, fx_px=fx, fy_px=fy, cx_px=cx, cy_px=cy)
    if not camera.contains((cx, cy)):
        raise InputError(
            f"--intrinsics puts the principal point at ({cx:g}, {cy:g}), outside {path!r} of "
            f"{camera.width_px}x{camera.height_px} px; give them for the picture at this size"
        )
    return replace(view, camera=camera)


def _ask(
    kind: "Kind",
    paths: Sequence[str],
    settings: Mapping[str, Any],
    question: "Callable[[Predictor, Sequence[View]], Answer]",
    words: str = "",
) -> None:
    """Opens the pictures, loads the model, asks, writes what is wanted, and prints.

    What is refused is refused before a model is loaded, and then nothing is warned about.
    """
    from vlm3.infer.fakes import ConstantEngine
    from vlm3.infer.predict import Predictor, load
    from vlm3.tasks.protocol import get_protocol

    outputs, figures = settings["outputs"], settings["figures"]
    if outputs or figures:
        from vlm3.show.outputs import check

        check(kind, outputs, figures)
    with held_warnings():
        views = _open(paths, settings)
        # A rehearsal on pictures of one token, with an engine that says nothing.
        protocol = get_protocol(settings["protocol"] or "joint")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            question(Predictor(ConstantEngine(""), protocol, multiple_px=16, max_tokens=1), views)
    predictor = load(**_loading(settings))
    answer = question(predictor, views)
    from vlm3.lines import lines, records

    if settings["as_json"]:
        for record in records(answer, predictor, views):
            click.echo(json.dumps(record, allow_nan=False))
    else:
        for line in lines(answer, predictor, views):
            click.echo(line)
    if outputs or figures:
        for path in _write(kind, answer, views, settings, words):
            click.echo(f"written: {path}", err=True)


main.add_command(evaluate)
main.add_command(score)
main.add_command(report)
main.add_command(figure)


def _write(
    kind: "Kind",
    result: Any,
    views: "Sequence[View]",
    settings: Mapping[str, Any],
    words: str = "",
) -> list[str]:
    """Writes a result into every file that was asked for; their names."""
    from vlm3.show.outputs import draw, write
    from vlm3.viz.style import save_figure

    model = settings["model"]
    written = [
        write(result, path, kind=kind, views=views, model=model, question=words)
        for path in settings["outputs"]
    ]
    if settings["figures"]:
        figure = draw(result, views, model=model, question=words)
        written += [save_figure(figure, path) for path in settings["figures"]]
    return [str(path) for path in written]


def _wants_map(
    points: Sequence[tuple[float, ...]], grid: tuple[int, int] | None, settings: Mapping[str, Any]
) -> tuple[int, int] | None:
    """The grid if one is asked for; refuses both, neither, and one that nobody would see."""
    if bool(points) == (grid is not None):
        raise InputError("give points with --at X,Y, or a grid with --grid COLUMNSxROWS -o FILE")
    if grid is not None and not (settings["outputs"] or settings["figures"]):
        raise InputError("a grid's answers need a file: give -o FILE or --figure FILE")
    return grid


def _write_map(
    kind: "Kind",
    paths: Sequence[str],
    settings: Mapping[str, Any],
    question: "Callable[[Predictor, Sequence[View], Callable[[int], None]], Any]",
) -> None:
    """Opens the pictures, loads the model, asks for a whole grid, and writes it.

    What is refused is refused in a rehearsal, before a model is loaded.
    """
    from vlm3.infer.fakes import ConstantEngine
    from vlm3.infer.predict import Predictor, load
    from vlm3.show.outputs import check
    from vlm3.tasks.protocol import get_protocol

    check(kind, settings["outputs"], settings["figures"])
    with held_warnings():
        views = _open(paths, settings)
        protocol = get_protocol(settings["protocol"] or "joint")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = ConstantEngine("02.75" if len(paths) == 1 else "1000 1000")
            rehearsal = Predictor(said, protocol, multiple_px=16, max_tokens=1)
            question(rehearsal, views, lambda count: None)
    predictor = load(**_loading(settings))
    with progress_line() as progress:
        found = question(predictor, views, progress)
    written = _write(kind, found, views, settings)
    values = found.distance_m if len(paths) == 1 else found.xy_px[..., 0]
    record: dict[str, Any] = {"output": written[0] if len(written) == 1 else written}
    record |= {"model": predictor.engine.name, "protocol": predictor.protocol.name}
    record |= {"intrinsics": [v.intrinsics for v in views]}
    unread = int((values != values).sum())
    if kind == "cloud":
        record |= {"points": values.size - unread}
    else:
        record |= {"questions": values.size, "unread": unread}
    if settings["as_json"]:
        click.echo(json.dumps(record))
    else:
        click.echo(", ".join(f"{key} {value}" for key, value in record.items()))


main.add_command(train)
main.add_command(plan)
add_to(data)
main.add_command(data)
main.add_command(study)
main.add_command(worlds)
main.add_command(app)
main.add_command(serve)
