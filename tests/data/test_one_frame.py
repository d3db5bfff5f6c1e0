"""Law: training and asking show a model the same picture and put to it the same question.

For any camera, pixel, box, protocol and task: what `data.questions` makes of a stored record is
what `infer.predict` makes of the same picture given by a user.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlm3.data.questions import Asker
from vlm3.data.record import ObjectQuestion, PairRecord, Record
from vlm3.geometry.camera import Camera
from vlm3.infer.engines.base import Scene, UInt8
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks.base import Task
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.protocol import PROTOCOLS, Protocol
from vlm3.train.references import OtherAsker
from vlm3.view import View
from vlm3.worlds import labels

MULTIPLE_PX = 16
MAX_TOKENS = 64


class Listening(ConstantEngine):
    """Keeps the pictures and the questions."""

    def __init__(self) -> None:
        super().__init__("")
        self.images: tuple[UInt8, ...] = ()
        self.questions: list[str] = []

    def open(self, images: Sequence[UInt8]) -> Scene:
        self.images = tuple(images)
        return super().open(images)

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        self.questions += questions
        return super().ask(scene, questions, max_new_tokens=max_new_tokens)


@cache
def picture(width_px: int, height_px: int, seed: int = 0) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


@st.composite
def cameras(draw: st.DrawFn) -> Camera:
    width, height = draw(st.integers(17, 90)), draw(st.integers(17, 90))
    f = draw(st.floats(0.4, 3)) * width
    return Camera(f, f * draw(st.floats(0.8, 1.25)), width / 2.1, height / 1.9, width, height)


@st.composite
def pixels(draw: st.DrawFn, camera: Camera, count: int = 4) -> np.ndarray:
    """Anywhere, and at the centres and corners of pixels, where halves tie."""
    share = st.floats(0, 1, exclude_max=True)
    xy = np.array(draw(st.lists(st.tuples(share, share), min_size=count, max_size=count)))
    xy *= (camera.width_px, camera.height_px)
    grid = draw(st.sampled_from(["anywhere", "centres", "corners"]))
    return xy if grid == "anywhere" else np.floor(xy) + (0.5 if grid == "centres" else 0.0)


def small(protocol: Protocol) -> Protocol:
    """At a fraction of its size, for speed, and with one wording, as training draws among them."""
    prep = replace(protocol.prep, target_px=protocol.prep.target_px / 13)
    one = {k: v for k, v in protocol.templates.items() if not k.startswith("correspondence.ask.")}
    return replace(protocol, prep=prep, templates=one, match_wording=0)


def trained(protocol: Protocol, task: Task, camera: Camera, second: Camera, xy: np.ndarray,
            boxes: tuple[tuple[float, ...], ...]) -> Conversation:  # fmt: skip
    asker = Asker(protocol, (task,), MULTIPLE_PX, per_picture=99, max_tokens=MAX_TOKENS)
    one, two = (picture(c.width_px, c.height_px) for c in (camera, second))
    rng = np.random.default_rng(0)
    question = ObjectQuestion("How wide is {0}?", boxes, answer="{0} is wide.", value_m=1.0)
    record = Record(camera, xy, np.full(len(xy), 2.0), (question,))
    if task in ("depth", "objects"):
        return asker.single(one, record, rng)
    motion = np.eye(4)
    motion[:3, 3] = 0.3, 0.0, 0.4
    there = Record(second, np.zeros((0, 2)), np.zeros(0))
    xy2 = np.broadcast_to((second.width_px / 2, second.height_px / 2), xy.shape)
    return asker.pair((one, two), PairRecord(record, there, motion, xy, xy2, True), rng)


def asked(protocol: Protocol, task: Task, camera: Camera, second: Camera, xy: np.ndarray,
          boxes: tuple[tuple[float, ...], ...]) -> Listening:  # fmt: skip
    engine = Listening()
    predictor = Predictor(engine, protocol, MULTIPLE_PX, MAX_TOKENS)
    one, two = (View.open(picture(c.width_px, c.height_px), camera=c) for c in (camera, second))
    if task == "depth":
        predictor.depth(one, xy)
    elif task == "objects":
        predictor.ask(one, "How wide is {0}?", boxes)
    elif task == "correspondence":
        predictor.match(one, two, xy)
    else:
        predictor.pose(one, two)
    return engine


@pytest.mark.filterwarnings("ignore::vlm3.infer.generation.TokenBudgetWarning")
@pytest.mark.parametrize("name", list(PROTOCOLS))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_prompt_and_the_picture_of_training_and_asking_are_equal(
    name: str, data: st.DataObject
) -> None:
    protocol = small(PROTOCOLS[name])
    camera, second = data.draw(cameras()), data.draw(cameras())
    xy = np.unique(data.draw(pixels(camera)), axis=0)
    low = np.floor(data.draw(pixels(camera, 1))[0] / 2)
    x, y = low.tolist()
    boxes = ((x, y, x + 5.5, y + 7.0),)
    for task in sorted(protocol.tasks):
        learnt = trained(protocol, task, camera, second, xy, boxes)
        heard = asked(protocol, task, camera, second, xy, boxes)
        questions = [turn.question for turn in learnt.turns]
        assert set(questions) == set(heard.questions)
        for view, image in zip(learnt.views, heard.images, strict=True):
            assert np.array_equal(view.image, image)


@pytest.mark.parametrize("name", ["paper", "joint", "release-depth"])
def test_30_000_prompts_are_equal(name: str) -> None:
    """At the centres of pixels, where halves tie and a second frame shows: 10,000 a protocol."""
    protocol, rng = small(PROTOCOLS[name]), np.random.default_rng(0)
    different = 0
    for _ in range(50):
        width, height = rng.integers(32, 200, 2).tolist()
        f = float(rng.uniform(0.5, 2) * width)
        camera = Camera(f, f, width / 2, height / 2, width, height)
        places = rng.choice(width * height, 200, replace=False)
        xy = np.stack([places % width, places // width], -1) + 0.5
        asker = Asker(protocol, ("depth",), MULTIPLE_PX, per_picture=200)
        record = Record(camera, xy, np.full(200, 2.0))
        learnt = asker.single(picture(width, height), record, np.random.default_rng(1))
        engine = Listening()
        Predictor(engine, protocol, MULTIPLE_PX).depth(
            View.open(picture(width, height), camera=camera), xy
        )
        different += len({turn.question for turn in learnt.turns} - set(engine.questions))
    assert different == 0


@pytest.mark.parametrize("name", ["paper", "joint", "release-depth"])
def test_worlds_and_studies_write_as_asking_does(name: str) -> None:
    protocol, camera = small(PROTOCOLS[name]), Camera(70.0, 80.0, 31.0, 25.0, 61, 47)
    rng = np.random.default_rng(0)
    frame = SimpleNamespace(camera=camera, distance_m=rng.uniform(1, 9, (47, 61)))
    qas = labels.depth_qas(frame, protocol, 200, rng)  # type: ignore[arg-type]
    every = np.stack(np.meshgrid(np.arange(61) + 0.5, np.arange(47) + 0.5), -1).reshape(-1, 2)
    engine = Listening()
    view = View.open(picture(61, 47), camera=camera)
    Predictor(engine, protocol, MULTIPLE_PX).depth(view, every)
    assert len(qas) == 200 and {qa.question for qa in qas} <= set(engine.questions)
    study = OtherAsker(protocol, ("depth",), MULTIPLE_PX, per_picture=9999)
    learnt = study.single(picture(61, 47), Record(camera, every, np.ones(len(every))), rng)
    assert {turn.question for turn in learnt.turns} == set(engine.questions)
