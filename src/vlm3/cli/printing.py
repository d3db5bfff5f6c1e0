"""Answers as they leave the command line: lines for people, records for programs.

Knows no options and no model.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vlm3.geometry.depth import points_from_distance
from vlm3.infer.measure import MeasuredLength, Measurement
from vlm3.infer.predictor import Predictor
from vlm3.output.lens import lens_record, lens_words
from vlm3.output.results import notes, read_as
from vlm3.tasks.answers import (
    Answer,
    DepthAnswer,
    MatchAnswer,
    MotionCheck,
    ObjectAnswer,
    PoseAnswer,
    TextAnswer,
)
from vlm3.tasks.base import Floats
from vlm3.tasks.pose import direction_words
from vlm3.view import View

# Of these fields a record holds the one value of its point.
_PER_POINT = (
    "xy_px",
    "xy_a_px",
    "distance_m",
    "depth_z_m",
    "xyz_m",
    "parsed",
    "raw_text",
    "prompt",
)
_CAMERA = ("fx_px", "fy_px", "cx_px", "cy_px", "width_px", "height_px")
_LONGEST_RAW = 60
_UNTAUGHT = (
    "a model trained under protocol joint, as nano was, never learned questions in words about "
    "several pictures: its answer means nothing; give --model one that did, such as Qwen3-VL."
)


def records(
    answer: Answer | TextAnswer, predictor: Predictor, views: Sequence[View]
) -> Iterator[dict[str, Any]]:
    """Flat records with the answer's own field names; depth and match give one a point.

    Each also says `model`, `images`, `cameras` (pixels) and `lenses`: where the focal length came
    from, and its interval. An answer about several pictures has the `notes` that `lines` end with.
    """
    record = {
        **answer.to_json(),
        "model": predictor.engine.name,
        "images": [view.path for view in views],
        "cameras": [{name: getattr(view.camera, name) for name in _CAMERA} for view in views],
        "lenses": [lens_record(view) for view in views],
    }
    if isinstance(answer, TextAnswer):
        record["notes"] = [*_cautions(answer, predictor, views)]
    if not isinstance(answer, DepthAnswer | MatchAnswer):
        yield record
        return
    if isinstance(answer, DepthAnswer):
        points = points_from_distance(answer.xy_px, answer.distance_m, views[0].camera)
        record["xyz_m"] = [
            p.tolist() if ok else None for p, ok in zip(points, answer.parsed, strict=True)
        ]
    spread = record.pop("spread")
    for i in range(len(answer.parsed)):
        one = {key: value[i] if key in _PER_POINT else value for key, value in record.items()}
        one["spread"] = spread and {key: value[i] for key, value in spread.items()}
        yield one


def lines(
    answer: Answer | TextAnswer, predictor: Predictor, views: Sequence[View]
) -> Iterator[str]:
    """The question, its picture, and the answer with its units."""
    yield from camera_lines(views)
    read = ""
    if not isinstance(answer, ObjectAnswer | TextAnswer):
        read = f", numbers: {read_as(answer.readout)}"
    yield f"model {predictor.engine.name}, protocol {answer.protocol}{read}"
    match answer:
        case DepthAnswer():
            yield from _depth_lines(answer)
        case MatchAnswer():
            yield from _match_lines(answer)
        case PoseAnswer():
            yield from _pose_lines(answer)
        case ObjectAnswer():
            yield from _object_lines(answer)
        case TextAnswer():
            yield answer.text or _unread(answer.raw_text).strip()
    for note in _cautions(answer, predictor, views):
        yield f"note: {note}"


def _cautions(
    answer: Answer | TextAnswer, predictor: Predictor, views: Sequence[View]
) -> Iterator[str]:
    """What a reader must know beside the answer."""
    if isinstance(answer, TextAnswer) and answer.protocol == "joint":
        yield _UNTAUGHT
    yield from notes(predictor.engine.name, views)


def camera_lines(views: Sequence[View]) -> Iterator[str]:
    """Every picture with its size, its lens, and where that came from."""
    for view in views:
        yield f"{view.path}: {view.camera.width_px}x{view.camera.height_px} px, {lens_words(view)}"


def grid_line(record: Mapping[str, Any]) -> str:
    """What was written of a grid, and how sure a cell is."""
    said = {key: value for key, value in record.items() if key not in ("intrinsics", "p10_to_p90")}
    if isinstance(said["output"], list):
        said["output"] = " ".join(said["output"])
    line = ", ".join(f"{key} {value}" for key, value in said.items())
    sure = record.get("p10_to_p90")
    if sure:
        line += f"; p10 to p90 of a cell, median: {sure[0]:.2f} to {sure[1]:.2f} of its distance"
    return line


def measured_records(
    found: Measurement, predictor: Predictor, view: View
) -> Iterator[dict[str, Any]]:
    """One record a span or region, with what `records` says of model and camera."""
    common = {
        "protocol": found.protocol,
        "readout": found.readout,
        "intrinsics": [found.intrinsics],
        "model": predictor.engine.name,
        "images": [view.path],
        "cameras": [{name: getattr(view.camera, name) for name in _CAMERA}],
        "lenses": [lens_record(view)],
    }
    for record in (*(s.to_json() for s in found.spans), *(r.to_json() for r in found.regions)):
        yield record | common


def measured_lines(found: Measurement, predictor: Predictor, view: View) -> Iterator[str]:
    """Lengths with their intervals."""
    yield from camera_lines([view])
    yield (
        f"model {predictor.engine.name}, protocol {found.protocol}, numbers: "
        f"{read_as(found.readout)}"
    )
    for span in found.spans:
        (x1, y1), (x2, y2) = span.xy_px
        yield f"{f'({x1:g}, {y1:g}) to ({x2:g}, {y2:g})':<34} {_length(span.length)}"
        for text in span.raw_text:
            if not math.isfinite(span.length.value_m):
                yield f"    answer: {text!r:.{_LONGEST_RAW}}"
    for region in found.regions:
        box = ", ".join(f"{value:g}" for value in region.box_xyxy_px)
        yield f"box ({box}), {region.points} of {region.asked} points on its surface"
        for name in ("width", "height", "distance"):
            yield f"    {name:<29} {_length(getattr(region, name))}"
    for note in notes(predictor.engine.name, [view]):
        yield f"note: {note}"


def _length(length: MeasuredLength) -> str:
    if not math.isfinite(length.value_m):
        return "not understood"
    sure = _interval(length.p10_m, length.p90_m, "m")
    return f"{length.value_m:8.2f} m" + (f"   p10 to p90: {sure}" if sure else "")


def _depth_lines(answer: DepthAnswer) -> Iterator[str]:
    spread = answer.spread
    sure = "" if spread is None else f" {'p10 to p90':>19}"
    yield f"{'x':>8} {'y':>8} {'distance':>11}{sure} {'depth z':>11}"
    for i, (x, y) in enumerate(answer.xy_px):
        if spread is not None:
            sure = f" {_interval(spread.p10[i], spread.p90[i], 'm'):>19}"
        found = f"{answer.distance_m[i]:9.2f} m{sure} {answer.depth_z_m[i]:9.2f} m"
        yield f"{x:8.1f} {y:8.1f} {found if answer.parsed[i] else _unread(answer.raw_text[i])}"


def _match_lines(answer: MatchAnswer) -> Iterator[str]:
    spread = answer.spread
    sure = "" if spread is None else f" {'x: p10 to p90':>14} {'y: p10 to p90':>14}"
    yield f"{'x in A':>8} {'y in A':>8} {'x in B':>11} {'y in B':>8}{sure}"
    for i, (x, y) in enumerate(answer.xy_a_px):
        if spread is not None:
            both = zip(spread.p10[i], spread.p90[i], strict=True)
            sure = "".join(f" {_interval(low, high, '', 0):>14}" for low, high in both)
        found = f"{answer.xy_px[i, 0]:11.1f} {answer.xy_px[i, 1]:8.1f}{sure}"
        yield f"{x:8.1f} {y:8.1f} {found if answer.parsed[i] else _unread(answer.raw_text[i])}"


def _interval(low: float, high: float, unit: str, decimals: int = 2) -> str:
    """The 80 % between p10 and p90; nothing where they are not known."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{low:.{decimals}f} to {high:.{decimals}f} {unit}".rstrip()


