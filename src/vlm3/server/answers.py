"""What a predictor answers, as the published schema has it: one function a route.

Takes opened pictures and a request's fields, gives a response's. Knows no HTTP.
"""

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from vlm3.geometry.depth import points_from_distance
from vlm3.infer.maps import DepthMap
from vlm3.infer.predictor import Predictor
from vlm3.server.schema.requests import (
    DepthRequest,
    MatchRequest,
    MeasureRequest,
    ObjectsRequest,
    PictureRequest,
    PoseRequest,
)
from vlm3.server.schema.responses import (
    CameraResult,
    DepthMapResponse,
    DepthPoint,
    DepthResponse,
    IntervalResult,
    MatchPoint,
    MatchResponse,
    MeasureResponse,
    MotionChecked,
    ObjectsResponse,
    PictureResponse,
    PosePart,
    PoseResponse,
    RegionResult,
    SpanResult,
)
from vlm3.server.uploads import preview_url
from vlm3.tasks.answers import DepthAnswer, MatchAnswer, Spread
from vlm3.tasks.pose import direction_words
from vlm3.view import ASSUMED_FOV_DEG, View

Views = list[View]


def picture(predictor: Predictor, views: Views, body: PictureRequest) -> PictureResponse:
    """How a picture is read: its size, its camera and where that is from; asks no model."""
    side = body.preview_side_px
    return PictureResponse(
        camera=camera_of(views[0]),
        preview_url=preview_url(views[0], side) if side else None,
        notes=notes(predictor, views),
    )


def depth(predictor: Predictor, views: Views, body: DepthRequest) -> DepthResponse:
    """How far some pixels are, in metres, each with the model's own words."""
    answer = predictor.depth(views[0], body.points_px, readout=body.readout, grammar=body.grammar)
    xyz = points_from_distance(answer.xy_px, answer.distance_m, views[0].camera)
    spread = intervals(answer.spread)
    return DepthResponse(
        points=[
            DepthPoint(
                xy_px=_pair(answer.xy_px[i]),
                distance_m=number(answer.distance_m[i]),
                depth_z_m=number(answer.depth_z_m[i]),
                xyz_m=_triple(xyz[i]),
                interval_m=spread[i] if spread else None,
                **_texts(answer, i),
            )
            for i in range(len(answer.parsed))
        ],
        readout=answer.readout,
        **about(predictor, views),
    )


def depth_map(predictor: Predictor, views: Views, found: DepthMap) -> DepthMapResponse:
    """A map's numbers."""
    rows, columns = found.distance_m.shape
    return DepthMapResponse(
        columns=columns,
        rows=rows,
        distance_m=_table(found.distance_m),
        depth_z_m=_table(found.depth_z_m),
        p10_m=_table(found.p10_m),
        p90_m=_table(found.p90_m),
        asked=found.asked.tolist(),
        readout=found.readout,
        **about(predictor, views),
    )


def measure(predictor: Predictor, views: Views, body: MeasureRequest) -> MeasureResponse:
    """Metres between pairs of pixels; width, height and distance of regions."""
    found = predictor.measure(
        views[0], body.pairs_px, body.boxes_px, readout=body.readout, grammar=body.grammar
    )
    return MeasureResponse(
        spans=[SpanResult.model_validate(span.to_json()) for span in found.spans],
        regions=[RegionResult.model_validate(region.to_json()) for region in found.regions],
        readout=found.readout,
        **about(predictor, views),
    )


def match(predictor: Predictor, views: Views, body: MatchRequest) -> MatchResponse:
    """Where pixels of picture a appear in picture b."""
    answer = predictor.match(
        views[0], views[1], body.points_px, readout=body.readout, grammar=body.grammar
    )
    x = intervals(answer.spread.column(0)) if answer.spread else None
    y = intervals(answer.spread.column(1)) if answer.spread else None
    return MatchResponse(
        matches=[
            MatchPoint(
                xy_a_px=_pair(answer.xy_a_px[i]),
                xy_b_px=_pair(answer.xy_px[i]) if answer.parsed[i] else None,
                interval_x_px=x[i] if x else None,
                interval_y_px=y[i] if y else None,
                **_texts(answer, i),
            )
            for i in range(len(answer.parsed))
        ],
        readout=answer.readout,
        **about(predictor, views),
    )


