"""The server under load: python benchmarks/serve.py [ratio] [load] [kill] [health] [soak].

ratio   questions a second through the server, against the engine alone, in turns in one run.
load    64 clients at once: what they were told, how long it took, how much memory the server held.
kill    the server is killed with SIGKILL under load and started again; clients try again; what was
        lost, and whether every answer is the engine's own.

health  how long /health takes while clients send the largest and worst bodies that they can.
soak    clients of which every fifth request is garbage, while the server is killed and started
        again; what was not declared, /health, memory after 1, 5 and 10 minutes. The long form is
        `soak --seconds 600 --clients 64 --kill 5`; with --fake the model is an engine that costs
        nothing, where the model is not the point.

One JSON line each, from the packaged model and photographs. The server is a process of its own; the
clients share the machine with it.
"""

import argparse
import base64
import http.client
import io
import json
import multiprocessing
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

import vlm3
from vlm3.assets import EXAMPLES_DIR

FILES = [EXAMPLES_DIR / f"lounge_{number}.jpg" for number in (1, 2)]
URLS = ["data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode() for file in FILES]
WIDTH_PX, HEIGHT_PX = 540, 360


class Server:
    """`vlm3 serve` as a process, on a port of its own; with `fake`, this file's own engine."""

    def __init__(self, fake: bool = False) -> None:
        self.program = [__file__, "fake"] if fake else ["-m", "vlm3", "serve"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = [sys.executable, *self.program, "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 300
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
                return
            except OSError:
                assert self.process.poll() is None, "the server ended"
                assert time.monotonic() < until, "the server did not come up"
                time.sleep(0.2)

    def resident_mib(self) -> float:
        """Memory it holds, as it says itself."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.M)
        assert found
        return float(found[1]) / 2**20


@contextmanager
def running(fake: bool = False) -> Iterator[Server]:
    server = Server(fake)
    server.start()
    try:
        yield server
    finally:
        server.process.terminate()
        assert server.process.wait(60) in (0, -signal.SIGTERM), "the server did not end well"


def depth(
    server: Server, picture: int, points: list[list[float]], timeout: float = 120
) -> tuple[int, Any, str | None]:
    body = json.dumps({"image": {"url": URLS[picture]}, "points_px": points}).encode()
    request = urllib.request.Request(
        f"{server.url}/v1/depth", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, json.loads(answer.read()), None
    except urllib.error.HTTPError as error:
        return error.code, None, error.headers.get("Retry-After")


def fresh_points(rng: np.random.Generator, count: int) -> list[list[float]]:
    """Pixels that nobody asked about before, or the server would know the answers.

    Rounding must not put one on the right or lower border, which is outside the picture.
    """
    return (np.floor(rng.uniform(0, (WIDTH_PX, HEIGHT_PX), (count, 2)) * 1000) / 1000).tolist()


def ratio(rounds: int = 5, requests: int = 24, each: int = 32, clients: int = 8) -> dict[str, Any]:
    predictor = vlm3.load("nano", device="cpu")
    views = [vlm3.View.open(file) for file in FILES]
    rng = np.random.default_rng(int(time.time()))
    alone, served = [], []
    with running() as server, ThreadPoolExecutor(clients) as pool:
        for turn in range(rounds + 1):
            jobs = [(i % 2, fresh_points(rng, each)) for i in range(requests)]
            began = time.perf_counter()
            for picture, view in enumerate(views):
                points = [p for which, part in jobs for p in part if which == picture]
                predictor.depth(view, points)
            middle = time.perf_counter()
            statuses = [s for s, _, _ in pool.map(lambda job: depth(server, *job), jobs)]
            end = time.perf_counter()
            assert set(statuses) == {200}, Counter(statuses)
            if turn:  # The first warms both up.
                alone.append(requests * each / (middle - began))
                served.append(requests * each / (end - middle))
    return {
        "what": "ratio",
        "engine_per_s": round(statistics.median(alone), 1),
        "server_per_s": round(statistics.median(served), 1),
        "ratio": round(statistics.median(s / a for s, a in zip(served, alone, strict=True)), 3),
        "ratios": [round(s / a, 2) for s, a in zip(served, alone, strict=True)],
        "questions_a_round": requests * each,
        "clients": clients,
    }


def load(seconds: float, clients: int = 64) -> dict[str, Any]:
    statuses: Counter[int] = Counter()
    waits: list[float] = []
    failures: list[str] = []
    lock = threading.Lock()
    memory = []
    questions = 0

    def client(seed: int) -> None:
        nonlocal questions
        rng = np.random.default_rng([seed, int(time.time())])
        while time.monotonic() < until:
            points = fresh_points(rng, int(rng.integers(1, 9)))
            began = time.perf_counter()
            try:
                status, _, after = depth(server, int(rng.integers(2)), points)
            except OSError as error:
                with lock:
                    failures.append(repr(error))
                continue
            with lock:
                statuses[status] += 1
                if status == 200:
                    waits.append(time.perf_counter() - began)
                    questions += len(points)
            if status == 429:
                time.sleep(float(after or 1))

    with running() as server:
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(clients)]
        for thread in threads:
            thread.start()
        while time.monotonic() < until:
            time.sleep(seconds / 6)
            memory.append(round(server.resident_mib()))
        for thread in threads:
            thread.join()
    return {
        "what": "load",
        "clients": clients,
        "seconds": seconds,
        "statuses": dict(statuses),
        "connection_failures": failures[:5],
        "questions_per_s": round(questions / seconds, 1),
        "p50_s": round(float(np.percentile(waits, 50)), 2),
        "p95_s": round(float(np.percentile(waits, 95)), 2),
        "server_mib": memory,
    }


def kill(clients: int = 8, each: int = 12) -> dict[str, Any]:
    """Clients of the official package, with its own retries, and chat questions."""
    import openai

    predictor = vlm3.load("nano", device="cpu")
    view = vlm3.View.open(FILES[0])
    rng = random.Random(0)
    points = [
        [[rng.uniform(0, WIDTH_PX), rng.uniform(0, HEIGHT_PX)] for _ in range(each)]
        for _ in range(clients)
    ]
    expected = [predictor.depth(view, part) for part in points]
    # The picture as the predictor gives it to the engine: chats do not change its size.
    plan = predictor.protocol.plan(
        view.camera, multiple_px=predictor.multiple_px, max_tokens=predictor.max_tokens
    )
    from vlm3.infer.engines.http import HttpEngine

    scene = HttpEngine("nano", base_url="http://localhost/").open([view.resized(plan).image])
    (url,) = scene.urls  # type: ignore[attr-defined]
    answered = Counter[str]()

    with running() as server:

        def client(number: int) -> int:
            far = openai.OpenAI(
                base_url=f"{server.url}/v1", api_key="none", max_retries=20, timeout=60
            )
            right = 0
            for prompt, text in zip(
                expected[number].prompt, expected[number].raw_text, strict=True
            ):
                picture = {"type": "image_url", "image_url": {"url": url}}
                message = {"role": "user", "content": [picture, {"type": "text", "text": prompt}]}
                answer = far.chat.completions.create(model="nano", messages=[message])  # type: ignore[list-item]
                answered["all"] += 1
                right += answer.choices[0].message.content == text
            return right

        with ThreadPoolExecutor(clients) as pool:
            work = [pool.submit(client, number) for number in range(clients)]
            while answered["all"] < clients * each // 3:
                time.sleep(0.01)
            at = answered["all"]
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            server.start()
            right = sum(future.result() for future in work)
    return {
        "what": "kill",
        "asked": clients * each,
        "answered_before_the_kill": at,
        "answered": answered["all"],
        "equal_to_the_engine": right,
    }


def serve_fake(port: int) -> None:
    """The server around an engine that answers at once, always the same to the same question."""
    from vlm3.infer.engines.base import Scene
    from vlm3.infer.predictor import Predictor
    from vlm3.server.application import create_app
    from vlm3.server.process import serve
    from vlm3.tasks.protocol import get_protocol

    class Fake:
        name = "fake"

        def open(self, images: Any) -> Scene:
            return Scene(tuple(images))

        def ask(self, scene: Scene, questions: Any, *, max_new_tokens: int) -> list[str]:
            time.sleep(0.002)
            return [f"{len(question) / 10:05.2f}" for question in questions]

    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    predictor = Predictor(
        Fake(), get_protocol("joint").with_focal(1000), multiple_px=16, max_tokens=4096
    )
    serve(create_app(predictor), bound, quiet=True)


def png_url(side_px: int) -> str:
    """A square picture of one colour: small to send, large to decode."""
    buffer = io.BytesIO()
    Image.new("RGB", (side_px, side_px), "teal").save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def worst_bodies(size: int = 29 * 2**20) -> dict[str, tuple[str, bytes]]:
    """Routes and bodies that would cost a server most, nearly as large as a body may be."""
    image = b'{"image": {"url": "' + URLS[0].encode() + b'"}, "points_px": ['
    noise = base64.b64encode(os.urandom(size * 3 // 4))
    return {
        "points": ("/v1/depth", image + b"[12.5, 20.5], " * (size // 14) + b"[1, 1]]}"),
        "brackets": ("/v1/depth", b"[" * size),
        "quotes": ("/v1/objects", b'{"question": "' + b'\\"' * (size // 2) + b'"}'),
        "strings": ("/v1/chat/completions", b'{"messages": [' + b'"", ' * (size // 4) + b"1]}"),
        "no picture": (
            "/v1/picture",
            b'{"image": {"url": "data:image/png;base64,' + noise + b'"}}',
        ),
        "49 megapixels": ("/v1/picture", json.dumps({"image": {"url": png_url(7000)}}).encode()),
        "points as many as allowed": ("/v1/depth", image + b"[12.5, 20.5], " * 4095 + b"[1, 1]]}"),
    }


def post(
    server: Server, path: str, body: bytes, kind: str = "application/json", timeout: float = 120
) -> tuple[int, bytes, float]:
    """Status, answer, and when to come again (0 where nothing says so)."""
    request = urllib.request.Request(f"{server.url}{path}", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read(), 0
    except urllib.error.HTTPError as error:
        return error.code, error.read(), float(error.headers.get("Retry-After") or 0)


# The query makes the second one go the way of all other requests, through the server's event loop.
_PROBED = {"": "/health", "through the server: ": "/health?"}
_MACHINE = "another process: "


def probe(ended: Any, told: Any, ask: Callable[[], None]) -> None:
    """Asks ten times a second, in a process of its own, and tells the seconds of each."""
    waits = []
    while not ended.is_set():
        began = time.perf_counter()
        try:
            ask()
            waits.append(time.perf_counter() - began)
        except (OSError, http.client.HTTPException):
            pass  # Killed, and not up again yet: the soak counts that.
        time.sleep(0.1)
    told.put(waits)


def ask_health(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    connection.getresponse().read()
    connection.close()


@contextmanager
def echoing() -> Iterator[Callable[[], None]]:
    """A process that gives back what it gets: what an answer costs on this machine at least."""
    fork = multiprocessing.get_context("fork")
    near, far = fork.Pipe()

    def echo() -> None:
        while far.recv_bytes() != b"end":
            far.send_bytes(b"back")

    process = fork.Process(target=echo)
    process.start()

    def ask() -> None:
        near.send_bytes(b"there")
        near.recv_bytes()

    yield ask
    near.send_bytes(b"end")
    process.join(10)


@contextmanager
def probed(server: Server) -> Iterator[dict[str, float]]:
    """Afterwards, how long /health took during the block, in ms."""
    fork = multiprocessing.get_context("fork")
    ended, found = fork.Event(), {}
    with echoing() as echo:
        asks = {name: partial(ask_health, server.port, path) for name, path in _PROBED.items()}
        asks[_MACHINE] = echo
        told = {name: fork.Queue() for name in asks}
        processes = [
            fork.Process(target=probe, args=(ended, told[name], ask)) for name, ask in asks.items()
        ]
        for process in processes:
            process.start()
        try:
            yield found
        finally:
            ended.set()
            for name, queue in told.items():
                waits = np.array(queue.get(timeout=90)) * 1000
                p50, p99, most = np.percentile(waits, (50, 99, 100)).round(1).tolist()
                figures = {"p50_ms": p50, "p99_ms": p99, "max_ms": most, "probes": len(waits)}
                found.update({name + key: value for key, value in figures.items()})
            for process in processes:
                process.join(10)


def health(seconds: float, clients: int, fake: bool) -> dict[str, Any]:
    bodies = worst_bodies()
    answers: dict[str, Counter[str]] = {}
    figures = {}
    with running(fake) as server:
        with probed(server) as figures["nothing else"]:
            time.sleep(min(seconds, 10))
        for name, (path, body) in bodies.items():
            answers[name] = Counter()
            until = time.monotonic() + seconds

            def client(
                name: str = name, path: str = path, body: bytes = body, until: float = until
            ) -> None:
                while time.monotonic() < until:
                    try:
                        status, _, after = post(server, path, body)
                    except OSError as error:
                        answers[name][type(error).__name__] += 1
                        continue
                    answers[name][str(status)] += 1
                    time.sleep(after)

            with probed(server) as figures[name], ThreadPoolExecutor(clients) as pool:
                for work in [pool.submit(client) for _ in range(clients)]:
                    work.result()
        mib = round(server.resident_mib())
    return {
        "what": "health",
        "clients": clients,
        "seconds_each": seconds,
        "health": figures,
        "answers": {name: dict(counts) for name, counts in answers.items()},
        "server_mib": mib,
    }


# What garbage may be answered with; what is sound may be told to come again, too.
_GARBAGE = {400, 404, 408, 413, 415, 429, 503}
_AGAIN = {429, 503}


def garbage(rng: random.Random, huge: bytes) -> tuple[str, bytes, str]:
    """A route, a body that is not what it asks for, and a content type."""
    path = rng.choice(("/v1/depth", "/v1/match", "/v1/pose", "/v1/objects", "/v1/depth_map"))
    sound = json.dumps({"image": {"url": rng.choice(URLS)}, "points_px": [[1, 1]]}).encode()
    wrong = {"image": rng.choice([7, None, [], {"url": 3}]), "points_px": rng.choice(["a", {}, 1])}
    kind = "application/json"
    picture = rng.choice(URLS)[: rng.randrange(1000, 5000) // 4 * 4 + 3]
    which = rng.randrange(60)
    if which == 0:
        return "/v1/depth", huge, kind
    return [
        (path, rng.randbytes(rng.randrange(1, 5000)), kind),
        (path, sound[: rng.randrange(len(sound))], kind),
        (path, json.dumps(wrong).encode(), kind),
        (path, json.dumps({"image": {"url": picture}}).encode(), kind),
        (path, b"[" * rng.randrange(1, 100_000), kind),
        ("/v1/depth", sound, "multipart/form-data; boundary=a"),
        ("/v1/none", sound, kind),
        ("/v1/depth", b'{"points_px": ' + b"9" * 9999 + b"}", kind),
    ][which % 8]


def soak(seconds: float, clients: int, kills: int, fake: bool) -> dict[str, Any]:
    statuses: Counter[str] = Counter()
    undeclared: Counter[str] = Counter()
    waits: list[float] = []
    memory: dict[str, int] = {}
    lock = threading.Lock()
    up = threading.Event()
    huge = worst_bodies()["points"][1]
    downs = [0]

    def client(seed: int) -> None:
        rng = random.Random(f"{seed} {time.time()}")
        points = np.random.default_rng([seed, int(time.time())])
        while time.monotonic() < until:
            bad = rng.random() < 0.2
            if bad:
                path, body, kind = garbage(rng, huge)
            else:
                record = {
                    "image": {"url": rng.choice(URLS), "fov_deg": 60},
                    "points_px": fresh_points(points, rng.randrange(1, 9)),
                }
                path, body, kind = "/v1/depth", json.dumps(record).encode(), "application/json"
            down, began = downs[0], time.monotonic()
            try:
                status, answer, after = post(server, path, body, kind)
            except (OSError, http.client.HTTPException) as error:
                with lock:
                    # Even while it is up: no kill began or ended meanwhile.
                    if down == downs[0] and down % 2 == 0:
                        took = time.monotonic() - began
                        what = f"{path} of {len(body)} bytes after {took:.0f} s"
                        undeclared[f"{what}: {error!r}"[:150]] += 1
                    statuses["cut by a kill"] += 1
                up.wait(300)
                continue
            right = status in (_GARBAGE if bad else {200, *_AGAIN})
            if status == 200:
                right = right and len(json.loads(answer)["points"]) == len(record["points_px"])
            with lock:
                statuses[f"{'garbage' if bad else 'sound'} {status}"] += 1
                if not right:
                    undeclared[f"{path} {status} {answer[:100]!r}"] += 1
                if status == 200:
                    waits.append(time.monotonic() - began)
            time.sleep(after)

    with running(fake) as server, probed(server) as figures:
        up.set()
        start = time.monotonic()
        until = start + seconds
        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(clients)]
        for thread in threads:
            thread.start()
        marks = [(seconds * (n + 1) / (kills + 1), "kill") for n in range(kills)]
        marks += [(at, "memory") for at in (30, 60, 300, 600) if at <= seconds]
        for at, what in sorted(marks):
            time.sleep(max(start + at - time.monotonic(), 0))
            if what == "memory":
                memory[f"after {at} s"] = round(server.resident_mib())
                continue
            memory[f"before the kill at {at:.0f} s"] = round(server.resident_mib())
            up.clear()
            downs[0] += 1
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            server.start()
            downs[0] += 1
            up.set()
        for thread in threads:
            thread.join()
    return {
        "what": "soak",
        "clients": clients,
        "seconds": seconds,
        "kills": kills,
        "engine": "fake" if fake else "nano",
        "undeclared": dict(undeclared),
        "statuses": dict(statuses),
        "p50_s": round(float(np.percentile(waits, 50)), 2),
        "p95_s": round(float(np.percentile(waits, 95)), 2),
        "health": figures,
        "server_mib": memory,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["ratio", "load", "kill"])
    parser.add_argument("--seconds", type=float, default=120, help="of load, soak, each of health")
    parser.add_argument("--clients", type=int, default=64, help="of load, soak, health")
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="kills during the soak")
    parser.add_argument("--fake", action="store_true", help="health and soak without a model")
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.what == ["fake"]:
        serve_fake(asked.port)
        sys.exit()
    measures = {
        "ratio": ratio,
        "load": lambda: load(asked.seconds, asked.clients),
        "kill": kill,
        "health": lambda: health(asked.seconds, asked.clients, asked.fake),
        "soak": lambda: soak(asked.seconds, asked.clients, asked.kill, asked.fake),
    }
    for name in asked.what:
        print(json.dumps(measures[name]()), flush=True)
