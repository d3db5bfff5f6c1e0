"""The HTTP engine against a server with every fault: nothing asked twice, nothing lost."""

import json
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlm3.errors import InputError
from vlm3.tasks.protocol import PROTOCOLS
from vlm3.view import View

pytest.importorskip("openai", reason="the extra openai is not installed")

from vlm3.infer.decoding.answer_forms import answer_form
from vlm3.infer.engines.account import Account
from vlm3.infer.engines.answer_cache import AnswerCache
from vlm3.infer.engines.base import Reply
from vlm3.infer.engines.http import HttpEngine
from vlm3.infer.engines.local import LocalEngine
from vlm3.infer.engines.request import ROOM_TO_THINK
from vlm3.infer.engines.server_client import ServerError, ServerWarning
from vlm3.infer.generation import sized
from vlm3.infer.loading import load
from vlm3.infer.predictor import Predictor
from vlm3.model import Checkpoint
from vlm3.tasks.reading import CUT_OFF, answer_part

IMAGE = np.zeros((32, 32, 3), np.uint8)
QUESTIONS = [f"question {i}" for i in range(12)]
EXPECTED = [f"answer to {question}" for question in QUESTIONS]
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 2,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 4},
}


class Handler(BaseHTTPRequestHandler):
    """Answers "answer to <question>" unless the server's fault says otherwise."""

    server: "Server"

    def log_message(self, *args: object) -> None: ...

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content = body["messages"][0]["content"]
        text = content if isinstance(content, str) else content[-1]["text"]
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.seen[text] += 1
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        try:
            if not self.server.fault(self, text):
                message = {"role": "assistant", "content": self.server.say(text)}
                choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": message}
                if self.server.steps and body.get("logprobs"):
                    choice["logprobs"] = {"content": self.server.steps(text, body["top_logprobs"])}
                head = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
                self.send(200, head | {"choices": [choice], "usage": USAGE})
                with self.server.lock:
                    self.server.answered[text] += 1
        finally:
            with self.server.lock:
                self.server.now -= 1

    def send(self, code: int, body: Any, **headers: str) -> bool:
        page = isinstance(body, str)
        data = body.encode() if page else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("content-type", "text/html" if page else "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)
        return True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.lock = threading.Lock()
        self.seen: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[Any] = []
        self.now = self.most = 0
        self.fault: Callable[[Handler, str], bool] = lambda handler, text: False
        self.say: Callable[[str], str] = lambda text: f"answer to {text}"
        self.steps: Callable[[str, int], list[dict[str, Any]]] | None = None
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *args: object) -> None: ...

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


def engine(server: Server, **options: Any) -> HttpEngine:
    settings = {"attempts": 4, "pause_s": 0.01, "timeout_s": 5.0, "api_key": "k"} | options
    return HttpEngine("m", base_url=server.url, **settings)


def asked(one: HttpEngine, questions: list[str] = QUESTIONS) -> list[str]:
    with one.open([IMAGE]) as scene:
        return one.ask(scene, questions, max_new_tokens=8)


