"""A server in this process, around whatever engine a test wants, and a plain client for it."""

import base64
import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from PIL import Image

from vlm3.infer.engines.base import Engine, Scene
from vlm3.infer.predictor import Predictor
from vlm3.server.application import create_app
from vlm3.tasks.protocol import get_protocol


def data_url(image: Any, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


def noise(seed: int, width_px: int = 64, height_px: int = 48) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


@dataclass
class Slow:
    """An engine that takes its time and writes down what it was asked, call by call."""

    seconds: float = 0.0
    calls: list[list[str]] = field(default_factory=list)
    name: str = "slow"
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def open(self, images: Sequence[Any]) -> Scene:
        return Scene(tuple(images))

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        self.calls.append(list(questions))
        assert self.gate.wait(30)
        time.sleep(self.seconds)
        if "fault" in questions:
            raise RuntimeError("a fault")
        # Different for every picture and question, so that answers that got mixed up are seen.
        seen = sum(int(image.sum()) for image in scene.images) % 97
        return [f"{seen + len(q) / 100:05.2f}" for q in questions]


@dataclass
class Client:
    url: str

    def __call__(
        self, path: str, body: Any = None, *, timeout: float = 30, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, body (JSON where it is), headers."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if data is not None else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, kind | named)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, text, head = answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            status, text, head = error.code, error.read(), dict(error.headers)
        found = json.loads(text) if head.get("content-type") == "application/json" else text
        return status, found, head


def predictor_of(engine: Engine) -> Predictor:
    return Predictor(engine, get_protocol("joint").with_focal(60), multiple_px=16, max_tokens=64)


@contextmanager
def running(server: uvicorn.Server) -> Iterator[Client]:
    """That server on a free port of this machine, for the length of the block."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    try:
        yield Client(url)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def serving(
    predictor: Predictor, around: Callable[[Any], Any] = lambda app: app, **options: Any
) -> Iterator[Client]:
    """A server on a free port of this machine, for the length of the block.

    Args:
        predictor: what answers.
        around: puts the application into another.
        options: of `create_app`.
    """
    app = around(create_app(predictor, **options))
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5)
    with running(uvicorn.Server(config)) as client:
        yield client


Serve = Callable[..., Client]
