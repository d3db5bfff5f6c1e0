"""What was asked, what came back, what is true: one line of text fields a question.

The demo's table, the report and the figures print the same lines. Knows no drawing and no HTML.
A verdict is given only where the field has one: distances within a factor 1.25 (delta 1), object
answers as in SpatialRGPT-Bench (metres within 25 %, hours within one, choices exact).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.pose import RelativePose, direction_error_deg, rotation_error_deg
from vlm3.tasks.base import DepthAnswer, MatchAnswer, ObjectAnswer, PoseAnswer

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


@dataclass(frozen=True)
class ObjectTruth:
    """The true answer to an object question: the one field that is set says of which kind."""

    value_m: float | None = None
    clock_hour: int | None = None
    yes: bool | None = None
    region: int | None = None


def depth_evidence(
    answer: DepthAnswer, labels: Sequence[str], truth_distance_m: Array | None = None
) -> list[Evidence]:
    """One line a point."""
    lines = []
    for i, label in enumerate(labels):
        parsed = bool(answer.parsed[i])
        value = float(answer.distance_m[i])
        truth = None if truth_distance_m is None else float(truth_distance_m[i])
        good = None if truth is None else parsed and max(value / truth, truth / value) < 1.25
        lines.append(
            Evidence(
                what=label,
                prompt=answer.prompt[i],
                raw_text=answer.raw_text[i],
                value=f"{value:.2f} m" if parsed else None,
                truth=None if truth is None else f"{truth:.2f} m",
                error=f"{(value - truth) / truth:+z.0%}" if parsed and truth else None,
                good=good,
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
    """One line a component that was asked."""
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
    given = ObjectTruth(answer.value_m, answer.clock_hour, answer.yes, answer.region)
    error, good = None, None
    if truth is not None:
        good = answer.parsed and _object_good(given, truth)
        if answer.parsed and given.value_m is not None and truth.value_m:
            error = f"{(given.value_m - truth.value_m) / truth.value_m:+z.0%}"
    return Evidence(
        what=what,
        prompt=answer.prompt,
        raw_text=answer.raw_text,
        value=_object_words(given) if answer.parsed else None,
        truth=None if truth is None else _object_words(truth),
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


def _object_words(value: ObjectTruth) -> str:
    if value.value_m is not None:
        return f"{value.value_m:.2f} m"
    if value.clock_hour is not None:
        return f"{value.clock_hour} o'clock"
    if value.region is not None:
        return f"region {value.region}"
    return "yes" if value.yes else "no"


def _object_good(given: ObjectTruth, truth: ObjectTruth) -> bool:
    if truth.value_m is not None:
        if given.value_m is None:
            return False
        return 0.75 * truth.value_m <= given.value_m <= 1.25 * truth.value_m
    if truth.clock_hour is not None:
        if given.clock_hour is None:
            return False
        apart = abs(given.clock_hour - truth.clock_hour)
        return min(apart, 12 - apart) <= 1
    if truth.region is not None:
        return given.region == truth.region
    return given.yes == truth.yes
