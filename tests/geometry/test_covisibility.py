"""Correspondence and occlusion on a scene with exact depth: a wall and a plate before it."""

import math

import numpy as np
import pytest
from test_camera import some_pixels

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.covisibility import Tolerance, correspond, covisibility
from vlm3.geometry.depth import points_from_z
from vlm3.geometry.pixels import pixel_centres
from vlm3.geometry.pose import invert, rotation_from_ypr_deg, transform_points

CAMERA = Camera(200, 210, 150, 128, 320, 240)


def plane_depth(camera: Camera, cam_from_world: np.ndarray, z_m: float) -> np.ndarray:
    """Exact z-depth of the world plane z = z_m; NaN where the ray misses it."""
    rays = camera.unproject_z1(pixel_centres(camera.width_px, camera.height_px))
    world_from_cam = invert(cam_from_world)
    turned = rays @ world_from_cam[:3, :3].T
    return (z_m - world_from_cam[2, 3]) / turned[..., 2]


def scene_depth(camera: Camera, cam_from_world: np.ndarray) -> np.ndarray:
    """A wall at z = 4 m and, in front, the plate |x|, |y| < 0.4 at z = 2 m."""
    wall = plane_depth(camera, cam_from_world, 4.0)
    plate = plane_depth(camera, cam_from_world, 2.0)
    centres = pixel_centres(camera.width_px, camera.height_px)
    hit = transform_points(invert(cam_from_world), points_from_z(centres, plate, camera))
    return np.where((np.abs(hit[..., :2]) < 0.4).all(axis=-1), plate, wall)


def moved(x_m: float, yaw_deg: float = 0.0) -> np.ndarray:
    world_from_cam = np.eye(4)
    world_from_cam[:3, :3] = rotation_from_ypr_deg([yaw_deg, 0, 0])
    world_from_cam[0, 3] = x_m
    return invert(world_from_cam)


def test_a_view_sees_all_of_itself() -> None:
    depth = scene_depth(CAMERA, np.eye(4))
    xy = some_pixels(CAMERA)[:500]
    found, visible = correspond(xy, depth, CAMERA, depth, CAMERA, np.eye(4))
    np.testing.assert_allclose(found, xy, atol=1e-9)
    assert visible.all()
    assert covisibility(depth, CAMERA, depth, CAMERA, np.eye(4)) == 1.0


def test_matches_are_exact_and_go_both_ways() -> None:
    cam2_from_cam1 = moved(0.5, -6.0)
    wall1 = plane_depth(CAMERA, np.eye(4), 4.0)
    wall2 = plane_depth(CAMERA, cam2_from_cam1, 4.0)
    # At pixel centres the nearest depth is the exact one.
    xy1 = pixel_centres(320, 240)[::16, ::16]
    xy2, visible = correspond(xy1, wall1, CAMERA, wall2, CAMERA, cam2_from_cam1)
    homogeneous = points_from_z(xy1, wall1[::16, ::16], CAMERA)
    expected = CAMERA.project(transform_points(cam2_from_cam1, homogeneous))
    np.testing.assert_allclose(xy2, expected, atol=1e-9)
    np.testing.assert_array_equal(visible, CAMERA.contains(expected))
    back, seen = correspond(xy2[visible], wall2, CAMERA, wall1, CAMERA, invert(cam2_from_cam1))
    assert seen.mean() > 0.98
    # Half a pixel of depth on a slanted wall is all that is lost on the way.
    assert np.linalg.norm(back - xy1[visible], axis=-1).max() < 0.3


def test_occlusion_by_hand() -> None:
    # Camera 2 stands 1 m to the right. The plate's right edge (0.4, 0, 2) hides from it the wall
    # from x = -0.2 (ray through (0.4, 2) from x = 1) down to x = -1.8 (through the left edge).
    cam2_from_cam1 = moved(1.0)
    depth1, depth2 = scene_depth(CAMERA, np.eye(4)), scene_depth(CAMERA, cam2_from_cam1)

    def seen(x_m: float, y_m: float, z_m: float) -> bool:
        xy = CAMERA.project([x_m, y_m, z_m])
        return bool(correspond(xy, depth1, CAMERA, depth2, CAMERA, cam2_from_cam1)[1])

    assert not seen(-1.0, 0.0, 4.0)  # behind the plate for camera 2, free for camera 1
    assert not seen(-1.7, 0.0, 4.0)
    assert seen(-1.9, 0.0, 4.0)
    assert seen(-1.0, 1.2, 4.0)  # below the plate's shadow
    assert seen(0.0, 0.0, 2.0)  # the plate itself
    assert seen(1.0, 0.0, 4.0)


