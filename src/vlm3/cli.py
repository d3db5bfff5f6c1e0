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
from vlm3.console import Group, held_warnings, numbers, progress_line
from vlm3.errors import InputError
from vlm3.eval.commands import evaluate, report, score
from vlm3.train.commands import data, plan, train
from vlm3.worlds.commands import worlds

if TYPE_CHECKING:
    from vlm3.infer.predict import Predictor
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
    twice = "" if pictures == 1 else " Give it twice if the pictures differ: for A, then for B."
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


def _map_options(endings: str, *, grid: str | None = None) -> Callable[[Command], Command]:
    """Options of commands that ask for a whole grid and write a file."""
    return _options(
        click.option(
            "--grid",
            metavar="CxR",
            callback=_grid,
            default=grid,
            show_default=grid is not None,
            help="Ask for every cell of a grid of C columns and R rows.",
        ),
        click.option(
            "-o", "--output", metavar="FILE", help=f"Where the grid's answers go: {endings}."
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
        "vlm3 depth photo.jpg --grid 64x48 -o depth.png",
    )
)
@click.argument("image")
@_points
@_map_options(".npz, .png (16 bit, millimetres along the axis), .ply or .glb")
@_refine
@_camera_options(1)
@_model_options
def depth(
    image: str,
    points: tuple[tuple[float, ...], ...],
    grid: tuple[int, int] | None,
    output: str | None,
    refine: bool,
    **settings: Any,
) -> None:
    """Tell how far points of IMAGE are.

    In metres: distance is the straight line from the camera, depth z is along its axis. Without
    intrinsics, the focal length comes from EXIF, else a field of view of 60 degrees is assumed.
    """
    wanted = _wants_map(points, grid, output)
    if wanted:
        _write_map(
            [image],
            settings,
            output,
            lambda asked, views, progress: asked.depth_map(
                views[0], grid=wanted, refine=refine, progress=progress
            ),
        )
    else:
        _ask([image], settings, lambda asked, views: asked.depth(views[0], points))


@main.command(
    epilog=_examples(
        "vlm3 cloud photo.jpg -o cloud.ply",
        "vlm3 cloud photo.jpg --grid 160x120 --refine -o cloud.glb --fov-deg 65",
    )
)
@click.argument("image")
@_map_options(".ply, .glb or .npz", grid="64x48")
@_refine
@_camera_options(1)
@_model_options
def cloud(
    image: str, grid: tuple[int, int], output: str | None, refine: bool, **settings: Any
) -> None:
    """Write the points of IMAGE as a coloured cloud.

    Metres, in the camera's frame: X right, Y down, Z forward (.glb: Y up, as glTF wants it).
    """
    _wants_map((), grid, output)
    _write_map(
        [image],
        settings,
        output,
        lambda asked, views, progress: asked.point_cloud(
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
@_map_options(".npz")
@_camera_options(2)
@_model_options
def match(
    image_a: str,
    image_b: str,
    points: tuple[tuple[float, ...], ...],
    grid: tuple[int, int] | None,
    output: str | None,
    **settings: Any,
) -> None:
    """Find points of picture A in picture B."""
    wanted = _wants_map(points, grid, output)
    if wanted:
        _write_map(
            [image_a, image_b],
            settings,
            output,
            lambda asked, views, progress: asked.match_map(
                views[0], views[1], grid=wanted, progress=progress
            ),
        )
        return
    _ask(
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
@_camera_options(2)
@_model_options
def pose(image_a: str, image_b: str, **settings: Any) -> None:
    """Tell how the camera moved from A to B.

    Rotation, direction and distance in the frame of A's camera: X right, Y down, Z forward. Yaw
    turns right, pitch looks up, roll banks to the right.
    """
    _ask([image_a, image_b], settings, lambda asked, views: asked.pose(views[0], views[1]))


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
    _ask([image], settings, lambda asked, views: asked.ask(views[0], question, boxes))


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
            allowed = "once" if len(paths) == 1 else "once for both pictures, or twice: A, then B"
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
    paths: Sequence[str],
    settings: Mapping[str, Any],
    question: "Callable[[Predictor, Sequence[View]], Answer]",
) -> None:
    """Opens the pictures, loads the model, asks, and prints.

    What is refused is refused before a model is loaded, and then nothing is warned about.
    """
    from vlm3.infer.fakes import ConstantEngine
    from vlm3.infer.predict import Predictor, load
    from vlm3.tasks.protocol import get_protocol

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


main.add_command(evaluate)
main.add_command(score)
main.add_command(report)


def _wants_map(
    points: Sequence[tuple[float, ...]], grid: tuple[int, int] | None, output: str | None
) -> tuple[int, int] | None:
    """The grid if one is asked for; refuses half of one, both, and neither."""
    if bool(points) == (grid is not None):
        raise InputError("give points with --at X,Y, or a grid with --grid COLUMNSxROWS -o FILE")
    if (grid is None) != (output is None):
        raise InputError(
            "a grid's answers need a file and a file needs a grid: --grid 64x48 -o FILE"
        )
    return grid


def _write_map(
    paths: Sequence[str],
    settings: Mapping[str, Any],
    output: str | None,
    question: "Callable[[Predictor, Sequence[View], Callable[[int], None]], Any]",
) -> None:
    """Opens the pictures, loads the model, asks for a whole grid, and writes a file.

    What is refused is refused in a rehearsal, before a model is loaded.
    """
    import tempfile
    from pathlib import Path

    from vlm3.infer.fakes import ConstantEngine
    from vlm3.infer.files import save
    from vlm3.infer.predict import Predictor, load
    from vlm3.tasks.protocol import get_protocol

    assert output is not None
    with held_warnings():
        views = _open(paths, settings)
        protocol = get_protocol(settings["protocol"] or "joint")
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            said = ConstantEngine("02.75" if len(paths) == 1 else "1000 1000")
            rehearsal = Predictor(said, protocol, multiple_px=16, max_tokens=1)
            save(question(rehearsal, views, lambda count: None), Path(folder) / Path(output).name)
    predictor = load(**_loading(settings))
    with progress_line() as progress:
        found = question(predictor, views, progress)
    written = save(found, output)
    values = getattr(found, "distance_m", getattr(found, "xy_px", None))
    record: dict[str, Any] = {"output": str(written), "model": predictor.engine.name}
    record |= {"protocol": predictor.protocol.name, "intrinsics": [v.intrinsics for v in views]}
    if values is not None:
        read = values.reshape(-1, 2)[:, 0] if len(paths) == 2 else values.ravel()
        record |= {"questions": len(read), "unread": int((read != read).sum())}
    else:
        record |= {"points": len(found.points_m)}
    if settings["as_json"]:
        click.echo(json.dumps(record))
    else:
        click.echo(", ".join(f"{key} {value}" for key, value in record.items()))


main.add_command(train)
main.add_command(plan)
main.add_command(data)
main.add_command(worlds)
