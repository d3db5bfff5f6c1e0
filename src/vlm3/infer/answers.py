"""From replies to answers: texts read, brought to the pixels of the view as given, with spreads.

What a text does not say becomes NaN or None beside `parsed = False`, never a number. Knows no
engine and no model.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.depth import z_from_distance
from vlm3.geometry.pose import RelativePose
from vlm3.infer.decoding.readout import read_numbers
from vlm3.infer.engines.base import Reply
from vlm3.tasks import correspondence, depth, fov, object_writing, pose, pose_reading
from vlm3.tasks.answers import (
    DepthAnswer,
    FovAnswer,
    MatchAnswer,
    ObjectAnswer,
    PoseAnswer,
    Readout,
    Spread,
    TextAnswer,
)
from vlm3.tasks.base import Floats, ParseFailure
from vlm3.tasks.object_reading import parse as parse_object
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.reading import answer_part
from vlm3.tasks.truth import all_fields
from vlm3.view import View

DEFAULT_READOUT: Readout = "median"
"""Which number an answer gives where its digits' probabilities came: chosen by measurement, on
rendered worlds and photographs (docs/engine.md)."""

P10_TO_P90 = 2.563
"""Standard deviations from the p10 to the p90 of a normal distribution."""
# The radius, in standard deviations, that holds 80 % of a normal distribution in two dimensions.
_RADIUS_80 = 1.794
CONE_WIDENING = 2.65
"""How much wider the cone of 80 % of the true directions is than that of 80 % of the digits'
probability: measured with nano (docs/engine.md)."""


def depth_answer(
    protocol: Protocol,
    view: View,
    xy_px: Floats,
    prompts: Sequence[str],
    replies: Sequence[Reply],
    readout: Readout | None,
) -> DepthAnswer:
    """Distances at pixels (n, 2) of a view."""
    texts = [reply.text for reply in replies]
    values = [depth.parse(protocol, text) for text in texts]
    parsed = np.array([not isinstance(value, ParseFailure) for value in values], dtype=bool)
    distance_m = np.array(
        [np.nan if isinstance(value, ParseFailure) else value for value in values], dtype=float
    )
    spread = read_numbers(replies, 1, [partial(_same, value) for value in distance_m[:, None]])
    if spread is not None:
        spread = spread.column(0)
    used = used_readout(spread, readout)
    distance_m = chosen(distance_m, spread, used)
    return DepthAnswer(
        xy_px=xy_px,
        distance_m=distance_m,
        depth_z_m=z_from_distance(distance_m, view.camera.unproject(xy_px)),
        parsed=parsed,
        raw_text=tuple(texts),
        prompt=tuple(prompts),
        protocol=protocol.name,
        intrinsics=(view.intrinsics,),
        spread=spread,
        readout=used,
    )


def match_answer(
    protocol: Protocol,
    views: tuple[View, View],
    xy_a_px: Floats,
    prompts: Sequence[str],
    replies: Sequence[Reply],
    readout: Readout | None,
) -> MatchAnswer:
    """Places in the second view of pixels (n, 2) of the first."""
    texts = [reply.text for reply in replies]
    camera = views[1].camera
    # The text holds fractions of the picture, so any size reads it: the given one here.
    size_px = {"width_px": camera.width_px, "height_px": camera.height_px}
    written = np.full((len(texts), 2), np.nan)
    for row, text, prompt in zip(written, texts, prompts, strict=True):
        found = correspondence.parse_norm(protocol, text, question=prompt)
        if not isinstance(found, ParseFailure):
            row[:] = found
    xy_px = correspondence.px_from_text(protocol, written, **size_px)
    parsed = np.isfinite(written).all(axis=1)
    spread = read_numbers(
        replies, 2, [partial(_same, row) for row in written], bounds=(0, protocol.norm_size)
    )
    if spread is not None:
        spread = spread.converted(partial(correspondence.px_from_text, protocol, **size_px))
    used = used_readout(spread, readout)
    return MatchAnswer(
        xy_a_px=xy_a_px,
        xy_px=chosen(xy_px, spread, used),
        parsed=parsed,
        raw_text=tuple(texts),
        prompt=tuple(prompts),
        protocol=protocol.name,
        intrinsics=(views[0].intrinsics, views[1].intrinsics),
        spread=spread,
        readout=used,
    )


def pose_answer(
    protocol: Protocol,
    views: tuple[View, View],
    prompts: dict[str, str],
    replies: Sequence[Reply],
    readout: Readout | None,
) -> PoseAnswer:
    """The components of a pose, in the order of `prompts`: component -> the question."""
    read: dict[str, float | Floats | ParseFailure] = {}
    spread: dict[str, Spread] = {}
    for part, reply in zip(pose.components(protocol), replies, strict=True):
        read[part], seen = _pose_part(
            pose_reading.parse(protocol, part, reply.text), reply, readout
        )
        if seen is not None:
            spread[part] = seen
    ypr_deg, direction = _vector(read["rotation"]), _vector(read["direction"])
    distance = read.get("distance")
    distance_m = distance if isinstance(distance, float) else None
    cam1_from_cam2 = None
    if ypr_deg is not None and direction is not None and distance_m is not None:
        whole = RelativePose.from_ypr_direction(ypr_deg, direction, distance_m)
        cam1_from_cam2 = whole.cam1_from_cam2
    return PoseAnswer(
        yaw_pitch_roll_deg=ypr_deg,
        direction=direction,
        distance_m=distance_m,
        cam1_from_cam2=cam1_from_cam2,
        parsed={part: not isinstance(value, ParseFailure) for part, value in read.items()},
        raw_text={part: reply.text for part, reply in zip(prompts, replies, strict=True)},
        prompt=prompts,
        protocol=protocol.name,
        intrinsics=(views[0].intrinsics, views[1].intrinsics),
        spread=spread,
        readout=used_readout(next(iter(spread.values()), None), readout),
        direction_cone_deg=widened_deg(cone_deg(direction, spread.get("direction"))),
    )


def text_answer(
    protocol: Protocol, views: Sequence[View], prompt: str, raw_text: str
) -> TextAnswer:
    """What was written about views, as it is."""
    spoken = answer_part(raw_text)
    return TextAnswer(
        text="" if isinstance(spoken, ParseFailure) else spoken,
        raw_text=raw_text,
        prompt=prompt,
        protocol=protocol.name,
        intrinsics=tuple(view.intrinsics for view in views),
    )


def object_answer(
    protocol: Protocol, view: View, boxes_xyxy_px: Floats, prompt: str, raw_text: str
) -> ObjectAnswer:
    """The answers about boxes (n, 4) of a view."""
    size = {"width_px": view.camera.width_px, "height_px": view.camera.height_px}
    written = (
        object_writing.written_boxes(protocol, boxes_xyxy_px, **size)
        if len(boxes_xyxy_px)
        else None
    )
    spoken = answer_part(raw_text)
    value = parse_object(prompt, raw_text, len(boxes_xyxy_px), boxes_norm=written)
    truth = None if isinstance(value, ParseFailure) else value
    return ObjectAnswer(
        text="" if isinstance(spoken, ParseFailure) else spoken,
        **all_fields(truth),
        parsed=truth is not None,
        raw_text=raw_text,
        prompt=prompt,
        boxes_xyxy_px=boxes_xyxy_px,
        protocol=protocol.name,
        intrinsics=(view.intrinsics,),
    )


def fov_answer(
    protocol: Protocol, view: View, prompt: str, reply: Reply, readout: Readout | None
) -> FovAnswer:
    """The field of view of a picture; the view's own camera gives nothing but its size."""
    value = fov.parse(protocol, reply.text)
    written = np.array([np.nan if isinstance(value, ParseFailure) else value])
    spread = read_numbers([reply], 1, [partial(_same, written)], bounds=(0, 180))
    if spread is not None:
        spread = spread.column(0)
    used = used_readout(spread, readout)
    fov_deg = float(chosen(written, spread, used)[0])
    return FovAnswer(
        fov_deg=fov_deg,
        f_px=float(view.camera.width_px / 2 / np.tan(np.radians(fov_deg) / 2)),
        parsed=not isinstance(value, ParseFailure),
        raw_text=reply.text,
        prompt=prompt,
        protocol=protocol.name,
        intrinsics=(),
        spread=spread,
        readout=used,
    )


