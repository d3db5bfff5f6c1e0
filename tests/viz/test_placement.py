import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.viz.placement import place_labels

BOUNDS = (0.0, 0.0, 600.0, 400.0)
SIZE = (60.0, 24.0)


def overlaps(centres: np.ndarray, sizes: np.ndarray) -> int:
    count = 0
    for i in range(len(centres)):
        for j in range(i):
            apart = np.abs(centres[i] - centres[j])
            count += bool(np.all(apart < (sizes[i] + sizes[j]) / 2 - 1e-9))
    return count


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 12))
@settings(max_examples=200, deadline=None)
def test_labels_stay_inside_and_are_the_same_again(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    anchors = rng.uniform((0, 0), (600, 400), (count, 2))
    sizes = np.full((count, 2), SIZE)
    centres = place_labels(anchors, sizes, BOUNDS, gap=6)
    assert centres.shape == (count, 2)
    assert np.array_equal(centres, place_labels(anchors, sizes, BOUNDS, gap=6))
    assert np.all(centres - sizes / 2 >= -1e-9)
    assert np.all(centres + sizes / 2 <= np.array((600, 400)) + 1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_twelve_scattered_points_get_labels_clear_of_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.permutation(24)[:12]
    anchors = np.stack([cells % 6, cells // 6], axis=1) * 100.0 + rng.uniform(10, 90, (12, 2))
    sizes = np.full((12, 2), SIZE)
    centres = place_labels(anchors, sizes, BOUNDS, gap=6)
    assert overlaps(centres, sizes) == 0
    dots = np.full((12, 2), 6.0)
    for centre in centres:
        assert np.all(np.any(np.abs(centre - anchors) > (np.array(SIZE) + dots) / 2, axis=1))


def test_a_label_in_the_corner_turns_inward() -> None:
    centres = place_labels(np.array([[599.0, 1.0]]), np.array([SIZE]), BOUNDS, gap=6)
    assert centres[0, 0] < 599 - 30
    assert centres[0, 1] > 12
