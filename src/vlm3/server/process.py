"""The process around the application: uvicorn, connections that say nothing, a quiet end."""

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
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

# Requests under way are finished for so long after SIGINT or SIGTERM, then cut. With what the end
# takes besides it stays below the 30 s that container runtimes wait before they kill.
SECONDS_TO_END = 20
# Without a whole request head, or with an answer that is not taken, a connection lasts so long.
IDLE_SECONDS = 20
# Read from a connection at once. A body in pieces of one byte is a Python object a byte: a larger
# read would keep the event loop from everyone else.
_READ_BYTES = 16 * 1024
# How often a thread must let others have Python's global lock when they wait for it: shorter than
# the default of 5 ms, because the event loop waits behind every thread that prepares questions.
_SWITCH_SECONDS = 0.001


def serve(app: ASGIApp, bound: socket.socket, *, quiet: bool) -> int | None:
    """Serves until SIGINT or SIGTERM; requests under way are then finished first, for a while.

    Returns:
        The signal that ended it.
    """
    server = Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            loop="asyncio",
            log_level="warning" if quiet else "info",
            access_log=not quiet,
            server_header=False,
            limit_concurrency=1024,
            timeout_graceful_shutdown=SECONDS_TO_END,
        )
    )
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


class Protocol(H11Protocol):
    """HTTP/1.1 of a client that may be hostile."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_BYTES
        super().connection_made(transport)


class Server(uvicorn.Server):
    """uvicorn's server, which remembers its signal and closes connections that say nothing."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended_by: int | None = None
        # Of every connection without a request: its last one, and since when.
        self._idle: dict[Any, tuple[Any, float]] = {}

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends the server; a second Ctrl-C cuts what is under way.

        uvicorn's own would send the signal again when all is done, which then reads as a failure.
        """
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        self.ended_by = self.ended_by or sig

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finishes what is under way, for a while, and ends the threads."""
        await super().shutdown(sockets)
        if self.force_exit:
            # uvicorn leaves this out then, but what waits must not keep the process alive.
            await self.lifespan.shutdown()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
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
