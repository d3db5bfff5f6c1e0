"""Opens photographs, loads a model, asks, writes and prints.

Every import that costs time stands inside the function that needs it.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from vlm3 import strict_json
from vlm3.cli.console import held_warnings, kept_on_interrupt, progress_line
from vlm3.cli.loading_options import loading
from vlm3.errors import InputError

if TYPE_CHECKING:
    from vlm3.cli.picture_sources import PictureSource
    from vlm3.infer.generation import Progress
    from vlm3.infer.maps import DepthMap
    from vlm3.infer.predictor import Predictor
    from vlm3.output.results import Kind
    from vlm3.tasks.answers import Answer, Readout, TextAnswer
    from vlm3.view import View


def opened(paths: "Sequence[str | PictureSource]", settings: Mapping[str, Any]) -> list["View"]:
    """The pictures with their cameras: one value of an option is for all, several are in order."""
    from vlm3.view import AssumedCameraWarning, View

    views = []
    for path, lens in zip(paths, lenses(settings, len(paths)), strict=True):
        if isinstance(path, str):
            views.append(View.open(path, **lens))
            continue
        with warnings.catch_warnings():
            # A note says it once of all; a warning a frame would drown the answer.
            warnings.simplefilter("ignore", AssumedCameraWarning)
            views.append(path.open(**lens))
    return views


def lenses(settings: Mapping[str, Any], pictures: int) -> list[dict[str, Any]]:
    """The lens of each picture, as `View.open` takes it: one value is for all, several in order."""
    from vlm3.curation.intrinsics import calibrate_by

    given = {name: settings[name] for name in ("f_px", "fov_deg", "intrinsics") if settings[name]}
    if len(given) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{names} were given; give only one of them")
    cameras: list[dict[str, Any]] = [{} for _ in range(pictures)]
    for name, values in given.items():
        if len(values) not in (1, pictures):
            allowed = {1: "once", 2: "once for both pictures, or twice: A, then B"}.get(
                pictures, f"once for all pictures, or {pictures} times, in their order"
            )
            option = name.replace("_", "-")
            raise InputError(f"--{option} was given {len(values)} times; give it {allowed}")
        field = "intrinsics_px" if name == "intrinsics" else name
        cameras = [{field: values[i % len(values)]} for i in range(pictures)]
    calibrate = calibrate_by(settings["calibrator"])
    return [{**camera, "calibrate": calibrate} for camera in cameras]


def ask_and_print(
    kind: "Kind",
    paths: "Sequence[str | PictureSource]",
    settings: Mapping[str, Any],
    question: "Callable[[Predictor, Sequence[View], Readout | None], Answer | TextAnswer]",
    words: str = "",
) -> None:
    """Opens the pictures, loads the model, asks, writes what is wanted, and prints.

    What is refused is refused before a model is loaded, and then nothing is warned about.
    """
    from vlm3.infer.loading import load

    outputs, figures = settings["outputs"], settings["figures"]
    if outputs or figures:
        from vlm3.output.results import check

        check(kind, outputs, figures)
    # The rehearsal's engine has no probabilities, so it is asked without a wish.
    views = rehearsed(paths, settings, "", lambda asked, views: question(asked, views, None))
    predictor = load(**loading(settings))
    answer = question(predictor, views, settings.get("readout"))
    from vlm3.cli.printing import lines, records

    print_answers(settings, records(answer, predictor, views), lines(answer, predictor, views))
    if outputs or figures:
        for path in _written(kind, answer, views, settings, words):
            click.echo(f"written: {path}", err=True)


def print_answers(
    settings: Mapping[str, Any], records: Iterable[Mapping[str, Any]], lines: Iterable[str]
) -> None:
    """Prints records, one JSON object a line, with --json; else the lines for people."""
    for line in map(strict_json.dumps, records) if settings["as_json"] else lines:
        click.echo(line)


def ask_grid(
    kind: "Kind",
    paths: Sequence[str],
    settings: Mapping[str, Any],
    grid: tuple[int, int],
    question: "Callable[[Predictor, Sequence[View], Readout | None, Progress], Any]",
) -> None:
    """Opens the pictures, loads the model, asks for a whole grid, and writes it.

    What is refused is refused before a model is loaded, and then nothing is warned about.

    Args:
        kind: what is made.
        paths: of the pictures.
        settings: of the command.
        grid: columns and rows.
        question: puts it; takes the predictor, the views, the options and a callback of progress.
    """
    from vlm3.infer.loading import load
    from vlm3.output.lens import lens_record
    from vlm3.output.results import check, notes

    check(kind, settings["outputs"], settings["figures"])
    said = "02.75" if len(paths) == 1 else "1000 1000"
    views = rehearsed(
        paths, settings, said, lambda asked, views: question(asked, views, None, lambda count: None)
    )
    predictor = load(**loading(settings))
    cells = grid[0] * grid[1]
    with (
        kept_on_interrupt(lambda: "nothing was written"),
        progress_line(cells, at_most=settings.get("refine", False)) as progress,
    ):
        found = question(predictor, views, settings["readout"], progress)
    written = _written(kind, found, views, settings)
    values = found.distance_m if len(paths) == 1 else found.xy_px[..., 0]
    record: dict[str, Any] = {"output": written[0] if len(written) == 1 else written}
    record |= {"model": predictor.engine.name, "protocol": predictor.protocol.name}
    record |= {"readout": found.readout}
    record |= {"intrinsics": [v.intrinsics for v in views]}
    if settings["as_json"]:
        record |= {"lenses": [lens_record(view) for view in views]}
    unread = int((values != values).sum())
    if kind == "cloud":
        record |= {"points": values.size - unread}
    else:
        record |= {"questions": values.size, "unread": unread}
    if len(paths) == 1:
        record |= {"p10_to_p90": _typical_interval(found)}
    if settings["as_json"]:
        click.echo(strict_json.dumps(record))
        return
    from vlm3.cli.printing import camera_lines, grid_line

    for line in (*camera_lines(views), grid_line(record)):
        click.echo(line)
    for note in notes(predictor.engine.name, views):
        click.echo(f"note: {note}")


def ask_depth_map(
    kind: "Kind", image: str, settings: Mapping[str, Any], grid: tuple[int, int], *, refine: bool
) -> None:
    """Asks for the distances of a grid of one picture, and writes it; see `ask_grid`.

    Args:
        kind: what is made of the map.
        image: the path of the picture.
        settings: of the command.
        grid: columns and rows.
        refine: as in `Predictor.depth_map`.
    """
    ask_grid(
        kind,
        [image],
        {**settings, "refine": refine},
        grid,
        lambda predictor, views, readout, progress: predictor.depth_map(
            views[0], grid=grid, readout=readout, refine=refine, progress=progress
        ),
    )


def _typical_interval(depth: "DepthMap") -> list[float] | None:
    """Median of p10 and of p90 over the cells, as parts of their distance; None without any."""
    import numpy as np

    known = np.isfinite(depth.p10_m) & (depth.distance_m > 0)
    if not known.any():
        return None
    parts = [np.median(p[known] / depth.distance_m[known]) for p in (depth.p10_m, depth.p90_m)]
    return [round(float(part), 3) for part in parts]


def rehearsed(
    paths: "Sequence[str | PictureSource]",
    settings: Mapping[str, Any],
    said: str,
    question: "Callable[[Predictor, Sequence[View]], Any]",
) -> list["View"]:
    """The pictures, once the question has been put to pictures of one token and an engine that
    answers `said`: what is refused is refused before a model is loaded.
    """  # noqa: D205
    from vlm3.infer.engines.fakes import ConstantEngine
    from vlm3.infer.predictor import Predictor
    from vlm3.tasks.protocol import get_protocol

    with held_warnings():
        views = opened(paths, settings)
        protocol = get_protocol(settings["protocol"] or "joint")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            question(Predictor(ConstantEngine(said), protocol, multiple_px=16, max_tokens=1), views)
    return views


def wanted_grid(
    points: Sequence[tuple[float, ...]], grid: tuple[int, int] | None, settings: Mapping[str, Any]
) -> tuple[int, int] | None:
    """The grid if there is one; refuses both, neither, and one that nobody would see."""
    if bool(points) == (grid is not None):
        raise InputError("give points with --at X,Y, or a grid with --grid COLUMNSxROWS -o FILE")
    if grid is not None and not (settings["outputs"] or settings["figures"]):
        raise InputError("a grid's answers need a file: give -o FILE or --figure FILE")
    return grid


def _written(
    kind: "Kind",
    result: Any,
    views: "Sequence[View]",
    settings: Mapping[str, Any],
    words: str = "",
) -> list[str]:
    """Writes a result into every requested file; their names."""
    from vlm3.output.results import draw, write
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
