"""Where a result goes: the ending of a name chooses the form, and is checked before a model loads.

`-o` writes what programs and people read on, `--figure` draws it. Knows no options and no model.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from vlm3.errors import InputError
from vlm3.infer.maps import DepthMap, FullDepth, MatchMap, PointCloud
from vlm3.output.lens import assumed_words, lens_words
from vlm3.output.maps import Thing, endings, save
from vlm3.output.names import COLMAP, check_names, check_places
from vlm3.tasks.answers import Answer, DepthAnswer, MatchAnswer, ObjectAnswer, PoseAnswer
from vlm3.tasks.base import Floats
from vlm3.view import View
from vlm3.viz import evidence, style
from vlm3.viz.report import ReportPage, ReportSection, write_report
from vlm3.viz.viewer import ShownMap, write_viewer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["depth map", "full depth", "cloud", "match map", "points", "pose"]
Result = DepthMap | MatchMap | Answer

FORMS: Mapping[Kind, tuple[str, ...]] = {
    "depth map": (*endings(DepthMap), ".rrd", ".html"),
    "full depth": endings(FullDepth),
    "cloud": (*endings(PointCloud), ".rrd", ".html"),
    "match map": endings(MatchMap),
    "points": (".html",),
    "pose": (".html", ".rrd", COLMAP),
}
NANO_NOTE = (
    "nano is a small model for demonstration: in rooms about half of its distances are within a "
    "factor 1.25, on roads few; for real work give --model a released checkpoint or your own."
)


def check(kind: Kind, outputs: Sequence[str], figures: Sequence[str]) -> None:
    """Refuses names that nothing could be written to, and packages that are missing.

    Raises:
        InputError: an ending that this kind of result has no form for, or one name twice.
        MissingDependencyError: matplotlib, OpenEXR or rerun is wanted and not installed.
    """
    check_names(outputs, FORMS[kind], advice=" (pictures for people: --figure)")
    for name in figures:
        if Path(name).suffix.lower() not in style.SUFFIXES:
            raise InputError(
                f"figures are written as {', '.join(style.SUFFIXES)}, not {name!r}: "
                "change the ending"
            )
    check_places((*outputs, *figures))
    if figures or (
        kind in ("points", "pose") and any(Path(name).suffix.lower() == ".html" for name in outputs)
    ):
        style.require_matplotlib()


def write(
    result: Result,
    path: str | Path,
    *,
    kind: Kind,
    views: Sequence[View],
    model: str,
    question: str = "",
) -> Path:
    """Writes a result in the form that the name's ending says; `check` has passed it.

    Args:
        result: a map or an answer.
        path: the file, or the folder for COLMAP.
        kind: "cloud" writes the points of a depth map, "full depth" fills it in.
        views: the pictures.
        model: what answered, for headings.
        question: of an object answer, with {0}, {1}.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending == ".rrd":
        from vlm3.output import rerun as rerun_file

        if isinstance(result, DepthMap):
            return rerun_file.write_map(shown_map(result, views[0]), target)
        assert isinstance(result, PoseAnswer)
        return rerun_file.write_cameras(views, world_from_cams(result), target)
    if isinstance(result, DepthMap | MatchMap):
        if ending == ".html":
            assert isinstance(result, DepthMap)
            return _map_page(result, views[0], target, model)
        saved: Thing = result
        if isinstance(result, DepthMap) and kind in ("cloud", "full depth"):
            saved = result.cloud() if kind == "cloud" else result.full_size()
        return save(saved, target)
    if ending == "":
        from vlm3.output.colmap import write_colmap

        assert isinstance(result, PoseAnswer)
        return write_colmap(views, world_from_cams(result), target)
    return _answer_page(result, views, target, model, question)


def draw(result: Result, views: Sequence[View], *, model: str, question: str = "") -> "Figure":
    """The figure of a result; arguments as in `write`."""
    from vlm3.viz import figures

    source = f"model {model}  ·  protocol {result.protocol}"
    if not isinstance(result, ObjectAnswer):
        source += f"  ·  {read_as(result.readout)}"
    match result:
        case DepthMap():
            return figures.map_figure(shown_map(result, views[0]), source=source)
        case MatchMap():
            return figures.match_map_figure(
                views[0], views[1], result.xy_a_px, result.xy_px, source=source
            )
        case DepthAnswer():
            return figures.depth_figure(views[0], result, source=source)
        case MatchAnswer():
            return figures.match_figure(views[0], views[1], result, source=source)
        case PoseAnswer():
            return figures.pose_figure((views[0], views[1]), result, source=source)
        case ObjectAnswer():
            (line,) = _evidence(result, question)
            item = figures.ObjectItem(question, result, line)
            return figures.object_figure(views[0], [item], source=source)


