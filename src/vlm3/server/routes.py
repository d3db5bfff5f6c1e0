"""The 3D routes: a request's pictures and pixels to the predictor's calls, and back.

What the numbers mean stands in `schema`. Knows no model.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from vlm3.errors import InputError, Vlm3Error
from vlm3.geometry.depth import points_from_distance
from vlm3.infer.maps import DepthMap
from vlm3.infer.predictor import Predictor
from vlm3.output.maps import save
from vlm3.server.bodies import BodyRoute
from vlm3.server.limits import RefusedError
from vlm3.server.schema import (
    MOST_CELLS,
    DepthMapRequest,
    DepthMapResponse,
    DepthPoint,
    DepthRequest,
    DepthResponse,
    MatchPoint,
    MatchRequest,
    MatchResponse,
    MeasuredRegion,
    MeasuredSpan,
    MeasureRequest,
    MeasureResponse,
    MotionChecked,
    ObjectsRequest,
    ObjectsResponse,
    PictureRequest,
    PictureResponse,
    PosePart,
    PoseRequest,
    PoseResponse,
)
from vlm3.server.service import Service, camera_of, intervals, number, rendered
from vlm3.server.uploads import preview_url
from vlm3.tasks.pose import direction_words
from vlm3.view import View

_MEDIA = {
    "npz": "application/octet-stream",
    "png": "image/png",
    "ply": "application/octet-stream",
    "glb": "model/gltf-binary",
}
_FILES: dict[str, Any] = {
    "content": {
        media: {"schema": {"type": "string", "format": "binary"}}
        for media in (*dict.fromkeys(_MEDIA.values()), "application/x-ndjson")
    }
}


def routes(service: Service, **common: Any) -> APIRouter:
    """The routes under `/v1/` whose answers are numbers in space.

    Args:
        service: what answers.
        common: of every route, such as what errors look like.
    """
    router = APIRouter(tags=["3D"], route_class=BodyRoute)
    # In the order in which the schema lists them.
    _add_points(router, service, common)
    _add_map(router, service, common)
    _add_geometry(router, service, common)
    return router


def _add_points(router: APIRouter, service: Service, common: dict[str, Any]) -> None:
    """How a picture is read, and distances in it."""

    @router.post("/v1/picture", response_model=PictureResponse, **common)
    async def picture(request: Request, body: PictureRequest) -> Response:
        """How a picture is read: its size, its camera and where that is from; asks no model."""

        def work(predictor: Predictor, views: list[View]) -> Response:
            side = body.preview_side_px
            return rendered(
                PictureResponse(
                    camera=camera_of(views[0]),
                    preview_url=preview_url(views[0], side) if side else None,
                    notes=service.notes(views),
                )
            )

        return await service.answer(request, [body.image], work)

    @router.post("/v1/depth", response_model=DepthResponse, **common)
    async def depth(request: Request, body: DepthRequest) -> Response:
        """How far some pixels are, in metres, each with the model's own words."""
        return await service.answer(
            request,
            [body.image],
            lambda predictor, views: rendered(_depth(service, predictor, views, body)),
        )


def _add_map(router: APIRouter, service: Service, common: dict[str, Any]) -> None:
    """Distances of a whole picture: numbers, a file, or lines as they come."""
    common_map = common | {"responses": common["responses"] | {200: _FILES}}

    @router.post("/v1/depth_map", response_model=DepthMapResponse, **common_map)
    async def depth_map(request: Request, body: DepthMapRequest) -> Response:
        """How far everything is: one question a cell of a grid; as numbers or as a file."""
        if body.columns * body.rows > MOST_CELLS:
            raise InputError(
                f"a grid of {body.columns}x{body.rows} has {body.columns * body.rows} cells; "
                f"at most {MOST_CELLS} are answered at once"
            )
        if body.stream and body.format != "json":
            raise InputError(f"a {body.format} cannot be streamed: leave stream or format out")
        if body.stream:
            lines = _map_lines(service, request, body)
            # Whatever is wrong with the picture is said before the stream begins, with its status.
            first = await anext(lines)
            return StreamingResponse(_chained(first, lines), media_type="application/x-ndjson")
        return await service.answer(
            request,
            [body.image],
            lambda predictor, views: _map_response(service, predictor, views, body),
        )


