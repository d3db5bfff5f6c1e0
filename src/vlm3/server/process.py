"""The process around the application: uvicorn, connections that say nothing, a quiet end.

Connections are accepted by a process of its own (`acceptor`), which answers /health itself.
"""

import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vlm3.server.accepting import Accepting, available
from vlm3.server.acceptor import IDLE_SECONDS
from vlm3.server.middleware import Guard

# Requests under way are finished for so long after SIGINT or SIGTERM, then cut. With what the end
# takes besides it stays below the 30 s that container runtimes wait before they kill.
SECONDS_TO_END = 20
# Read from a connection at once. A body in pieces of one byte is a Python object a byte: a larger
# read would keep the event loop from everyone else.
_READ_BYTES = 16 * 1024
# A body of declared length comes in one piece a read, whatever its size. In reads of 16 KiB, a
# large one took longer than it may, as soon as others kept the event loop busy: every read waits
# for a few of its rounds.
_READ_BODY_BYTES = 1024 * 1024
# How often a thread must let others have Python's global lock when they wait for it: shorter than
# the default of 5 ms, because the event loop waits behind every thread that prepares questions.
_SWITCH_SECONDS = 0.001


def serve(app: Guard, bound: socket.socket, *, quiet: bool) -> int | None:
    """Serves until SIGINT or SIGTERM; requests under way are then finished first, for a while.

    Returns:
        The signal that ended it.
    """
    server = server_of(app, quiet=quiet)
    log = logging.getLogger("uvicorn.error")
    before = sys.getswitchinterval()
    # Looking through all that the model and its libraries consist of took 0.7 s and held everyone
    # up; none of it becomes garbage while the server runs.
    gc.collect()
    gc.freeze()
    try:
        sys.setswitchinterval(_SWITCH_SECONDS)
        log.addFilter(_not_about_cutting)
        server.run(sockets=[bound])
    finally:
        log.removeFilter(_not_about_cutting)
        gc.unfreeze()
        sys.setswitchinterval(before)
    return server.ended_by


def server_of(app: Guard, *, quiet: bool) -> "Server":
    """The server around the application, not started."""
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws="none",
        loop="asyncio",
        log_level="warning" if quiet else "info",
        access_log=not quiet,
        server_header=False,
        limit_concurrency=1024,
        timeout_graceful_shutdown=SECONDS_TO_END,
    )
    return Server(config, app)


class HttpProtocol(H11Protocol):
    """HTTP/1.1 of a client that may be hostile."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        # Of the request under way: bytes of its body still to come, where its length is declared.
        self._body_of: Any = None
        self._body_left = 0
        super().connection_made(transport)
        self._read_at_most(_READ_BYTES)

    def data_received(self, data: bytes) -> None:
        """Something has come; how much is read next depends on what is still to come."""
        super().data_received(data)
        if self.cycle is self._body_of:
            self._body_left -= len(data)
        else:
            self._body_of = self.cycle
            self._body_left = _told_length(self.headers) - len(self.cycle.body)
        # Never far beyond the body: what comes after it may be in small pieces again.
        self._read_at_most(min(max(self._body_left, _READ_BYTES), _READ_BODY_BYTES))

    def _read_at_most(self, size: int) -> None:
        if hasattr(self.transport, "max_size"):
            self.transport.max_size = size


def _told_length(headers: list[tuple[bytes, bytes]]) -> int:
    """Bytes of a request's body; 0 where it comes in chunks, or there is none."""
    named = dict(headers)
    length = named.get(b"content-length", b"")
    return int(length) if b"transfer-encoding" not in named and length.isdigit() else 0


class Server(uvicorn.Server):
    """uvicorn's server, which remembers its signal and closes connections that say nothing.

    Args:
        config: uvicorn's.
        app: the application, which says how it is and who may ask.
    """

    def __init__(self, config: uvicorn.Config, app: Guard) -> None:
        super().__init__(config)
        self.ended_by: int | None = None
        self._app = app
        self._accepting: Accepting | None = None
        # Of every connection without a request: its last one, and since when.
        self._idle: dict[Any, tuple[Any, float]] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; where the system can hand connections on, an acceptor has the socket."""
        if sockets is None or not available():
            await super().startup(sockets)
            return
        (bound,) = sockets
        bound.listen(self.config.backlog)
        # Accepts nothing before it has the server's state.
        self._accepting = Accepting(bound, self._app.access.hosts, self._connected, self._alone)
        await super().startup([])

    @property
    def acceptor_pid(self) -> int | None:
        """The process that accepts connections for this one, if there is one."""
        return None if self._accepting is None else self._accepting.pid

    def _connected(self) -> asyncio.Protocol:
        # What uvicorn makes for connections that it accepts itself.
        return HttpProtocol(self.config, self.server_state, self.lifespan.state)

    async def _alone(self, bound: socket.socket) -> None:
        """Goes on without the acceptor, which has ended."""
        logging.getLogger("uvicorn.error").warning(
            "the process that accepts connections has ended; the server accepts them itself, and "
            "/health waits in line with other requests"
        )
        loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(self._connected, sock=bound))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends the server; a second Ctrl-C cuts what is under way.

        uvicorn's own would send the signal again when all is done, which then reads as a failure.
        """
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        self.ended_by = self.ended_by or sig

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finishes what is under way, for a while, and ends the threads."""
        if self._accepting is not None:
            await self._accepting.stop()
        await super().shutdown(sockets)
        if self.force_exit:
            # uvicorn leaves this out then, but what waits must not keep the process alive.
            await self.lifespan.shutdown()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if self._accepting is not None:
            self._accepting.tell(*self._app.health())
        if counter % 10 == 0:
            self.close_idle(time.monotonic())
        return await super().on_tick(counter)

    def close_idle(self, now: float) -> None:
        """Closes connections that have been without a request, or closing, for too long."""
        idle = {}
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if connection.transport.is_closing() or cycle is None or cycle.response_complete:
                last, since = self._idle.get(connection, (cycle, now))
                idle[connection] = (cycle, since if last is cycle else now)
        self._idle = idle
        for connection, (_, since) in idle.items():
            if now - since > IDLE_SECONDS:
                connection.transport.abort()


def _not_about_cutting(record: logging.LogRecord) -> bool:
    """Requests that are cut at the end are meant to be: no error and no trace-back in the log."""
    error = record.exc_info[1] if record.exc_info else None
    cut = isinstance(error, asyncio.CancelledError) or "running task(s)" in str(record.msg)
    return not cut


def exit_code(ended_by: int | None) -> int:
    """Of a process that a signal ended: 130 after Ctrl-C, as shells have it; 0 after SIGTERM."""
    return 130 if ended_by == signal.SIGINT else 0
