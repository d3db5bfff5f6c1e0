"""What is written can be read again, within the rounding of the text."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.geometry.pose import RelativePose, direction_error_deg, rotation_from_ypr_deg
from vlm3.tasks import correspondence, depth, object_reading, object_writing, pose, pose_reading
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.protocol import PROTOCOLS, Protocol
from vlm3.tasks.truth import ClockHour, ObjectTruth, Region, YesNo


def able(task: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "protocol",
        [p for p in PROTOCOLS.values() if task in p.tasks],
        ids=lambda protocol: protocol.name,
    )


lengths = st.floats(1e-3, 1e5)
sides = st.integers(1, 20_000)
fractions = st.floats(0, 1)
degrees = st.floats(-180, 180)
unit = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


def written(length_m: float) -> float:
    return max(length_m, 0.01)


@able("depth")
@given(distance_m=lengths)
def test_depth(protocol: Protocol, distance_m: float) -> None:
    read = depth.parse(protocol, depth.answer(protocol, distance_m))
    assert read == pytest.approx(written(distance_m), abs=0.005 + 1e-9)


@able("correspondence")
@given(width_px=sides, height_px=sides, fx=fractions, fy=fractions)
def test_correspondence(
    protocol: Protocol, width_px: int, height_px: int, fx: float, fy: float
) -> None:
    size = {"width_px": width_px, "height_px": height_px}
    xy_px = np.array([fx * width_px, fy * height_px])
    read = correspondence.parse(protocol, correspondence.answer(protocol, xy_px, **size), **size)
    assert not isinstance(read, ParseFailure)
    # Where whole numbers are pixel centres, the first half pixel has the name of its end.
    named_px = np.maximum(xy_px, 0.5 - protocol.centre_px)
    off_norm = np.abs(read - named_px) * protocol.norm_size / (width_px, height_px)
    # At the far edge a half-open range gives up a whole step.
    limit = np.where(np.array([fx, fy]) * protocol.norm_size > protocol.norm_size - 1, 1.0, 0.5)
    assert (off_norm <= (limit if protocol.half_open else 0.5) + 1e-6).all()


@able("pose")
@given(yaw=degrees, pitch=st.floats(-90, 90), roll=degrees, direction=unit, distance_m=lengths)
def test_pose(
    protocol: Protocol,
    yaw: float,
    pitch: float,
    roll: float,
    direction: tuple[float, float, float],
    distance_m: float,
) -> None:
    pair = RelativePose.from_ypr_direction((yaw, pitch, roll), direction, distance_m)
    for component in pose.components(protocol):
        read = pose_reading.parse(protocol, component, pose.answer(protocol, component, pair))
        assert not isinstance(read, ParseFailure)
        if component == "rotation_angle":
            assert read == pytest.approx(pair.angle_deg, abs=0.05 + 1e-9)
        elif component == "distance":
            assert read == pytest.approx(written(distance_m), abs=0.005 + 1e-9)
        elif component == "rotation":
            assert np.abs(read - pair.yaw_pitch_roll_deg).max() <= 0.05 + 1e-9
            assert np.abs(rotation_from_ypr_deg(read) - pair.rotation).max() < 0.003
        else:
            assert direction_error_deg(read, direction, sign_free=False) < 0.5


@able("objects")
@given(length_m=lengths, hour=st.integers(1, 12), yes=st.booleans())
def test_object_answers(protocol: Protocol, length_m: float, hour: int, yes: bool) -> None:
    size = {"width_px": 640, "height_px": 480}
    box = [[10, 20, 300, 400]]

    def read(question: str, answer: str) -> ObjectTruth | ParseFailure:
        return object_reading.parse(object_writing.ask(protocol, question, box, **size), answer, 1)

    length = read("How wide is {0}?", object_writing.answer_length(protocol, length_m))
    assert isinstance(length, ObjectTruth)
    assert length.value == pytest.approx(written(length_m), abs=0.005 + 1e-9)
    clock = read("In which direction is {0}?", object_writing.answer_clock(protocol, hour))
    assert clock == ClockHour(hour)
    agreement = read("Is {0} taller than a door?", object_writing.answer_yes_no(protocol, yes))
    assert agreement == YesNo(yes)


@st.composite
def box_lists(draw: st.DrawFn) -> list[list[float]]:
    boxes = []
    for _ in range(draw(st.integers(1, 6))):
        x1, y1 = draw(st.floats(0, 600)), draw(st.floats(0, 440))
        x2, y2 = draw(st.floats(x1 + 5, 640)), draw(st.floats(y1 + 5, 480))
        boxes.append([x1, y1, x2, y2])
    return boxes


@able("objects")
@given(boxes=box_lists(), data=st.data())
def test_region_choice(protocol: Protocol, boxes: list[list[float]], data: st.DataObject) -> None:
    """In whatever order the question names the boxes; equal texts are the same box."""
    size = {"width_px": 640, "height_px": 480}
    order = data.draw(st.permutations(range(len(boxes))))
    chosen = data.draw(st.integers(0, len(boxes) - 1))
    named = ", ".join(f"{{{k}}}" for k in order)
    question = object_writing.ask(protocol, f"Which is taller: {named}?", boxes, **size)
    answer = object_writing.answer_region(protocol, chosen, boxes, **size)
    boxes_norm = object_writing.written_boxes(protocol, boxes, **size)
    read = object_reading.parse(question, answer, len(boxes), boxes_norm=boxes_norm)
    if "(" not in answer or boxes_norm.count(boxes_norm[chosen]) == 1:
        assert read == Region(chosen)


@able("depth")
@given(width_px=sides, height_px=sides, fx=fractions, fy=fractions)
def test_questions_keep_to_the_range(
    protocol: Protocol, width_px: int, height_px: int, fx: float, fy: float
) -> None:
    template = protocol.templates["depth.ask"]
    xy_px = (fx * width_px, fy * height_px)
    text = depth.ask(protocol, xy_px, width_px=width_px, height_px=height_px)
    numbers = range(protocol.norm_size + (0 if protocol.half_open else 1))
    x, y = (round(f * protocol.norm_size) for f in (fx, fy))
    near = [
        template.format(x=x + dx, y=y + dy)
        for dx in (-1, 0, 1)
        for dy in (-1, 0, 1)
        if x + dx in numbers and y + dy in numbers
    ]
    assert text in near


@given(distance_m=st.floats(1e-3, 99.99), xy_px=st.tuples(st.floats(0, 640), st.floats(0, 480)))
def test_joint_texts_have_one_length(distance_m: float, xy_px: tuple[float, float]) -> None:
    joint, size = PROTOCOLS["joint"], {"width_px": 640, "height_px": 480}
    assert len(depth.answer(joint, distance_m)) == 5
    assert len(correspondence.answer(joint, xy_px, **size)) == 9
    assert len(depth.ask(joint, xy_px, **size)) == len(depth.ask(joint, (1, 1), **size))


@able("pose")
def test_no_negative_zero(protocol: Protocol) -> None:
    pair = RelativePose.from_ypr_direction((-0.01, -0.04, -0.0), (-0.001, 0.0, 1.0), 1.0)
    for component in ("rotation", "direction"):
        text = pose.answer(protocol, component, pair)
        assert "-0.0" not in text
        assert "-000.0" not in text


def test_what_cannot_be_written_is_refused() -> None:
    joint = PROTOCOLS["joint"]
    size = {"width_px": 100, "height_px": 50}
    still = RelativePose.from_ypr_direction((0, 0, 0), None, 0)
    for bad in (0.0, -1.0, float("nan"), float("inf"), 1e9):
        with pytest.raises(InputError, match="not a length"):
            depth.answer(joint, bad)
    for xy in ((-1, 5), (101, 5), (5, 51), (float("nan"), 5)):
        with pytest.raises(InputError, match="outside the 100x50 picture"):
            depth.ask(joint, xy, **size)
    with pytest.raises(InputError, match="two numbers"):
        depth.ask(joint, (1, 2, 3), **size)
    for component in ("direction", "distance"):
        with pytest.raises(InputError, match="did not move"):
            pose.answer(joint, component, still)
    with pytest.raises(InputError, match="hour"):
        object_writing.answer_clock(joint, 13)
    for question, boxes, words in (
        ("How wide is {0}?", [[5, 5, 5, 9]], "empty or inverted"),
        ("How wide is {0}?", [[9, 5, 5, 9]], "empty or inverted"),
        ("How wide is {0}?", [[float("nan"), 5, 5, 9]], "empty or inverted"),
        ("How wide is {0}?", [[5, 5, 101, 9]], "does not lie in"),
        ("How wide is {0}?", [5, 5, 10, 9], "rows of"),
        ("How wide is {1}?", [[5, 5, 10, 9]], "box 0 is not in the question"),
        ("How wide is {0} or {1}?", [[5, 5, 10, 9]], "{1} has no box"),
        ("How wide is {0}?", [], "{0} has no box"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            object_writing.ask(joint, question, boxes, **size)
    assert object_writing.ask(joint, "What is this?", [], **size) == "What is this?"
