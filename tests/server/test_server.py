"""The server: the predictor's answers over HTTP, shared turns, limits, errors, the schema."""

import base64
import io
import json
import struct
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra app is not installed")

from app_serving import Client, Serve, Slow, data_url, noise, serving

from vlm3.assets import EXAMPLES_DIR, load_example
from vlm3.geometry.camera import Camera
from vlm3.infer.engines.http import HttpEngine
from vlm3.infer.engines.server_client import ServerWarning
from vlm3.infer.loading import load
from vlm3.infer.predictor import Predictor
from vlm3.infer.resolve_protocol import ProtocolWarning
from vlm3.server.limits import Limits
from vlm3.server.middleware import Access
from vlm3.tasks.reading import CUT_OFF
from vlm3.view import View

ONE = {"image": {"url": data_url(noise(0)), "fov_deg": 60}, "points_px": [[10, 20]]}


def example_url(number: int) -> str:
    data = (EXAMPLES_DIR / f"lounge_{number}.jpg").read_bytes()
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def example_picture(number: int) -> dict[str, Any]:
    camera = load_example().views[number - 1].camera
    intrinsics = [camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px]
    return {"url": example_url(number), "intrinsics_px": intrinsics}


def in_background(call: Any, *args: Any) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call(*args)), daemon=True)
    thread.start()
    return thread, found


