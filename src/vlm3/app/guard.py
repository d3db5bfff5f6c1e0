"""The door: who may come in, how much they may bring, how long they may take to bring it.

Stands before the routes, so that nothing is parsed that is not allowed. Knows no route's meaning.
"""

import asyncio
import hmac
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vlm3.app.limits import Budget, Limits, RefusedError
from vlm3.app.metrics import Metrics

# A body that is too large is read on to here and dropped: a client that is still sending when the
# answer comes would see a broken connection instead of the reason.
_DRAINED = 4


@dataclass(frozen=True)
class Access:
    """Who may come in.

    Attributes:
        api_key: what `Authorization: Bearer ...` must say; None asks for none.
        hosts: names that the Host header may hold; None allows any. On the loopback address it
            keeps pages of other sites, which can name any host for it, away.
    """

    api_key: str | None = None
    hosts: tuple[str, ...] | None = None


class Guard:
    """ASGI middleware: checks every request, reads its body, counts it.

    Args:
        app: what comes after.
        access: who may come in.
        limits: how much.
        requests: how many are under way.
        metrics: where they are counted.
    """

    def __init__(
        self, app: ASGIApp, access: Access, limits: Limits, requests: Budget, metrics: Metrics
    ) -> None:
        self._app, self._access, self._limits = app, access, limits
        self._requests, self._metrics = requests, metrics
        self._bodies = Budget(limits.all_bodies_bytes, "too much is being sent")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        began, status = time.perf_counter(), [0]

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            try:
                await self._admitted(scope, receive, counted)
            except RefusedError as refusal:
                answer = JSONResponse(refusal.body, refusal.status, refusal.headers)
                await answer(scope, receive, counted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status[0] or 499)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        self._check(scope["path"], headers)
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            # Also what keeps other sites' pages from sending forms here.
            raise RefusedError(
                415,
                f"the body is {kind or 'of no type'}; send Content-Type: application/json",
                code="content_type",
            )
        with self._requests.holding(1):
            body = await self._body(receive, headers)
            try:
                await self._app(scope, _again(body, receive), send)
            finally:
                self._bodies.give(len(body))

    def _check(self, path: str, headers: MutableMapping[str, str]) -> None:
        hosts, host = self._access.hosts, headers.get("host", "")
        if hosts is not None and _name(host) not in hosts:
            raise RefusedError(
                421,
                f"this server is {' or '.join(hosts)}, not {_name(host)[:80]!r}: use that address, "
                "or start it with --host",
                code="host",
            )
        key = self._access.api_key
        if key is not None and (path.startswith("/v1/") or path == "/metrics"):
            scheme, _, given = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(given.strip().encode(), key.encode())
            if scheme.lower() != "bearer" or not right:
                raise RefusedError(
                    401,
                    "a key is needed: send Authorization: Bearer KEY, with the key that the server "
                    "was started with",
                    code="invalid_api_key",
                )

    async def _body(self, receive: Receive, headers: MutableMapping[str, str]) -> bytes:
        """All of the body; what it takes is taken from the budget."""
        limits = self._limits
        said = headers.get("content-length", "")
        if said.isdecimal() and int(said) > limits.body_bytes:
            await self._drain(receive)
            raise self._too_large(int(said))
        parts, size = [], 0
        try:
            async with asyncio.timeout(limits.body_timeout_s):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise RefusedError(400, "the client has gone", code="gone")
                    part = message.get("body", b"")
                    self._bodies.take(len(part))
                    size += len(part)
                    parts.append(part)
                    more = message.get("more_body", False)
                    if size > limits.body_bytes:
                        raise self._too_large(size)
        except BaseException as error:
            self._bodies.give(size)
            if isinstance(error, TimeoutError):
                raise RefusedError(
                    408,
                    f"the request did not arrive within {limits.body_timeout_s:g} s: send it again",
                    code="slow_body",
                ) from None
            raise
        return b"".join(parts)

    async def _drain(self, receive: Receive) -> None:
        left = _DRAINED * self._limits.body_bytes
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            return

    def _too_large(self, size: int) -> RefusedError:
        return RefusedError(
            413,
            f"the request has {size / 2**20:.1f} MiB or more; at most "
            f"{self._limits.body_bytes / 2**20:g} MiB are read: send a smaller picture, or a JPEG",
            code="too_large",
        )


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already; after it, what comes from the client."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        message: dict[str, Any] = {"type": "http.request", "body": body, "more_body": False}
        return message

    return once


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()
