"""Bootstrap over pictures: laws, and an interval that covers what it should."""

import numpy as np
import pytest

from vlm3.errors import InputError
from vlm3.eval.resample import Sums, difference, interval


def test_sums_give_the_plain_and_the_macro_mean() -> None:
    values = [1.0, 0, 1, 1]
    clusters = ["a", "a", "b", "c"]
    assert Sums.of(values, clusters).mean()[0] == 0.75
    assert Sums.of(values, clusters, ["x", "x", "y", "y"]).mean()[0] == 0.75
    assert Sums.of(values, clusters, ["x", "y", "y", "y"]).mean()[0] == pytest.approx(
        (1 + 2 / 3) / 2
    )


def test_a_mean_over_pictures_counts_each_once_however_often_it_was_asked() -> None:
    values, pictures = [1.0, 0, 0, 0, 1], ["a", "b", "b", "b", "c"]
    assert Sums.of(values, pictures, over_clusters=True).mean()[0] == pytest.approx(2 / 3)
    assert Sums.of(values, pictures).mean()[0] == pytest.approx(2 / 5)
    # Drawn twice, a picture counts twice.
    drawn = np.array([[0.0, 2, 1]])
    assert Sums.of(values, pictures, over_clusters=True).mean(drawn)[0] == pytest.approx(1 / 3)
    # Where each was asked equally often it is the plain mean, with the same interval.
    rng = np.random.default_rng(7)
    even, of = rng.random(60), np.repeat(np.arange(12), 5)
    plain, each = interval(Sums.of(even, of)), interval(Sums.of(even, of, over_clusters=True))
    assert plain is not None and each is not None
    assert (each.low, each.high) == pytest.approx((plain.low, plain.high))


def test_clusters_widen_the_interval() -> None:
    """A hundred questions a picture, all alike: as wide as 40 pictures warrant."""
    rng = np.random.default_rng(1)
    values = np.repeat(rng.integers(0, 2, 40), 100).astype(float)
    by_picture = interval(Sums.of(values, np.repeat(np.arange(40), 100)))
    by_answer = interval(Sums.of(values, np.arange(4000)))
    assert by_picture is not None and by_answer is not None
    width, narrow = by_picture.high - by_picture.low, by_answer.high - by_answer.low
    # Ten times wider: the square root of a hundred.
    assert 7 < width / narrow < 13
    assert width == pytest.approx(2 * 1.96 * values.std() / np.sqrt(40), rel=0.15)


def test_coverage_is_near_what_it_says() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(100):
        values = rng.random(60) + np.repeat(rng.random(12), 5)
        found = interval(Sums.of(values, np.repeat(np.arange(12), 5)), seed=trial)
        assert found is not None
        hits += found.low <= 1.0 <= found.high
    assert 84 <= hits <= 99


def test_a_paired_difference_knows_that_the_pictures_are_the_same() -> None:
    rng = np.random.default_rng(3)
    hard = rng.random(200)
    a, b = hard + 0.05 + rng.normal(0, 0.01, 200), hard
    places = np.arange(200)
    paired = difference(Sums.of(a, places), Sums.of(b, places))
    alone = interval(Sums.of(a, places))
    assert paired.interval is not None and alone is not None
    assert paired.value == pytest.approx(0.05, abs=0.005)
    assert paired.interval.low > 0.04 and paired.interval.high < 0.06
    assert paired.interval.high - paired.interval.low < (alone.high - alone.low) / 10


def test_one_picture_has_no_interval_and_other_samples_no_difference() -> None:
    one = Sums.of([1.0, 0], ["a", "a"])
    assert interval(one) is None and difference(one, one).interval is None
    with pytest.raises(InputError, match="same samples"):
        difference(one, Sums.of([1.0], ["a"]))
    with pytest.raises(InputError):
        Sums.of([], [])
