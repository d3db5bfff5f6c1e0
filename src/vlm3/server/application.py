"""The application: routes, errors, health, metrics."""

import ipaddress
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from vlm3 import __version__
from vlm3.errors import InputError, Vlm3Error
from vlm3.infer.predictor import Predictor
from vlm3.server.bodies import Bodies
from vlm3.server.body_parsing import problem
from vlm3.server.chat import chat_routes
from vlm3.server.limits import Limits, RefusedError
from vlm3.server.metrics import CONTENT_TYPE, Metrics
from vlm3.server.middleware import Access, Guard
from vlm3.server.page import page_routes
from vlm3.server.routes import routes
from vlm3.server.schema.responses import Error
from vlm3.server.service import Service
from vlm3.server.uploads import Calibrate

State = tuple[int, dict[str, object]]
"""HTTP status and content of `/health`."""

_SAYS = {
    400: "The request cannot be used; the message says why.",
    401: "A key is needed.",
    404: "No such thing.",
    405: "No such method here.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "The Host header names another server.",
    429: "Too much is under way; Retry-After says when to come again.",
    503: "The server is stopping, or what it asks cannot be reached.",
    504: "Time is up.",
}


def create_app(
    predictor: Predictor,
    *,
    limits: Limits | None = None,
    access: Access | None = None,
    page: bool = False,
    pictures: Sequence[Path] = (),
    calibrate: Calibrate | None = None,
) -> Guard:
    """The server around a predictor.

    Args:
        predictor: what answers; its engine is used by one thread from now on.
        limits: how much is taken on.
        access: who may come in; anyone who reaches it when None.
        page: also the web app, at /.
        pictures: files that the web app offers to choose from.
        calibrate: the camera of pictures that come without one; 60 degrees are assumed when None.
    """
    limits = limits or Limits()
    metrics = Metrics()
    service = Service(predictor, limits, metrics, calibrate)

    app = _empty_app(service)
    errors = {status: {"model": Error, "description": words} for status, words in _SAYS.items()}
    common: dict[str, Any] = {"responses": errors}
    count = getattr(predictor.engine, "prompt_tokens", None)
    app.include_router(chat_routes(service, count, **common))
    app.include_router(routes(service, **common))

    def state() -> State:
        return _state(service, predictor.protocol.name)

    _add_state(app, state, metrics)
    if page:
        app.include_router(page_routes(predictor, pictures))
    _speak(app)
    app.state.service, app.state.bodies = service, Bodies(limits)
    return Guard(app, access or Access(), limits, service.requests, metrics, state)


def _empty_app(service: Service) -> FastAPI:
    """Without routes; what it holds is closed when it ends."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        # Made and kept now: it takes longer than the event loop may stand still.
        app.openapi()
        yield
        app.state.bodies.close()
        service.close()

    return FastAPI(
        title="vlm3",
        version=__version__,
        summary="3D answers from a vision language model.",
        description="Pixels, metres, degrees; camera axes x right, y down, z forward. "
        "How: docs/serving.md.",
        lifespan=life,
        # Both load their scripts from elsewhere; the schema itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
    )


def _state(service: Service, protocol: str) -> State:
    """Status and content of `/health`."""
    well = service.broker.alive
    return 200 if well else 503, {
        "status": "ok" if well else "stopping",
        "model": service.broker.name,
        "protocol": protocol,
        "questions_waiting": service.broker.waiting,
        "requests": service.requests.held,
    }


def _add_state(app: FastAPI, state: Callable[[], State], metrics: Metrics) -> None:
    """The routes of whoever runs the server."""

    @app.get("/health", tags=["state"])
    async def health() -> JSONResponse:
        """Whether questions are answered: 200, else 503."""
        status, record = state()
        return JSONResponse(record, status)

    @app.get("/metrics", tags=["state"], response_class=PlainTextResponse)
    async def prometheus() -> Response:
        """Counters for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)


def _speak(app: FastAPI) -> None:
    """Every error in one shape, and the schema says so."""

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return JSONResponse(error.body, error.status, error.headers)

    @app.exception_handler(InputError)
    async def mistaken(request: Request, error: InputError) -> Response:
        return await refused(request, RefusedError(400, str(error), code="invalid"))

    @app.exception_handler(Vlm3Error)
    async def failed(request: Request, error: Vlm3Error) -> Response:
        # Such as a server behind this one that does not answer.
        return await refused(
            request, RefusedError(503, str(error), code="unavailable", retry_after_s=5)
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return await refused(request, RefusedError(400, problem(error.errors()), code="invalid"))

    @app.exception_handler(HTTPException)
    async def absent(request: Request, error: HTTPException) -> Response:
        path = request.url.path[:100]
        words = f"{error.detail}: {request.method} {path}; what there is stands in /openapi.json"
        answer = await refused(request, RefusedError(error.status_code, words, code="no_route"))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        words = "something went wrong in the server; its log says more"
        return await refused(request, RefusedError(500, words, code="internal"))

    schema: Callable[[], dict[str, Any]] = app.openapi

    @cache
    def openapi() -> dict[str, Any]:
        whole = schema()
        for methods in whole["paths"].values():
            for route in methods.values():
                # Requests that do not fit the schema are 400 here, like all others.
                route["responses"].pop("422", None)
        return whole

    app.openapi = openapi  # type: ignore[method-assign]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
