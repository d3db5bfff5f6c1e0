"""Evidence: question, answer and truth, one line of text fields a question.

The demo's table, the report and the figures print the same lines. Knows no drawing and no HTML.
A verdict is given only where the field has one: distances within a factor 1.25 (delta 1), object
answers as in SpatialRGPT-Bench (metres within 25 %, hours within one, choices exact).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.pose import RelativePose, direction_error_deg, rotation_error_deg
from vlm3.tasks.answers import DepthAnswer, MatchAnswer, ObjectAnswer, PoseAnswer
from vlm3.tasks.metrics import delta_bands
from vlm3.tasks.object_judge import is_right
from vlm3.tasks.truth import Length, ObjectTruth, truth_of_fields

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """One question with everything there is to know about its answer.

    Attributes:
        what: a name for people ("plant", "rotation").
        prompt: the exact question that the model read.
        raw_text: exactly what the model wrote.
        value: the parsed value, or None where the text could not be parsed.
        truth: the true value, or None where it is not known.
        error: how far off, or None where there is nothing to compare.
        good: the verdict, or None where there is none.
    """

    what: str
    prompt: str
    raw_text: str
    value: str | None
    truth: str | None = None
    error: str | None = None
    good: bool | None = None


def depth_evidence(
    answer: DepthAnswer, labels: Sequence[str], truth_distance_m: Array | None = None
) -> list[Evidence]:
    """One line a point."""
    lines = []
    bands = None if truth_distance_m is None else delta_bands(answer.distance_m, truth_distance_m)
    for i, label in enumerate(labels):
        parsed = bool(answer.parsed[i])
        value = float(answer.distance_m[i])
        truth = None if truth_distance_m is None else float(truth_distance_m[i])
        lines.append(
            Evidence(
                what=label,
                prompt=answer.prompt[i],
                raw_text=answer.raw_text[i],
                value=f"{value:.2f} m" if parsed else None,
                truth=None if truth is None else f"{truth:.2f} m",
                error=f"{(value - truth) / truth:+z.0%}" if parsed and truth else None,
                good=None if bands is None else parsed and bool(bands[i] == 0),
            )
        )
    return lines


def match_evidence(
    answer: MatchAnswer, labels: Sequence[str], truth_xy_px: Array | None = None
) -> list[Evidence]:
    """One line a point; the error is the distance in pixels of picture 2."""
    lines = []
    for i, label in enumerate(labels):
        parsed = bool(answer.parsed[i])
        truth = None if truth_xy_px is None or np.isnan(truth_xy_px[i]).any() else truth_xy_px[i]
        error = None
        if parsed and truth is not None:
            error = f"{float(np.linalg.norm(answer.xy_px[i] - truth)):.0f} px"
        lines.append(
            Evidence(
                what=label,
                prompt=answer.prompt[i],
                raw_text=answer.raw_text[i],
                value=_pixel(answer.xy_px[i]) if parsed else None,
                truth=None if truth is None else _pixel(truth),
                error=error,
            )
        )
    return lines


def pose_evidence(answer: PoseAnswer, truth: RelativePose | None = None) -> list[Evidence]:
    """One line a component in question."""
    values = _pose_values(answer)
    truths = {} if truth is None else _truth_values(truth)
    errors = pose_errors(answer, truth)
    return [
        Evidence(
            what=component.replace("_", " "),
            prompt=answer.prompt[component],
            raw_text=raw_text,
            value=values.get(component, raw_text.strip()) if answer.parsed[component] else None,
            truth=truths.get(component),
            error=errors.get(component),
        )
        for component, raw_text in answer.raw_text.items()
    ]


def object_evidence(answer: ObjectAnswer, what: str, truth: ObjectTruth | None = None) -> Evidence:
    """The line of one object question."""
    given = truth_of_fields(vars(answer)) if answer.parsed else None
    error, good = None, None
    if truth is not None:
        good = is_right(given, truth)
        if isinstance(given, Length) and isinstance(truth, Length) and truth.value:
            error = f"{(given.value - truth.value) / truth.value:+z.0%}"
    return Evidence(
        what=what,
        prompt=answer.prompt,
        raw_text=answer.raw_text,
        value=None if given is None else str(given),
        truth=None if truth is None else str(truth),
        error=error,
        good=good,
    )


def pose_errors(answer: PoseAnswer, truth: RelativePose | None) -> dict[str, str]:
    """Errors of the components that were parsed: degrees, degrees (signed), per cent."""
    errors: dict[str, str] = {}
    if truth is None:
        return errors
    if answer.yaw_pitch_roll_deg is not None:
        turned = RelativePose.from_ypr_direction(answer.yaw_pitch_roll_deg, (0.0, 0.0, 1.0), 1.0)
        errors["rotation"] = f"{float(rotation_error_deg(turned.rotation, truth.rotation)):.1f}°"
    if answer.direction is not None and truth.direction is not None:
        apart_deg = direction_error_deg(answer.direction, truth.direction, sign_free=False)
        errors["direction"] = f"{float(apart_deg):.1f}°"
    if answer.distance_m is not None and truth.distance_m > 0:
        errors["distance"] = f"{(answer.distance_m - truth.distance_m) / truth.distance_m:+z.0%}"
    return errors


def angles_words(ypr_deg: Array) -> str:
    """Yaw, pitch and roll in degrees, one decimal, signed."""
    return " ".join(f"{angle:+.1f}°" for angle in ypr_deg)


def vector_words(vector: Array) -> str:
    """A direction, two decimals, signed."""
    return " ".join(f"{part:+.2f}" for part in vector)


def _pose_values(answer: PoseAnswer) -> dict[str, str]:
    values = {}
    if answer.yaw_pitch_roll_deg is not None:
        values["rotation"] = angles_words(answer.yaw_pitch_roll_deg)
    if answer.direction is not None:
        values["direction"] = vector_words(answer.direction)
    if answer.distance_m is not None:
        values["distance"] = f"{answer.distance_m:.2f} m"
    return values


def _truth_values(truth: RelativePose) -> dict[str, str]:
    values = {
        "rotation_angle": f"{truth.angle_deg:.1f}°",
        "rotation": angles_words(truth.yaw_pitch_roll_deg),
        "distance": f"{truth.distance_m:.2f} m",
    }
    if truth.direction is not None:
        values["direction"] = vector_words(truth.direction)
    return values


def _pixel(xy_px: Array) -> str:
    return f"({xy_px[0]:.0f}, {xy_px[1]:.0f})"
