"""Every output names where the lens came from and how far off it may be."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.geometry.camera import Camera
from vlm3.output.lens import f_px_interval, lens_record, lens_words
from vlm3.view import View


def view(f_px: float, width_px: int, height_px: int, origin: str) -> View:
    image = np.zeros((height_px, width_px, 3), np.uint8)
    camera = Camera(f_px, f_px, width_px / 2, height_px / 2, width_px, height_px)
    return View(image, camera, origin)  # type: ignore[arg-type]


SIDES = st.integers(16, 400)


@settings(deadline=None, max_examples=50)
@given(width_px=SIDES, height_px=SIDES, true_mm=st.floats(10, 200))
def test_the_interval_of_exif_holds_what_was_rounded(
    width_px: int, height_px: int, true_mm: float
) -> None:
    px_per_mm = math.hypot(width_px, height_px) / math.hypot(36, 24)
    shown = view(round(true_mm) * px_per_mm, width_px, height_px, "exif")
    interval = f_px_interval(shown)
    assert interval is not None
    low, high = interval
    assert low - 1e-6 <= true_mm * px_per_mm <= high + 1e-6
    assert high - low == pytest.approx(px_per_mm)


@settings(deadline=None, max_examples=50)
@given(width_px=SIDES, height_px=SIDES, fov_deg=st.floats(40, 90))
def test_the_interval_of_an_assumed_lens_holds_those_of_cameras(
    width_px: int, height_px: int, fov_deg: float
) -> None:
    assumed = view(width_px / 2 / math.tan(math.radians(30)), width_px, height_px, "assumed")
    interval = f_px_interval(assumed)
    assert interval is not None
    true_px = width_px / 2 / math.tan(math.radians(fov_deg) / 2)
    assert interval[0] - 1e-6 <= true_px <= interval[1] + 1e-6
    record = lens_record(assumed)
    assert record["fov_deg"] == pytest.approx(60)
    assert record["fov_deg_interval"] == pytest.approx([40, 90])


@pytest.mark.parametrize(
    ("origin", "f_px", "words"),
    [
        ("assumed", 467.65, "focal length 468 px (60 degrees assumed, may be 270 to 742 px)"),
        ("exif", 33 * 15, "focal length 495 px (from EXIF: 48"),
        ("exif", 491.3, "(from EXIF, how exact is not known)"),
        ("given", 495.6, "focal length 496 px (given)"),
        ("fov", 495.6, "(from the field of view given)"),
        ("calibrator", 495.6, "(from the calibrator, how exact is not known)"),
    ],
)
def test_words(origin: str, f_px: float, words: str) -> None:
    shown = view(f_px, 540, 360, origin)
    assert words in lens_words(shown)
    record = lens_record(shown)
    assert record["origin"] == origin
    assert (record["f_px_interval"] is None) == (" to " not in lens_words(shown))
