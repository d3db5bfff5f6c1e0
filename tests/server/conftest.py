"""Servers for the tests here; without the extra `app` they skip."""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")

from app_serving import Client, Serve, predictor_of, serving

from vlm3.infer.engines.base import Engine
from vlm3.infer.predictor import Predictor


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that end with the test."""
    running = []

    def start(engine: Engine, **options: Any) -> Client:
        running.append(serving(predictor_of(engine), **options))
        return running[-1].__enter__()

    yield start
    for one in running:
        one.__exit__(None, None, None)


@pytest.fixture(scope="session")
def nano() -> Predictor:
    from vlm3.infer.predictor import load

    return load("nano", device="cpu")


@pytest.fixture(scope="session")
def nano_server(nano: Predictor) -> Iterator[Client]:
    with serving(nano, page=True) as client:
        yield client