def test_occluded_share_is_the_shadow() -> None:
    cam2_from_cam1 = moved(1.0)
    depth1, depth2 = scene_depth(CAMERA, np.eye(4)), scene_depth(CAMERA, cam2_from_cam1)
    xy2, visible = correspond(
        pixel_centres(320, 240), depth1, CAMERA, depth2, CAMERA, cam2_from_cam1
    )
    hidden = (CAMERA.contains(xy2) & ~visible).sum()
    # The shadow spans x -1.8 .. -0.2 and y -0.8 .. 0.8 on the wall, of which the plate hides
    # x > -0.8 (its own shadow for camera 1, |x|, |y| < 0.8): 1.0 x 1.6 m at 50 and 52.5 px a metre.
    assert hidden == pytest.approx(1.0 * 50 * 1.6 * 52.5, rel=0.03)
    assert covisibility(depth1, CAMERA, depth2, CAMERA, cam2_from_cam1) == pytest.approx(
        visible.mean()
    )


def test_the_tolerance_is_the_published_one() -> None:
    flat = np.full((240, 320), 10.0)
    centre = [CAMERA.cx_px, CAMERA.cy_px]
    xy = np.floor(centre) + 0.5
    distance = np.linalg.norm(points_from_z(xy, 10.0, CAMERA))
    limit = 0.1 + math.log(2) * 0.1 + 0.005 * distance
    for gap, expected in ((0.999 * limit, True), (1.001 * limit, False)):
        for sign in (1, -1):
            other = flat * (distance + sign * gap) / distance
            _, visible = correspond(xy, flat, CAMERA, other, CAMERA, np.eye(4))
            assert bool(visible) is expected
    _, strict = correspond(xy, flat, CAMERA, flat * 1.001, CAMERA, np.eye(4), Tolerance(0, 0, 0))
    assert not strict


@pytest.mark.parametrize("hole", [0.0, -1.0, np.nan, np.inf])
def test_holes_are_not_visible(hole: float) -> None:
    flat = np.full((240, 320), 3.0)
    holed = flat.copy()
    holed[:, :160] = hole
    xy2, visible = correspond([[50.5, 50.5]], holed, CAMERA, flat, CAMERA, np.eye(4))
    assert np.isnan(xy2).all()
    assert not visible[0]
    xy2, visible = correspond([[50.5, 50.5]], flat, CAMERA, holed, CAMERA, np.eye(4))
    np.testing.assert_allclose(xy2, [[50.5, 50.5]])
    assert not visible[0]
    assert covisibility(holed, CAMERA, flat, CAMERA, np.eye(4)) == 0.5


def test_outside_behind_and_backs_turned() -> None:
    flat = np.full((240, 320), 3.0)
    xy2, visible = correspond([[-5, 10], [400, 10]], flat, CAMERA, flat, CAMERA, np.eye(4))
    assert np.isnan(xy2).all()
    assert not visible.any()
    assert covisibility(flat, CAMERA, flat, CAMERA, moved(0, 180)) == 0.0


def test_cameras_may_differ_and_be_distorted() -> None:
    fisheye = Camera(120, 120, 160, 120, 320, 240, (0.02, 0.01, 0.0, 0.0), "fisheye")
    wide = plane_depth(fisheye, np.eye(4), 4.0)
    xy1 = np.array([[150.5, 110.5], [60.5, 50.5]])
    xy2, visible = correspond(
        xy1, plane_depth(CAMERA, np.eye(4), 4.0), CAMERA, wide, fisheye, np.eye(4)
    )
    np.testing.assert_allclose(xy2, fisheye.project(CAMERA.unproject(xy1)), atol=1e-9)
    assert visible.all()


def test_map_sizes_are_checked() -> None:
    with pytest.raises(InputError, match="first depth map"):
        correspond([1, 1], np.ones((320, 240)), CAMERA, np.ones((240, 320)), CAMERA, np.eye(4))
    with pytest.raises(InputError, match="second depth map"):
        correspond([1, 1], np.ones((240, 320)), CAMERA, np.ones((120, 160)), CAMERA, np.eye(4))
