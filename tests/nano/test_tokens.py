"""What arithmetic writes is what the project's functions and tokenizer write, token by token."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vlm3.geometry.pose import RelativePose, rotation_from_ypr_deg, ypr_deg_from_rotation
from vlm3.model import nano_tokenizer
from vlm3.nano.tokens import TokenizedQuestions, TokenWriter, ypr_deg
from vlm3.tasks import correspondence, depth, pose
from vlm3.tasks.protocol import get_protocol
from vlm3.train.mosaics import COLORS, QUESTION
from vlm3.train.packing import IGNORE

TOKENIZER = nano_tokenizer()
WRITER = TokenWriter(TOKENIZER, torch.device("cpu"))
PROTOCOL = get_protocol("joint")
SHAPE_PX = (144, 112)
SIZE = {"width_px": 144, "height_px": 112}

unit = st.floats(0, 1, allow_nan=False)
pixels = st.tuples(unit.map(lambda u: 144 * u), unit.map(lambda u: 112 * u))
many = settings(max_examples=60, deadline=None)


def off_ties(values: Any, decimals: int) -> bool:
    """Whether no value lies half way between two that can be written: there either is right."""
    scaled = np.abs(np.atleast_1d(values)) * 10**decimals
    return bool((np.abs(scaled % 1 - 0.5) > 1e-6).all())


def ids(*texts: str) -> list[int]:
    return [i for text in texts for i in TOKENIZER(text + "<|im_end|>")["input_ids"]]


def assert_written(
    asked: TokenizedQuestions, stem: str | None, place: Any, question: str, answer: str
):
    """Ids are the question's and the answer's, and labels the answer's alone."""
    wanted, said = ids(question, answer), ids(answer)
    words = list(WRITER.stems[stem]) if stem else []
    written = [*words, *asked.ids[place].tolist()]
    assert written[: len(wanted)] == wanted, TOKENIZER.decode(written)
    assert set(written[len(wanted) :]) <= {WRITER.pad}
    labels = asked.labels[place]
    assert labels[labels != IGNORE].tolist() == said
    first = int((labels != IGNORE).nonzero()[0])
    assert len(words) + first + 1 == len(ids(question))


@many
@given(pixels, st.floats(0.001, 99.99))
def test_distances(xy_px: tuple[float, float], metres: float) -> None:
    assume(off_ties(metres, 2))
    asked = WRITER.depth(
        torch.tensor([[xy_px]], dtype=torch.float64),
        torch.tensor([[metres]], dtype=torch.float64),
        SHAPE_PX,
    )
    question, answer = depth.ask(PROTOCOL, xy_px, **SIZE), depth.answer(PROTOCOL, metres)
    assert_written(asked, "depth", (0, 0), question, answer)
    assert len(asked.weights) == asked.labels.shape[-1]


@pytest.mark.parametrize("metres", [float("inf"), float("nan"), 120.0])
def test_what_cannot_be_written_is_not_asked(metres: float) -> None:
    asked = WRITER.depth(torch.ones(1, 1, 2), torch.tensor([[metres]]), SHAPE_PX)
    assert (asked.labels == IGNORE).all()


@many
@given(pixels, pixels)
def test_matches(xy1_px: tuple[float, float], xy2_px: tuple[float, float]) -> None:
    one, two = (torch.tensor([[xy]], dtype=torch.float64) for xy in (xy1_px, xy2_px))
    asked = WRITER.match(one, two, torch.ones(1, 1, dtype=torch.bool), SHAPE_PX)
    question = correspondence.ask(PROTOCOL, xy1_px, **SIZE)
    assert_written(
        asked, "match", (0, 0), question, correspondence.answer(PROTOCOL, xy2_px, **SIZE)
    )


angle = st.floats(-179.9, 179.9)


@many
@given(angle, st.floats(-89, 89), angle, st.tuples(*[st.floats(-3, 3)] * 3))
def test_motions(yaw: float, pitch: float, roll: float, shift: tuple[float, ...]) -> None:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation_from_ypr_deg([yaw, pitch, roll]), shift
    true = RelativePose.from_matrix(matrix)
    assume(off_ties(true.yaw_pitch_roll_deg, 1) and off_ties(true.distance_m, 2))
    assume(true.direction is None or off_ties(true.direction, 2))
    asked = WRITER.motion(torch.from_numpy(matrix)[None])
    for k, component in enumerate(pose.components(PROTOCOL)):
        if component != "rotation" and np.linalg.norm(shift) <= 1e-3:
            assert (asked.labels[0, k] == IGNORE).all()
            continue
        answer = pose.answer(PROTOCOL, component, true)
        assert_written(asked, None, (0, k), pose.ask(PROTOCOL, component), answer)
        counted = asked.labels[0, k] != IGNORE
        assert (asked.weights[k][counted] > 0).all() and (asked.weights[k][~counted] == 0).all()


@many
@given(pixels, st.sampled_from(range(8)))
def test_colors(xy_px: tuple[float, float], color: int) -> None:
    xy = torch.tensor([[xy_px]], dtype=torch.float64)
    asked = WRITER.color(xy, torch.tensor([[color]]), SHAPE_PX)
    x, y = (min(1999, round(2000 * v / side)) for v, side in zip(xy_px, SHAPE_PX, strict=True))
    question = QUESTION.format(x=x, y=y)
    assert_written(asked, "color", (0, 0), question, COLORS[color])


@many
@given(angle, st.floats(-89, 89), angle)
def test_angles_are_those_of_geometry(yaw: float, pitch: float, roll: float) -> None:
    rotation = rotation_from_ypr_deg([yaw, pitch, roll])
    found = ypr_deg(torch.from_numpy(rotation)).numpy()
    assert found == pytest.approx(ypr_deg_from_rotation(rotation), abs=1e-6)


def test_shuffled_keeps_prompts_and_moves_answers() -> None:
    xy = torch.tensor([[[1.0, 2.0], [30.0, 40.0], [90.0, 10.0]]])
    asked = WRITER.depth(xy, torch.tensor([[1.0, 2.0, 3.0]]), SHAPE_PX)
    wrong = asked.shuffled()
    assert torch.equal(wrong.ids[..., : asked.prompt], asked.ids[..., : asked.prompt])
    assert torch.equal(wrong.ids[:, 1, asked.prompt :], asked.ids[:, 0, asked.prompt :])
    assert torch.equal(wrong.labels[:, 0], asked.labels[:, 2])