def until(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


# What comes out is what the predictor says.


def test_answers_are_the_predictors(nano: Predictor, nano_server: Client) -> None:
    example = load_example()
    a, b = example_picture(1), example_picture(2)
    points = example.points_xy_px.tolist()

    status, found, _ = nano_server("/v1/depth", {"image": a, "points_px": points})
    expected = nano.depth(example.views[0], points)
    assert status == 200
    # Medians come from probabilities, which batches of other sizes round otherwise.
    np.testing.assert_allclose(
        [p["distance_m"] for p in found["points"]], expected.distance_m, rtol=1e-5
    )
    assert [p["raw_text"] for p in found["points"]] == list(expected.raw_text)
    np.testing.assert_allclose([p["depth_z_m"] for p in found["points"]], expected.depth_z_m)
    xyz = np.array([p["xyz_m"] for p in found["points"]])
    np.testing.assert_allclose(np.linalg.norm(xyz, axis=1), expected.distance_m)
    assert expected.spread is not None
    p90 = [p["interval_m"]["p90"] for p in found["points"]]
    np.testing.assert_allclose(p90, expected.spread.p90, rtol=1e-4)

    matches = {"image_a": a, "image_b": b, "points_px": points[:3]}
    _, found, _ = nano_server("/v1/match", matches)
    matched = nano.match(*example.views, points[:3])
    np.testing.assert_allclose([m["xy_b_px"] for m in found["matches"]], matched.xy_px, rtol=1e-5)

    _, found, _ = nano_server("/v1/pose", {"image_a": a, "image_b": b})
    moved = nano.pose(*example.views)
    np.testing.assert_allclose(found["cam1_from_cam2"], moved.cam1_from_cam2, atol=1e-5)
    assert {p["component"]: p["raw_text"] for p in found["parts"]} == moved.raw_text

    question = example.questions[0]
    asked = {"image": a, "question": question.question}
    _, found, _ = nano_server("/v1/objects", asked | {"boxes_px": question.boxes_xyxy_px.tolist()})
    told = nano.ask(example.views[0], question.question, question.boxes_xyxy_px)
    assert (found["text"], found["value_m"]) == (told.text, told.value_m)


def test_lengths_are_the_predictors(nano: Predictor, nano_server: Client) -> None:
    """The same record as `Measurement` and `vlm3 measure --json`, to the rounding of batches."""
    pairs, boxes = [[[40, 300], [500, 80.5]], [[100, 100], [110, 100]]], [[60, 60, 260, 240]]
    asked = {"image": example_picture(1), "pairs_px": pairs, "boxes_px": boxes}
    status, found, _ = nano_server("/v1/measure", asked)
    expected = nano.measure(load_example().views[0], pairs, boxes)
    assert status == 200 and found["readout"] == expected.readout
    for told, meant in zip(
        found["spans"] + found["regions"], (*expected.spans, *expected.regions), strict=True
    ):
        numbers = close(meant.to_json())
        numbers.pop("measured")
        assert told == numbers
    # The value lies between its tenths, and is the distance of the two points.
    for span in found["spans"]:
        length = span["length"]
        assert length["p10_m"] <= length["value_m"] <= length["p90_m"]
        assert length["value_m"] == pytest.approx(np.linalg.norm(np.subtract(*span["xyz_m"])))


def close(value: Any) -> Any:
    """The same structure, its numbers compared with some tolerance."""
    if isinstance(value, dict):
        return {name: close(part) for name, part in value.items()}
    if isinstance(value, list):
        return [close(part) for part in value]
    return pytest.approx(value, rel=1e-3) if isinstance(value, float) else value


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "nothing to measure: give two points or a box"),
        ({"pairs_px": [[[1, 1], [64, 1]]]}, "64"),
        ({"pairs_px": [[[1, 1]]]}, "pairs_px.0"),
        ({"pairs_px": [[[1, 1], [2, "a"]]]}, "pairs_px.0.1.1"),
        ({"pairs_px": [[[1, 1], [2, 2]]] * 2049}, "pairs_px"),
        ({"boxes_px": [[9, 1, 2, 5]]}, "9"),
        ({"boxes_px": [[1, 1, 65, 5]]}, "65"),
        ({"boxes_px": [[1, 1, 6, 5]] * 65}, "boxes_px"),
        ({"points_px": [[1, 1]]}, "points_px"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line(
    serve: Serve, change: dict[str, Any], says: str
) -> None:
    status, found, _ = serve(Slow())("/v1/measure", {"image": ONE["image"]} | change)
    message = found["error"]["message"]
    assert status == 400 and says in message
    assert "\n" not in message and len(message) < 400


def test_a_map_as_numbers_as_lines_and_as_files(nano: Predictor, nano_server: Client) -> None:
    asked = {"image": example_picture(1), "columns": 8, "rows": 6}
    _, found, _ = nano_server("/v1/depth_map", asked)
    expected = nano.depth_map(load_example().views[0], grid=(8, 6))
    np.testing.assert_allclose(found["distance_m"], expected.distance_m, rtol=1e-5)
    _, lines, head = nano_server("/v1/depth_map", asked | {"stream": True})
    *progress, last = [json.loads(line) for line in lines.splitlines()]
    assert head["content-type"] == "application/x-ndjson"
    assert progress[-1] == {"answered": 48, "of": 48}
    assert last["result"]["distance_m"] == found["distance_m"]
    for ending, magic in {"glb": b"glTF", "ply": b"ply\n", "png": b"\x89PNG", "npz": b"PK"}.items():
        status, data, head = nano_server("/v1/depth_map", asked | {"format": ending})
        assert status == 200
        assert data.startswith(magic)
        assert f"depth.{ending}" in head["content-disposition"]


def test_notes_say_what_was_assumed(nano_server: Client) -> None:
    picture = {"url": data_url(noise(0, 320, 240))}
    _, found, _ = nano_server("/v1/picture", {"image": picture, "preview_side_px": 32})
    assert found["camera"]["source"] == "assumed"
    assert "60 degrees" in found["notes"][0]
    data = base64.b64decode(found["preview_url"].partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (32, 24)
    _, found, _ = nano_server("/v1/picture", {"image": {"url": example_url(1)}})
    assert (found["camera"]["source"], found["preview_url"]) == ("exif", None)


# OpenAI's clients.


@pytest.fixture
def openai_client(nano_server: Client) -> Any:
    openai = pytest.importorskip("openai", reason="the extra openai is not installed")
    return openai.OpenAI(base_url=f"{nano_server.url}/v1", api_key="none", max_retries=0)


def chat_of(*parts: Any) -> Any:
    pictures = [{"type": "image_url", "image_url": {"url": p}} for p in parts[:-1]]
    return [{"role": "user", "content": [*pictures, {"type": "text", "text": parts[-1]}]}]


def test_the_official_client(openai_client: Any, nano: Predictor) -> None:
    import openai

    (model,) = openai_client.models.list().data
    assert openai_client.models.retrieve(model.id).id == model.id == "nano"
    messages = chat_of(example_url(1), "Distance in meters from the camera: 0370 0556")
    create = openai_client.chat.completions.create
    answer = create(model="nano", messages=messages, max_tokens=20)
    text = answer.choices[0].message.content
    assert text
    assert answer.usage.prompt_tokens > 350
    assert answer.usage.completion_tokens <= 20
    streamed = create(
        model="nano",
        messages=messages,
        max_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
    )
    *pieces, last = list(streamed)
    assert "".join(p.choices[0].delta.content or "" for p in pieces) == text
    assert last.usage == answer.usage
    assert (
        create(model="nano", messages=messages, max_tokens=1).choices[0].finish_reason == "length"
    )
    # Words alone.
    alone = create(model="nano", messages=[{"role": "user", "content": "How far?"}], max_tokens=8)
    assert nano.naive is not None
    (expected,) = nano.naive.ask(nano.naive.open([]), ["How far?"], max_new_tokens=8)
    assert alone.choices[0].message.content == expected.removesuffix(CUT_OFF)
    for wrong, kind, says in (
        ({"model": "gpt"}, openai.NotFoundError, "only 'nano'"),
        ({"temperature": 0.7}, openai.BadRequestError, "temperature"),
        ({"n": 2}, openai.BadRequestError, "n is"),
        ({"messages": [*messages, *messages]}, openai.BadRequestError, "one message"),
        (
            {"messages": chat_of("http://a.b/c.png", "far?")},
            openai.BadRequestError,
            "nothing from a",
        ),
        ({"messages": chat_of("file:///etc/passwd", "far?")}, openai.BadRequestError, "nothing"),
        ({"messages": chat_of(example_url(1), " ")}, openai.BadRequestError, "no words"),
        ({"messages": chat_of(*[example_url(1)] * 3, "?")}, openai.BadRequestError, "at most two"),
    ):
        with pytest.raises(kind, match=says):
            create(**{"model": "nano", "messages": messages} | wrong)


def test_our_own_client_gets_the_local_answers(
    nano: Predictor, nano_server: Client, tmp_path: Path
) -> None:
    """`--model openai:nano` sends pictures at their final size, and they are left as they are."""
    pytest.importorskip("openai", reason="the extra openai is not installed")
    engine = HttpEngine("nano", base_url=f"{nano_server.url}/v1", cache=tmp_path)
    far = replace(nano, engine=engine, naive=None)
    view = load_example().views[0]
    points = [[100, 100], [255.5, 205.5], [400, 300]]
    assert far.depth(view, points).raw_text == nano.depth(view, points).raw_text
    views = load_example().views
    assert far.match(*views, points).raw_text == nano.match(*views, points).raw_text
    assert engine.account.prompt_tokens > 0


# Many at once.


def held_up(
    serve: Serve, path: str, body: dict[str, Any], **options: Any
) -> tuple[Slow, Client, threading.Thread]:
    """A server whose model stands still over that request, which waits in the thread."""
    engine = Slow()
    client = serve(engine, **options)
    engine.gate.clear()
    waiting, _ = in_background(client, path, body)
    until(lambda: engine.calls)
    return engine, client, waiting


def test_one_picture_is_asked_about_in_one_turn(serve: Serve) -> None:
    engine, client, first = held_up(serve, "/v1/depth", ONE | {"points_px": [[1, 1]]})
    pictures = [{"url": data_url(noise(seed)), "fov_deg": 60} for seed in (1, 2)]
    bodies = [{"image": pictures[i % 2], "points_px": [[i, 7], [40, i]]} for i in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = pool.map(lambda body: client("/v1/depth", body), bodies)
        until(lambda: client("/health")[1]["questions_waiting"] == 21)
        engine.gate.set()
        answers = list(answers)
    first.join(10)
    # The first alone, then each picture once, whoever asked.
    assert [len(call) for call in engine.calls] == [1, 10, 10]
    for body, (status, found, _) in zip(bodies, answers, strict=True):
        _, alone, _ = client("/v1/depth", body)
        assert status == 200
        assert found == alone
    # Asked once more, they came from memory.
    assert len(engine.calls) == 3


def test_who_comes_while_the_same_is_asked_waits_for_that_answer(serve: Serve) -> None:
    """Otherwise it is worked out again, among others, and its last digits may be others too."""
    engine, client, first = held_up(serve, "/v1/depth", ONE)
    bodies = [ONE, ONE | {"points_px": [*ONE["points_px"], [7, 7]]}]
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda body: client("/v1/depth", body), bodies)
        until(lambda: client("/health")[1]["questions_waiting"] == 4)
        engine.gate.set()
        answers = list(answers)
    first.join(10)
    assert [len(call) for call in engine.calls] == [1, 1]
    assert [(status, len(found["points"])) for status, found, _ in answers] == [(200, 1), (200, 2)]
    assert answers[0][1]["points"] == answers[1][1]["points"][:1]
    assert client("/health")[1]["questions_waiting"] == 0


def test_a_long_job_lets_others_through(serve: Serve) -> None:
    body = {"image": ONE["image"], "columns": 16, "rows": 4}
    engine, client, long = held_up(serve, "/v1/depth_map", body, limits=Limits(turn_questions=8))
    other = {"image": {"url": data_url(noise(3)), "fov_deg": 60}, "points_px": [[5, 5]]}
    short, _ = in_background(client, "/v1/depth", other)
    until(lambda: client("/health")[1]["questions_waiting"] == 65)
    engine.gate.set()
    short.join(10)
    long.join(10)
    assert [len(call) for call in engine.calls] == [8, 1, *[8] * 7]


def test_a_fault_is_its_own_requests_only(serve: Serve) -> None:
    engine, client, blocking = held_up(serve, "/v1/depth", ONE)
    picture = data_url(noise(4))
    texts = ["fault", "a question", "another"]
    with ThreadPoolExecutor(3) as pool:
        answers = pool.map(
            lambda t: client(
                "/v1/chat/completions", {"model": "slow", "messages": chat_of(picture, t)}
            ),
            texts,
        )
        until(lambda: client("/health")[1]["questions_waiting"] == 4)
        engine.gate.set()
        found = [status for status, _, _ in answers]
    blocking.join(10)
    assert found == [500, 200, 200]
    assert client("/health")[0] == 200


def test_who_leaves_is_not_asked_for(serve: Serve) -> None:
    engine, client, blocking = held_up(serve, "/v1/depth", ONE)
    body = {"image": {"url": data_url(noise(5)), "fov_deg": 60}, "points_px": [[5, 5]]}
    with pytest.raises(TimeoutError):
        client("/v1/depth", body, timeout=0.5)
    until(lambda: client("/health")[1]["questions_waiting"] == 1)
    engine.gate.set()
    blocking.join(10)
    until(lambda: client("/health")[1]["requests"] == 0)
    assert len(engine.calls) == 1


def test_time_is_limited(serve: Serve) -> None:
    engine = Slow()
    client = serve(engine, limits=Limits(timeout_s=1))
    engine.gate.clear()
    status, found, _ = client("/v1/depth", ONE)
    engine.gate.set()
    assert (status, found["error"]["code"]) == (504, "timeout")
    assert client("/v1/depth", ONE)[0] == 200


# Limits.


def test_more_than_fits_is_told_to_come_again(serve: Serve) -> None:
    engine, client, first = held_up(serve, "/v1/depth", ONE, limits=Limits(requests=2, questions=3))
    many = {"image": ONE["image"], "points_px": [[i, 1] for i in range(3)]}
    status, found, head = client("/v1/depth", many)
    assert (status, found["error"]["type"]) == (429, "rate_limit_error")
    assert int(head["retry-after"]) >= 1
    second, _ = in_background(client, "/v1/depth", ONE | {"points_px": [[2, 2]]})
    until(lambda: client("/health")[1]["requests"] == 2)
    assert client("/v1/depth", ONE)[0] == 429
    engine.gate.set()
    first.join(10)
    second.join(10)
    assert client("/v1/depth", ONE)[0] == 200


def test_bodies_are_limited(serve: Serve) -> None:
    small = Limits(body_bytes=50_000, all_bodies_bytes=60_000, body_timeout_s=1)
    client = serve(Slow(), limits=small)
    status, found, _ = client("/v1/depth", b" " * 60_000)
    assert (status, found["error"]["code"]) == (413, "too_large")
    # Without a length, in pieces.
    import http.client
    import socket

    host, port = client.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    kind = {"Content-Type": "application/json"}
    pieces = iter([b" " * 1000] * 60)
    connection.request("POST", "/v1/depth", pieces, kind, encode_chunked=True)
    assert connection.getresponse().status == 413
    # One that never ends.
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(
            b"POST /v1/depth HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        assert b" 408 " in slow.recv(1000)
    assert client("/v1/depth", ONE)[0] == 200


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is huge, with next to nothing in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(10**6))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"garbage" * 99, "not a picture"),
        (b"", "empty"),
        (png_header(30_000, 30_000), "far too many|megapixels"),
        (png_header(9_000, 9_000), "at most 50 megapixels"),
        (png_header(2_000, 2_000), "truncated|damaged"),
        ((EXAMPLES_DIR / "lounge_1.jpg").read_bytes()[:5000], "truncated|damaged"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
    ids=["garbage", "empty", "bomb", "large", "hollow", "truncated", "svg"],
)
def test_hostile_pictures(nano_server: Client, data: bytes, says: str) -> None:
    import re

    url = "data:image/png;base64," + base64.b64encode(data).decode()
    for path, body in (
        ("/v1/depth", {"image": {"url": url}, "points_px": [[1, 1]]}),
        ("/v1/depth_map", {"image": {"url": url}, "stream": True}),
        ("/v1/chat/completions", {"model": "nano", "messages": chat_of(url, "How far?")}),
    ):
        status, found, _ = nano_server(path, body)
        assert status == 400, found
        message = found["error"]["message"]
        assert re.search(says, message), message
        assert "\n" not in message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"points_px": [[64.5, 1]]}, "outside the picture of 64x48"),
        ({"points_px": []}, "points_px"),
        ({"points": [[1, 1]]}, "points: Extra"),
        ({"image": {"fov": 60}}, "image.url: Field required; there is no field image.fov"),
        ({"image": 5}, "image: Input should be an object"),
        ({"image": {"url": "http://127.0.0.1/a.png"}}, "fetches nothing"),
        ({"image": {"url": "data:image/png,abc"}}, "base64"),
        ({"image": {"url": "data:image/png;base64,%%%"}}, "base64 cannot be read"),
        ({"image": {**ONE["image"], "f_px": 50}}, "only one of"),
        ({"image": {**ONE["image"], "fov_deg": 200}}, "less than 180"),
        ({"readout": "median"}, "probabilities"),
    ],
)
def test_mistakes_are_told_in_a_line(serve: Serve, change: Any, says: str) -> None:
    status, found, _ = serve(Slow())("/v1/depth", ONE | change)
    assert status == 400
    assert says in found["error"]["message"]
    assert "\n" not in found["error"]["message"]


