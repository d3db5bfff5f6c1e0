"""Laws of the field of view: written, read back, asked, measured; the lens itself is not used."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks import fov
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.fov import FOV
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.sample import Sample
from vlm3.tasks.scoring import Rows
from vlm3.view import View

PROTOCOL = get_protocol("fov")
degrees = st.floats(0.06, 179.9)


@given(degrees, st.integers(20, 900), st.integers(20, 900))
def test_what_is_written_is_read_back(fov_deg: float, width_px: int, height_px: int) -> None:
    camera = Camera.from_fov(fov_deg, width_px=width_px, height_px=height_px)
    ask, truth = FOV.query(camera)
    assert truth["fov_deg"] == pytest.approx(fov_deg)
    (text,) = FOV.answers(PROTOCOL, [camera], ask, truth).values()
    read = FOV.read(PROTOCOL, ask, fov.ask(PROTOCOL), text)
    assert read is not None and read["fov_deg"] == pytest.approx(fov_deg, abs=0.05001)
    assert FOV.values(FOV.numbers(read)) == read


@given(st.floats(20, 120), st.floats(20, 120), st.integers(33, 300), st.integers(33, 300))
def test_the_size_of_a_picture_says_nothing_of_its_lens(
    one_deg: float, other_deg: float, width_px: int, height_px: int
) -> None:
    sizes = {
        (plan.camera.width_px, plan.camera.height_px)
        for angle in (one_deg, other_deg)
        for camera in [Camera.from_fov(angle, width_px=width_px, height_px=height_px)]
        for plan in [PROTOCOL.plan(camera, multiple_px=32)]
    }
    assert len(sizes) == 1


@given(st.text(max_size=30))
def test_any_text_is_an_angle_or_a_failure(text: str) -> None:
    read = fov.parse(PROTOCOL, text)
    assert isinstance(read, ParseFailure) or 0 < read < 180


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="200 degrees is no field of view"):
        fov.answer(PROTOCOL, 200)
    with pytest.raises(InputError, match="protocol 'paper' has no"):
        fov.ask(get_protocol("paper"))
    assert isinstance(fov.parse(PROTOCOL, "000.0"), ParseFailure)


def test_only_measured_lenses_are_labels() -> None:
    camera = Camera.from_fov(60.0, width_px=64, height_px=48)
    assert FOV.queries(Sample("a", (camera,), ()), 10) == [({}, {"fov_deg": pytest.approx(60.0)})]
    assert FOV.queries(Sample("a", (camera,), (), calibrated=False), 10) == []


def test_errors_and_the_best_constant() -> None:
    truth = np.array([[50.0], [60.0], [90.0]])
    predicted = np.array([[53.0], [np.nan], [80.0]])
    n = np.full(3, np.nan)
    rows = Rows(
        "fov", ("a", "b", "c"), np.arange(3), ("",) * 3, predicted, truth, truth[:, :0], n, n
    )
    error, near, nearer = FOV.measures(rows)
    assert error.values.tolist() == [3, 180, 10]
    assert (near.values.tolist(), nearer.values.tolist()) == ([1, 0, 0], [1, 0, 1])
    (floor,) = FOV.floors(rows)
    assert (floor.rows.predicted == 60).all() and floor.name.endswith("60.0 degrees")


def test_a_photo_is_asked_whatever_camera_it_was_opened_with() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    for fov_deg in (40, 100):
        view = View.open(image, fov_deg=fov_deg)
        answer = Predictor(ConstantEngine("090.0"), PROTOCOL, 32).fov(view)
        assert (answer.fov_deg, answer.f_px) == (90.0, pytest.approx(32.0))
    unread = Predictor(ConstantEngine("wide"), PROTOCOL, 32).fov(view)
    assert not unread.parsed and np.isnan(unread.fov_deg) and np.isnan(unread.f_px)