def _pose_lines(answer: PoseAnswer) -> Iterator[str]:
    found: dict[str, str] = {}
    if answer.yaw_pitch_roll_deg is not None:
        found["rotation"] = rotation_words(answer.yaw_pitch_roll_deg)
    if answer.direction is not None:
        x, y, z = answer.direction
        words = direction_words(answer.direction)
        found["direction"] = f"{words} ({x:+z.2f}, {y:+z.2f}, {z:+z.2f})"
    if answer.distance_m is not None:
        found["distance"] = f"{answer.distance_m:.2f} m"
    for part, raw_text in answer.raw_text.items():
        value = found.get(part, raw_text) if answer.parsed[part] else _unread(raw_text)
        sure = _pose_interval(answer, part) if answer.parsed[part] else ""
        yield f"{part.replace('_', ' '):<14} {value.strip()}{sure}"
    if answer.check is not None:
        yield from _check_lines(answer.check)


def rotation_words(yaw_pitch_roll_deg: Floats) -> str:
    """Three angles with their names."""
    yaw, pitch, roll = yaw_pitch_roll_deg
    return f"yaw {yaw:+z.1f}, pitch {pitch:+z.1f}, roll {roll:+z.1f} degrees"


def _pose_interval(answer: PoseAnswer, part: str) -> str:
    """Where a part's probability lies: p10 to p90 of each number, or a cone about a direction."""
    if part == "direction":
        cone_deg = answer.direction_cone_deg
        return "" if cone_deg is None else f"; 80 % of directions within {cone_deg:.0f} degrees"
    spread = answer.spread.get(part)
    if spread is None:
        return ""
    unit, decimals = ("m", 2) if part == "distance" else ("", 1)
    both = zip(spread.p10, spread.p90, strict=True)
    intervals = [_interval(low, high, unit, decimals) for low, high in both]
    return f"; p10 to p90 {', '.join(intervals)}" if all(intervals) else ""


