"""Answers to questions in anyone's words: what is written is read back, and a table of manners."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.free_questions import judged, mask_of, read, written

LETTERS = {
    "kind": "choice",
    "labels": ["A", "B", "C", "D"],
    "options": ["left", "front-left", "back", "back-right"],
}
INDICES = {
    "kind": "choice",
    "labels": ["0", "1"],
    "options": ["Move right while yawing left", "Move left while yawing right"],
}
SIDES = {"kind": "choice", "labels": ["left", "right"], "options": ["left", "right"]}
POINT = {"kind": "point", "size_px": [640, 480]}
VECTOR = {"kind": "vector", "unit": "mm"}


@given(st.sampled_from([LETTERS, INDICES, SIDES]), st.integers(0, 3))
def test_a_choice_is_read_back(form: dict[str, Any], k: int) -> None:
    truth = {"option": k % len(form["labels"])}
    assert read(form, written(form, truth)) == truth


@given(st.sampled_from(["m", "cm", "mm", "m2", "degrees"]), st.floats(0, 9e4))
def test_a_number_is_read_back(unit: str, value: float) -> None:
    form, value = {"kind": "number", "unit": unit}, round(value, 3)
    assert read(form, written(form, {"number": value})) == {"number": pytest.approx(value)}


@given(st.lists(st.floats(-9e3, 9e3), min_size=3, max_size=3))
def test_a_vector_is_read_back(values: list[float]) -> None:
    vector = [round(v, 1) for v in values]
    found = read(VECTOR, written(VECTOR, {"vector": vector}))
    assert found == {"vector": pytest.approx(vector)}


@given(st.floats(0, 639.9), st.floats(0, 479.9))
def test_a_point_is_read_back_to_a_thousandth(x: float, y: float) -> None:
    found = read(POINT, written(POINT, {"xy_px": [x, y]}))
    assert not isinstance(found, ParseFailure)
    assert np.allclose(found["xy_px"], [x, y], atol=0.33)


@given(st.text(max_size=300), st.sampled_from([LETTERS, INDICES, SIDES, POINT, VECTOR]))
def test_any_text_is_an_answer_or_a_failure(text: str, form: dict[str, Any]) -> None:
    found = read(form, text)
    assert isinstance(found, ParseFailure | dict)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (LETTERS, "A chair stands to the left.", 0),
        (LETTERS, "It is A or B", None),
        (LETTERS, "front left", 1),
        (LETTERS, "It is at the back.", 2),
        (LETTERS, "To the back-right of it", 3),
        (LETTERS, '{"analysis": "B looks near", "answer": "C"}', 2),
        (LETTERS, "I think B, or maybe C. So the answer is B", 1),
        (LETTERS, "<think>B?</think><answer>D</answer>", 3),
        (LETTERS, "I cannot tell whether it is left.", None),
        (LETTERS, "no idea", None),
        (LETTERS, "", None),
        (LETTERS, "E", None),
        (INDICES, "<thinking>the 2 images</thinking><ans>1</ans>", 1),
        (INDICES, "<ans>0", 0),
        (INDICES, "Move left while yawing right", 1),
        (INDICES, "<ans>2</ans>", None),
        (SIDES, "The camera shifted `left`.", 0),
        (SIDES, "RIGHT", 1),
        (SIDES, "It moved left, then right.", None),
    ],
)
def test_choices(form: dict[str, Any], text: str, expected: int | None) -> None:
    found = read(form, text)
    if expected is None:
        assert isinstance(found, ParseFailure)
    else:
        assert found == {"option": expected}


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("m", "about 2.5 meters", 2.5),
        ("m", "250 cm", 2.5),
        ("cm", "1.2 m", 120),
        ("cm", "45", 45),
        ("m2", "24.5 m²", 24.5),
        ("m2", "24.5 square meters", 24.5),
        ("mm", "The depth at point [ 12 , 34 ] is `1234` mm.", 1234),
        ("mm", "It is 1234 mm away, point [ 12 , 34 ]", 1234),
        ("degrees", "It rotated `35` degrees horizontally.", 35),
        ("m", "2 or 3", None),
        ("m", "There are 3 chairs 2.5 m apart", 2.5),
        ("m", "far", None),
    ],
)
def test_numbers(unit: str, text: str, expected: float | None) -> None:
    found = read({"kind": "number", "unit": unit}, text)
    if expected is None:
        assert isinstance(found, ParseFailure)
    else:
        assert found == {"number": pytest.approx(expected)}


def test_two_points_are_none_and_a_mask_is_a_picture() -> None:
    assert isinstance(read(POINT, "(1, 2) or (3, 4)"), ParseFailure)
    assert isinstance(read(POINT, "[1, 2, 3, 4]"), ParseFailure)
    assert isinstance(read(POINT, "x" * 200_000), ParseFailure)
    with pytest.raises(InputError, match="no picture in base64"):
        mask_of("hello")
    assert judged(POINT, {}, {}) == {}
    assert judged(LETTERS, {"option": 1}, {"option": 0}) == {"option": 0}
