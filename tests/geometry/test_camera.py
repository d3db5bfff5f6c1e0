"""Camera: laws by hypothesis, OpenCV as the oracle of projection."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera

BROWN_CONRADY = [
    (-0.28, 0.07, 0.0002, 0.00002),
    (-0.05, 0.12, -0.001, 0.002, -0.06),
    (0.12, -0.3, 0.0005, -0.0007, 0.1, 0.4, -0.25, 0.04),
]
FISHEYE = [(0.0, 0.0, 0.0, 0.0), (-0.012, -0.008, 0.003, -0.0007), (0.06, 0.02, -0.01, 0.002)]


def distorted_cameras() -> list[Camera]:
    brown = [Camera(410, 433, 301, 255.5, 640, 480, d, "brown_conrady") for d in BROWN_CONRADY]
    fish = [Camera(280, 291, 331, 228.5, 640, 480, d, "fisheye") for d in FISHEYE]
    return brown + fish


def pinholes() -> st.SearchStrategy[Camera]:
    focal = st.floats(20, 5000)
    return st.builds(
        Camera,
        fx_px=focal,
        fy_px=focal,
        cx_px=st.floats(-500, 2500),
        cy_px=st.floats(-500, 2500),
        width_px=st.integers(1, 4000),
        height_px=st.integers(1, 4000),
    )


def mild_lenses() -> st.SearchStrategy[Camera]:
    # Mild enough that no lens folds over inside the picture.
    small = st.floats(-0.04, 0.04)
    tiny = st.floats(-0.004, 0.004)
    brown = st.one_of(
        st.tuples(small, small, tiny, tiny),
        st.tuples(small, small, tiny, tiny, small),
        st.tuples(small, small, tiny, tiny, small, small, small, small),
    )
    f = st.floats(600, 900)
    sizes = {"cx_px": st.floats(250, 390), "cy_px": st.floats(180, 300)}
    fixed = {"width_px": st.just(640), "height_px": st.just(480)}
    return st.one_of(
        st.builds(Camera, f, f, **sizes, **fixed, distortion=brown, model=st.just("brown_conrady")),
        st.builds(
            Camera,
            f,
            f,
            **sizes,
            **fixed,
            distortion=st.tuples(small, small, tiny, tiny),
            model=st.just("fisheye"),
        ),
    )


def some_pixels(camera: Camera, count: int = 500) -> np.ndarray:
    rng = np.random.default_rng(7)
    inside = rng.uniform(0, 1, (count, 2)) * [camera.width_px, camera.height_px]
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * [camera.width_px, camera.height_px]
    return np.concatenate([inside, corners, [[camera.cx_px, camera.cy_px]]])


@given(pinholes(), st.floats(0.01, 1000), st.data())
def test_pinhole_unproject_project(camera: Camera, distance: float, data: st.DataObject) -> None:
    fractions = data.draw(st.tuples(st.floats(0, 1), st.floats(0, 1)))
    xy = np.array(fractions) * [camera.width_px, camera.height_px]
    ray = camera.unproject(xy)
    assert np.linalg.norm(ray) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(camera.project(ray * distance), xy, atol=1e-6)
    np.testing.assert_allclose(camera.project(camera.unproject_z1(xy)), xy, atol=1e-6)


@given(mild_lenses())
def test_distorted_unproject_project(camera: Camera) -> None:
    xy = some_pixels(camera, 60)
    rays = camera.unproject(xy)
    assert np.isfinite(rays).all()
    np.testing.assert_allclose(camera.project(rays * 3.7), xy, atol=1e-5)


@given(mild_lenses(), st.integers(16, 2000), st.integers(16, 2000))
def test_resize_is_a_pure_scale(camera: Camera, width_px: int, height_px: int) -> None:
    xy = some_pixels(camera, 20)
    small = camera.resized(width_px, height_px)
    scale = np.array([width_px / camera.width_px, height_px / camera.height_px])
    rays = camera.unproject(xy)
    np.testing.assert_allclose(small.project(rays), xy * scale, atol=1e-5)
    back = small.resized(camera.width_px, camera.height_px)
    np.testing.assert_allclose(back.K, camera.K, rtol=1e-12)


@given(mild_lenses(), st.integers(0, 300), st.integers(0, 200))
def test_crop_shifts_pixels(camera: Camera, x0_px: int, y0_px: int) -> None:
    xy = some_pixels(camera, 20)
    part = camera.cropped(x0_px, y0_px, 200, 150)
    np.testing.assert_allclose(part.project(camera.unproject(xy)), xy - [x0_px, y0_px], atol=1e-5)


@given(st.floats(1, 179), st.integers(1, 4000), st.integers(1, 4000))
def test_field_of_view_round_trip(fov_deg: float, width_px: int, height_px: int) -> None:
    camera = Camera.from_fov(fov_deg, width_px=width_px, height_px=height_px)
    assert camera.fx_px == camera.fy_px
    assert camera.fov_deg[0] == pytest.approx(fov_deg, abs=1e-9)


@pytest.mark.parametrize(
    "camera", distorted_cameras(), ids=lambda c: f"{c.model}{len(c.distortion)}"
)
def test_projection_matches_opencv(camera: Camera) -> None:
    # Rays within 55 degrees; OpenCV counts pixels from the first pixel's centre.
    rng = np.random.default_rng(3)
    theta, phi = rng.uniform(0, 0.6, 400), rng.uniform(-np.pi, np.pi, 400)
    points = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1
    )
    points *= rng.uniform(0.3, 20, (400, 1))
    K = camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    project = cv2.fisheye.projectPoints if camera.model == "fisheye" else cv2.projectPoints
    arguments = (points.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), K, np.array(camera.distortion))
    expected = project(*arguments)[0].reshape(-1, 2) + 0.5
    np.testing.assert_allclose(camera.project(points), expected, atol=1e-9)


@pytest.mark.parametrize(
    "camera", distorted_cameras(), ids=lambda c: f"{c.model}{len(c.distortion)}"
)
def test_strong_lenses_round_trip(camera: Camera) -> None:
    xy = some_pixels(camera)
    rays = camera.unproject(xy)
    assert np.isfinite(rays).all()
    np.testing.assert_allclose(camera.project(rays), xy, atol=1e-5)


def test_behind_the_camera_is_nan() -> None:
    points = [[0.1, 0.2, -1.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.0]]
    for camera in [Camera(500, 500, 320, 240, 640, 480), *distorted_cameras()[:3]]:
        assert np.isnan(camera.project(points)).all()


def test_a_lens_that_folds_over_gives_nan_not_a_wrong_pixel() -> None:
    camera = Camera(400, 400, 320, 240, 640, 480, (-0.3, 0.0, 0.0, 0.0), "brown_conrady")
    far_aside = [1.7, 0.0, 1.0]
    naive = 1.7 * (1 - 0.3 * 1.7**2) * 400 + 320
    assert 0 < naive < 640, "the polynomial alone would put it inside the picture"
    assert np.isnan(camera.project(far_aside)).all()
    # r (1 - 0.3 r^2) is largest at r = sqrt(1/0.9), where it is 0.7027: 281 px from the centre.
    assert np.isfinite(camera.unproject([320 + 281.0, 240])).all()
    assert np.isnan(camera.unproject([320 + 281.1, 240])).all()
    assert np.isnan(camera.unproject_z1([320 + 281.1, 240])).all()


def test_a_fisheye_sees_past_ninety_degrees() -> None:
    camera = Camera(150, 150, 320, 320, 640, 640, (0.0, 0.0, 0.0, 0.0), "fisheye")
    ray = camera.unproject([320 + 150 * math.radians(100), 320])
    np.testing.assert_allclose(ray, [math.sin(math.radians(100)), 0, math.cos(math.radians(100))])
    np.testing.assert_allclose(camera.project(ray * 5), [320 + 150 * math.radians(100), 320])
    assert np.isnan(camera.unproject_z1([320 + 150 * math.radians(100), 320])).all()
    assert np.isnan(camera.project([0.0, 0.0, -1.0])).all()
    assert np.isnan(camera.project([0.0, 0.0, 0.0])).all()
    np.testing.assert_allclose(camera.project([0.0, 0.0, 2.0]), [320, 320])
    assert camera.fov_deg[0] == pytest.approx(math.degrees(640 / 150))


def test_off_centre_and_anisotropic_by_hand() -> None:
    camera = Camera(100, 200, 10, 20, 64, 48)
    np.testing.assert_allclose(camera.project([[1.0, 2.0, 4.0]]), [[10 + 25, 20 + 100]])
    np.testing.assert_allclose(camera.unproject_z1([110, 220]), [1, 1, 1])
    horizontal, vertical = camera.fov_deg
    assert horizontal == pytest.approx(math.degrees(math.atan(0.1) + math.atan(0.54)))
    assert vertical == pytest.approx(math.degrees(math.atan(0.1) + math.atan(0.14)))


def test_contains_is_half_open() -> None:
    camera = Camera(100, 100, 32, 24, 64, 48)
    xy = [[0, 0], [63.999, 47.999], [64, 10], [10, 48], [-1e-9, 5], [np.nan, 5]]
    assert camera.contains(xy).tolist() == [True, True, False, False, False, False]


def test_leading_axes_are_kept() -> None:
    for camera in [Camera(100, 100, 32, 24, 64, 48), *distorted_cameras()]:
        assert camera.unproject(np.ones((2, 3, 2))).shape == (2, 3, 3)
        assert camera.project(np.ones((4, 3))).shape == (4, 2)
        assert camera.project(np.ones((0, 3))).shape == (0, 2)
        assert camera.unproject(np.ones((0, 2))).shape == (0, 3)
        assert camera.unproject([1.0, 2.0]).shape == (3,)


def test_origin_of_a_matrix() -> None:
    K = [[500, 0, 319.5], [0, 510, 239.5], [0, 0, 1]]
    centre = Camera.from_K(K, width_px=640, height_px=480, pixel_origin="center")
    assert (centre.cx_px, centre.cy_px) == (320, 240)
    corner = Camera.from_K(K, width_px=640, height_px=480)
    np.testing.assert_array_equal(corner.K, K)


def test_undistorted_keeps_intrinsics_and_size() -> None:
    for camera in distorted_cameras():
        straight = camera.undistorted()
        np.testing.assert_array_equal(straight.K, camera.K)
        assert (straight.model, straight.distortion) == ("pinhole", ())
        assert (straight.width_px, straight.height_px) == (640, 480)


def test_is_a_value() -> None:
    one = Camera(
        np.float32(500), 500, 320, 240, np.int64(640), 480, [0.1, 0, 0, 0], "brown_conrady"
    )
    other = Camera(500.0, 500.0, 320.0, 240.0, 640, 480, (0.1, 0.0, 0.0, 0.0), "brown_conrady")
    assert one == other
    assert hash(one) == hash(other)
    assert type(one.fx_px) is float
    assert type(one.width_px) is int


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fx_px": 0}, "must be positive"),
        ({"fy_px": -500}, "must be positive"),
        ({"fx_px": float("nan")}, "finite"),
        ({"cx_px": float("inf")}, "finite"),
        ({"fx_px": "wide"}, "number"),
        ({"fx_px": None}, "number"),
        ({"width_px": 0}, "whole number"),
        ({"height_px": 480.5}, "whole number"),
        ({"height_px": -1}, "whole number"),
        ({"distortion": (0.1,)}, "0"),
        ({"distortion": (0.1,) * 6, "model": "brown_conrady"}, "4 or 5 or 8"),
        ({"distortion": (0.1,) * 5, "model": "fisheye"}, "4"),
        ({"distortion": (), "model": "fisheye"}, "4"),
        ({"distortion": (0.1, 0.1, np.nan, 0.1), "model": "fisheye"}, "finite"),
        ({"model": "orthographic"}, "pinhole, brown_conrady, fisheye"),
    ],
)
def test_bad_cameras(change: dict[str, object], says: str) -> None:
    good = {"fx_px": 500, "fy_px": 500, "cx_px": 3, "cy_px": 3, "width_px": 640, "height_px": 480}
    with pytest.raises(InputError, match=says) as caught:
        Camera(**{**good, **change})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("K", "says"),
    [
        (np.eye(4), "3x3"),
        (np.eye(2), "3x3"),
        ([500, 500, 320, 240], "3x3"),
        (np.diag([500, 500, 2.0]), "divide"),
        (np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1]]).T, "transpose"),
        ([[500, 3, 320], [0, 500, 240], [0, 0, 1]], "skew"),
        ([[0, 0, 320], [0, 500, 240], [0, 0, 1]], "positive"),
        ([["a", 0, 0], [0, 1, 0], [0, 0, 1]], "not numeric"),
        ([[1, 0, 0], [0, 1], [0, 0, 1]], "not numeric"),
    ],
)
def test_bad_matrices(K: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        Camera.from_K(K, width_px=640, height_px=480)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fov_deg", [0, 180, -60, 400, float("nan")])
def test_bad_field_of_view(fov_deg: float) -> None:
    with pytest.raises(InputError, match="fov_deg"):
        Camera.from_fov(fov_deg, width_px=640, height_px=480)


def test_bad_calls() -> None:
    camera = Camera(500, 500, 320, 240, 640, 480)
    for box in [(-1, 0, 10, 10), (0, 0, 641, 10), (600, 0, 41, 10), (0, 470, 10, 11)]:
        with pytest.raises(InputError, match="inside"):
            camera.cropped(*box)
    with pytest.raises(InputError, match="whole number"):
        camera.resized(0, 100)
    with pytest.raises(InputError, match="3 coordinates"):
        camera.project([[1.0, 2.0]])
    with pytest.raises(InputError, match="2 coordinates"):
        camera.unproject([1.0])
    with pytest.raises(InputError, match="pixel_origin"):
        Camera.from_K(camera.K, width_px=640, height_px=480, pixel_origin="middle")  # type: ignore[arg-type]
