"""Middleware: keys, hosts, requests at once, and the time to read an answer.

Stands before the routes, so that nothing is read that is not allowed. Knows no route's meaning.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vlm3.server.acceptor import host_name
from vlm3.server.limits import Budget, Limits, RefusedError, stopping
from vlm3.server.metrics import Metrics

# What is read and dropped of a body at most, in times of the largest that is taken.
_DRAINED = 4

Health = Callable[[], tuple[int, dict[str, object]]]
"""The status and the body that /health answers with."""


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


class _Exchange:
    """A request and its answer, as the middleware passes them on.

    A request is refused before its body has been read. If the connection were closed
    then, with bytes on their way, the system would reset it, and a client that sends first and
    reads then would never see the answer (RFC 9112, 9.6). So the answer is sent, all but its end;
    what still comes is read and dropped, as long as it comes and no more than so much in so long;
    then the answer is ended.

    Attributes:
        status: of the answer; 0 as long as there is none.
        unread: whether more of the body may come.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self._receive, self._send, self._limits = receive, send, limits
        headers = _headers(scope)
        self.status = 0
        self.unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        # Such a client sends its body when the server begins to read it: it has not, and will not.
        self._expects = headers.get("expect", "").lower() == "100-continue"
        self._unended = False

    async def receive(self) -> Message:
        """ASGI's."""
        self._expects = False
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self.unread = False
        return message

    async def send(self, message: Message) -> None:
        """ASGI's, but gives up when nobody takes the answer.

        Raises:
            _NotTakenError: that.
        """
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._expects and self.unread:
                self.unread = False
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
        elif self.unread and not message.get("more_body", False):
            self._unended = True
            message = {**message, "more_body": True}
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                await self._send(message)
        except TimeoutError:
            raise _NotTakenError from None

    async def end(self) -> None:
        """Ends the answer when the body has been read, or enough of it."""
        if not self._unended:
            return
        left = _DRAINED * self._limits.body_bytes
        until = asyncio.get_running_loop().time() + self._limits.timeout_s
        try:
            async with asyncio.timeout_at(until) as patience:
                while self.unread and left > 0:
                    now = asyncio.get_running_loop().time()
                    patience.reschedule(min(now + self._limits.body_timeout_s, until))
                    left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class Guard:
    """ASGI middleware: checks every request, counts it, and gives it up when nobody takes it.

    Args:
        app: what comes after.
        access: who may come in.
        limits: how much.
        requests: how many are under way.
        metrics: where they are counted.
        health: what /health says.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        limits: Limits,
        requests: Budget,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self.access, self.health = access, health
        self._app, self._limits = app, limits
        self._requests, self._metrics = requests, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        began = time.perf_counter()
        exchange = _Exchange(scope, receive, send, self._limits)
        try:
            try:
                await self._admitted(scope, exchange)
            except RefusedError as refusal:
                await _said(refusal)(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            # The server ends, and this took longer than it waits.
            if exchange.status:
                raise
            exchange.unread = False
            await _said(stopping())(scope, exchange.receive, exchange.send)
        except _NotTakenError:
            # Returning without an end closes the connection.
            exchange.status = 0
            return
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(exchange.status or 499)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
        await exchange.end()

    async def _admitted(self, scope: Scope, exchange: _Exchange) -> None:
        headers = _headers(scope)
        self._check(scope["path"], headers)
        if scope["method"] != "POST":
            await self._app(scope, exchange.receive, exchange.send)
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
            await self._app(scope, exchange.receive, exchange.send)

    def _check(self, path: str, headers: Mapping[str, str]) -> None:
        hosts, host = self.access.hosts, headers.get("host", "")
        if hosts is not None and host_name(host) not in hosts:
            raise RefusedError(
                421,
                f"this server is {' or '.join(hosts)}, not {host_name(host)[:80]!r}: use that "
                "address, or start it with --host",
                code="host",
            )
        key = self.access.api_key
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


def _headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
