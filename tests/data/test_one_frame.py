"""Law: training and asking show a model the same picture and put to it the same question.

For any camera, pixel, box, protocol and task: what `tasks.question_writer` makes of a sample is
what `infer.predictor` makes of the same picture given by a user, and `eval.solvers` of a query.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlm3.eval.items import Item, queries_of
from vlm3.eval.solvers import ModelSolver
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.infer.engines.base import Scene, UInt8
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.protocol import PROTOCOLS, Protocol
from vlm3.tasks.question_writer import QuestionWriter
from vlm3.tasks.references import question_writer
from vlm3.tasks.registry import in_order
from vlm3.tasks.sample import Box, Matches, ObjectQuestion, ObjectQuestions, Points, Sample
from vlm3.tasks.task import Task
from vlm3.tasks.truth import Length
from vlm3.view import View
from vlm3.worlds.labels import FrameDistances

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


def sample(camera: Camera, second: Camera | None, xy: np.ndarray, boxes: tuple[Box, ...]) -> Sample:
    """One picture with distances and a question, or a pair with matches and a motion."""
    cameras = (camera,) if second is None else (camera, second)
    views = tuple(partial(View.open, picture(c.width_px, c.height_px), camera=c) for c in cameras)
    if second is None:
        question = ObjectQuestion("How wide is {0}?", boxes, Length(1.0), "{0} is wide.")
        points = Points(xy, np.full(len(xy), 2.0))
        return Sample("one", cameras, views, points=points, objects=ObjectQuestions((question,)))
    motion = RelativePose.from_ypr_direction((10.0, 2.0, 1.0), (0.6, 0.0, 0.8), 0.5)
    xy2 = np.broadcast_to((second.width_px / 2, second.height_px / 2), xy.shape)
    return Sample("two", cameras, views, matches=Matches(xy, xy2), motion=motion)


def trained(protocol: Protocol, task: Task, labelled: Sample) -> Conversation:
    writer = QuestionWriter(protocol, (task,), MULTIPLE_PX, 999, MAX_TOKENS)
    return writer.write(labelled, np.random.default_rng(0))


def asked(protocol: Protocol, task: Task, labelled: Sample, boxes: tuple[Box, ...]) -> Listening:
    """By the methods that users call."""
    engine = Listening()
    predictor = Predictor(engine, protocol, MULTIPLE_PX, MAX_TOKENS)
    views = labelled.open()
    if task.name == "objects":
        predictor.ask(views[0], "How wide is {0}?", boxes)
    elif task.name == "fov":
        predictor.fov(views[0])
    elif task.name == "pose":
        predictor.pose(*views)
    else:
        labels = labelled.points or labelled.matches
        xy = labels.xy_px if isinstance(labels, Points) else labels.xy1_px  # type: ignore[union-attr]
        (predictor.depth if task.name == "depth" else predictor.match)(*views, xy)  # type: ignore[operator]
    return engine


def evaluated(protocol: Protocol, task: Task, labelled: Sample) -> Listening:
    """By an evaluation of the same sample."""
    engine = Listening()
    solver = ModelSolver(Predictor(engine, protocol, MULTIPLE_PX, MAX_TOKENS))
    queries = [q for q in queries_of(labelled, "one") if q.task == task.name]
    solver.solve(Item("one", labelled.pictures, tuple(queries)), queries)
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
    for task in in_order(protocol.tasks):
        labelled = sample(camera, second if task.pictures == 2 else None, xy, boxes)
        learnt = trained(protocol, task, labelled)
        questions = {turn.question for turn in learnt.turns}
        for heard in (asked(protocol, task, labelled, boxes), evaluated(protocol, task, labelled)):
            assert questions == set(heard.questions)
            for one, other in zip(learnt.images, heard.images, strict=True):
                assert np.array_equal(one, other)


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
        learnt = trained(protocol, DEPTH, sample(camera, None, xy, ()))
        engine = Listening()
        Predictor(engine, protocol, MULTIPLE_PX, MAX_TOKENS).depth(
            View.open(picture(width, height), camera=camera), xy
        )
        different += len({turn.question for turn in learnt.turns} - set(engine.questions))
    assert different == 0


@pytest.mark.parametrize("name", ["paper", "joint", "release-depth"])
def test_worlds_and_studies_write_as_asking_does(name: str) -> None:
    protocol, camera = small(PROTOCOLS[name]), Camera(70.0, 80.0, 31.0, 25.0, 61, 47)
    rng = np.random.default_rng(0)
    frame = SimpleNamespace(camera=camera, distance_m=rng.uniform(1, 9, (47, 61)))
    of_world = replace(sample(camera, None, np.zeros((0, 2)), ()), points=FrameDistances(frame))  # type: ignore[arg-type]
    qas = DEPTH.examples(of_world, protocol, rng, 200)
    every = np.stack(np.meshgrid(np.arange(61) + 0.5, np.arange(47) + 0.5), -1).reshape(-1, 2)
    engine = Listening()
    view = View.open(picture(61, 47), camera=camera)
    Predictor(engine, protocol, MULTIPLE_PX).depth(view, every)
    assert len(qas) == 200 and {qa.question for qa in qas} <= set(engine.questions)
    study = question_writer("normalised", protocol, ("depth",), MULTIPLE_PX, 9999)
    learnt = study.write(sample(camera, None, every, ()), rng)
    assert {turn.question for turn in learnt.turns} == set(engine.questions)
