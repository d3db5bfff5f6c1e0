"""Bodies of requests: read within limits, parsed in a thread, never on the event loop.

How the JSON is parsed is in `body_parsing`. Knows no route: how much one can use stands with its
fields (`schema.requests.RequestModel`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from vlm3.server.body_parsing import parse, too_much_beside
from vlm3.server.limits import Budget, Limits, RefusedError

# More at once would only wait for each other and for Python's global lock.
_PARSERS = 2
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\"


class Bodies:
    """Reads and parses bodies, so many bytes and so many bodies at once.

    Args:
        limits: how much is taken on.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = Budget(limits.all_bodies_bytes, "too much is being sent")
        self._waiting = Budget(limits.parsing, "too many requests wait to be parsed")
        self._parsers = ThreadPoolExecutor(_PARSERS, thread_name_prefix="parse")

    def close(self) -> None:
        """Ends the threads; what waits is not parsed."""
        self._parsers.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def parsed(self, request: Request, model: type[BaseModel]) -> AsyncIterator[BaseModel]:
        """The body as that model; its bytes are accounted for as long as the block lasts.

        Raises:
            RefusedError: too large, too slow, no JSON, not what the model asks for, too much at
                once.
        """
        most = _beside_pictures(model)
        parts = await self._read(request, most)
        size = sum(map(len, parts))
        try:
            with self._waiting.holding(1):
                made = await self._in_thread(parts, model, most)
            parts.clear()
            yield made
        finally:
            self._bytes.give(size)

    async def _in_thread(self, parts: list[bytes], model: type[BaseModel], most: int) -> BaseModel:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.parse_timeout_s):
                return await loop.run_in_executor(self._parsers, _parse, parts, model, most)
        except TimeoutError:
            raise RefusedError(
                503,
                f"the request could not be parsed within {self._limits.parse_timeout_s:g} s, so "
                "much is going on: come again",
                code="busy",
                retry_after_s=2,
            ) from None

    async def _read(self, request: Request, most_beside: int) -> list[bytes]:
        """All of the body; what it takes is taken from the budget."""
        limits, receive = self._limits, request.receive
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > limits.body_bytes:
            raise _too_large(int(length), limits.body_bytes)
        parts: list[bytes] = []
        size = beside = 0
        try:
            async with asyncio.timeout(limits.body_timeout_s):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise RefusedError(400, "the client has gone", code="gone")
                    part = message.get("body", b"")
                    self._bytes.take(len(part))
                    size += len(part)
                    parts.append(part)
                    more = message.get("more_body", False)
                    # Whatever a picture has, it has in base64: the rest can be counted already.
                    beside += len(part.translate(None, _BASE64))
                    if size > limits.body_bytes:
                        raise _too_large(size, limits.body_bytes)
                    if beside > most_beside:
                        raise too_much_beside(beside, most_beside)
        except BaseException as error:
            parts.clear()
            self._bytes.give(size)
            if isinstance(error, TimeoutError):
                raise RefusedError(
                    408,
                    f"the request did not arrive within {limits.body_timeout_s:g} s: send it again",
                    code="slow_body",
                ) from None
            raise
        return parts


class BodyRoute(APIRoute):
    """A route whose body, if it has one, is read and parsed by `Bodies`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a request whose body is a model already."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler
        model: type[BaseModel] = self.body_field.field_info.annotation  # type: ignore[assignment]

        async def handle(request: Request) -> Response:
            bodies: Bodies = request.app.state.bodies
            async with bodies.parsed(request, model) as body:
                return await handler(_Parsed(request, body))

        return handle


class _Parsed(Request):
    """A request whose body was read and parsed."""

    def __init__(self, request: Request, model: BaseModel) -> None:
        super().__init__(request.scope, request.receive)
        self._model = model

    async def body(self) -> bytes:
        """Not empty, which is all that FastAPI looks for."""
        return b"{}"

    async def json(self) -> Any:
        """The model, which FastAPI's validation lets pass as it is."""
        return self._model


def _parse(parts: list[bytes], model: type[BaseModel], most_beside: int) -> BaseModel:
    return parse(b"".join(parts), model, most_beside)


def _beside_pictures(model: type[BaseModel]) -> int:
    """Bytes that a route can use beside its pictures."""
    most: int = getattr(model, "beside_pictures_bytes")  # noqa: B009
    return most


def _too_large(size: int, most: int) -> RefusedError:
    return RefusedError(
        413,
        f"the request has {size / 2**20:.1f} MiB or more; at most {most / 2**20:g} MiB are read: "
        "send a smaller picture, or a JPEG",
        code="too_large",
    )