# Who may come in.


def test_a_key(serve: Serve) -> None:
    client = serve(Slow(), access=Access(api_key="secret"))
    assert client("/health")[0] == 200
    for path in ("/v1/models", "/metrics"):
        status, _, head = client(path)
        assert (status, head["www-authenticate"]) == (401, "Bearer")
        assert client(path, Authorization="Bearer wrong")[0] == 401
        assert client(path, Authorization="Basic secret")[0] == 401
        assert client(path, Authorization="Bearer secret")[0] == 200
    assert client("/v1/depth", ONE)[0] == 401


def test_a_folder_is_behind_the_key_and_shows_nothing_else(serve: Serve, tmp_path: Path) -> None:
    file, other = tmp_path / "a.png", tmp_path / "b.png"
    for path in (file, other):
        Image.fromarray(noise(0)).save(path)
    access = Access(api_key="secret")
    client = serve(Slow(), access=access, page=True, pictures=[file])
    paths = ("/v1/page/pictures", "/v1/page/pictures/0", "/v1/page/pictures/0/small")
    for path in paths:
        assert client(path)[0] == 401
        assert client(path, Authorization="Bearer secret")[0] == 200
    assert client("/page/about.json")[1]["pictures"] == 1
    assert client(paths[0], Authorization="Bearer secret")[1] == ["a.png"]
    assert client(paths[1], Authorization="Bearer secret")[1] == file.read_bytes()
    for place in ("1", "-1", "b.png", "..%2Fb.png"):
        assert client(f"{paths[0]}/{place}", Authorization="Bearer secret")[0] in (400, 404)
    file.unlink()
    assert client(paths[1], Authorization="Bearer secret")[0] == 404


