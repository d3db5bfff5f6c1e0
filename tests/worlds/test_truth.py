"""Truth against oracles that share no code with the renderer."""

import numpy as np
import pytest

pytest.importorskip("warp")

from vlm3.geometry.camera import Camera
from vlm3.geometry.covisibility import covisibility
from vlm3.geometry.pose import invert, transform_points
from vlm3.worlds.frame import motion_between
from vlm3.worlds.relations import clock_hour
from vlm3.worlds.render import pixel_rays
from vlm3.worlds.world import World

SIZE = {"width_px": 64, "height_px": 48}


@pytest.fixture(scope="module", params=["room", "street"])
def world(request):
    return World(5, 3, split="heldout", kind=request.param)


@pytest.fixture(scope="module")
def frame(world):
    return world.view(**SIZE)


def moller_trumbore(vertices, faces, origin, rays):
    """First hit of each ray in float64, brute force; inf for none."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    e1, e2, s = b - a, c - a, origin - a
    q = np.cross(s, e1)
    found = np.full(len(rays), np.inf)
    for k, ray in enumerate(rays):
        p = np.cross(ray, e2)
        det = (e1 * p).sum(1)
        with np.errstate(all="ignore"):
            u, v, t = (s * p).sum(1) / det, (q @ ray) / det, (e2 * q).sum(1) / det
            hit = (np.abs(det) > 1e-14) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6)
        found[k] = t[hit].min() if hit.any() else np.inf
    return found


def rays_of(frame, step):
    rays = pixel_rays(frame.camera)[::step, ::step].reshape(-1, 3)
    return rays @ frame.world_from_cam[:3, :3].T


def agree(ours, theirs):
    """Relative errors where both hit; how many disagree on hitting, or met another surface."""
    both = np.isfinite(ours) & np.isfinite(theirs)
    error = np.abs(ours[both] - theirs[both]) / theirs[both]
    return error, (np.isfinite(ours) != np.isfinite(theirs)).sum()


def test_distance_equals_brute_force(world, frame):
    mesh = world.scene.mesh
    truth = moller_trumbore(
        mesh.vertices, mesh.faces, frame.world_from_cam[:3, 3], rays_of(frame, 4)
    )
    error, disagree = agree(frame.distance_m[::4, ::4].ravel().astype(float), truth)
    # a ray through the seam of two triangles may pass in one arithmetic and not in the other
    assert disagree <= 1
    assert np.quantile(error, 0.99) < 1e-4


def test_distance_equals_embree(world, frame):
    trimesh = pytest.importorskip("trimesh")
    pytest.importorskip("embreex")
    mesh = trimesh.Trimesh(world.scene.mesh.vertices, world.scene.mesh.faces, process=False)
    rays = rays_of(frame, 2)
    origins = np.tile(frame.world_from_cam[:3, 3], (len(rays), 1))
    where, which, _ = mesh.ray.intersects_location(origins, rays, multiple_hits=False)
    truth = np.full(len(rays), np.inf)
    truth[which] = np.linalg.norm(where - origins[which], axis=1)
    error, disagree = agree(frame.distance_m[::2, ::2].ravel().astype(float), truth)
    assert disagree <= 2
    assert np.quantile(error, 0.99) < 1e-4


def test_z_is_distance_along_the_axis(frame):
    seen = np.isfinite(frame.distance_m)
    z = frame.distance_m[seen] * pixel_rays(frame.camera)[seen][:, 2]
    np.testing.assert_allclose(frame.depth_z_m[seen], z, rtol=1e-5)


def test_normals_are_unit_and_face_the_camera(frame):
    seen = np.isfinite(frame.distance_m)
    np.testing.assert_allclose(np.linalg.norm(frame.normal[seen], axis=1), 1, atol=1e-4)
    assert ((frame.normal[seen] * pixel_rays(frame.camera)[seen]).sum(1) <= 1e-4).all()


def test_objects_lie_in_their_boxes(world, frame):
    """Points of an instance, carried into its own frame, stay within its true size."""
    rays = pixel_rays(frame.camera)
    for thing in frame.objects:
        mask = frame.instance == thing.instance
        points = transform_points(
            frame.world_from_cam, rays[mask] * frame.distance_m[mask][:, None].astype(float)
        )
        local = transform_points(invert(thing.world_from_object), points)
        over = np.abs(local).max(0) - np.array(thing.size_wdh_m) / 2
        assert over.max() < 1e-3 + 1e-5 * frame.distance_m[mask].max(), (thing.name, over)
        x0, y0, x1, y1 = thing.box_xyxy_px
        rows, columns = np.nonzero(mask)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x0, y0, x1, y1)
        assert 0 < thing.visible_share <= 1


@pytest.fixture(scope="module")
def pair(world):
    return world.pair(**SIZE)


def test_matches_reproject(world, pair):
    one, two = pair
    xy1, xy2 = world.sight.matches(one, two, 200, np.random.default_rng(0))
    assert len(xy1) > 50
    rows, columns = np.floor(xy1[:, 1]).astype(int), np.floor(xy1[:, 0]).astype(int)
    distance = one.distance_m[rows, columns].astype(np.float64)
    in1 = one.camera.unproject(xy1) * distance[:, None]
    in2 = transform_points(invert(motion_between(one, two).cam1_from_cam2), in1)
    assert np.abs(two.camera.project(in2) - xy2).max() < 0.01
    # back: what camera 2 really meets along that ray is the same point of camera 1's picture
    rays2 = two.camera.unproject(xy2) @ two.world_from_cam[:3, :3].T
    met, _ = world.renderer.cast(two.world_from_cam[:3, 3], rays2)
    points = two.world_from_cam[:3, 3] + rays2 * met[:, None].astype(np.float64)
    back = one.camera.project(transform_points(invert(one.world_from_cam), points))
    error = np.linalg.norm(back - xy1, axis=1)
    assert np.quantile(error, 0.95) < 0.01
    assert np.median(error) < 1e-3


def test_pairs_share_more_than_a_quarter(world, pair):
    one, two = pair
    share = world.sight.covisibility(one.world_from_cam, one.camera, two.world_from_cam, two.camera)
    assert share > 0.25
    if one.camera.model == "pinhole" and two.camera.model == "pinhole":
        z1 = np.where(np.isfinite(one.depth_z_m), one.depth_z_m, 0)
        z2 = np.where(np.isfinite(two.depth_z_m), two.depth_z_m, 0)
        cam1_from_cam2 = motion_between(one, two).cam1_from_cam2
        there = covisibility(z1, one.camera, z2, two.camera, invert(cam1_from_cam2))
        back = covisibility(z2, two.camera, z1, one.camera, cam1_from_cam2)
        mean = (there + back) / 2
        # The rule on depth maps loses grazing ground to the nearest pixel; a ray does not.
        assert mean < share + 0.1
        if one.kind == "room":
            assert mean > share - 0.12


def test_distorted_lenses_are_rendered():
    world = World(1, 4, kind="room")
    camera = Camera(60, 61, 33, 23, 64, 48, (-0.08, 0.02, 0.001, 0.0), "brown_conrady")
    frame = world.frame(camera, world.pose(world.rng(1), camera), world.rng(2))
    rays = camera.unproject(np.array([[0.5, 0.5], [63.5, 47.5]]))
    rays = rays @ frame.world_from_cam[:3, :3].T
    met, _ = world.renderer.cast(frame.world_from_cam[:3, 3], rays)
    np.testing.assert_allclose(met, [frame.distance_m[0, 0], frame.distance_m[-1, -1]], rtol=1e-4)


def test_hidden_points_are_not_visible(world, frame):
    """A point moved behind the surface it was seen on is hidden; before it, it is not."""
    rays = rays_of(frame, 6)
    distance = frame.distance_m[::6, ::6].ravel().astype(float)
    good = np.isfinite(distance) & (distance > 0.5)
    center = frame.world_from_cam[:3, 3]
    for factor, expected in ((0.9, True), (1.05, False)):
        points = center + rays[good] * distance[good, None] * factor
        assert (world.sight.visible(points, frame.world_from_cam) == expected).mean() > 0.99


@pytest.mark.parametrize(
    ("right", "ahead", "hour"),
    [(1, 10, 1), (-1, 10, 12), (10, 1, 3), (10, -1, 4), (-10, -1, 9), (-1, -10, 7), (1, -10, 6)],
)
def test_clock_hours_follow_the_benchmark(right, ahead, hour):
    """12 - floor(angle to the left / 30 degrees): AnjieCheng/SpatialRGPT, prompt_utils.py."""
    assert clock_hour(right, ahead) == hour
