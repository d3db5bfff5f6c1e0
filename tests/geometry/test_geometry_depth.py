"""Depth, distance and points."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from test_camera import distorted_cameras, mild_lenses, some_pixels

from vlm3.geometry.camera import Camera
from vlm3.geometry.depth import (
    distance_from_z,
    points_from_distance,
    points_from_z,
    z_from_distance,
)


@given(mild_lenses(), st.floats(0.01, 500))
def test_distance_and_z_agree_with_points(camera: Camera, distance_m: float) -> None:
    xy = some_pixels(camera, 20)
    distances = np.full(len(xy), distance_m)
    points = points_from_distance(xy, distances, camera)
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), distances)
    np.testing.assert_allclose(camera.project(points), xy, atol=1e-5)
    z = z_from_distance(distances, camera.unproject(xy))
    np.testing.assert_allclose(points[:, 2], z)
    np.testing.assert_allclose(points_from_z(xy, z, camera), points)
    # The length of the rays must not matter.
    np.testing.assert_allclose(distance_from_z(z, camera.unproject_z1(xy)), distances)
    np.testing.assert_allclose(distance_from_z(z, 7 * camera.unproject(xy)), distances)


def test_three_four_five() -> None:
    assert distance_from_z(4.0, [3.0, 0.0, 4.0]) == 5.0
    assert z_from_distance(10.0, [0.0, 3.0, 4.0]) == 8.0
    assert np.isnan(distance_from_z(1.0, [1.0, 0.0, 0.0]))
    assert np.isnan(z_from_distance(1.0, [1.0, 0.0, -1.0]))


def test_unparsed_stays_nan() -> None:
    camera = distorted_cameras()[0]
    points = points_from_distance([[10, 10], [20, 20]], [np.nan, 2.0], camera)
    assert np.isnan(points[0]).all()
    assert np.isfinite(points[1]).all()