def cone_deg(direction: Floats | None, spread: Spread | None) -> float | None:
    """Half the opening of the cone about a direction that holds 80 % of its probability.

    The parts' distributions are taken as independent and normal, and what of them lies across the
    direction as alike in both ways.

    Args:
        direction: (3,) of length 1.
        spread: of its parts.
    """
    if direction is None or spread is None or not np.isfinite(spread.p90 - spread.p10).all():
        return None
    variance = ((spread.p90 - spread.p10) / P10_TO_P90) ** 2
    # The trace of the covariance across the direction, P diag(variance) P with P = I - d d^T.
    across = float((variance * (1 - direction**2)).sum())
    return float(np.degrees(np.arctan(_RADIUS_80 * np.sqrt(across / 2))))


def widened_deg(opening_deg: float | None) -> float | None:
    """A cone's opening as large as experience says, rather than as the model's digits do."""
    return None if opening_deg is None else min(180.0, CONE_WIDENING * opening_deg)


def used_readout(spread: Spread | None, readout: Readout | None) -> Readout:
    """Which number an answer gives: the requested one, else the default for what came."""
    if readout is not None:
        return readout
    return "digits" if spread is None else DEFAULT_READOUT


def chosen(written: Floats, spread: Spread | None, readout: Readout) -> Floats:
    """The requested numbers; NaN where nothing was read.

    Where one answer of several came without probabilities, its number is the written one.

    Raises:
        InputError: another than the written ones, where no probabilities came.
    """
    if readout == "digits" or not len(written):
        return written
    if spread is None:
        raise InputError(
            f"readout={readout!r} needs probabilities, and none came with these answers: this "
            "server or model does not give them; leave readout out"
        )
    value = spread.mean if readout == "mean" else spread.p50
    return np.where(np.isfinite(written) & np.isfinite(value), value, written)