def test_other_sites_stay_outside(serve: Serve) -> None:
    client = serve(Slow(), access=Access(hosts=("127.0.0.1", "[::1]")))
    assert client("/health")[0] == 200
    assert client("/health", Host="[::1]:8000")[0] == 200
    assert client("/health", Host="evil.example:8000")[0] == 421
    # What a form of another site could send.
    assert client("/v1/depth", json.dumps(ONE).encode(), Content_Type="text/plain")[0] == 415


def test_the_books(serve: Serve) -> None:
    client = serve(Slow())
    assert client("/v1/depth", ONE)[0] == 200
    assert client("/v1/depth", ONE | {"points_px": []})[0] == 400
    assert client("/no/such")[0] == 404
    text = client("/metrics")[1].decode()
    for line in (
        'vlm3_requests_total{route="/v1/depth",status="200"} 1.0',
        'vlm3_requests_total{route="/v1/depth",status="400"} 1.0',
        'vlm3_requests_total{route="other",status="404"} 1.0',
        "vlm3_questions_total 1.0",
        "vlm3_requests_now 0.0",
        "vlm3_pixels_held 0.0",
    ):
        assert line in text.splitlines()


# The published schema.


def test_no_request_that_the_schema_can_think_of_breaks_it(nano: Predictor) -> None:
    """Schemathesis: valid, almost valid and invalid requests to every route; no 5xx."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from hypothesis import HealthCheck, given, settings
    from schemathesis import checks as all_checks
    from schemathesis.specs.openapi import checks

    wanted = [
        all_checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    seen: set[int] = set()
    with serving(nano, limits=Limits(timeout_s=60)) as client:
        schema = schemathesis.openapi.from_url(f"{client.url}/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(
                max_examples=12,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def probe(case: Any) -> None:
                answer = case.call()
                seen.add(answer.status_code)
                case.validate_response(answer, checks=wanted)

            probe()
        # The schema's own examples are answered.
        for path, methods in client("/openapi.json")[1]["paths"].items():
            if "post" in methods and path != "/v1/chat/completions":
                assert client(path, body_of(client, path))[0] == 200
    assert {200, 400} <= seen


def body_of(client: Client, path: str) -> dict[str, Any]:
    """A body put together from the examples in the schema."""
    from vlm3.server.schema.fields import EXAMPLE_URL

    picture = {"url": EXAMPLE_URL, "fov_deg": 60}
    schema = client("/openapi.json")[1]
    kind = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    fields = schema["components"]["schemas"][kind["$ref"].rpartition("/")[2]]["properties"]
    return {
        name: picture if name.startswith("image") else about["examples"][0]
        for name, about in fields.items()
        if name.startswith("image") or "examples" in about
    }


def test_view_of_bytes_is_what_the_server_reads() -> None:
    from vlm3.server.schema.requests import RequestPicture
    from vlm3.server.uploads import picture_bytes, view_of

    data = picture_bytes(example_url(1))
    view = view_of(data, RequestPicture(url=example_url(1), fov_deg=70))
    same = View.open(EXAMPLES_DIR / "lounge_1.jpg", fov_deg=70)
    assert view.camera == same.camera
    np.testing.assert_array_equal(view.image, same.image)


def test_our_client_of_our_server_asks_as_the_server_does(
    nano: Predictor, nano_server: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same distances and intervals, from the settings that the server tells."""
    pytest.importorskip("openai", reason="the extra openai is not installed")
    monkeypatch.setenv("VLM3_CACHE", str(tmp_path))
    (entry,) = nano_server("/v1/models")[1]["data"]
    limits = nano.protocol.prep.limits
    assert limits is not None
    assert entry["vlm3"] == {
        "protocol": "joint", "f_px": 125.0, "long_side_px": None, "max_tokens": 400,
        "multiple_px": 16,
        "fewest_px2": limits.fewest_px2, "most_px2": limits.most_px2,
        "weights": nano.engine.weights,  # type: ignore[attr-defined]
    }  # fmt: skip
    view = View.open(noise(5, 540, 360), fov_deg=60)
    points = [[100, 100], [270, 180], [500, 20]]
    direct = nano.depth(view, points)
    for protocol in (None, "joint"):
        with warnings.catch_warnings():
            for category in (ProtocolWarning, ServerWarning):
                warnings.simplefilter("error", category)
            served = load("openai:nano", base_url=f"{nano_server.url}/v1", protocol=protocol)
            found = served.depth(view, points)
        assert found.readout == direct.readout == "median"
        np.testing.assert_allclose(found.distance_m, direct.distance_m, rtol=1e-4)
        assert found.spread is not None and direct.spread is not None
        np.testing.assert_allclose(found.spread.p90, direct.spread.p90, rtol=1e-3)
        assert found.prompt == direct.prompt and found.raw_text == direct.raw_text
    # The second time from the answers that were kept.
    assert served.engine.account.requests == 0  # type: ignore[attr-defined]


def test_a_calibrator_is_asked_where_nothing_says_what_the_camera_was(serve: Serve) -> None:
    def calibrate(image: Any) -> Camera:
        height_px, width_px = image.shape[:2]
        return Camera.from_fov(90, width_px=width_px, height_px=height_px)

    client = serve(Slow(), calibrate=calibrate)
    for camera, source, fov_deg in (({}, "calibrator", 90), ({"fov_deg": 50}, "fov", 50)):
        found = client("/v1/picture", {"image": {"url": data_url(noise(0))} | camera})[1]
        assert found["camera"]["source"] == source
        assert found["camera"]["fov_deg"] == pytest.approx(fov_deg)
        assert found["notes"] == []


def test_the_check_of_a_motion_waits_in_line_like_points(nano: Predictor) -> None:
    body = {"image_a": example_picture(1), "image_b": example_picture(2)}
    with serving(nano, limits=Limits(questions=20)) as client:
        assert client("/v1/pose", body)[0] == 200
        status, found, head = client("/v1/pose", body | {"check": True})
        assert (status, found["error"]["code"]) == (429, "busy")
        assert int(head["retry-after"]) >= 1
