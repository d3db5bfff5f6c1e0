"""Lengths from distances: against planes, whose sizes are known without unprojecting."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks.answers import DepthAnswer, Spread
from vlm3.tasks.protocol import get_protocol
from vlm3.view import View

F_PX = 400.0
CAMERA = Camera(F_PX, F_PX, 320, 240, 640, 480)
VIEW = View(np.zeros((480, 640, 3), np.uint8), CAMERA)


class PlanePredictor(Predictor):
    """States the true distances of a plane z = z0 + slope * x, behind it a wall at 20 m."""

    z0_m: float = 3.0
    slope: float = 0.0
    relative: float | None = 0.1
    edge_px: float = 0.0

    def __init__(self, **changes: Any) -> None:
        super().__init__(ConstantEngine("02.75"), get_protocol("joint"), multiple_px=16)
        for name, value in changes.items():
            object.__setattr__(self, name, value)

    def depth(self, view: View, xy_px: Any, **_: Any) -> DepthAnswer:
        xy = np.asarray(xy_px, dtype=float)
        # x = z u with u the pixel from the middle in focal lengths.
        u, v = (xy[:, 0] - 320) / F_PX, (xy[:, 1] - 240) / F_PX
        z = self.z0_m / (1 - self.slope * u)
        z = np.where(xy[:, 1] < self.edge_px, 20.0, z)
        d = z * np.sqrt(1 + u**2 + v**2)
        spread = None
        if self.relative is not None:
            low, high = d / (1 + self.relative), d * (1 + self.relative)
            one = np.ones_like(d)
            spread = Spread(mean=d, p10=low, p50=d, p90=high, covered=one, off_grammar=0 * one)
        return DepthAnswer(
            xy_px=xy,
            distance_m=d,
            depth_z_m=z,
            parsed=np.ones(len(d), bool),
            raw_text=("x",) * len(d),
            prompt=("?",) * len(d),
            protocol="joint",
            intrinsics=("given",),
            spread=spread,
            readout="median" if spread else "digits",
        )


@settings(max_examples=20, deadline=None)
@given(
    z0_m=st.floats(0.5, 8),
    x1=st.integers(0, 300),
    wide=st.integers(40, 300),
    y1=st.integers(0, 200),
    tall=st.integers(40, 200),
)
def test_a_plane_across_the_axis_has_the_size_of_its_pixels(
    z0_m: float, x1: int, wide: int, y1: int, tall: int
) -> None:
    box = (x1, y1, x1 + wide, y1 + tall)
    asked = PlanePredictor(z0_m=z0_m)
    found = asked.measure(VIEW, [[(x1, y1), (x1 + wide, y1)]], [box])
    (span,), (region,) = found.spans, found.regions
    assert span.length.value_m == pytest.approx(z0_m * wide / F_PX)
    assert region.width.value_m == pytest.approx(z0_m * wide / F_PX)
    assert region.height.value_m == pytest.approx(z0_m * tall / F_PX)
    for length in (span.length, region.width, region.height):
        assert length.p10_m <= length.value_m <= length.p90_m


def test_a_plane_turned_away_keeps_its_width() -> None:
    asked = PlanePredictor(slope=0.7)
    (region,) = asked.measure(VIEW, (), [(200, 160, 440, 320)]).regions
    ends = [3 / (1 - 0.7 * u) * np.array([u, 0, 1]) for u in (-0.3, 0.3)]
    truth = float(np.linalg.norm(ends[1] - ends[0]))
    assert region.width.value_m == pytest.approx(truth, rel=0.12)


def test_what_lies_behind_a_region_is_left_out() -> None:
    asked = PlanePredictor(edge_px=175)
    (region,) = asked.measure(VIEW, (), [(250, 160, 390, 320)]).regions
    assert region.points == 56
    assert region.width.value_m == pytest.approx(3 * 140 / F_PX)
    assert region.height.value_m == pytest.approx(3 * 160 / F_PX)


def test_without_probabilities_there_is_no_interval() -> None:
    found = PlanePredictor(relative=None).measure(VIEW, [(0, 0), (600, 0)])
    assert found.spans[0].to_json()["length"] == {
        "value_m": pytest.approx(4.5),
        "p10_m": None,
        "p90_m": None,
    }


def test_an_unread_answer_is_no_length() -> None:
    asked = Predictor(ConstantEngine("far"), get_protocol("joint"), multiple_px=16)
    found = asked.measure(VIEW, [(0, 0), (64, 0)], [(0, 0, 64, 64)])
    assert found.spans[0].to_json()["length"]["value_m"] is None
    assert found.spans[0].to_json()["xyz_m"] == [None, None]
    assert found.regions[0].to_json()["width"]["value_m"] is None
    assert found.regions[0].points == 0


@pytest.mark.parametrize(
    ("pairs", "boxes", "words"),
    [
        ((), (), "nothing to measure"),
        ([(0, 0), (700, 0)], (), "lies outside"),
        ((), [(30, 0, 10, 10)], "inverted"),
        ((), [(30, 0, 1000, 10)], "does not lie in"),
        ([1, 2, 3], (), "pairs"),
        ([[(0, 0), (9, 9)], [(10, 10), (10, 10)]], (), r"\(10, 10\) to itself"),
    ],
)
def test_bad_input_is_one_line(pairs: Any, boxes: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        PlanePredictor().measure(VIEW, pairs, boxes)
