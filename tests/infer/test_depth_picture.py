"""Depth pictures of 16 bits: in the finest unit that the farthest depth fits into."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.infer.maps import DepthMap
from vlm3.output.maps import DepthUnitWarning, save


def made(far_m: float) -> DepthMap:
    """Four cells: near, unknown, far, nearer than any unit."""
    distance = np.array([[1.0, np.nan], [far_m, 0.0004]])
    xy = np.array([[[25.0, 25], [75, 25]], [[25, 75], [75, 75]]])
    text = np.full((2, 2), "")
    return DepthMap(
        xy_px=xy,
        distance_m=distance,
        p10_m=distance,
        p90_m=distance,
        asked=np.ones((2, 2), bool),
        image=np.zeros((100, 100, 3), np.uint8),
        camera=Camera(1e7, 1e7, 50, 50, 100, 100),  # z is the distance
        protocol="joint",
        readout="digits",
        prompt=text,
        raw_text=text,
    )


@pytest.mark.parametrize(
    ("far_m", "per_m"),
    [(2.0, 1000), (65.534, 1000), (65.535, 256), (120.0, 256), (300.0, 100), (4000.0, 10)],
)
@pytest.mark.filterwarnings("ignore::vlm3.output.maps.DepthUnitWarning")
def test_the_unit_fits_and_is_recorded(far_m: float, per_m: int, tmp_path: Path) -> None:
    path = save(made(far_m), tmp_path / "a.png")
    with Image.open(path) as picture:
        unit_m, raw = float(picture.text["unit_m"]), np.asarray(picture)  # type: ignore[attr-defined]
    assert unit_m == 1 / per_m and raw.max() < 65535
    assert raw[0, 1] == 0 and raw[1, 1] == 1, "unknown is 0, near is not"
    np.testing.assert_allclose(raw[[0, 1], 0] * unit_m, [1.0, far_m], atol=0.51 * unit_m)


def test_another_unit_is_said(tmp_path: Path) -> None:
    with pytest.warns(DepthUnitWarning, match=r"1/256 m.*\.npz"):
        path = save(made(119.0), tmp_path / "a.png")
    with Image.open(path) as picture:
        assert "1/256 metre" in picture.text["Comment"]  # type: ignore[attr-defined]


def test_what_fits_no_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"write \.npz"):
        save(made(70_000.0), tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()
