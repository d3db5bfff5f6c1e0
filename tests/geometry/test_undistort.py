"""Undistortion of points and pictures against OpenCV, and exact sampling against SciPy."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from scipy import ndimage
from test_camera import distorted_cameras, mild_lenses, some_pixels

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.undistort import undistort_image, undistort_points

TOLERANCE_PX = 1e-3


def opencv_matrix(camera: Camera) -> np.ndarray:
    """OpenCV's pixel (0, 0) is the first pixel's centre."""
    return camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]


def opencv_undistort_points(xy_px: np.ndarray, camera: Camera) -> np.ndarray:
    K, d = opencv_matrix(camera), np.array(camera.distortion)
    points = (xy_px - 0.5).reshape(-1, 1, 2)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 2000, 1e-13)
    if camera.model == "fisheye":
        found = cv2.fisheye.undistortPoints(points, K, d, P=K, criteria=stop)
    elif hasattr(cv2, "undistortPointsIter"):  # OpenCV 4
        found = cv2.undistortPointsIter(points, K, d, np.eye(3), K, stop)
    else:
        found = cv2.undistortPoints(points, K, d, P=K, criteria=stop)
    return found.reshape(-1, 2) + 0.5


@given(mild_lenses())
def test_points_match_opencv(camera: Camera) -> None:
    xy = some_pixels(camera, 60)
    expected = opencv_undistort_points(xy, camera)
    np.testing.assert_allclose(undistort_points(xy, camera), expected, atol=TOLERANCE_PX)


@pytest.mark.parametrize(
    "camera", distorted_cameras(), ids=lambda c: f"{c.model}{len(c.distortion)}"
)
def test_strong_points_match_opencv(camera: Camera) -> None:
    xy = some_pixels(camera)
    if camera.model == "fisheye":
        # A pixel a million away is no test of anything: keep to 80 degrees.
        xy = xy[camera.unproject(xy)[:, 2] > np.cos(np.radians(80))]
    expected = opencv_undistort_points(xy, camera)
    np.testing.assert_allclose(undistort_points(xy, camera), expected, atol=TOLERANCE_PX)


def test_pinhole_points_stay() -> None:
    camera = Camera(410, 433, 301, 255.5, 640, 480)
    xy = some_pixels(camera)
    np.testing.assert_allclose(undistort_points(xy, camera), xy, atol=1e-9)


@pytest.mark.parametrize(
    "camera", distorted_cameras(), ids=lambda c: f"{c.model}{len(c.distortion)}"
)
def test_picture_matches_opencv_map(camera: Camera) -> None:
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.uniform(0, 255, (480, 640, 3)), (2, 2, 0))
    image = np.clip((noise - 127) * 8 + 127, 0, 255).astype(np.uint8)
    got, straight = undistort_image(image, camera)
    assert straight == camera.undistorted()
    K, d = opencv_matrix(camera), np.array(camera.distortion)
    make = (
        cv2.fisheye.initUndistortRectifyMap
        if camera.model == "fisheye"
        else cv2.initUndistortRectifyMap
    )
    map_x, map_y = make(K, d, np.eye(3), K, (640, 480), cv2.CV_32FC1)
    expected = np.stack(
        [
            ndimage.map_coordinates(image[..., c].astype(float), [map_y, map_x], order=1)
            for c in range(3)
        ],
        axis=-1,
    )
    inner = (map_x >= 0) & (map_x <= 639) & (map_y >= 0) & (map_y <= 479)
    assert inner.mean() > 0.5
    # Half a level from rounding, the rest from OpenCV's float32 map.
    assert np.abs(got[inner] - expected[inner]).max() < 0.6
    outside = (map_x < -0.501) | (map_x > 639.501) | (map_y < -0.501) | (map_y > 479.501)
    assert (got[outside] == 0).all()


def test_a_dot_lands_where_its_point_goes() -> None:
    camera = distorted_cameras()[1]
    y, x = np.mgrid[0:480, 0:640] + 0.5
    for spot in ([150.0, 120.0], [500.3, 400.8]):
        dot = 255 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 18)
        image = np.repeat(dot.astype(np.uint8)[..., None], 3, axis=-1)
        moved = undistort_image(image, camera)[0][..., 0].astype(float)
        centroid = np.array([(moved * x).sum(), (moved * y).sum()]) / moved.sum()
        np.testing.assert_allclose(centroid, undistort_points(spot, camera), atol=0.1)
        assert np.abs(centroid - spot).max() > 0.3


def test_pinhole_picture_is_untouched() -> None:
    image = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    got, camera = undistort_image(image, Camera(50, 50, 32, 24, 64, 48))
    assert got is image
    assert camera.model == "pinhole"


def test_sizes_must_agree() -> None:
    with pytest.raises(InputError, match="64x48"):
        undistort_image(np.zeros((64, 48, 3), np.uint8), Camera(50, 50, 32, 24, 64, 48))
