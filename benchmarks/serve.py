"""The server under load: python benchmarks/serve.py [ratio] [load] [kill].

ratio   questions a second through the server, against the engine alone, in turns in one run.
load    64 clients at once: what they were told, how long it took, how much memory the server held.
kill    the server is killed with SIGKILL under load and started again; clients try again; what was
        lost, and whether every answer is the engine's own.

One JSON line each, from the packaged model and photographs. The server is a process of its own; the
clients share the machine with it.
"""

import argparse
import base64
import json
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

import vlm3
from vlm3.assets import EXAMPLES_DIR

FILES = [EXAMPLES_DIR / f"lounge_{number}.jpg" for number in (1, 2)]
URLS = ["data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode() for file in FILES]
WIDTH_PX, HEIGHT_PX = 540, 360


class Server:
    """`vlm3 serve` as a process, on a port of its own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = [sys.executable, "-m", "vlm3", "serve", "--port", str(self.port)]
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
def running() -> Iterator[Server]:
    server = Server()
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
    """Pixels that nobody asked about before, or the server would know the answers."""
    return rng.uniform(0, (WIDTH_PX, HEIGHT_PX), (count, 2)).round(3).tolist()


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
    from vlm3.infer.http import HttpEngine

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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["ratio", "load", "kill"])
    parser.add_argument("--seconds", type=float, default=120)
    arguments = parser.parse_args()
    for name in arguments.what:
        done = {"ratio": ratio, "load": lambda: load(arguments.seconds), "kill": kill}[name]()
        print(json.dumps(done), flush=True)
