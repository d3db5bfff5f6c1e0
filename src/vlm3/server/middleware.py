"""The door: who may come in, how many at once, how long they may take to take their answer.

Stands before the routes, so that nothing is read that is not allowed. Knows no route's meaning.
"""

import asyncio
import hmac
import time
from collections.abc import MutableMapping
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vlm3.server.bodies import drain
from vlm3.server.limits import Budget, Limits, RefusedError, stopping
from vlm3.server.metrics import Metrics


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
    """ASGI middleware: checks every request, counts it, and gives it up when nobody takes it.

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
            try:
                async with asyncio.timeout(self._limits.body_timeout_s):
                    await send(message)
            except TimeoutError:
                raise _NotTakenError from None

        try:
            try:
                await self._admitted(scope, receive, counted)
            except RefusedError as refusal:
                if scope["method"] == "POST" and refusal.status not in (401, 421):
                    await drain(receive, self._limits)
                await _said(refusal)(scope, receive, counted)
        except asyncio.CancelledError:
            # The server ends, and this took longer than it waits.
            if status[0]:
                raise
            await _said(stopping())(scope, receive, counted)
        except _NotTakenError:
            # Returning without an end closes the connection.
            status[0] = 0
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
            await self._app(scope, receive, send)

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


def _said(refusal: RefusedError) -> JSONResponse:
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


class _NotTakenError(Exception):
    """The client does not take its answer."""


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()
