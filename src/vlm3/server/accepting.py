"""The server's end of `acceptor`: starts it, takes its connections, sends it the server's state."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from vlm3.server import acceptor

# Connections taken in one go; the event loop has other things to do between.
_TAKEN_AT_ONCE = 64
# The acceptor hands on what it has and ends; longer it is not waited for.
_SECONDS_TO_END = 2.0


def available() -> bool:
    """Whether this system can hand an open connection from one process to another."""
    return hasattr(socket, "send_fds") and bool(sys.executable)


class Accepting:
    """A process that accepts connections for this one. Made in a running event loop.

    Args:
        listener: the listening socket.
        hosts: names that the Host header may hold; None allows any.
        connected: makes what serves a connection.
        ended: called with the listening socket when the process ends by itself.
    """

    def __init__(
        self,
        listener: socket.socket,
        hosts: Sequence[str] | None,
        connected: Callable[[], asyncio.Protocol],
        ended: Callable[[socket.socket], Awaitable[None]],
    ) -> None:
        self._listener, self._connected, self._when_ended = listener, connected, ended
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Future[None]] = set()
        self._ended = asyncio.Event()
        self._stopping = False
        self._control, far = socket.socketpair()
        self._control.setblocking(False)
        with far:
            inherited = (listener.fileno(), far.fileno())
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    acceptor.__file__,
                    *map(str, inherited),
                    json.dumps(hosts, allow_nan=False),
                ],
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self.pid = self._process.pid
        self._loop.add_reader(self._control.fileno(), self._take)

    def tell(self, status: int, record: dict[str, object]) -> None:
        """What /health says from now on."""
        self._say(f"{status} {json.dumps(record, allow_nan=False)}".encode())

    async def stop(self) -> None:
        """Accepts nothing any more; what has been accepted is taken first."""
        self._stopping = True
        self._say(acceptor.STOP)
        try:
            async with asyncio.timeout(_SECONDS_TO_END):
                await self._ended.wait()
        except TimeoutError:
            self._process.kill()
            self._end()
        await asyncio.to_thread(self._process.wait)

    def _say(self, line: bytes) -> None:
        if self._ended.is_set():
            return
        # Of so few bytes all are taken or none. Where none are, it hangs or has ended: it will be
        # sent again, or `_take` notices.
        with suppress(OSError):
            self._control.send(line + b"\n")

    def _take(self) -> None:
        """Takes connections that were handed on; notices the end."""
        for _ in range(_TAKEN_AT_ONCE):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            for descriptor in descriptors:
                connection = socket.socket(fileno=descriptor)
                connection.setblocking(False)
                self._keep(self._serve(connection))
            if not data:
                self._end()
                return

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._connected, connection)
        except OSError:
            connection.close()  # Its client has gone meanwhile.

    def _end(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        if not self._stopping:
            self._keep(self._when_ended(self._listener))

    def _keep(self, work: Awaitable[None]) -> None:
        # The loop itself remembers tasks only weakly.
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
