"""The route `/v1/depth_map`: numbers, a file, or lines of JSON as the answers come."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from vlm3.errors import InputError, Vlm3Error
from vlm3.infer.maps import DepthMap
from vlm3.infer.predictor import Predictor
from vlm3.output.maps import save
from vlm3.server import answers
from vlm3.server.limits import RefusedError
from vlm3.server.schema.fields import MOST_CELLS
from vlm3.server.schema.requests import DepthMapRequest
from vlm3.server.schema.responses import DepthMapResponse
from vlm3.server.service import Service, rendered
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


def add_map_route(router: APIRouter, service: Service, common: dict[str, Any]) -> None:
    """Adds the route.

    Args:
        router: to what.
        service: what answers.
        common: of every route.
    """
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
            lines = _lines(service, request, body)
            # Whatever is wrong with the picture is said before the stream begins, with its status.
            first = await anext(lines)
            return StreamingResponse(_chained(first, lines), media_type="application/x-ndjson")
        return await service.answer(
            request, body.pictures, lambda predictor, views: _whole(predictor, views, body)
        )


def _map(predictor: Predictor, view: View, body: DepthMapRequest) -> DepthMap:
    return predictor.depth_map(view, grid=(body.columns, body.rows), refine=body.refine)


def _whole(predictor: Predictor, views: list[View], body: DepthMapRequest) -> Response:
    """The answer that is not streamed."""
    found = _map(predictor, views[0], body)
    if body.format == "json":
        return rendered(answers.depth_map(predictor, views, found))
    with tempfile.TemporaryDirectory() as folder:
        path = save(found, Path(folder) / f"depth.{body.format}")
        data = path.read_bytes()
    name = f'attachment; filename="depth.{body.format}"'
    return Response(data, media_type=_MEDIA[body.format], headers={"Content-Disposition": name})


async def _lines(service: Service, request: Request, body: DepthMapRequest) -> AsyncIterator[str]:
    """Lines of JSON: how many cells are answered, at last the map."""
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[int | None] = asyncio.Queue()

    def progress(more: int) -> None:
        loop.call_soon_threadsafe(told.put_nowait, more)

    def result(predictor: Predictor, views: list[View]) -> str:
        found = answers.depth_map(predictor, views, _map(predictor, views[0], body))
        return f'{{"result": {found.model_dump_json()}}}\n'

    work = asyncio.ensure_future(service.answer(request, body.pictures, result, progress=progress))
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


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"
