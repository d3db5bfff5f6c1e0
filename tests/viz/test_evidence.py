from dataclasses import replace

import numpy as np
import pytest

from vlm3.assets import Example
from vlm3.tasks.answers import DepthAnswer, MatchAnswer, ObjectAnswer, PoseAnswer
from vlm3.tasks.truth import YesNo, truth_of_fields
from vlm3.viz.evidence import (
    depth_evidence,
    match_evidence,
    object_evidence,
    pose_evidence,
)


def test_depth(example: Example, depth_answer: DepthAnswer, evil: str) -> None:
    lines = depth_evidence(depth_answer, example.point_labels, example.points_distance_m)
    assert [line.good for line in lines] == [False, False] + [True] * 10
    assert lines[0].error == "+120%"
    assert lines[1].value is None
    assert lines[1].error is None
    assert lines[1].raw_text == evil
    assert lines[6].value == "3.86 m"
    assert lines[6].truth == "3.51 m"
    assert lines[6].prompt == "how far is point 6?"


def test_depth_without_truth_gives_no_verdict(example: Example, depth_answer: DepthAnswer) -> None:
    for line in depth_evidence(depth_answer, example.point_labels):
        assert line.truth is line.error is line.good is None


@pytest.mark.parametrize(
    ("factor", "good"), [(1.249, True), (1.251, False), (0.801, True), (0.799, False)]
)
def test_depth_is_right_within_a_factor(
    factor: float, good: bool, example: Example, depth_answer: DepthAnswer
) -> None:
    answer = replace(
        depth_answer,
        distance_m=factor * example.points_distance_m,
        parsed=np.ones(12, dtype=bool),
    )
    lines = depth_evidence(answer, example.point_labels, example.points_distance_m)
    assert {line.good for line in lines} == {good}


def test_match(example: Example, match_answer: MatchAnswer) -> None:
    lines = match_evidence(match_answer, example.match_labels, example.matches_xy_2_px)
    assert [line.error for line in lines] == ["5 px", "5 px", None] + ["5 px"] * 5
    assert lines[0].value == "(301, 177)"
    assert lines[2].value is None
    unknown = match_evidence(match_answer, example.match_labels, np.full((8, 2), np.nan))
    assert {(line.truth, line.error) for line in unknown} == {(None, None)}


def test_pose(example: Example, pose_answer: PoseAnswer) -> None:
    lines = {line.what: line for line in pose_evidence(pose_answer, example.pose)}
    assert lines["rotation"].value == "-10.0° -4.0° -3.0°"
    assert lines["rotation"].truth == "-12.6° -5.5° -6.1°"
    assert lines["distance"].value == "0.50 m"
    assert lines["distance"].error == "+13%"
    assert lines["direction"].error is not None


def test_pose_of_which_nothing_was_read(example: Example, unread_pose: PoseAnswer) -> None:
    for line in pose_evidence(unread_pose, example.pose):
        assert line.value is line.error is None
        assert line.truth is not None


def test_the_released_rotation_angle_is_shown_as_it_was_written(pose_answer: PoseAnswer) -> None:
    answer = replace(
        pose_answer,
        parsed={"rotation_angle": True},
        raw_text={"rotation_angle": "Rotation angle: 89.7 degrees"},
        prompt={"rotation_angle": "which angle?"},
    )
    (line,) = pose_evidence(answer)
    assert line.what == "rotation angle"
    assert line.value == "Rotation angle: 89.7 degrees"


@pytest.mark.parametrize(
    ("said", "truth", "value", "good"),
    [
        ({"value_m": 0.75}, {"value_m": 1.0}, "0.75 m", True),
        ({"value_m": 1.25}, {"value_m": 1.0}, "1.25 m", True),
        ({"value_m": 1.26}, {"value_m": 1.0}, "1.26 m", False),
        ({"yes": True}, {"value_m": 1.0}, "yes", False),
        ({"clock_hour": 12}, {"clock_hour": 1}, "12 o'clock", True),
        ({"clock_hour": 11}, {"clock_hour": 1}, "11 o'clock", False),
        ({"yes": False}, {"yes": False}, "no", True),
        ({"region": 0}, {"region": 1}, "region 0", False),
        ({"value_m": 1.0}, {"yes": False}, "1.00 m", False),
        ({"value_m": 1.0}, {"clock_hour": 3}, "1.00 m", False),
    ],
)
def test_objects(
    said: dict[str, float],
    truth: dict[str, float],
    value: str,
    good: bool,
    object_answers: list[ObjectAnswer],
) -> None:
    answer = replace(object_answers[3], parsed=True, **said)
    line = object_evidence(answer, "it", truth_of_fields(truth))
    assert line.value == value
    assert line.good is good


def test_an_unparsed_object_answer_is_wrong_not_no(object_answers: list[ObjectAnswer]) -> None:
    line = object_evidence(object_answers[3], "it", YesNo(False))
    assert line.value is None
    assert line.good is False
