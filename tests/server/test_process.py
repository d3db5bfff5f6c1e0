"""The process around the server: its end, and connections that say nothing or take nothing."""

import asyncio
import http.client
import json
import os
import signal
import socket
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")

import uvicorn
from app_serving import Client, Serve, Slow, data_url, noise, predictor_of, running
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from vlm3.cli.main import main
from vlm3.cli.serve import has_display
from vlm3.server import process
from vlm3.server.application import create_app
from vlm3.server.bodies import Bodies
from vlm3.server.limits import DECODING_BYTES_A_PX, Limits, memory_bytes, pixels_for, stopping
from vlm3.server.middleware import Access

ONE = {"image": {"url": data_url(noise(0)), "fov_deg": 60}, "points_px": [[10, 20]]}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def served_until(
    engine: Slow, signals: list[int], monkeypatch: pytest.MonkeyPatch
) -> tuple[Result, list[Any], float]:
    """`vlm3 serve`, sent those signals while one request is under way.

    Returns:
        What the command said, what the client got, and how long the end took in seconds.
    """
    monkeypatch.setattr("vlm3.infer.loading.load", lambda *_, **__: predictor_of(engine))
    port, got, sent = free_port(), [], []
    client = Client(f"http://127.0.0.1:{port}")

    def ask() -> None:
        try:
            got.append(client("/v1/depth", ONE)[0])
        except OSError as error:
            got.append(type(error).__name__)

    def end() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                client("/health")
                break
            except OSError:
                time.sleep(0.05)
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        while not engine.calls and time.monotonic() < until:
            time.sleep(0.01)
        sent.append(time.monotonic())
        for number in signals:
            os.kill(os.getpid(), number)
            time.sleep(0.3)
        if len(signals) == 1 and process.SECONDS_TO_END > 1:
            engine.gate.set()
        asking.join(20)

    engine.gate.clear()
    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    result = CliRunner().invoke(main, ["serve", "--port", str(port)])
    took = time.monotonic() - sent[0]
    engine.gate.set()
    thread.join(20)
    return result, got, took


