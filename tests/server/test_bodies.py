"""Bodies: what is parsed, what is refused before, and that the event loop goes on meanwhile."""

import asyncio
import base64
import gc
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="the extra app is not installed")

from app_serving import Client, Serve, Slow, data_url, noise, predictor_of, serving
from pydantic import BaseModel, ConfigDict

from vlm3.errors import InputError
from vlm3.server.body_parsing import parse
from vlm3.server.limits import Limits, RefusedError
from vlm3.server.schema.chat import ChatRequest
from vlm3.server.schema.fields import LONG_TEXT_BYTES
from vlm3.server.schema.requests import DepthRequest, PictureRequest
from vlm3.server.uploads import picture_bytes

MIB = 2**20
PICTURE = {"url": data_url(noise(0)), "fov_deg": 60}
LONG = base64.b64encode(random.Random(0).randbytes(LONG_TEXT_BYTES)).decode()
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/depth": {"image": PICTURE, "points_px": [[1, 2], [3.5, 4.5]]},
    "/v1/depth_map": {"image": PICTURE, "columns": 2, "rows": 2},
    "/v1/measure": {"image": PICTURE, "pairs_px": [[[1, 2], [30, 4]]], "boxes_px": [[1, 2, 9, 9]]},
    "/v1/match": {"image_a": PICTURE, "image_b": PICTURE, "points_px": [[1, 2]]},
    "/v1/pose": {"image_a": PICTURE, "image_b": PICTURE, "check": True},
    "/v1/objects": {"image": PICTURE, "question": "How wide is {0}?", "boxes_px": [[1, 2, 30, 40]]},
    "/v1/picture": {"image": PICTURE, "preview_side_px": 16},
    "/v1/chat/completions": {"model": "slow", "messages": [{"role": "user", "content": "far?"}]},
}


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")
    beside_pictures_bytes: ClassVar[int] = MIB


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.sampled_from([LONG, f"data:image/png;base64,{LONG}", '"', "\\", '\\"' * 9]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    tree=st.dictionaries(st.text(), JSON, max_size=5),
    escaped=st.booleans(),
    slashes=st.booleans(),
    indent=st.none() | st.integers(0, 4),
)
def test_what_is_parsed_is_what_json_reads(
    tree: dict[str, Any], escaped: bool, slashes: bool, indent: int | None
) -> None:
    """The oracle is `json.loads` of the whole; PHP writes slashes as backslash and slash."""
    text = json.dumps(tree, ensure_ascii=escaped, indent=indent)
    if slashes:
        text = text.replace("/", "\\/")
    try:
        body = text.encode()
    except UnicodeEncodeError:
        return  # Half a surrogate pair, which UTF-8 does not have.
    assert parse(body, Anything, MIB).model_dump() == json.loads(body)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_bytes_that_were_changed_are_parsed_or_refused(data: st.DataObject) -> None:
    body = bytearray(json.dumps({"image": {"url": LONG}, "points_px": [[1, 2]]}).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        cut = data.draw(st.sampled_from([0, 1, 7, len(body)]))
        body[at : at + cut] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b'"', b"\\", b"["])
        )
    try:
        assert isinstance(parse(bytes(body), DepthRequest, MIB), DepthRequest)
    except RefusedError as refusal:
        assert refusal.status in (400, 413)
        assert "\n" not in str(refusal) and len(str(refusal)) < 400


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "no JSON"),
        (b"\xff\xfe", 400, "no JSON"),
        (b'{"image": {"url": "' + b"A" * 99_999, 400, "no JSON"),
        (b"[" * 50_000, 400, "no JSON"),
        (b"[" * 40 + b"]" * 40, 400, "nested more than 32"),
        (b'{"points_px": [[1, ' + b"9" * 9999 + b"]]}", 400, "no JSON"),
        (b'{"image": {"url": "a"}, "points_px": [[1, 1e999]]}', 400, "points_px"),
        (b'{"image": {"url": "a"}, "points_px": [[1, NaN]]}', 400, "points_px"),
        (b'{"image": {"url": "a"}, "points_px": [[1, ' + b"9" * 400 + b"]]}", 400, "points_px"),
        (b'{"image": {"url": "a"}, "points_px": [[1, 1]], "\\ud800": 1}', 400, "unicode"),
        (b'{"points_px": [' + b"[1, 1], " * 99_999 + b"[1, 1]]}", 413, "beside its pictures"),
        (b'{"points_px": [' + b'"' * 30_000 + b"]}", 413, "quotes"),
        (b'{"image": {"url": "' + b"\xc3\xa4" * 50_000 + b'"}}', 400, "no picture"),
        (b'{"image": {"url": "' + b"\\n" * 50_000 + b'"}}', 400, "no picture"),
    ],
)  # fmt: skip
def test_what_no_route_can_use(body: bytes, status: int, says: str) -> None:
    with pytest.raises(RefusedError, match=says) as refused:
        parse(body, DepthRequest, DepthRequest.beside_pictures_bytes)
    assert refused.value.status == status
    assert len(str(refused.value)) < 400