def shown_map(result: DepthMap, view: View, world_from_cam: Floats | None = None) -> ShownMap:
    """A depth map as figure and page take it."""
    return ShownMap(
        view=view,
        xy_px=result.xy_px,
        distance_m=result.distance_m,
        p10_m=result.p10_m,
        p90_m=result.p90_m,
        asked=result.asked,
        rgb=result.rgb,
        prompt=result.prompt,
        raw_text=result.raw_text,
        world_from_cam=np.eye(4) if world_from_cam is None else world_from_cam,
    )


def world_from_cams(answer: PoseAnswer) -> list[Floats]:
    """Both cameras' poses (4, 4) in the first one's frame.

    Raises:
        InputError: a part of the pose was not read.
    """
    if answer.cam1_from_cam2 is None:
        unread = ", ".join(part for part, parsed in answer.parsed.items() if not parsed)
        raise InputError(
            f"the pose cannot be written as cameras: {unread or 'its distance'} was not read "
            f"(raw answers: {answer.raw_text}); write .html to see everything"
        )
    return [np.eye(4), answer.cam1_from_cam2]


def facts(views: Sequence[View], model: str, protocol: str) -> dict[str, str]:
    """Model, protocol and cameras in words."""
    said = {"model": model, "protocol": protocol}
    for k, view in enumerate(views):
        name = "camera" if len(views) == 1 else f"camera {k + 1}"
        said[name] = f"{view.camera.width_px}×{view.camera.height_px} px, {lens_words(view)}"
    return said


def read_as(readout: str) -> str:
    """Which number of an answer is shown, in words."""
    return "as written" if readout == "digits" else f"{readout} of the digits' probabilities"


def notes(model: str, views: Sequence[View] = ()) -> tuple[str, ...]:
    """What a reader must know about a model, and about cameras that were assumed, first."""
    said: tuple[str, ...] = (NANO_NOTE,) if model == "nano" else ()
    if any(view.intrinsics == "assumed" for view in views):
        said += (assumed_words(),)
    return said


def _map_page(result: DepthMap, view: View, target: Path, model: str) -> Path:
    known = np.isfinite(result.distance_m)
    said = facts([view], model, result.protocol) | {
        "questions": f"{int(result.asked.sum())} of {result.asked.size} cells",
        "numbers": read_as(result.readout),
    }
    missing = int((~known).sum())
    if missing:
        said["not read"] = str(missing)
    name = Path(view.path).name if view.path else "picture"
    return write_viewer(
        [shown_map(result, view)],
        target,
        title=f"Distances in {name}",
        facts=said,
        readout=result.readout,
        notes=notes(model, [view]),
    )


_TITLES = {
    DepthAnswer: "Distance at pixels",
    MatchAnswer: "Where pixels are seen again",
    PoseAnswer: "Camera motion",
    ObjectAnswer: "A question about regions",
}


def _answer_page(
    answer: Answer, views: Sequence[View], target: Path, model: str, question: str
) -> Path:
    title = _TITLES[type(answer)]
    said = facts(views, model, answer.protocol)
    if not isinstance(answer, ObjectAnswer):
        said["numbers"] = read_as(answer.readout)
    with tempfile.TemporaryDirectory() as folder:
        drawn = style.save_figure(
            draw(answer, views, model=model, question=question), Path(folder) / "figure.png"
        )
        section = ReportSection(
            title="The answer",
            text="Every number was written by a vision language model as text.",
            figures=((drawn, f"{title}: the answers below, drawn"),),
            evidence=tuple(_evidence(answer, question)),
        )
        names = " and ".join(Path(view.path).name for view in views if view.path)
        return write_report(
            ReportPage(
                title=f"{title}: {names}" if names else title,
                notes=notes(model, views),
                facts=said,
                sections=(section,),
                credit="",
            ),
            target,
        )


def _evidence(answer: Answer, question: str) -> list[evidence.Evidence]:
    match answer:
        case DepthAnswer():
            return evidence.depth_evidence(answer, [_pixel(xy) for xy in answer.xy_px])
        case MatchAnswer():
            return evidence.match_evidence(answer, [_pixel(xy) for xy in answer.xy_a_px])
        case PoseAnswer():
            return evidence.pose_evidence(answer)
        case ObjectAnswer():
            letters = (chr(ord("A") + k) for k in range(26))
            names = [next(letters, f"R{k}") for k in range(len(answer.boxes_xyxy_px))]
            return [evidence.object_evidence(answer, question.format(*names))]


def _pixel(xy_px: Floats) -> str:
    return f"({xy_px[0]:.0f}, {xy_px[1]:.0f})"