def test_order_is_kept_and_requests_are_bounded(server: Server) -> None:
    server.fault = lambda handler, text: bool(time.sleep(0.01))
    one = engine(server, concurrency=3)
    assert asked(one, QUESTIONS + QUESTIONS[:3]) == EXPECTED + EXPECTED[:3]
    assert server.most <= 3 and set(server.seen.values()) == {1}
    first = server.bodies[0]
    assert first["temperature"] == 0 and first["max_tokens"] == 8
    picture, text = first["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert text["text"] == "question 0", "the first goes alone, to fill the server's cache"
    count = len(QUESTIONS)
    assert one.account == Account(count, 0, 0, 10 * count, 4 * count, 2 * count)
    assert one.account.cost(prompt=1, completion=2, cached=0.5) == pytest.approx(12 * 12e-6)


NULL = {"choices": [{"index": 0, "message": {"role": "assistant", "content": None}}]}
FAULTS: dict[str, Callable[[Handler], object]] = {
    "429": lambda h: h.send(429, {"error": {"message": "slow down"}}, retry_after="0"),
    "500": lambda h: h.send(500, "oh no"),
    "page": lambda h: h.send(200, "<html>please log in</html>"),
    "nothing": lambda h: h.send(200, {"choices": []}),
    "null": lambda h: h.send(200, NULL),
    "half": lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"),
    "hangup": lambda h: h.connection.close(),
    "timeout": lambda h: time.sleep(0.5),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_tried_again(server: Server, name: str) -> None:
    """Each question meets it once."""

    def fault(handler: Handler, text: str) -> bool:
        if handler.server.seen[text] > 1:
            return False
        FAULTS[name](handler)
        return True

    server.fault = fault
    one = engine(server, timeout_s=0.2 if name == "timeout" else 5.0)
    assert asked(one) == EXPECTED
    assert one.account.retries >= len(QUESTIONS)
    assert set(server.answered.values()) == {1}


def test_a_run_goes_on_where_a_server_died(server: Server, tmp_path: Path) -> None:
    """Killed in the middle, and a line of its cache cut short."""
    port = server.server_address[1]

    def dies(handler: Handler, text: str) -> bool:
        if sum(handler.server.answered.values()) < 5:
            return False
        handler.connection.close()
        return True

    server.fault = dies
    with pytest.raises(ServerError, match="are kept") as caught:
        asked(engine(server, cache=tmp_path, concurrency=2))
    assert "\n" not in str(caught.value)
    done = Counter(server.answered)
    assert 5 <= sum(done.values()) < len(QUESTIONS)
    server.stop()
    (file,) = tmp_path.iterdir()
    with file.open("a") as cut_short:
        cut_short.write('{"key": "ab')
    again = Server(port)
    try:
        one = engine(again, cache=tmp_path)
        assert asked(one) == EXPECTED
        assert not set(again.seen) & set(done), "nothing is asked twice"
        assert one.account.from_cache == len(done)
        assert asked(engine(again, cache=tmp_path)) == EXPECTED
        assert sum(again.seen.values()) == len(QUESTIONS) - len(done)
    finally:
        again.stop()


@pytest.mark.parametrize("code", [400, 401, 404])
def test_a_refusal_is_not_repeated(server: Server, code: int) -> None:
    server.fault = lambda h, text: h.send(code, {"error": {"message": "no\nsuch"}})
    with pytest.raises(InputError, match=f"refuses .*{code}") as caught:
        asked(engine(server))
    assert sum(server.seen.values()) == 1 and "\n" not in str(caught.value)


def test_the_limit_by_its_newer_name(server: Server) -> None:
    def fault(handler: Handler, text: str) -> bool:
        if "max_tokens" not in handler.server.bodies[-1]:
            return False
        return handler.send(400, {"error": {"message": "use 'max_completion_tokens' instead"}})

    server.fault = fault
    assert asked(engine(server, concurrency=1)) == EXPECTED
    assert server.seen["question 0"] == 2 and server.bodies[-1]["max_completion_tokens"] == 8


def test_another_picture_or_model_is_another_question(server: Server, tmp_path: Path) -> None:
    one = engine(server, cache=tmp_path)
    asked(one, QUESTIONS[:1])
    with one.open([IMAGE + 1]) as scene:
        one.ask(scene, QUESTIONS[:1], max_new_tokens=8)
    other = HttpEngine("other", base_url=server.url, api_key="k", cache=tmp_path)
    asked(other, QUESTIONS[:1])
    assert server.seen["question 0"] == 3


THOUGHT = {"role": "assistant", "content": None, "reasoning_content": "hm"}


def spoken(handler: Handler, message: dict[str, Any], reason: str = "stop", **more: Any) -> bool:
    choice = {"index": 0, "finish_reason": reason, "message": message}
    head = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
    return handler.send(200, head | {"choices": [choice], "usage": USAGE} | more)


@pytest.mark.parametrize(
    ("message", "reason", "limit", "requests", "text"),
    [
        # Thinking takes all: asked once more with room, then unread.
        (THOUGHT, "length", ROOM_TO_THINK, 2, CUT_OFF),
        (THOUGHT | {"content": ""}, "length", ROOM_TO_THINK, 2, CUT_OFF),
        (THOUGHT | {"content": "It is 1"}, "length", ROOM_TO_THINK, 2, "It is 1" + CUT_OFF),
        ({"content": "<think>It is 1"}, "length", ROOM_TO_THINK, 2, "<think>It is 1" + CUT_OFF),
        ({"content": None, "reasoning": "hm"}, "length", ROOM_TO_THINK, 2, CUT_OFF),
        # Thinking and no answer: more room would not help.
        (THOUGHT, "stop", 8, 1, ""),
        # Nothing at all: perhaps the next time.
        ({"content": None}, "stop", 8, 2, ""),
        # Half a number.
        ({"content": "The point is around 12"}, "length", 8, 1, "The point is around 12" + CUT_OFF),
        ({"content": None, "refusal": "I cannot"}, "stop", 8, 1, "I cannot"),
        (THOUGHT | {"content": "2.75"}, "stop", 8, 1, "2.75"),
        ({"content": [{"type": "text", "text": "2.75"}]}, "stop", 8, 1, "2.75"),
    ],
)
def test_answers_without_text_and_cut_ones(
    server: Server,
    tmp_path: Path,
    message: dict[str, Any],
    reason: str,
    limit: int,
    requests: int,
    text: str,
) -> None:
    server.fault = lambda h, question: spoken(h, {"role": "assistant"} | message, reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = engine(server, cache=tmp_path, concurrency=1)
        assert asked(one, QUESTIONS[:2]) == [text, text]
    assert server.seen["question 0"] == requests
    assert server.bodies[-1]["max_tokens"] == limit
    # What was learnt is kept to: the second question is not asked both ways.
    second = requests if limit == 8 else 1
    assert server.seen["question 1"] == second
    if text.endswith(CUT_OFF):
        assert not answer_part(text)
    kept = [line for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    # No answer at all is asked for again by the next run.
    assert len(kept) == (0 if message.get("content") in (None, "") and text in ("", CUT_OFF) else 2)


REFUSALS = {
    "temperature": "Unsupported value: 'temperature' does not support 0 with this model",
    "logprobs": "logprobs is not supported by this model",
    "top_logprobs": [{"loc": ["body", "top_logprobs"], "msg": "Extra inputs are not permitted"}],
    "max_tokens": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
}


@pytest.mark.parametrize("names", [*([name] for name in REFUSALS), list(REFUSALS)], ids=str)
@pytest.mark.parametrize("status", [400, 422])
def test_what_a_server_refuses_is_left_out_once_and_for_all(
    server: Server, names: list[str], status: int
) -> None:
    def fault(handler: Handler, text: str) -> bool:
        body = handler.server.bodies[-1]
        refused = next((name for name in names if name in body), None)
        return refused is not None and handler.send(status, {"error": REFUSALS[refused]})

    server.fault = fault
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        one = engine(server, concurrency=4, attempts=1)
        assert asked(one) == EXPECTED and asked(one, ["again"]) == ["answer to again"]
    assert sum(server.seen.values()) <= len(QUESTIONS) + 1 + len(names)
    assert not set(names) & server.bodies[-1].keys()
    said = [str(w.message) for w in caught if isinstance(w.message, ServerWarning)]
    assert (
        len(said)
        == len(set(said))
        == ("temperature" in names) + any("logprobs" in name for name in names)
    )


def test_a_server_without_room_for_thinking(server: Server) -> None:
    """More room is refused until there is none: the answer stays unread, and the run goes on."""

    def fault(handler: Handler, text: str) -> bool:
        if handler.server.bodies[-1]["max_tokens"] > 512:
            return handler.send(400, {"error": {"message": "exceeds the context length"}})
        return spoken(handler, THOUGHT, "length")

    server.fault = fault
    with pytest.warns(ServerWarning, match="no room"):
        assert asked(engine(server, concurrency=1), QUESTIONS[:3]) == [CUT_OFF] * 3
    assert server.seen["question 1"] == server.seen["question 2"] == 1


def test_kept_answers_are_told_and_left_out_when_not_wanted(server: Server, tmp_path: Path) -> None:
    server.fault = lambda h, q: spoken(h, {"content": "2.75"}, system_fingerprint="fp_1")
    assert asked(engine(server, cache=tmp_path), QUESTIONS[:2]) == ["2.75"] * 2
    server.fault = lambda h, q: spoken(h, {"content": "5.00"}, system_fingerprint="fp_2")
    with pytest.warns(ServerWarning) as caught:
        one = engine(server, cache=tmp_path)
        assert asked(one, QUESTIONS[:3]) == ["2.75", "2.75", "5.00"]
        asked(one, QUESTIONS[:3])
    said = [str(w.message) for w in caught]
    assert len(said) == 2 and "2 answers kept from an earlier run" in said[0]
    assert "'fp_2'" in said[1] and "'fp_1'" in said[1]
    assert asked(engine(server, cache=None), QUESTIONS[:1]) == ["5.00"]


@pytest.mark.parametrize("what", ["identity", "weights"])
def test_another_model_under_the_same_name_has_its_own_answers(
    server: Server, tmp_path: Path, what: str
) -> None:
    for weights, expected in (("aa", "one"), ("bb", "two"), ("aa", "one")):
        server.say = lambda text, said=expected: said  # type: ignore[misc]
        with warnings.catch_warnings():
            # Where weights are told, kept answers are exactly this model's: nothing to say.
            warnings.simplefilter("error" if what == "weights" else "ignore")
            assert asked(engine(server, cache=tmp_path, **{what: weights}), ["q"]) == [expected]
    assert server.seen["q"] == 2


def test_the_environment_names_the_server(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept answers belong to the server that was asked, however it was named."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    asked(HttpEngine("m", cache=tmp_path), QUESTIONS[:1])
    assert server.seen["question 0"] == 1
    with pytest.warns(ServerWarning, match="1 answers kept"):
        asked(engine(server, cache=tmp_path), QUESTIONS[:1])
    assert server.seen["question 0"] == 1


def test_packed_questions(server: Server) -> None:
    def say(text: str) -> str:
        lines = text.splitlines()[1:]
        if not lines:
            return f"answer to {text}"
        # The second pack loses a line: it is asked again, one by one.
        kept = lines[:-1] if "question 4" in text else lines
        return "\n".join(line.replace(". ", ". answer to ") for line in kept)

    server.say = say
    assert asked(engine(server, packed=4)) == EXPECTED
    assert sum(server.seen.values()) == 3 + 4
    single = [text for text in server.seen if text.startswith("question")]
    assert sorted(single) == QUESTIONS[4:8]


def listed(reply: Reply, top: int) -> list[dict[str, Any]]:
    """A local engine's reply as a server lists it: the likeliest tokens of every step."""
    assert reply.logp is not None
    steps = []
    for piece, row in zip(reply.pieces, reply.logp, strict=True):
        known = [
            (symbol or "<|im_end|>", float(v)) for symbol, v in zip(reply.symbols, row, strict=True)
        ]
        best = sorted(known, key=lambda pair: -pair[1])[:top]
        token = piece or "<|im_end|>"
        steps.append(
            {
                "token": token,
                "logprob": dict(known)[token],
                "bytes": None,
                "top_logprobs": [{"token": t, "logprob": v, "bytes": None} for t, v in best],
            }
        )
    # What ends the answer is not listed by every server.
    return steps[:-1] if not reply.pieces[-1] else steps


@pytest.mark.parametrize("most", [20, 5, 0])
def test_listed_tokens_are_read_as_the_local_engines_are(
    server: Server, qwen3: Checkpoint, tmp_path: Path, most: int
) -> None:
    """The same model behind a server: the same spreads; a server that lists fewer is asked for so
    many; from the cache, again the same."""
    local = Predictor(LocalEngine(qwen3), PROTOCOLS["joint"].with_focal(50), 16)
    view = View.open(np.random.default_rng(2).integers(0, 256, (96, 128, 3), np.uint8), f_px=60)
    points = np.random.default_rng(1).uniform(0, 96, (12, 2))
    expected = local.depth(view, points, grammar=True)
    images = sized([view], local.protocol, multiple_px=16, max_tokens=None)
    with local.engine.open(images) as scene:
        said = local.engine.reply(  # type: ignore[attr-defined]
            scene,
            expected.prompt,
            max_new_tokens=32,
            grammar=answer_form(local.protocol, "depth"),
        )
    replies = dict(zip(expected.prompt, said, strict=True))
    server.say = lambda text: replies[text].text if text in replies else "02.75"
    server.steps = lambda text, top: listed(replies[text], top)

    def fault(handler: Handler, text: str) -> bool:
        if handler.server.bodies[-1].get("top_logprobs", 0) <= most:
            return False
        return handler.send(400, {"error": {"message": "too many top_logprobs"}})

    server.fault = fault
    for _ in range(2):
        one = engine(server, cache=tmp_path, concurrency=1)
        served = Predictor(one, local.protocol, 16)
        found = served.depth(view, points)
        assert found.raw_text == expected.raw_text
        if most == 0:
            assert found.spread is None
            with pytest.raises(InputError, match="none came"):
                served.depth(view, points, readout="median")
            chart = served.depth_map(view, grid=(1, 1))
            assert chart.readout == "digits"
            return
        assert found.spread is not None and expected.spread is not None
        if most == 20:
            for name in ("mean", "p10", "p50", "p90", "covered"):
                ours, theirs = (getattr(a.spread, name) for a in (found, expected))
                np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-3)
        else:
            assert (found.spread.covered <= expected.spread.covered + 1e-3).all()
        np.testing.assert_allclose(
            served.depth(view, points, readout="median").distance_m, found.spread.p50
        )
    assert one.account.requests == 0 and one.account.from_cache == 2 * len(points)


def test_a_server_is_not_held_to_a_form(server: Server) -> None:
    served = Predictor(engine(server), PROTOCOLS["joint"].with_focal(100), 32)
    view = View.open(np.zeros((64, 96, 3), np.uint8), f_px=1000)
    with pytest.raises(InputError, match="leave grammar out"):
        served.depth(view, [5, 5], grammar=True)


def test_progress_counts_cached_and_repeated_questions(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        told: list[int] = []
        one = engine(server, cache=tmp_path)
        with one.open([IMAGE]) as scene:
            one.reply(scene, QUESTIONS * 2, max_new_tokens=8, progress=told.append)
        assert sum(told) == 2 * len(QUESTIONS)


def test_a_predictor_by_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say = lambda text: "02.75"
    monkeypatch.setenv("VLM3_CACHE", str(tmp_path))
    predictor = load("openai:some-model", protocol="joint", base_url=server.url)
    view = View.open(np.zeros((64, 96, 3), np.uint8), f_px=1000)
    assert predictor.depth(view, [[5, 5], [50, 50]]).distance_m.tolist() == [2.75, 2.75]
    assert predictor.engine.name == "openai:some-model"
    assert len(list((tmp_path / "answers").iterdir())) == 1
    with pytest.raises(InputError, match="openai:nano"):
        load("nano", base_url=server.url)
    direct = Predictor(engine(server), PROTOCOLS["joint"].with_focal(100), 32)
    assert direct.depth(view, [5, 5]).spread is None


def test_no_key_and_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        HttpEngine("m")


def test_the_cache_survives_anything_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xff\xfe\n[]\n{"key": 1}\n{"key": "a", "text": "x"}\n{"key": "b", "te')
    cache = AnswerCache(path)
    assert cache["a"].text == "x" and "b" not in cache
    cache.put("b", prompt="?", text="line\nbreak")
    assert AnswerCache(path)["b"].text == "line\nbreak"


@pytest.mark.skipif(
    "VLM3_TEST_SERVER" not in os.environ,
    reason="set VLM3_TEST_SERVER to the base URL of an OpenAI-compatible server",
)
def test_a_server_nobody_here_wrote(tmp_path: Path) -> None:
    """Text is enough: two runs over one cache, the second asks nothing."""
    questions = [f"How much is {i} and 2? Answer with the number only." for i in range(4)]
    texts = []
    for _ in range(2):
        one = HttpEngine(
            os.environ.get("VLM3_TEST_MODEL", "default"),
            base_url=os.environ["VLM3_TEST_SERVER"],
            cache=tmp_path,
        )
        with one.open([]) as scene:
            texts.append(one.ask(scene, questions, max_new_tokens=8))
    assert texts[0] == texts[1] and all(texts[0])
    assert (one.account.requests, one.account.from_cache) == (0, 4)