def _pose_part(
    value: float | Floats | ParseFailure, reply: Reply, readout: Readout | None
) -> tuple[float | Floats | ParseFailure, Spread | None]:
    """One requested component, and the spread of its numbers."""
    if isinstance(value, ParseFailure):
        return value, None
    numbers = np.atleast_1d(np.asarray(value, dtype=float))
    direction = len(numbers) == 3 and abs(float(np.linalg.norm(numbers)) - 1) < 1e-9
    same = _same_direction if direction else _same
    bounds = (-1.005, 1.005) if direction else (-360.0, 360.0) if len(numbers) == 3 else (0, np.inf)
    spread = read_numbers([reply], len(numbers), [partial(same, numbers)], bounds=bounds)
    if spread is not None:
        spread = spread.row(0)
    used = used_readout(spread, readout)
    number = chosen(numbers, spread, used)
    if isinstance(value, float):
        return float(number[0]), spread
    if direction and used != "digits":
        length = float(np.linalg.norm(number))
        # Where the parts cancel there is no direction to speak of: what was written stands.
        number = number / length if length > 1e-3 else numbers
    return number, spread


def _same(expected: ArrayLike, written: Floats) -> bool:
    return all(abs(a - b) < 1e-6 for a, b in zip(written, np.asarray(expected), strict=True))


def _same_direction(expected: Floats, written: Floats) -> bool:
    return _same(expected * np.linalg.norm(written), written) and bool(written.any())


def _vector(value: float | Floats | ParseFailure) -> Floats | None:
    return value if isinstance(value, np.ndarray) else None
