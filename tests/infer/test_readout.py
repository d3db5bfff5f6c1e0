"""The read-out against every number a digit model can write, enumerated."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.infer.answers import match_answer
from vlm3.infer.decoding.readout import read_numbers
from vlm3.infer.engines.base import Reply
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.engines.local import LocalEngine
from vlm3.infer.engines.naive import NaiveEngine
from vlm3.infer.predictor import Predictor
from vlm3.model import Checkpoint
from vlm3.tasks.protocol import PROTOCOLS
from vlm3.view import View

SYMBOLS = (*"0123456789", ".", "+", "-", " ", "")


def reply(text: str, chances: list[dict[str, float]]) -> Reply:
    """A text, and at each of its letters the chances of what might have stood there."""
    logp = np.full((len(text), len(SYMBOLS)), -np.inf, np.float32)
    for row, chance in zip(logp, chances, strict=True):
        for symbol, value in chance.items():
            row[SYMBOLS.index(symbol)] = np.log(value)
    return Reply(text, tuple(text), SYMBOLS, logp)


def sure(letter: str) -> dict[str, float]:
    return {letter: 1.0}


def spread_of(said: Reply, *numbers: float) -> Any:
    def same(found: Any) -> bool:
        return bool(np.allclose(found, numbers))

    spread = read_numbers([said], len(numbers), [same])
    assert spread is not None
    return spread.row(0)


@pytest.mark.parametrize("text", ["02.75", "2.75", "0880", "117.30"])
def test_a_sure_model_means_what_it_writes(text: str) -> None:
    spread = spread_of(reply(text, [sure(letter) for letter in text]), float(text))
    half = 0.5 if "." not in text else 0.005
    assert spread.mean == pytest.approx([float(text)])
    assert spread.p50 == pytest.approx([float(text)])
    assert spread.p90 - spread.p10 == pytest.approx([1.6 * half])
    assert (spread.covered, spread.off_grammar) == (
        pytest.approx([1]),
        pytest.approx([0], abs=1e-6),
    )


digit_chances = st.lists(
    st.lists(st.floats(0.01, 1), min_size=10, max_size=10), min_size=4, max_size=4
)


@settings(deadline=None)
@given(digit_chances)
def test_the_mean_of_independent_digits_is_theirs(weights: list[list[float]]) -> None:
    """Fixed width: where a digit is uniform after the first that differs, the mean is exact."""
    chances = [np.array(w) / sum(w) for w in weights]
    top = [int(np.argmax(c)) for c in chances]
    text = f"{top[0]}{top[1]}.{top[2]}{top[3]}"
    steps = [dict(zip("0123456789", c, strict=True)) for c in chances]
    said = reply(text, [*steps[:2], sure("."), *steps[2:]])
    spread = spread_of(said, float(text))
    # Enumerate: off the written path every later digit counts alike.
    total = mean = 0.0
    values, masses = [], []
    for digits in itertools.product(range(10), repeat=4):
        mass, on_path = 1.0, True
        for place, digit in enumerate(digits):
            mass *= chances[place][digit] if on_path else 0.1
            on_path = on_path and digit == top[place]
        value = digits[0] * 10 + digits[1] + digits[2] / 10 + digits[3] / 100
        total, mean = total + mass, mean + mass * value
        values.append(value)
        masses.append(mass)
    assert total == pytest.approx(1)
    assert spread.mean == pytest.approx([mean], abs=2e-3)
    order = np.argsort(values)
    sorted_values = np.array(values)[order] + 0.005
    reached = np.cumsum(np.array(masses)[order])
    for level, found in ((0.1, spread.p10), (0.9, spread.p90)):
        assert np.interp(found[0], sorted_values, reached) == pytest.approx(level, abs=1e-3)
    # The median is of what begins with the written digit, and never outside the interval.
    begun = (np.array(values)[order] // 10 == top[0]) * np.array(masses)[order]
    halfway = np.interp(spread.p50[0], sorted_values, np.cumsum(begun) / begun.sum())
    at_the_end = spread.p50[0] in (spread.p10[0], spread.p90[0])
    assert halfway == pytest.approx(0.5, abs=2e-3) or at_the_end


def test_quantiles_are_in_order_and_mass_is_whole() -> None:
    text = "3.10"
    steps = [
        {"3": 0.5, "2": 0.3, "1": 0.1},
        {".": 0.8, "0": 0.1, "": 0.05},
        {"1": 0.7, "9": 0.3},
        {"0": 1.0},
    ]
    spread = spread_of(reply(text, steps), 3.1)
    assert spread.p10 < spread.p50 < spread.p90
    # Lost: 0.1 at the first step, half of 0.05 at the second.
    assert spread.off_grammar == pytest.approx([0.1 + 0.5 * 0.05], abs=1e-6)
    # The next magnitude, "30.xx", is seen at the point.
    assert spread.p90 > 3.9


def test_the_first_place_where_a_number_stands_counts() -> None:
    """What a model repeats after thinking it is sure of, whatever it was when it thought."""
    text = "around 2.7 so 2.7"
    chances = [sure(letter) if letter in SYMBOLS else {} for letter in text]
    chances[text.index("7")] = {"7": 0.6, "6": 0.4}
    spread = spread_of(reply(text, chances), 2.7)
    assert spread.mean == pytest.approx([2.66])


def test_signs_count() -> None:
    text = "+0.1 -0.2"
    chances = [sure(letter) for letter in text]
    chances[0] = {"+": 0.6, "-": 0.4}
    spread = spread_of(reply(text, chances), 0.1, -0.2)
    assert spread.mean == pytest.approx([0.1 * 0.6 - 0.1 * 0.4, -0.2])
    assert spread.p10[0] < 0 < spread.p90[0]


def test_what_was_not_read_is_nan() -> None:
    said = reply("2.7", [sure(letter) for letter in "2.7"])
    spread = read_numbers([said, Reply("no")], 1, [lambda v: False, lambda v: True])
    assert spread is not None
    assert np.isnan(spread.mean).all()
    assert read_numbers([Reply("2.7")], 1, [lambda v: True]) is None


@pytest.mark.parametrize("name", ["joint", "release-corr", "release-corr-direct"])
@pytest.mark.parametrize("xy_norm", [(338, 52), (1, 7), (999, 400)])
def test_a_match_lies_in_its_spread(name: str, xy_norm: tuple[int, int]) -> None:
    """Whatever a protocol calls the first pixel's centre, text and probabilities mean one place."""
    protocol = PROTOCOLS[name]
    text = protocol.template("correspondence.answer").format(x=xy_norm[0], y=xy_norm[1])
    said = reply(text, [sure(letter) if letter in SYMBOLS else {} for letter in text])
    view = View.open(np.zeros((400, 600, 3), np.uint8), f_px=500)
    found = match_answer(protocol, (view, view), np.zeros((1, 2)), ["?"], [said], "digits")
    assert found.parsed.all() and found.spread is not None
    np.testing.assert_allclose(found.spread.p50, found.xy_px, atol=1e-6)
    step = np.array([600, 400]) / protocol.norm_size
    half_px = 0.5 - protocol.centre_px
    np.testing.assert_allclose(found.xy_px, [np.array(xy_norm) * step + half_px])
    assert (found.spread.p10 <= found.xy_px).all() and (found.xy_px <= found.spread.p90).all()