def _check_lines(check: MotionCheck) -> Iterator[str]:
    back = "reverse question: not read"
    if check.back_rotation_deg is not None:
        back = f"reverse question: {check.back_rotation_deg:.0f} degrees of rotation apart"
        if check.back_direction_deg is not None:
            back += f", {check.back_direction_deg:.0f} degrees of direction"
    yield (
        f"{'confidence':<14} {check.confidence:.2f} of 1 ({check.verdict}): {check.agree:.0%} of "
        f"what should be seen again is matched there; {back}"
    )
    if check.agree_still >= check.agree:
        yield (
            f"{'':<14} the matches agree as well with a camera that did not move "
            f"({check.agree_still:.0%}): the direction means little"
        )


def _object_lines(answer: ObjectAnswer) -> Iterator[str]:
    yield answer.text or _unread(answer.raw_text).strip()
    if answer.value_m is not None:
        yield f"= {answer.value_m:.2f} m"
    elif answer.clock_hour is not None:
        yield f"= {answer.clock_hour} o'clock"
    elif answer.yes is not None:
        yield f"= {'yes' if answer.yes else 'no'}"
    elif answer.region is not None:
        yield f"= {{{answer.region}}}"


def _unread(raw_text: str) -> str:
    short = raw_text if len(raw_text) <= _LONGEST_RAW else raw_text[: _LONGEST_RAW - 3] + "..."
    return f"  not understood: {short!r}"