def _add_geometry(router: APIRouter, service: Service, common: dict[str, Any]) -> None:
    """Lengths, matches, motions, and questions in words."""

    @router.post("/v1/measure", response_model=MeasureResponse, **common)
    async def measure(request: Request, body: MeasureRequest) -> Response:
        """Metres between pairs of pixels; width, height and distance of regions."""
        return await service.answer(
            request,
            [body.image],
            lambda predictor, views: rendered(_measure(service, predictor, views, body)),
        )

    @router.post("/v1/match", response_model=MatchResponse, **common)
    async def match(request: Request, body: MatchRequest) -> Response:
        """Where pixels of picture a appear in picture b."""
        return await service.answer(
            request,
            [body.image_a, body.image_b],
            lambda predictor, views: rendered(_match(service, predictor, views, body)),
        )

    @router.post("/v1/pose", response_model=PoseResponse, **common)
    async def pose(request: Request, body: PoseRequest) -> Response:
        """How the camera moved from picture a to picture b."""
        return await service.answer(
            request,
            [body.image_a, body.image_b],
            lambda predictor, views: rendered(_pose(service, predictor, views, body)),
        )

    @router.post("/v1/objects", response_model=ObjectsResponse, **common)
    async def objects(request: Request, body: ObjectsRequest) -> Response:
        """A question in words about regions of a picture."""
        return await service.answer(
            request,
            [body.image],
            lambda predictor, views: rendered(_objects(service, predictor, views, body)),
        )


def _depth(
    service: Service, predictor: Predictor, views: list[View], body: DepthRequest
) -> DepthResponse:
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
                parsed=bool(answer.parsed[i]),
                raw_text=answer.raw_text[i],
                prompt=answer.prompt[i],
            )
            for i in range(len(answer.parsed))
        ],
        readout=answer.readout,
        **service.about(views),
    )


def _measure(
    service: Service, predictor: Predictor, views: list[View], body: MeasureRequest
) -> MeasureResponse:
    found = predictor.measure(
        views[0], body.pairs_px, body.boxes_px, readout=body.readout, grammar=body.grammar
    )
    return MeasureResponse(
        spans=[MeasuredSpan.model_validate(span.to_json()) for span in found.spans],
        regions=[MeasuredRegion.model_validate(region.to_json()) for region in found.regions],
        readout=found.readout,
        **service.about(views),
    )


def _match(
    service: Service, predictor: Predictor, views: list[View], body: MatchRequest
) -> MatchResponse:
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
                parsed=bool(answer.parsed[i]),
                raw_text=answer.raw_text[i],
                prompt=answer.prompt[i],
            )
            for i in range(len(answer.parsed))
        ],
        readout=answer.readout,
        **service.about(views),
    )


def _pose(
    service: Service, predictor: Predictor, views: list[View], body: PoseRequest
) -> PoseResponse:
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
        **service.about(views),
    )


def _objects(
    service: Service, predictor: Predictor, views: list[View], body: ObjectsRequest
) -> ObjectsResponse:
    answer = predictor.ask(views[0], body.question, body.boxes_px)
    return ObjectsResponse(
        text=answer.text,
        value_m=answer.value_m,
        clock_hour=answer.clock_hour,
        yes=answer.yes,
        region=answer.region,
        parsed=answer.parsed,
        raw_text=answer.raw_text,
        prompt=answer.prompt,
        **service.about(views),
    )


def _asked_map(predictor: Predictor, view: View, body: DepthMapRequest) -> DepthMap:
    return predictor.depth_map(view, grid=(body.columns, body.rows), refine=body.refine)


def _map_response(
    service: Service, predictor: Predictor, views: list[View], body: DepthMapRequest
) -> Response:
    found = _asked_map(predictor, views[0], body)
    if body.format == "json":
        return rendered(_map_json(service, views, found))
    with tempfile.TemporaryDirectory() as folder:
        path = save(found, Path(folder) / f"depth.{body.format}")
        data = path.read_bytes()
    name = f'attachment; filename="depth.{body.format}"'
    return Response(data, media_type=_MEDIA[body.format], headers={"Content-Disposition": name})


def _map_json(service: Service, views: list[View], found: DepthMap) -> DepthMapResponse:
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
        **service.about(views),
    )


async def _map_lines(
    service: Service, request: Request, body: DepthMapRequest
) -> AsyncIterator[str]:
    """Lines of JSON: how many cells are answered, at last the map."""
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[int | None] = asyncio.Queue()

    def progress(more: int) -> None:
        loop.call_soon_threadsafe(told.put_nowait, more)

    work = asyncio.ensure_future(
        service.answer(
            request,
            [body.image],
            lambda predictor, views: _result_line(
                _map_json(service, views, _asked_map(predictor, views[0], body))
            ),
            progress=progress,
        )
    )
    work.add_done_callback(lambda _: told.put_nowait(None))
    answered, cells = 0, body.columns * body.rows
    began = False
    try:
        while (more := await told.get()) is not None:
            answered, began = answered + more, True
            yield _line({"answered": answered, "of": cells})
        try:
            yield await work
        except Vlm3Error as error:
            if not began:
                raise
            refusal = (
                error
                if isinstance(error, RefusedError)
                else RefusedError(400, str(error), code="bad")
            )
            yield _line(refusal.body)
    finally:
        work.cancel()


async def _chained(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for line in rest:
        yield line


def _result_line(found: DepthMapResponse) -> str:
    return f'{{"result": {found.model_dump_json()}}}\n'


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


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
