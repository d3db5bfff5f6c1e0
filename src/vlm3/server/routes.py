"""The routes under `/v1/` whose answers are numbers in space.

Pictures and a few fields come in, one JSON object goes out: each such route is a function of
`answers`. The map has a form of its own (`map_route`). Knows no model.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from vlm3.infer.predictor import Predictor
from vlm3.server import answers
from vlm3.server.bodies import BodyRoute
from vlm3.server.map_route import add_map_route
from vlm3.server.schema.requests import ImageRequest, PairRequest
from vlm3.server.service import Service, rendered
from vlm3.view import View

Answer = Callable[[Predictor, list[View], Any], BaseModel]
"""What a predictor, the opened pictures and a request's fields give."""


def routes(service: Service, **common: Any) -> APIRouter:
    """All of them.

    Args:
        service: what answers.
        common: of every route, such as what errors look like.
    """
    router = APIRouter(tags=["3D"], route_class=BodyRoute)
    # In the order in which the schema lists them.
    _add(router, service, answers.picture, common)
    _add(router, service, answers.depth, common)
    add_map_route(router, service, common)
    for answer in (answers.measure, answers.match, answers.pose, answers.objects):
        _add(router, service, answer, common)
    return router


def _add(router: APIRouter, service: Service, answer: Answer, common: dict[str, Any]) -> None:
    """The route `/v1/NAME` of a function NAME; its hints are the schema, its docstring the help."""
    hints = get_type_hints(answer)

    async def endpoint(request: Request, body: ImageRequest | PairRequest) -> Response:
        return await service.answer(
            request,
            body.pictures,
            lambda predictor, views: rendered(answer(predictor, views, body)),
        )

    # FastAPI reads from the hint what it must validate.
    endpoint.__annotations__["body"] = hints["body"]
    name = answer.__name__
    router.add_api_route(
        f"/v1/{name}",
        endpoint,
        methods=["POST"],
        name=name,
        description=inspect.getdoc(answer),
        response_model=hints["return"],
        **common,
    )
