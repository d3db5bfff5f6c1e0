"""Metrics: laws, cases worked by hand, and the definitions written out a second time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vlm3.errors import InputError
from vlm3.geometry.pose import rotation_from_ypr_deg
from vlm3.tasks import metrics as m

NAN = math.nan
lengths = arrays(float, st.integers(1, 30), elements=st.floats(0.01, 500))


# --- laws


@given(lengths, st.floats(0.2, 5))
def test_delta_is_symmetric_scale_free_and_grows_with_its_power(
    g: np.ndarray, factor: float
) -> None:
    p = g * factor
    found = m.delta(p, g)
    assert found == m.delta(g, p)
    assert found <= m.delta(p, g, power=2) <= m.delta(p, g, power=3)
    if min(abs(factor - 1.25), abs(factor - 0.8)) > 1e-9:
        assert m.delta(p * 7, g * 7) == found


@given(lengths)
def test_the_truth_is_perfect_and_nothing_read_is_the_worst(g: np.ndarray) -> None:
    nothing = np.full_like(g, NAN)
    assert m.delta(g, g) == 1 and m.abs_rel(g, g) == 0 and m.rmse(g, g) == 0
    assert m.delta(nothing, g) == 0 and m.abs_rel(nothing, g) == 1
    assert m.rmse(nothing, g) == pytest.approx(math.sqrt(np.mean(g**2)))
    with pytest.raises(InputError, match="no answer could be read"):
        m.delta(nothing, g, valid_only=True)


@given(arrays(float, st.integers(1, 60), elements=st.floats(0, 180)), st.sampled_from([5, 10, 30]))
def test_auc_equals_its_definition(errors: np.ndarray, top: int) -> None:
    """The published code: cumulative histogram with whole-degree edges, mean over the bins."""
    counts, _ = np.histogram(errors, bins=np.arange(top + 1))
    assert m.pose_auc(errors, max_deg=top) == pytest.approx(
        np.mean(np.cumsum(counts / len(errors)))
    )
    # The exact form: integral of the share of pairs within an error, by its own steps.
    steps = np.sort(np.minimum(errors, top))
    area = sum(top - e for e in steps) / len(errors) / top
    assert m.pose_auc(errors, max_deg=top, form="exact") == pytest.approx(area)
    assert -1e-9 <= m.pose_auc(errors, max_deg=top) - area <= 1 / top + 1e-9


@given(st.integers(1, 12), st.integers(1, 12))
def test_the_clock_goes_round(a: int, b: int) -> None:
    gap = m.clock_error_hours([a], [b])[0]
    assert gap == m.clock_error_hours([b], [a])[0] <= 6
    assert gap == m.clock_error_hours([a % 12 + 1], [b % 12 + 1])[0]
    steps = next(k for k in range(12) if (a - 1 + k) % 12 + 1 == b or (a - 1 - k) % 12 + 1 == b)
    assert gap == steps


@settings(max_examples=30)
@given(arrays(float, (9, 3), elements=st.floats(-170, 170)))
def test_signed_errors_are_never_below_sign_free_ones(ypr: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    R, true_R = rotation_from_ypr_deg(ypr), rotation_from_ypr_deg(ypr[::-1])
    t, true_t = rng.normal(size=(2, 9, 3))
    free = m.pose_errors_deg(R, t, true_R, true_t)
    signed = m.pose_errors_deg(R, t, true_R, true_t, signs="signed")
    assert (free <= signed + 1e-9).all()
    assert np.allclose(free, m.pose_errors_deg(R, -t, true_R, true_t))


def test_random_directions_score_as_the_reference_says() -> None:
    """0.048 sign-free and 0.024 signed: a known point of the metric."""
    rng = np.random.default_rng(0)
    t, true_t = rng.normal(size=(2, 200_000, 3))
    eye = np.broadcast_to(np.eye(3), (200_000, 3, 3))
    found = [
        m.pose_auc(m.pose_errors_deg(eye, t, eye, true_t, signs=s)) for s in ("free", "signed")
    ]
    assert found == pytest.approx([0.048, 0.024], abs=0.002)


# --- by hand


def test_depth_by_hand() -> None:
    g = [2.0, 2.0, 2.0, 4.0, 4.0]
    p = [2.5, 2.499, 1.6, -4.0, NAN]
    # 2.5 / 2 = 1.25 is not below 1.25; 2.499 is; 2 / 1.6 = 1.25 is not; -4 and NaN never.
    assert m.delta(p, g) == 0.2
    assert m.delta(p, g, valid_only=True) == 0.25
    assert m.delta(p, g, power=2) == 0.6
    assert m.abs_rel([1, 3, NAN], [2, 2, 5]) == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert m.abs_rel([1, 3, NAN], [2, 2, 5], valid_only=True) == 0.5
    assert m.rmse([1, 5], [4, 1]) == pytest.approx(math.sqrt((9 + 16) / 2))


def test_epe_by_hand() -> None:
    # 1120x840: half the scale. 6 and 8 px off are 3 and 4, so 5; exactly 5 is no 5-px outlier.
    truth, size = [[100.0, 100.0]], (1120, 840)
    assert m.epe_px([[106.0, 108.0]], truth, size) == pytest.approx(5)
    assert m.outliers([[106.0, 108.0]], truth, size, above_px=5) == 0
    assert m.outliers([[106.0, 108.0]], truth, size, above_px=2) == 1
    # Portrait: 420x560. A failure is the centre.
    assert m.epe_px([[NAN, NAN]], [[0.0, 280.0]], (420, 560)) == pytest.approx(210)
    assert m.outliers([[NAN, NAN]], [[210.0, 280.0]], (420, 560), above_px=5) == 1
    # The released ETH3D sample is 600x400: each axis by its own factor.
    assert m.epe_px([[10.0, 20.0]], [[4.0, 20.0]], (600, 400)) == pytest.approx(6 * 560 / 600)
    assert m.epe_px([[4.0, 24.0]], [[4.0, 20.0]], (600, 400)) == pytest.approx(4 * 420 / 400)


def test_pose_by_hand() -> None:
    eye = np.eye(3)[None]
    yaw = rotation_from_ypr_deg([[10.0, 0, 0]])
    x, z = np.array([[1.0, 0, 0]]), np.array([[0, 0, 1.0]])
    assert m.pose_errors_deg(yaw, z, eye, z) == pytest.approx([10])
    assert m.pose_errors_deg(eye, -z, eye, z) == pytest.approx([0])
    assert m.pose_errors_deg(eye, -z, eye, z, signs="signed") == pytest.approx([180])
    assert m.pose_errors_deg(yaw, x, eye, z) == pytest.approx([90])
    missing = np.full((1, 3), NAN)
    assert m.pose_errors_deg(yaw, missing, eye, z) == pytest.approx([180])
    assert m.pose_errors_deg(yaw, z, eye, missing) == pytest.approx([10])
    # Errors 0.5, 29.5, 30, 31: bins add 30, 1, 1 (the last bin is closed) and 0 of 30.
    assert m.pose_auc([0.5, 29.5, 30, 31]) == pytest.approx((30 + 1 + 1) / 30 / 4)
    assert m.pose_auc([0.5, 29.5, 30, 31], form="exact") == pytest.approx((29.5 + 0.5) / 30 / 4)


def test_objects_by_hand() -> None:
    # Bounds included, and not symmetric: 0.75 is right, 1 / 1.25 of the truth would be too.
    assert m.length_success_values([0.75, 1.25, 0.74, 1.26, NAN], np.ones(5)).tolist() == [
        1,
        1,
        0,
        0,
        0,
    ]
    assert m.clock_success_values([12, 11, 10, NAN], [1, 12, 12, 3]).tolist() == [1, 1, 0, 0]
    assert m.macro([1, 1, 1, 0], ["a", "a", "a", "b"]) == 0.5
    assert m.mean([1, 1, 1, 0]) == 0.75


@pytest.mark.parametrize(
    "call",
    [
        lambda: m.delta([], []),
        lambda: m.epe_px(np.empty((0, 2)), np.empty((0, 2)), (4, 3)),
        lambda: m.pose_auc([]),
        lambda: m.macro([], []),
        lambda: m.delta([1.0], [0.0]),
        lambda: m.delta([1.0], [1.0, 2.0]),
        lambda: m.pose_auc([NAN]),
    ],
)
def test_nothing_or_nonsense_raises(call: object) -> None:
    with pytest.raises(InputError):
        call()  # type: ignore[operator]
