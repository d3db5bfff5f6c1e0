"""The process that accepts the server's connections: answers /health, hands on all others.

Whatever holds Python's global lock in the server holds up its event loop too; this process has a
lock and a loop of its own and does next to nothing, so its answer comes at once. A connection that
asks for anything else is handed to the server as it is, its bytes unread (`SCM_RIGHTS`). What
/health says is the server's last state; when it has sent none for a while, it hangs, and that
is reported. Ends when the server ends, however that ends.

Run by its path, `python -I acceptor.py LISTENER CONTROL HOSTS`, with two inherited file descriptors
and the names that a Host header may hold as JSON. Imports nothing of vlm3, so that it starts at
once and takes little memory.
"""

import json
import re
import selectors
import signal
import socket
import sys
import time
from collections import deque
from email.utils import formatdate
from itertools import islice

# A connection that says nothing is closed after so long.
IDLE_SECONDS = 20
# The server sends its state ten times a second; without a word for so long it hangs.
SILENCE_SECONDS = 10.0
STOP = b"stop"

# Connections that have sent nothing yet; of more, the oldest is closed.
_MOST_SILENT = 512
# Connections that the server has not taken yet; with more, none is accepted.
_MOST_WAITING = 512
_ACCEPTED_AT_ONCE = 64
_HEAD_BYTES = 8192
_REQUEST_LINE = b"GET /health HTTP/1.1"
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)")
# With one of these a request is not as simple as it looks.
_NOT_SIMPLE = {b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
_REASONS = {200: "OK", 503: "Service Unavailable"}


def health_request(peeked: bytes, hosts: frozenset[str] | None) -> tuple[int, bool] | None:
    """Whether a connection begins with a plain request for /health.

    Args:
        peeked: what has arrived.
        hosts: names that the Host header may hold; None allows any.

    Returns:
        The request's bytes, and whether the connection is closed after it; None for anything
        else, however little is wrong with it: the server has the parser.
    """
    end = peeked.find(b"\r\n\r\n")
    if end < 0:
        return None
    line, *rest = peeked[:end].split(b"\r\n")
    if line != _REQUEST_LINE:
        return None
    headers: dict[bytes, bytes] = {}
    for text in rest:
        match = _HEADER.fullmatch(text)
        name = b"" if match is None else match[1].lower()
        if match is None or name in headers or name in _NOT_SIMPLE:
            return None
        headers[name] = match[2].strip(b" \t")
    host = headers.get(b"host", b"").decode("latin-1")
    if not host or (hosts is not None and host_name(host) not in hosts):
        return None
    connection = headers.get(b"connection", b"keep-alive").lower()
    if connection not in (b"keep-alive", b"close"):
        return None
    return end + 4, connection == b"close"


def host_name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


class Acceptor:
    """Accepts connections until the server stops.

    Args:
        listener: the listening socket.
        control: a stream to the server: connections go there, lines of its state come back, each a
            status, a space and a JSON object.
        hosts: names that the Host header may hold; None allows any.
    """

    def __init__(
        self, listener: socket.socket, control: socket.socket, hosts: frozenset[str] | None
    ) -> None:
        self._listener, self._control, self._hosts = listener, control, hosts
        self._selector = selectors.DefaultSelector()
        # In the order of their arrival or last answer: until when they may say nothing.
        self._silent: dict[socket.socket, float] = {}
        self._waiting: deque[socket.socket] = deque()
        self._lines = b""
        self._state, self._told = b"", 0.0
        self._accepting = self._stopping = False
        for one in (listener, control):
            one.setblocking(False)
        self._selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Returns when the server has ended or has sent stop and has all connections."""
        while not (self._stopping and not self._waiting):
            self._accept_or_not()
            for key, events in self._selector.select(1.0):
                if key.fileobj is self._control:
                    if events & selectors.EVENT_READ and not self._listen():
                        return
                    self._hand_on()
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._silent:
                    self._look_at(key.fileobj)
            self._close_idle(time.monotonic())

    def _accept_or_not(self) -> None:
        wanted = bool(self._told) and not self._stopping and len(self._waiting) < _MOST_WAITING
        if wanted and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
        if self._accepting and not wanted:
            self._selector.unregister(self._listener)
        self._accepting = wanted

    def _listen(self) -> bool:
        """Reads what the server says; False when it has ended."""
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, self._lines = (self._lines + data).split(b"\n")
        for line in lines:
            if line == STOP:
                self._stopping = True
                self._accept_or_not()
                self._listener.close()
            else:
                self._state, self._told = line, time.monotonic()
        return bool(data)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError:
                # No file descriptor or memory is left: the oldest that says nothing gives its own.
                if not self._close_oldest():
                    time.sleep(0.01)
                return
            connection.setblocking(False)
            self._wait_for(connection)
            if len(self._silent) > _MOST_SILENT:
                self._close_oldest()
            # Most have sent their request by now.
            self._look_at(connection)

    def _wait_for(self, connection: socket.socket) -> None:
        if connection not in self._silent:
            self._selector.register(connection, selectors.EVENT_READ)
        # To the end of the line.
        self._silent.pop(connection, None)
        self._silent[connection] = time.monotonic() + IDLE_SECONDS

    def _forget(self, connection: socket.socket) -> None:
        del self._silent[connection]
        self._selector.unregister(connection)

    def _close(self, connection: socket.socket) -> None:
        self._forget(connection)
        connection.close()

    def _close_oldest(self) -> bool:
        for connection in islice(self._silent, 1):
            self._close(connection)
            return True
        return False

    def _close_idle(self, now: float) -> None:
        while self._silent and next(iter(self._silent.values())) < now:
            self._close_oldest()

    def _look_at(self, connection: socket.socket) -> None:
        """A connection has something to say: answered, handed on, or closed with its client."""
        try:
            peeked = connection.recv(_HEAD_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            self._close(connection)
            return
        asked = health_request(peeked, self._hosts)
        try:
            if not peeked:
                self._close(connection)
            elif asked is None:
                self._forget(connection)
                self._waiting.append(connection)
                self._hand_on()
            else:
                size, last = asked
                connection.recv(size)
                answer = self._answer(last)
                # A client that does not take a few hundred bytes takes no answer at all.
                if connection.send(answer) < len(answer) or last:
                    self._close(connection)
                else:
                    self._wait_for(connection)
        except OSError:
            self._close(connection)

    def _answer(self, last: bool) -> bytes:
        status, _, body = self._state.partition(b" ")
        code = int(status)
        if time.monotonic() - self._told > SILENCE_SECONDS:
            code, body = (
                503,
                json.dumps(json.loads(body) | {"status": "hanging"}, allow_nan=False).encode(),
            )
        head = (
            f"HTTP/1.1 {code} {_REASONS[code]}\r\ndate: {formatdate(usegmt=True)}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        )
        return head.encode() + (b"connection: close\r\n" if last else b"") + b"\r\n" + body

    def _hand_on(self) -> None:
        """Gives the server the connections that wait for it, as far as it takes them."""
        while self._waiting:
            try:
                socket.send_fds(self._control, [b"c"], [self._waiting[0].fileno()])
            except BlockingIOError:
                break
            except OSError:
                # So many are on their way that the system allows no more; or the server has
                # ended, which the next reading shows.
                break
            self._waiting.popleft().close()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._waiting else 0)
        self._selector.modify(self._control, events)


def main() -> None:
    """The process."""
    # With the server's whole group; it ends when the server has ended.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    listener, control = (socket.socket(fileno=int(text)) for text in sys.argv[1:3])
    hosts = json.loads(sys.argv[3])
    Acceptor(listener, control, None if hosts is None else frozenset(hosts)).run()


if __name__ == "__main__":
    main()
