"""Confidence of a motion: laws of the check and of the cone, then motions that are known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, rotation_from_ypr_deg, transform_points
from vlm3.infer.answers import P10_TO_P90, cone_deg, widened_deg
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.motion import Landmarks, check_motion
from vlm3.infer.predictor import Predictor
from vlm3.tasks.answers import Spread
from vlm3.tasks.protocol import get_protocol
from vlm3.view import View

CAMERA = Camera.from_fov(70, width_px=64, height_px=48)
angles = st.floats(-20, 20)
moves = st.floats(-0.5, 0.5)


def rigid(ypr_deg: tuple[float, ...], move_m: tuple[float, ...]) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation_from_ypr_deg(ypr_deg), move_m
    return out


def seen(a_from_b: np.ndarray, seed: int = 0) -> Landmarks:
    """Points before camera a, and exactly where camera b sees them."""
    points = np.random.default_rng(seed).uniform((-1, -1, 3), (1, 1, 6), (40, 3))
    return Landmarks(points, CAMERA.project(transform_points(invert(a_from_b), points)), CAMERA)


def spread(low: np.ndarray, high: np.ndarray) -> Spread:
    middle, nothing = (low + high) / 2, np.zeros_like(low)
    return Spread(
        mean=middle, p10=low, p50=middle, p90=high, covered=nothing + 1, off_grammar=nothing
    )


@given(st.tuples(angles, angles, angles), st.tuples(moves, moves, moves))
def test_the_truth_is_certain(
    ypr_deg: tuple[float, float, float], move_m: tuple[float, float, float]
) -> None:
    truth = rigid(ypr_deg, move_m)
    check = check_motion(truth, invert(truth), seen(truth))
    assert check is not None
    assert check.agree == 1 and check.confidence == pytest.approx(1, abs=1e-5)


@given(
    st.tuples(angles, angles, angles),
    st.tuples(moves, moves, moves),
    st.tuples(angles, angles, angles),
    st.tuples(moves, moves, moves),
)
def test_a_confidence_is_a_share_and_no_more_than_what_agrees(
    ypr_deg: tuple[float, ...],
    move_m: tuple[float, ...],
    other_deg: tuple[float, ...],
    other_m: tuple[float, ...],
) -> None:
    truth, stated = rigid(ypr_deg, move_m), rigid(other_deg, other_m)
    landmarks = seen(truth)
    check = check_motion(stated, invert(truth), landmarks)
    sure = check_motion(stated, invert(stated), landmarks)
    assert check is not None and sure is not None
    assert 0 <= check.confidence <= check.agree <= 1
    assert check.confidence <= sure.confidence + 1e-12, "a contradiction never adds confidence"
    assert check.agree_still == landmarks.agree(np.eye(4))


def test_what_was_not_read_agrees_with_nothing() -> None:
    truth = rigid((5, 0, 0), (0.2, 0, 0))
    whole = seen(truth)
    half = whole.xy_b_px.copy()
    half[::2] = np.nan
    check = check_motion(truth, invert(truth), replace(whole, xy_b_px=half))
    assert check is not None and check.agree == 0.5
    lost = check_motion(truth, None, whole)
    assert lost is not None and (lost.confidence, lost.back_rotation_deg) == (0, None)
    assert check_motion(None, truth, whole) is None and check_motion(truth, truth, None) is None


def test_the_same_picture_twice_does_not_look_sure() -> None:
    """Asked twice the same a model answers the same: there and back point opposite ways."""
    stated = rigid((1, 0, 0), (0.05, 0, 0.02))
    check = check_motion(stated, stated, seen(np.eye(4)))
    assert check is not None and check.agree_still == 1
    assert check.back_direction_deg == pytest.approx(179, abs=1.5)
    assert check.verdict == "do not trust this motion"


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.005, 0.06))
def test_a_cone_holds_four_fifths(seed: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    half = np.full(3, sigma * P10_TO_P90 / 2)
    opening = cone_deg(direction, spread(direction - half, direction + half))
    drawn = direction + rng.normal(0, sigma, (4000, 3))
    cosine = drawn @ direction / np.linalg.norm(drawn, axis=1)
    assert opening is not None
    assert (np.degrees(np.arccos(cosine)) <= opening).mean() == pytest.approx(0.8, abs=0.04)


def test_the_stated_cone_is_as_wide_as_measured() -> None:
    assert widened_deg(None) is None
    assert widened_deg(12.0) == pytest.approx(31.8)
    assert widened_deg(120.0) == 180, "no direction is farther"


def test_no_cone_without_a_spread() -> None:
    ahead = np.array([0.0, 0.0, 1.0])
    assert cone_deg(ahead, None) is None and cone_deg(None, spread(ahead, ahead)) is None
    assert cone_deg(ahead, spread(ahead, ahead)) == 0
    assert cone_deg(ahead, spread(ahead, ahead * np.nan)) is None


@pytest.mark.parametrize(
    ("protocol", "text"), [("joint", "I cannot tell"), ("release-pose", "+1.0 +2.0 +3.0")]
)
def test_nothing_to_hold_or_nothing_to_hold_it_against(protocol: str, text: str) -> None:
    view = View(np.zeros((48, 64, 3), np.uint8), CAMERA)
    asked = Predictor(ConstantEngine(text), get_protocol(protocol).with_focal(40), multiple_px=16)
    assert asked.pose(view, view, check=True).check is None
