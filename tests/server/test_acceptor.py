"""Who accepts connections: /health at once whatever the server does, all others untouched."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="the extra app is not installed")

from app_serving import Slow, data_url, noise, predictor_of, running

from vlm3.server import acceptor
from vlm3.server.acceptor import Acceptor, health_request
from vlm3.server.application import create_app
from vlm3.server.middleware import Access
from vlm3.server.process import server_of

ONE = {"image": {"url": data_url(noise(0)), "fov_deg": 60}, "points_px": [[10, 20]]}
PLAIN = b"GET /health HTTP/1.1\r\nHost: localhost:80\r\nAccept: */*\r\n\r\n"
HEADS = [
    PLAIN,
    PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\nX-A:\r\n\r\nGET / HTTP/1.1\r\n"),
]
PIECES = [
    b"\r\n", b"\n", b" ", b":", b"\t", b"\0", b"/", b"?", b"GET", b"HEAD", b"Host: b\r\n", b"\xff",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\n", b"1.0", b"health",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_what_is_taken_for_health_is_that_to_a_parser_too(data: st.DataObject) -> None:
    """h11 is the oracle: the same end, the same path, no body, the same word about closing."""
    head = bytearray(data.draw(st.sampled_from(HEADS)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(head)))
        cut = data.draw(st.sampled_from([0, 0, 1, 4]))
        head[at : at + cut] = data.draw(st.sampled_from(PIECES) | st.binary(max_size=3))
    found = health_request(bytes(head), frozenset({"localhost"}))
    if found is None:
        return
    size, last = found
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(bytes(head[:size]))
    request, end = parser.next_event(), parser.next_event()
    assert isinstance(request, h11.Request) and isinstance(end, h11.EndOfMessage)
    assert (request.method, request.target, request.http_version) == (b"GET", b"/health", b"1.1")
    hosts = [value for name, value in request.headers if name == b"host"]
    assert len(hosts) == 1 and hosts[0].partition(b":")[0].lower() == b"localhost"
    assert last == (parser.their_state is h11.MUST_CLOSE)
    assert parser.trailing_data[0] == b""


@pytest.mark.parametrize("head", HEADS)
def test_plain_ones_are_taken(head: bytes) -> None:
    for hosts in (frozenset({"localhost"}), None):
        found = health_request(head, hosts)
        end = head.index(b"\r\n\r\n") + 4
        assert found is not None and found[0] == end
    assert health_request(head, frozenset({"example.org"})) is None
    assert health_request(head[: end - 1], None) is None


@dataclass
class Far:
    """The other side of an acceptor that runs in a thread here."""

    port: int
    control: socket.socket
    thread: threading.Thread
    taken: list[socket.socket] = field(default_factory=list)

    def connect(self, data: bytes) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        made.sendall(data)
        return made

    def take(self) -> socket.socket:
        _, (descriptor,), _, _ = socket.recv_fds(self.control, 1, 1)
        self.taken.append(socket.socket(fileno=descriptor))
        self.taken[-1].settimeout(10)
        return self.taken[-1]


@contextmanager
def accepting() -> Iterator[Far]:
    listener, (near, far) = socket.socket(), socket.socketpair()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    near.settimeout(10)
    made = Acceptor(listener, far, None)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    near.sendall(b'200 {"status": "ok"}\n')
    far_side = Far(listener.getsockname()[1], near, thread)
    yield far_side
    near.close()
    thread.join(10)
    assert not thread.is_alive()
    for one in (listener, far, *far_side.taken):
        one.close()


@pytest.fixture
def behind() -> Iterator[Far]:
    with accepting() as far_side:
        yield far_side


def answer(connection: socket.socket) -> tuple[int, Any]:
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/health", headers=[("Host", "a")]))
    status, body = 0, b""
    while not isinstance(event := parser.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            parser.receive_data(connection.recv(4096))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
    return status, json.loads(body)


def comes_to_say(connection: socket.socket, status: str) -> int:
    """Asks until the answer says that; its code."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        connection.sendall(PLAIN)
        code, record = answer(connection)
        if record["status"] == status:
            return code
    raise AssertionError(f"never {status}")