def said_nothing_wrong(result: Result) -> None:
    assert "rror" not in result.output and "Traceback" not in result.output, result.output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_what_is_under_way_is_finished_first(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, got, _ = served_until(Slow(), [number], monkeypatch)
    assert (result.exit_code, got) == (code, [200])
    said_nothing_wrong(result)


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_what_takes_too_long_is_cut(signals: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that never answers: after the time is up, or after a second Ctrl-C."""
    monkeypatch.setattr(process, "SECONDS_TO_END", 1 if len(signals) == 1 else 60)
    monkeypatch.setattr("vlm3.server.broker._SECONDS_TO_CLOSE", 0.2)
    result, got, took = served_until(Slow(), signals, monkeypatch)
    assert result.exit_code == (0 if len(signals) == 1 else 130)
    assert got == [503]
    assert took < 10
    said_nothing_wrong(result)


def test_connections_without_a_request_are_closed_and_busy_ones_are_not() -> None:
    aborted = []

    class Connection:
        def __init__(self, name: str, cycle: Any, closing: bool = False) -> None:
            self.cycle = cycle
            self.transport = SimpleNamespace(
                is_closing=lambda: closing, abort=lambda: aborted.append(name)
            )

    done, open_ = SimpleNamespace(response_complete=True), SimpleNamespace(response_complete=False)
    kept = Connection("kept", done)
    server = process.server_of(create_app(predictor_of(Slow())), quiet=True)
    server.server_state.connections = {
        Connection("silent", None),
        Connection("over", done),
        Connection("busy", open_),
        Connection("stuck", open_, closing=True),
        kept,
    }  # type: ignore[assignment]
    for second in range(process.IDLE_SECONDS + 2):
        # It was always idle when looked at, but answered something in between.
        kept.cycle = SimpleNamespace(response_complete=True)
        server.close_idle(float(second))
    assert sorted(aborted) == ["over", "silent", "stuck"]


def test_an_answer_that_is_not_taken_is_given_up(serve: Serve) -> None:
    client = serve(Slow(), limits=Limits(body_timeout_s=0.5))
    picture = {"url": data_url(noise(1, 1600, 1200), "JPEG"), "fov_deg": 60}
    host, port = client.url.removeprefix("http://").split(":")
    body = json.dumps({"image": picture, "preview_side_px": 2048}).encode()
    head = (
        f"POST /v1/picture HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.connect((host, int(port)))
    with lazy:
        lazy.sendall(head.encode() + body)
        until = time.monotonic() + 20
        time.sleep(0.5)
        while client("/health")[1]["requests"]:
            assert time.monotonic() < until
            time.sleep(0.05)
    assert client("/v1/depth", ONE)[0] == 200


# The part of a body that is sent before the rest, bytes; more than the system buffers.
PART, REST = 4096, 12_000_000
# A body that takes so long is refused, and one that pauses as long once more is not read on.
SLOW_S = 0.6
REFUSALS: list[tuple[int, str, dict[str, str], dict[str, Any]]] = [
    (404, "/v1/none", {}, {}),
    (405, "/v1/models", {}, {}),
    (415, "/v1/depth", {"Content-Type": "text/plain"}, {}),
    (421, "/v1/depth", {"Host": "example.org"}, {}),
    (401, "/v1/depth", {"Authorization": "Bearer none"}, {}),
    (429, "/v1/depth", {}, {"all_bodies_bytes": 100}),
    (413, "/v1/depth", {}, {"body_bytes": REST // 3}),
    (413, "/v1/depth", {}, {}),
    (408, "/v1/depth", {}, {"body_timeout_s": SLOW_S}),
    (503, "/v1/depth", {}, {}),
]


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize(("status", "path", "headers", "limited"), REFUSALS)
def test_who_sends_first_and_reads_then_sees_why_it_is_refused(
    status: int, path: str, headers: dict[str, str], limited: dict[str, Any], close: bool
) -> None:
    """Never a reset, whoever refuses, and however late the rest of the body comes."""
    access = Access("key", hosts=("127.0.0.1",))
    app = create_app(predictor_of(Slow()), limits=Limits(**limited), access=access)
    head = {
        "Host": "127.0.0.1",
        "Authorization": "Bearer key",
        "Content-Type": "application/json",
        "Content-Length": str(PART + REST),
        **({"Connection": "close"} if close else {}),
        **headers,
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    with ExitStack() as stack:
        client = stack.enter_context(running(process.server_of(app, quiet=True)))
        if status == 503:
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(Bodies, "parsed", ended)
        port = int(client.url.rpartition(":")[2])
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + b" " * PART)
        time.sleep(1.5 * SLOW_S if status == 408 else 0.1)
        connection.sendall(b"[" * REST)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        said = json.loads(answer.read())["error"]["message"]
        assert (answer.status, "\n" in said) == (status, False)
        if not close:
            # Nothing of the body is taken for another request.
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.status, json.loads(answer.read())["status"]) == (200, "ok")


@pytest.mark.parametrize("pause", [0.02, 0.4])
def test_a_refused_client_that_never_ends_is_cut(pause: float) -> None:
    """It has its answer; what it sends is read on for a while only, in drops or after a silence."""
    limits = Limits(body_timeout_s=0.2, timeout_s=0.5)
    app = create_app(predictor_of(Slow()), limits=limits)
    with running(process.server_of(app, quiet=True)) as client:
        port = int(client.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(
                b"POST /v1/none HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                b"Connection: close\r\nContent-Length: 1000\r\n\r\n"
            )
            assert connection.recv(4096).startswith(b"HTTP/1.1 404")
            began = time.monotonic()
            with pytest.raises(OSError):
                for _ in range(1000):
                    connection.sendall(b" ")
                    time.sleep(pause)
            assert time.monotonic() - began < 5


def ended(*_: Any) -> Any:
    raise stopping()


def test_a_client_that_asks_before_it_sends_is_told_at_once() -> None:
    """`Expect: 100-continue`: a refusal comes without the body, which is then not waited for."""
    app = create_app(predictor_of(Slow()), limits=Limits(body_bytes=9))
    head = (
        "POST /v1/depth HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n"
    )
    with running(process.server_of(app, quiet=True)) as client:
        port = int(client.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(head.encode())
            came = b""
            while part := connection.recv(4096):
                came += part
    assert came.startswith(b"HTTP/1.1 413 ") and b"connection: close" in came


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    pass


class FakeTransport:
    max_size = 0

    def get_extra_info(self, name: str) -> None:
        return None

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        pass

    pause_reading = resume_reading = close = lambda self: None


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(max_size=9000) | st.integers(0, 3_000_000).map(bytes),
    chunked=st.booleans(),
    first=st.integers(1, 50_000),
)
def test_no_more_is_read_at_once_than_the_body_has(body: bytes, chunked: bool, first: int) -> None:
    """Of a body whose length was told, in few reads; of anything else no more than 16 KiB."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    head = b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n"
    if chunked:
        body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        body += b"0\r\n\r\n"
    data = head + body + b"GET /next HTTP/1.1\r\n"
    reads = 0

    async def read() -> None:
        nonlocal reads
        config = uvicorn.Config(nothing, http=process.HttpProtocol)
        protocol = process.HttpProtocol(config, ServerState(), {})
        transport = FakeTransport()
        protocol.connection_made(transport)  # type: ignore[arg-type]
        at = 0
        while at < len(data):
            size = min(transport.max_size, first) if at == 0 else transport.max_size
            left = max(len(head) + len(body) - at, 0)
            assert size <= 16384 if chunked else size <= max(left, 16384)
            protocol.data_received(data[at : at + size])
            if protocol.cycle is not None:
                protocol.cycle.body.clear()
            at += size
            reads += 1

    asyncio.run(read())
    if not chunked:
        assert reads <= 7


def test_a_body_in_pieces_of_a_byte_holds_nobody_up(serve: Serve) -> None:
    client = serve(Slow())
    host, port = client.url.removeprefix("http://").split(":")
    head = b"POST /v1/depth HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    pieces = b"1\r\n \r\n" * 20_000
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
        assert b" 400 " in slow.recv(1000)


@pytest.mark.parametrize(
    ("gib", "wanted_mp", "one_mp"), [(16, 50, 50), (4, 50, 41.3), (1, 150, 10.3), (1024, 150, 150)]
)
def test_pictures_fit_the_memory(gib: float, wanted_mp: float, one_mp: float) -> None:
    one, together = pixels_for(int(gib * 2**30), int(wanted_mp * 1e6))
    assert one / 1e6 == pytest.approx(one_mp, abs=0.05)
    assert one * DECODING_BYTES_A_PX <= gib * 2**30 / 4 + 26
    assert 2 * one <= together <= 300_000_000
    assert 2**20 < memory_bytes() <= 2**40


@pytest.mark.parametrize(
    ("platform", "names", "shown"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ""}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("darwin", {}, True),
    ],
)
def test_a_browser_is_opened_where_there_is_a_display(
    monkeypatch: pytest.MonkeyPatch, platform: str, names: dict[str, str], shown: bool
) -> None:
    """Elsewhere `xdg-open` prints seven lines about browsers that it did not find."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert has_display() is shown
