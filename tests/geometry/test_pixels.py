"""Text coordinates: the round trip within rounding, and the released samples' numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.geometry.pixels import norm_from_px, pixel_centres, px_from_norm

SIDES = st.integers(1, 5000)


@given(SIDES, SIDES, st.floats(0, 1), st.floats(0, 1), st.sampled_from([1000, 2000]))
def test_round_trip_within_rounding(w: int, h: int, u: float, v: float, size: int) -> None:
    xy = np.array([u * w, v * h])
    written = norm_from_px(xy, w, h, size=size)
    error = np.abs(px_from_norm(written, w, h, size=size) - xy)
    assert (error <= np.array([w, h]) / size * 0.5 + 1e-9).all()
    exact = norm_from_px(xy, w, h, size=size, rounding="none")
    np.testing.assert_allclose(px_from_norm(exact, w, h, size=size), xy, atol=1e-9)


@given(SIDES, SIDES, st.integers(0, 1999), st.integers(0, 1999))
def test_written_numbers_come_back(w: int, h: int, x: int, y: int) -> None:
    assert norm_from_px(px_from_norm([x, y], w, h), w, h).tolist() == [x, y]


@given(SIDES, SIDES, st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_half_open_stays_in_range(w: int, h: int, u: float, v: float) -> None:
    written = norm_from_px([u * w, v * h], w, h, half_open=True)
    assert ((written >= 0) & (written <= 1999)).all()


def test_only_half_open_clips() -> None:
    assert norm_from_px([100, 50], 100, 50).tolist() == [2000, 2000]
    assert norm_from_px([100, 50], 100, 50, half_open=True).tolist() == [1999, 1999]
    assert norm_from_px([-10, 60], 100, 50, size=1000).tolist() == [-100, 1200]


def test_integers_are_written() -> None:
    assert norm_from_px([[1, 2]], 10, 10).dtype == np.int64
    assert norm_from_px([[1, 2]], 10, 10, rounding="none").dtype == np.float64
    with pytest.raises(InputError, match="not finite"):
        norm_from_px([np.nan, 1], 10, 10)
    assert np.isnan(norm_from_px([np.nan, 1], 10, 10, rounding="none")[0])


def test_golden_depth_sample() -> None:
    # facebookresearch/VLM3, sample_data/depth_labels.json: a 1215x920 picture at focal 1000.
    px = [(10, 488), (191, 119), (710, 320), (223, 406), (1182, 773), (481, 513), (0, 410)]
    text = [(16, 1061), (314, 259), (1169, 696), (367, 883), (1946, 1680), (792, 1115), (0, 891)]
    np.testing.assert_array_equal(norm_from_px(px, 1215, 920), text)


def test_golden_object_sample() -> None:
    # facebookresearch/VLM3, sample_data/spatialrgpt_labels.json: 1024x768. The boxes in original
    # pixels are not published; these whole pixels are the only ones that give both the published
    # text and, times 1000 / fx, the published boxes (0, 33, 740, 850) and (7, 324, 258, 479).
    boxes = np.array([[0, 30, 668, 767], [6, 292, 233, 432]], dtype=float)
    text = norm_from_px(boxes.reshape(-1, 2), 1024, 768, size=1000).reshape(2, 4)
    # 432 / 768 is 562.5 exactly: it is 562 because halves go to even.
    np.testing.assert_array_equal(text, [[0, 39, 652, 999], [6, 380, 228, 562]])
    resized = np.rint(boxes * 1000 / 902.4662475585938)
    np.testing.assert_array_equal(resized, [[0, 33, 740, 850], [7, 324, 258, 479]])


def test_golden_correspondence_sample() -> None:
    # ETH3D courtyard, 600x400 shown at 1024x683.
    assert norm_from_px([264, 24], 600, 400, size=1000).tolist() == [440, 60]
    exact = norm_from_px([202.858, 20.815], 600, 400, size=1000, rounding="none")
    # The release scales y by 1024/600 but divides by the rounded 683: 0.03 of a unit from ours.
    released = np.array([202.858, 20.815]) * (1024 / 600) / [1024, 683] * 1000
    np.testing.assert_allclose(released, [338.096, 52.013], atol=1e-3)
    np.testing.assert_allclose(exact, released, atol=0.03)
    assert np.rint(exact).tolist() == np.rint(released).tolist()


def test_pixel_centres() -> None:
    centres = pixel_centres(3, 2)
    assert centres.shape == (2, 3, 2)
    assert centres[0, 0].tolist() == [0.5, 0.5]
    assert centres[1, 2].tolist() == [2.5, 1.5]