class TestPredictor:
    @pytest.fixture
    def asked(self, qwen3: Checkpoint) -> Predictor:
        return Predictor(
            LocalEngine(qwen3), PROTOCOLS["joint"].with_focal(50), 16, naive=NaiveEngine(qwen3)
        )

    @pytest.fixture
    def views(self) -> list[View]:
        rng = np.random.default_rng(2)
        shapes = ((96, 128, 3), (96, 160, 3))
        return [View.open(rng.integers(0, 256, s, dtype=np.uint8), f_px=60) for s in shapes]

    def test_readouts_lie_in_the_spread(self, asked: Predictor, views: list[View]) -> None:
        points = np.random.default_rng(1).uniform(0, 96, (20, 2))
        answers = {
            readout: asked.depth(views[0], points, grammar=True, readout=readout)
            for readout in ("digits", "mean", "median")
        }
        spread = answers["digits"].spread
        assert spread is not None and answers["digits"].parsed.all()
        np.testing.assert_array_equal(answers["mean"].distance_m, spread.mean)
        np.testing.assert_array_equal(answers["median"].distance_m, spread.p50)
        assert (spread.p10 <= spread.p50).all() and (spread.p50 <= spread.p90).all()
        np.testing.assert_allclose(spread.covered + spread.off_grammar, 1)
        ratio = answers["mean"].depth_z_m / answers["mean"].distance_m
        np.testing.assert_allclose(
            ratio, answers["digits"].depth_z_m / answers["digits"].distance_m
        )

    def test_pairs_and_poses(self, asked: Predictor, views: list[View]) -> None:
        found = asked.match(*views, [[5, 5], [50, 60]], grammar=True, readout="mean")
        assert found.parsed.all() and found.spread is not None
        np.testing.assert_allclose(found.xy_px, found.spread.mean)
        assert ((found.xy_px >= 0) & (found.xy_px <= [160, 96])).all()
        moved = asked.pose(*views, grammar=True, readout="median")
        assert all(moved.parsed.values()) and set(moved.spread) == set(moved.parsed)
        assert moved.direction is not None
        assert np.linalg.norm(moved.direction) == pytest.approx(1)
        np.testing.assert_array_equal(moved.yaw_pitch_roll_deg, moved.spread["rotation"].p50)

    def test_the_oracle_stays(self, asked: Predictor, views: list[View]) -> None:
        points = [[5, 5], [90, 60]]
        fast, naive = asked.depth(views[0], points), asked.depth(views[0], points, engine="naive")
        assert fast.raw_text == naive.raw_text
        assert naive.spread is None

    def test_texts_alone_have_no_probabilities(self, views: list[View]) -> None:
        asked = Predictor(ConstantEngine("02.75"), PROTOCOLS["joint"], 16)
        for settings_ in ({"readout": "mean"}, {"grammar": True}):
            with pytest.raises(InputError, match="probabilities"):
                asked.depth(views[0], [5, 5], **settings_)
        with pytest.raises(InputError, match="leave engine out"):
            asked.depth(views[0], [5, 5], engine="naive")