def pose(predictor: Predictor, views: Views, body: PoseRequest) -> PoseResponse:
    """How the camera moved from picture a to picture b."""
    answer = predictor.pose(
        views[0], views[1], readout=body.readout, grammar=body.grammar, check=body.check
    )
    direction, check = answer.direction, answer.check
    return PoseResponse(
        yaw_pitch_roll_deg=_triple(answer.yaw_pitch_roll_deg),
        direction=_triple(direction),
        direction_words=None if direction is None else direction_words(direction),
        distance_m=answer.distance_m,
        cam1_from_cam2=None if answer.cam1_from_cam2 is None else answer.cam1_from_cam2.tolist(),
        parts=[
            PosePart(
                component=part,
                intervals=intervals(answer.spread.get(part)),
                parsed=answer.parsed[part],
                raw_text=answer.raw_text[part],
                prompt=answer.prompt[part],
            )
            for part in answer.raw_text
        ],
        readout=answer.readout,
        direction_cone_deg=answer.direction_cone_deg,
        check=None if check is None else MotionChecked(**asdict(check), verdict=check.verdict),
        **about(predictor, views),
    )


def objects(predictor: Predictor, views: Views, body: ObjectsRequest) -> ObjectsResponse:
    """A question in words about regions of a picture."""
    answer = predictor.ask(views[0], body.question, body.boxes_px)
    return ObjectsResponse.model_validate(answer.to_json() | about(predictor, views))


def about(predictor: Predictor, views: Views) -> dict[str, Any]:
    """What every answer says beside its numbers; the fields of `ResponseModel`."""
    return {
        "model": predictor.engine.name,
        "protocol": predictor.protocol.name,
        "cameras": [camera_of(view) for view in views],
        "notes": notes(predictor, views),
    }


def notes(predictor: Predictor, views: Views) -> list[str]:
    """What a reader of numbers about these pictures should know."""
    written = []
    for place, view in enumerate(views):
        name = "the picture" if len(views) == 1 else f"picture {'ab'[place]}"
        if view.intrinsics == "assumed":
            written.append(
                f"{name}: nothing says what camera took it; a horizontal field of view of "
                f"{ASSUMED_FOV_DEG:g} degrees is assumed, so distances may be off by a common "
                "factor"
            )
        plan = predictor.protocol.plan(
            view.camera, multiple_px=predictor.multiple_px, max_tokens=predictor.max_tokens
        )
        if plan.note is not None:
            written.append(f"{name}: {plan.note}")
    return written


def camera_of(view: View) -> CameraResult:
    """The camera a picture was read with."""
    camera = view.camera
    return CameraResult(
        fx_px=camera.fx_px,
        fy_px=camera.fy_px,
        cx_px=camera.cx_px,
        cy_px=camera.cy_px,
        width_px=camera.width_px,
        height_px=camera.height_px,
        fov_deg=math.degrees(2 * math.atan(camera.width_px / 2 / camera.fx_px)),
        source=view.intrinsics,
    )


def _texts(answer: DepthAnswer | MatchAnswer, i: int) -> dict[str, Any]:
    """Question and answer of one point, word for word."""
    return {
        "parsed": bool(answer.parsed[i]),
        "raw_text": answer.raw_text[i],
        "prompt": answer.prompt[i],
    }


def intervals(spread: Spread | None) -> list[IntervalResult] | None:
    """One for each number of a spread, in its order."""
    if spread is None:
        return None
    columns = (spread.p10.ravel(), spread.p50.ravel(), spread.p90.ravel())
    return [
        IntervalResult(p10=number(p10), p50=number(p50), p90=number(p90))
        for p10, p50, p90 in zip(*columns, strict=True)
    ]


def number(value: Any) -> float | None:
    """A finite number, else null."""
    return float(value) if math.isfinite(value) else None


def _table(values: "np.ndarray[Any, Any]") -> list[list[float | None]]:
    return [[number(value) for value in row] for row in values]


def _pair(values: Any) -> tuple[float, float]:
    x, y = values
    return float(x), float(y)


def _triple(values: Any) -> tuple[float, float, float] | None:
    if values is None or not np.isfinite(values).all():
        return None
    a, b, c = values
    return float(a), float(b), float(c)
