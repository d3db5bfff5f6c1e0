"""Bodies of requests: read within limits, parsed in a thread, never on the event loop.

A body is a little JSON around a few long strings, the pictures. The long strings are put aside
before the JSON is parsed, so that what is parsed is no more than the route can use, whatever was
sent: parsing holds Python's global lock, and with it the event loop, as long as it takes. Knows
no route: how much one can use stands with its fields (`schema.Asked`).
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from vlm3.server.limits import Budget, Limits, RefusedError
from vlm3.server.schema import LONG_TEXT_BYTES

# More at once would only wait for each other and for Python's global lock.
_PARSERS = 2
_MOST_QUOTES = 20_000
_MOST_DEPTH = 32
# Longest run of backslashes before a quote: twice the longest text that a route takes.
_MOST_BACKSLASHES = 8192
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\"
# What JSON encoders escape although base64 is made of it: PHP the slash, .NET the plus.
_ESCAPES = ((rb"\/", b"/"), (rb"\u002B", b"+"), (rb"\u002b", b"+"), (rb"\u003D", b"="))
# Stands for a string that was put aside; not to be guessed, so that no client can send it.
_MARK = secrets.token_hex(16) + ":"


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
                        raise _too_much_beside(beside, most_beside)
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


def parse(body: bytes, model: type[BaseModel], most_beside: int) -> BaseModel:
    """A JSON text as a model.

    Args:
        body: the text, in UTF-8.
        model: what it should be.
        most_beside: bytes that it may have beside its long strings.

    Raises:
        RefusedError: 413, there is more beside them; 400, it is no JSON or not that model.
    """
    small, aside = _put_aside(body, most_beside)
    try:
        tree = json.loads(small.decode("utf-8"))
    # Not JSON, not UTF-8, an integer of thousands of digits; thousands of brackets.
    except (ValueError, RecursionError):
        raise _no_json() from None
    try:
        return model.model_validate(_put_back(tree, aside))
    except ValidationError as error:
        raise RefusedError(400, problem(error.errors(include_url=False)), code="invalid") from None


def _put_aside(body: bytes, most_beside: int) -> tuple[bytes, list[str]]:
    """A JSON text with marks in place of its long strings, and those strings.

    Searches for quotes only, which costs a few milliseconds whatever was sent.
    """
    beside = len(body)
    kept: list[bytes] = []
    aside: list[str] = []
    copied = quotes = 0
    opening = body.find(b'"')
    while opening >= 0:
        closing = body.find(b'"', opening + 1)
        quotes += 2
        while closing >= 0 and _escaped(body, opening + 1, closing):
            closing = body.find(b'"', closing + 1)
            quotes += 1
            if quotes > _MOST_QUOTES:
                break
        if closing < 0:
            raise _no_json()
        if quotes > _MOST_QUOTES:
            raise RefusedError(
                413,
                f"the request has more than {_MOST_QUOTES} quotes; no route can use as many: "
                "the schema is at /openapi.json",
                code="too_large",
            )
        if closing - opening > LONG_TEXT_BYTES:
            kept.append(body[copied : opening + 1])
            kept.append(f"{_MARK}{len(aside)}".encode())
            aside.append(_plain(body, opening + 1, closing))
            copied = closing
            beside -= closing - opening - 1
        opening = body.find(b'"', closing + 1)
    if beside > most_beside:
        raise _too_much_beside(beside, most_beside)
    kept.append(body[copied:])
    return b"".join(kept), aside


def _escaped(body: bytes, begin: int, quote: int) -> bool:
    """Whether that quote stands behind an odd number of backslashes."""
    before = body[max(begin, quote - _MOST_BACKSLASHES) : quote]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1


def _plain(body: bytes, begin: int, end: int) -> str:
    """A long string without its escapes."""
    text: bytes | memoryview = memoryview(body)[begin:end]
    if body.find(b"\\", begin, end) >= 0:
        plain = bytes(text)
        for escaped, meant in _ESCAPES:
            plain = plain.replace(escaped, meant)
        text = plain
    try:
        if isinstance(text, bytes) and b"\\" in text:
            raise ValueError
        return str(text, "ascii")
    except ValueError:
        raise RefusedError(
            400,
            f"a text of {end - begin} bytes in the request is no picture in base64; texts have at "
            f"most {LONG_TEXT_BYTES} bytes: the schema is at /openapi.json",
            code="invalid",
        ) from None


def _put_back(tree: Any, aside: list[str]) -> Any:
    """The long strings in their places; looks at every list and dict, so depth is checked here."""

    def back(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(_MARK):
            return aside[int(value.removeprefix(_MARK))]
        if isinstance(value, (list, dict)):
            waiting.append((value, depth + 1))
        return value

    waiting: list[tuple[Any, int]] = []
    depth = 0
    tree = back(tree)
    while waiting:
        node, depth = waiting.pop()
        if depth > _MOST_DEPTH:
            raise RefusedError(
                400,
                f"the request has lists or objects nested more than {_MOST_DEPTH} deep; no route "
                "asks for that: the schema is at /openapi.json",
                code="invalid",
            )
        if isinstance(node, dict):
            for key, value in node.items():
                node[key] = back(value)
        else:
            node[:] = map(back, node)
    return tree


def problem(errors: Any) -> str:
    """The first of pydantic's errors, in a line."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return str(_no_json())
    parts = [part for part in first["loc"] if part != "body"]
    # Names of fields are the client's own words where they are not known.
    names = [ascii(part)[1:-1] if isinstance(part, str) else str(part) for part in parts]
    place = ".".join(names)[:100] or "the body"
    came = first.get("input")
    shown = (
        ""
        if came is None or isinstance(came, (dict, BaseModel))
        else f" (came: {json.dumps(str(came)[:60], allow_nan=False)})"
    )
    return f"{place}: {first['msg']}{shown}; the schema is at /openapi.json"


def _beside_pictures(model: type[BaseModel]) -> int:
    """Bytes that a route can use beside its pictures."""
    most: int = getattr(model, "beside_pictures_bytes")  # noqa: B009
    return most


def _no_json() -> RefusedError:
    return RefusedError(400, "the body is no JSON; the schema is at /openapi.json", code="invalid")


def _too_large(size: int, most: int) -> RefusedError:
    return RefusedError(
        413,
        f"the request has {size / 2**20:.1f} MiB or more; at most {most / 2**20:g} MiB are read: "
        "send a smaller picture, or a JPEG",
        code="too_large",
    )


def _too_much_beside(size: int, most: int) -> RefusedError:
    return RefusedError(
        413,
        f"the request has {size / 2**10:.0f} KiB or more beside its pictures; this route can use "
        f"at most {most / 2**10:g} KiB: ask for less at once",
        code="too_large",
    )
