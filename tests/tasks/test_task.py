"""Laws that hold for every task there is, under every protocol that has it."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.tasks.correspondence import template_count
from vlm3.tasks.protocol import PROTOCOLS
from vlm3.tasks.registry import LABELLED, TASKS, get_task, in_order, paired
from vlm3.tasks.sample import Matches, ObjectQuestion, ObjectQuestions, Points, Sample
from vlm3.tasks.scoring import Rows
from vlm3.tasks.task import Json, Task
from vlm3.tasks.truth import ClockHour, Length, Region, YesNo
from vlm3.view import View

ASKED = [(p, n) for p, protocol in PROTOCOLS.items() for n in sorted(protocol.tasks)]
BOXES = ((2.0, 3.0, 20.0, 30.0), (30.0, 8.0, 50.0, 40.0))


def labelled(seed: int, pictures: int) -> Sample:
    """A picture, or a pair, with some labels of every kind."""
    rng = np.random.default_rng(seed)
    camera = Camera.from_fov(rng.uniform(30, 110), width_px=64, height_px=48)
    view = partial(View, np.zeros((48, 64, 3), np.uint8), camera)
    xy = rng.uniform(0.5, (63, 47), (5, 2))
    if pictures == 2:
        motion = RelativePose.from_ypr_direction(
            rng.uniform(-40, 40, 3), rng.normal(size=3), rng.uniform(0.05, 3)
        )
        xy2 = rng.uniform(0.5, (63, 47), (5, 2))
        return Sample("two", (camera,) * 2, (view,) * 2, matches=Matches(xy, xy2), motion=motion)
    hour = ClockHour(int(rng.integers(1, 13)))
    questions = (
        ObjectQuestion("How wide is {0}?", BOXES[:1], Length(float(rng.uniform(0.1, 9)))),
        ObjectQuestion("Is {0} wider than {1}?", BOXES, YesNo(bool(rng.integers(2)))),
        ObjectQuestion("Which is wider, {0} or {1}?", BOXES, Region(int(rng.integers(2)))),
        ObjectQuestion("In which clock direction is {1} from {0}?", BOXES, hour),
    )
    points = Points(xy, rng.uniform(0.1, 90, 5))
    return Sample("one", (camera,), (view,), points=points, objects=ObjectQuestions(questions))


def rows_of(task: Task, queries: list[tuple[Json, Json]], predictions: list[Json]) -> Rows:
    n, unknown = len(queries), np.full(len(queries), np.nan)
    groups = tuple(str(ask.get("category", "")) for ask, _ in queries)
    truths = [truth for _, truth in queries]
    predicted, truth = (
        np.array([task.numbers(v) for v in values], float) for values in (predictions, truths)
    )
    asked = np.array([task.asked(ask) for ask, _ in queries], float).reshape(n, task.asked_columns)
    ids = tuple(map(str, range(n)))
    return Rows(task.name, ids, np.arange(n), groups, predicted, truth, asked, unknown, unknown)


@pytest.mark.parametrize(("protocol_name", "name"), ASKED)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_a_label_is_written_as_is_read_back(protocol_name: str, name: str, seed: int) -> None:
    protocol, task = PROTOCOLS[protocol_name], TASKS[name]
    sample = labelled(seed, task.pictures)
    queries = task.queries(sample, 99)
    assert queries
    for ask, truth in queries:
        prompts = task.prompts(protocol, sample.cameras, ask)
        answers = task.answers(protocol, sample.cameras, ask, truth)
        assert set(answers) <= set(prompts)
        read = task.read(protocol, ask, task.words(prompts), task.words(answers))
        assert read is not None
        right, said = task.numbers(truth), task.numbers(task.judged(ask, truth, read))
        known = np.isfinite(said)
        assert known.any()
        # Two decimals of a metre, a 2000th of a picture, a tenth of a degree.
        np.testing.assert_allclose(np.array(said)[known], np.array(right)[known], atol=0.06)
        assert task.parts(task.words(prompts)) == prompts


@pytest.mark.parametrize(("protocol_name", "name"), ASKED)
def test_examples_are_the_prompts_with_their_answers(protocol_name: str, name: str) -> None:
    protocol, task = PROTOCOLS[protocol_name], TASKS[name]
    sample = labelled(3, task.pictures)
    made = task.examples(sample, protocol, np.random.default_rng(0), 99)
    written = {
        (prompts[part], text)
        for ask, truth in task.queries(sample, 99)
        for prompts in [task.prompts(protocol, sample.cameras, ask)]
        for part, text in task.answers(protocol, sample.cameras, ask, truth).items()
    }
    if name == "correspondence" and template_count(protocol) > 1:
        # Training draws among the wordings; answers are the same.
        assert {qa.answer for qa in made} == {text for _, text in written}
    else:
        assert {(qa.question, qa.answer) for qa in made} == written
    assert {qa.task for qa in made} == {name}
    assert len(task.queries(sample, 1)) == 1


@pytest.mark.parametrize("name", LABELLED)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_truths_are_perfect_predictions_and_floors_are_none(name: str, seed: int) -> None:
    task = TASKS[name]
    queries = [q for k in range(12) for q in task.queries(labelled(seed + k, task.pictures), 99)]
    for _, truth in queries:
        numbers = task.numbers(truth)
        task.check_truth(numbers)
        back = task.numbers(task.values(numbers))
        np.testing.assert_array_equal(back, numbers)
    perfect = rows_of(task, queries, [truth for _, truth in queries])
    assert perfect.truth.shape == (len(queries), task.columns)
    for measure in task.measures(perfect):
        best = {"higher": 1.0, "lower": 0.0}[measure.better]
        np.testing.assert_allclose(measure.values, best, atol=1e-5)
        assert measure.parsed.all()
    unread = rows_of(task, queries, [{}] * len(queries))
    for measure in task.measures(unread):
        assert not measure.parsed.any()
    for floor in task.floors(perfect):
        assert floor.rows.predicted.shape == perfect.predicted.shape
        values = task.headline_values(floor.rows)
        assert np.isfinite(values).all() and len(values) == len(queries)


def test_names() -> None:
    assert [task.name for task in in_order(["pose", "depth"])] == ["depth", "pose"]
    assert paired(["pose", "correspondence"]) and not paired(["depth", "fov"])
    with pytest.raises(InputError, match="depth needs single pictures and pose needs pairs"):
        paired(["depth", "pose"])
    with pytest.raises(InputError, match="no task is called 'colour'; choose of depth"):
        get_task("colour")
    assert all(task.protocol_task in TASKS for task in TASKS.values())