def test_a_connection_is_answered_as_long_as_it_asks_how_the_server_is(behind: Far) -> None:
    with behind.connect(PLAIN) as connection:
        assert answer(connection) == (200, {"status": "ok"})
        behind.control.sendall(b'503 {"status": "stop')
        time.sleep(0.05)
        behind.control.sendall(b'ping"}\n')
        assert comes_to_say(connection, "stopping") == 503
        connection.sendall(b"POST /health HTTP/1.1\r\n")
        assert behind.take().recv(99) == b"POST /health HTTP/1.1\r\n"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5))
def test_all_else_is_handed_on_to_the_byte(texts: list[bytes]) -> None:
    with accepting() as behind:
        connections = [behind.connect(text) for text in texts]
        for connection in connections:
            connection.shutdown(socket.SHUT_WR)
        # In the order in which they said something, which need not be that of their arrival.
        came = []
        for _ in texts:
            with behind.take() as taken:
                data = b""
                while part := taken.recv(4096):
                    data += part
                came.append(data)
                taken.sendall(data[::-1])
        assert sorted(came) == sorted(texts)
        for connection, text in zip(connections, texts, strict=True):
            with connection:
                assert connection.recv(4096) == text[::-1]


def test_a_server_that_tells_nothing_hangs(behind: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "SILENCE_SECONDS", 0.1)
    with behind.connect(b"") as connection:
        time.sleep(0.3)
        connection.sendall(PLAIN)
        assert answer(connection) == (503, {"status": "hanging"})
        monkeypatch.setattr(acceptor, "SILENCE_SECONDS", 60)
        behind.control.sendall(b'200 {"status": "well again"}\n')
        assert comes_to_say(connection, "well again") == 200


def test_connections_that_say_nothing_are_closed(
    behind: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "_MOST_SILENT", 2)
    silent = [behind.connect(b"") for _ in range(5)]
    assert [connection.recv(1) for connection in silent[:3]] == [b""] * 3
    silent[4].sendall(PLAIN)
    assert answer(silent[4])[0] == 200
    monkeypatch.setattr(acceptor, "IDLE_SECONDS", 0.1)
    silent.append(behind.connect(PLAIN))
    assert answer(silent[5])[0] == 200
    behind.connect(PLAIN).close()
    assert silent[5].recv(1) == b""
    for connection in silent:
        connection.close()


def test_at_the_end_what_was_accepted_is_handed_on(behind: Far) -> None:
    """More than the stream to the server holds, which begins to read after it has said stop."""
    connections = [behind.connect(b"%d" % number) for number in range(500)]
    time.sleep(0.3)
    behind.control.sendall(acceptor.STOP + b"\n")
    came = sorted(int(behind.take().recv(9)) for _ in connections)
    assert came == list(range(500))
    behind.thread.join(10)
    assert not behind.thread.is_alive()
    with pytest.raises(OSError):
        behind.connect(b"")
    for connection in connections:
        connection.close()


def timed(client: Any, seconds: float) -> list[float]:
    waits, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        assert client("/health")[0] == 200
        waits.append(time.perf_counter() - began)
    return waits


def test_health_waits_for_nobody() -> None:
    """An event loop that stands still for two seconds, in a server as `vlm3 serve` has it."""
    application = create_app(predictor_of(Slow()), access=Access(hosts=("127.0.0.1",)))
    server = server_of(application, quiet=True)
    with running(server) as client:
        assert client("/v1/depth", ONE)[0] == 200
        assert client("/health")[1]["model"] == "slow"
        assert client("/health", Host="example.org")[0] == 421
        blocked = threading.Event()

        healthy = application.health

        def block() -> tuple[int, dict[str, object]]:
            """Called by the event loop, which tells the acceptor how the server is."""
            application.health = healthy
            blocked.set()
            time.sleep(2)
            return healthy()

        application.health = block
        assert blocked.wait(10)
        waits = timed(client, 1.5)
        # A machine with others on it may be late by itself, but not always.
        assert sorted(waits)[len(waits) // 2] < 0.1
        assert client("/v1/depth", ONE)[0] == 200


def test_a_server_goes_on_without_the_acceptor() -> None:
    server = server_of(create_app(predictor_of(Slow())), quiet=True)
    with running(server) as client:
        pid = server.acceptor_pid
        assert pid is not None and client("/v1/depth", ONE)[0] == 200
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 10
        while not server.servers:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert client("/v1/depth", ONE)[0] == 200
        assert client("/health")[0] == 200
