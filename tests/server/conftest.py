"""Servers for the tests here; without the extra `app` they skip."""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")

from app_serving import Client, Serve, noise, predictor_of, serving
from PIL import Image

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
    from vlm3.infer.loading import load

    return load("nano", device="cpu")


@pytest.fixture(scope="session")
def nano_server(nano: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """nano with the page, and a folder of three pictures, of which one is none."""
    folder = tmp_path_factory.mktemp("pictures")
    files = [folder / name for name in ("day 1.jpg", "day 2.png", "notes.jpg")]
    turned = Image.Exif()
    turned[0x0112] = 6  # Stored lying, shown upright.
    Image.fromarray(noise(1, 640, 480)).save(files[0], exif=turned)
    Image.fromarray(noise(2, 640, 480)).save(files[1])
    files[2].write_text("these are my notes")
    with serving(nano, page=True, pictures=files) as client:
        yield client
