"""Answers as JSON; protocols as values."""

import json
import pickle

import numpy as np

from vlm3.tasks.answers import DepthAnswer, MatchAnswer, ObjectAnswer, PoseAnswer, Spread
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.protocol import PROTOCOLS

KEPT = {"protocol": "joint", "intrinsics": ("given",)}


def test_depth_answer_as_json() -> None:
    answer = DepthAnswer(
        xy_px=np.array([[1.5, 2.5], [3.0, 4.0]]),
        distance_m=np.array([2.0, np.nan]),
        depth_z_m=np.array([1.9, np.nan]),
        parsed=np.array([True, False]),
        raw_text=("02.00", "?"),
        prompt=("a", "b"),
        **KEPT,
    )
    assert json.loads(json.dumps(answer.to_json(), allow_nan=False)) == {
        "task": "depth",
        "protocol": "joint",
        "intrinsics": ["given"],
        "xy_px": [[1.5, 2.5], [3.0, 4.0]],
        "distance_m": [2.0, None],
        "depth_z_m": [1.9, None],
        "parsed": [True, False],
        "raw_text": ["02.00", "?"],
        "prompt": ["a", "b"],
        "spread": None,
        "readout": "digits",
    }


def test_spread_as_json_and_in_other_units() -> None:
    ones = np.ones(2)
    spread = Spread(
        mean=ones, p10=ones, p50=ones, p90=np.array([2, np.nan]), covered=ones, off_grammar=0 * ones
    )
    answer = PoseAnswer(
        yaw_pitch_roll_deg=None,
        direction=None,
        distance_m=None,
        cam1_from_cam2=None,
        parsed={},
        raw_text={},
        prompt={},
        spread={"rotation": spread.converted(lambda numbers: numbers * [2, 3])},
        **KEPT,
    )
    found = json.loads(json.dumps(answer.to_json(), allow_nan=False))["spread"]["rotation"]
    assert (found["mean"], found["p90"], found["covered"]) == ([2, 3], [4, None], [1, 1])


def test_other_answers_as_json() -> None:
    match = MatchAnswer(
        xy_a_px=np.zeros((1, 2)),
        xy_px=np.full((1, 2), np.nan),
        parsed=np.array([False]),
        raw_text=("?",),
        prompt=("a",),
        **KEPT,
    ).to_json()
    assert (match["task"], match["xy_px"]) == ("correspondence", [[None, None]])
    moved = PoseAnswer(
        yaw_pitch_roll_deg=np.array([1.0, 2.0, 3.0]),
        direction=None,
        distance_m=None,
        cam1_from_cam2=None,
        parsed={"rotation": True, "direction": False},
        raw_text={"rotation": "+001.0 +002.0 +003.0", "direction": "?"},
        prompt={"rotation": "a", "direction": "b"},
        **KEPT,
    ).to_json()
    assert (moved["task"], moved["yaw_pitch_roll_deg"]) == ("pose", [1.0, 2.0, 3.0])
    assert moved["parsed"] == {"rotation": True, "direction": False}
    asked = ObjectAnswer(
        text="01.25 m",
        value_m=1.25,
        clock_hour=None,
        yes=None,
        region=None,
        parsed=True,
        raw_text="01.25 m",
        prompt="a",
        boxes_xyxy_px=np.array([[1, 2, 3, 4]]),
        **KEPT,
    ).to_json()
    assert (asked["task"], asked["boxes_xyxy_px"]) == ("objects", [[1, 2, 3, 4]])
    for record in (match, moved, asked):
        json.dumps(record, allow_nan=False)


def test_a_failure_is_falsy_and_keeps_the_text() -> None:
    failure = ParseFailure("2 m?", "a question")
    assert not failure
    assert failure.text == "2 m?"


def test_protocols_are_values() -> None:
    for protocol in PROTOCOLS.values():
        assert pickle.loads(pickle.dumps(protocol)) == protocol
        assert hash(protocol) == hash(pickle.loads(pickle.dumps(protocol)))
    joint = PROTOCOLS["joint"]
    assert joint.with_focal(125).prep.target_px == 125
    assert joint.prep.target_px == 1000