def test_what_a_route_can_use_is_taken() -> None:
    """As many points as allowed, with all their digits, one number a line."""
    rng = random.Random(0)
    points = [[rng.uniform(1000, 9999), rng.uniform(1000, 9999)] for _ in range(4096)]
    body = json.dumps({"image": {"url": LONG[:60_000]}, "points_px": points}, indent=4).encode()
    found = parse(body, DepthRequest, DepthRequest.beside_pictures_bytes)
    assert isinstance(found, DepthRequest) and found.points_px[-1] == tuple(points[-1])
    words = "\U0001f600" * 4000  # Two escapes of six bytes each.
    message = {"role": "user", "content": [{"type": "text", "text": words}]}
    body = json.dumps({"model": "m", "messages": [message]}).encode()
    assert parse(body, ChatRequest, ChatRequest.beside_pictures_bytes)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=50), st.integers(0, 3))
def test_base64_in_steps_is_base64(data: bytes, steps: int) -> None:
    data = bytes(steps * MIB * 3 // 4) + data
    text = base64.b64encode(data).decode()
    assert picture_bytes(f"data:image/png;base64,{text}") == data


def test_a_picture_that_ends_in_the_middle_is_refused() -> None:
    step = base64.b64encode(bytes(MIB * 3 // 4 - 1)).decode()
    assert step.endswith("=")
    for text in (f"{step}AAAA", f"{step[:-1]}", "A=AA", "AA=A", "\u00e4AAA", "AA A"):
        with pytest.raises(InputError, match="base64 cannot be read"):
            picture_bytes(f"data:image/png;base64,{text}")


# The event loop meanwhile.


class Heartbeat:
    """An ASGI application around another: how long its event loop stood still, in seconds.

    Of a beat that came late, what this process was at work for counts: on a machine with others,
    the rest was theirs.
    """

    def __init__(self, app: Any) -> None:
        self.app, self.stalls = app, [0.0]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        beating = None
        if scope["type"] == "lifespan":
            beating = asyncio.ensure_future(self.beat())
        try:
            await self.app(scope, receive, send)
        finally:
            if beating is not None:
                beating.cancel()

    async def beat(self) -> None:
        while True:
            wall, cpu = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.005)
            late = time.perf_counter() - wall - 0.005
            self.stalls.append(min(late, time.process_time() - cpu))


@contextmanager
def heard(**options: Any) -> Iterator[tuple[Client, Heartbeat]]:
    hearts: list[Heartbeat] = []

    def around(app: Any) -> Heartbeat:
        hearts.append(Heartbeat(app))
        return hearts[0]

    # As `vlm3 serve` does: what the tests have loaded is not the server's garbage.
    gc.collect()
    gc.freeze()
    try:
        with serving(predictor_of(Slow()), around=around, **options) as client:
            yield client, hearts[0]
    finally:
        gc.unfreeze()


def test_no_body_holds_up_the_event_loop_or_breaks_a_route() -> None:
    """Changed bodies of every route, and the worst there are; never a 5xx, never a long stall."""
    image = b'{"image": {"url": "' + PICTURE["url"].encode() + b'", "fov_deg": 60}, "points_px": ['  # type: ignore[union-attr]
    size = 12 * MIB
    worst = {
        "points": (413, "/v1/depth", image + b"[12.5, 20.5], " * (size // 14) + b"[1, 1]]}"),
        "allowed": (200, "/v1/depth", image + b"[12.5, 20.5], " * 4095 + b"[1, 1]]}"),
        "digits": (413, "/v1/depth", image + b"[1, 0." + b"1" * size + b"]]}"),
        "brackets": (413, "/v1/match", b"[" * size),
        "empty lists": (400, "/v1/match", image + b"[],[]," * 80_000 + b"1]}"),
        "quotes": (413, "/v1/objects", b'{"question": "' + b'\\"' * (size // 2) + b'"}'),
        "backslashes": (400, "/v1/objects", b'{"question": "' + b"\\" * size + b'"}'),
        "strings": (413, "/v1/chat/completions", b"[" + b'"", ' * (size // 4) + b"1]"),
        "picture": (400, "/v1/picture", b'{"image": {"url": "data:;base64,' + b"A" * size + b'"}}'),
        "escapes": (400, "/v1/picture", b'{"image": {"url": "data:;base64,'
                    + b"\\/" * (size // 2) + b'"}}'),
        "open": (400, "/v1/pose", b'{"image_a": {"url": "' + b"A" * size),
    }  # fmt: skip
    bodies = {path: json.dumps(body).encode() for path, body in REQUESTS.items()}
    rng = random.Random(0)
    with heard() as (client, heart):
        for path, body in bodies.items():
            assert client(path, body)[0] == 200, path
        for name, (status, path, body) in worst.items():
            found = client(path, body)
            assert found[0] == status, (name, found[1])

        @settings(max_examples=120, deadline=None, database=None)
        @given(data=st.data())
        def probe(data: st.DataObject) -> None:
            path = data.draw(st.sampled_from(sorted(bodies)))
            tree = json.loads(bodies[path])
            name = data.draw(st.sampled_from([*sorted(tree), "other"]))
            tree[name] = data.draw(JSON)
            body = bytearray(json.dumps(tree).encode())
            for _ in range(data.draw(st.integers(0, 2))):
                body[rng.randrange(len(body))] = data.draw(st.integers(0, 255))
            status, found, _ = client(path, bytes(body))
            assert status < 500, found

        probe()
        assert client("/health")[1]["requests"] == 0
    p99, most = np.percentile(np.array(heart.stalls) * 1000, (99, 100))
    print(f"the event loop stood still for {p99:.1f} ms (p99), {most:.1f} ms (longest)")
    assert most < 250, f"{most:.0f} ms"


def test_more_bodies_than_can_be_parsed_are_told_to_come_again(serve: Serve) -> None:
    status, found, head = serve(Slow(), limits=Limits(parsing=0))(
        "/v1/depth", REQUESTS["/v1/depth"]
    )
    assert (status, found["error"]["code"], head["retry-after"]) == (429, "busy", "1")


def test_a_body_that_takes_too_long_to_parse(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve(Slow(), limits=Limits(parse_timeout_s=0.1))
    monkeypatch.setattr("vlm3.server.bodies._parse", lambda *_: time.sleep(0.5))
    status, _, head = client("/v1/depth", REQUESTS["/v1/depth"])
    assert (status, head["retry-after"]) == (503, "2")
    monkeypatch.undo()
    time.sleep(0.6)
    assert client("/v1/depth", REQUESTS["/v1/depth"])[0] == 200


def test_forms_and_unknown_routes_are_refused_whatever_their_size(serve: Serve) -> None:
    client = serve(Slow())
    part = b"--a\r\nContent-Disposition: form-data; name=f; filename=a.png\r\n\r\n" + bytes(5 * MIB)
    status, found, _ = client("/v1/depth", part, Content_Type="multipart/form-data; boundary=a")
    assert (status, found["error"]["code"]) == (415, "content_type")
    for path, status in (("/v1/none", 404), ("/v1/models", 405)):
        assert client(path, b" " * 5 * MIB)[0] == status
    assert client("/v1/picture", {"image": PICTURE | {"f_px": "x" * 200_000}})[0] == 400


def test_every_request_says_what_it_can_use() -> None:
    for model in (DepthRequest, ChatRequest, PictureRequest):
        assert 2 * LONG_TEXT_BYTES < model.beside_pictures_bytes < MIB
