"""Views rendered together are those rendered alone, and cost as many launches as one."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("warp")

from vlm3.geometry.camera import Camera
from vlm3.worlds import render
from vlm3.worlds.frame import Frame
from vlm3.worlds.world import World

SIZE = {"width_px": 48, "height_px": 36}
KERNELS = {"trace": 1, "gather": 2, "resolve": 1, "smooth_edges": 1}


@pytest.fixture(scope="module", params=["room", "street"])
def world(request: pytest.FixtureRequest) -> World:
    return World(5, 3, split="heldout", kind=request.param)


def lenses(count: int) -> list[Camera]:
    """Cameras of one size and different lenses, every second one as the first, some distorted."""
    free = [Camera(30 + 5 * k, 31 + 5 * k, 23, 19, 48, 36) for k in range(count)]
    free[2] = Camera(40, 40, 24, 18, 48, 36, (-0.08, 0.02, 0.001, 0.0), "brown_conrady")
    return [free[0] if k % 2 else free[k] for k in range(count)]


def same(one: Frame, two: Frame) -> None:
    for name in ("image", "distance_m", "depth_z_m", "normal", "instance", "world_from_cam"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    assert one.camera == two.camera and len(one.objects) == len(two.objects)


def test_views_together_are_those_alone(world: World) -> None:
    cameras, rng = lenses(5), world.rng(9)
    poses = [world.pose(rng, camera) for camera in cameras]
    together = world.renderer.render(cameras, poses)
    for camera, pose, (radiance, truth) in zip(cameras, poses, together, strict=True):
        ((alone, own),) = world.renderer.render([camera], [pose])
        np.testing.assert_array_equal(radiance, alone)
        for name in ("distance_m", "face", "normal"):
            np.testing.assert_array_equal(getattr(truth, name), getattr(own, name), err_msg=name)


def test_many_views_are_one_launch_of_each_kernel(world: World, launches: Counter[str]) -> None:
    cameras, rng = lenses(6), world.rng(9)
    poses = [world.pose(rng, camera) for camera in cameras]
    launches.clear()
    world.renderer.render(cameras, poses)
    assert launches == KERNELS


def test_a_pair_is_one_launch_of_each_kernel(world: World, launches: Counter[str]) -> None:
    world.pair(0, **SIZE)
    assert {name: launches[name] for name in KERNELS} == KERNELS


def test_what_does_not_fit_together_is_rendered_in_groups(
    world: World, launches: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras, rng = lenses(5), world.rng(9)
    poses = [world.pose(rng, camera) for camera in cameras]
    whole = world.renderer.render(cameras, poses)
    launches.clear()
    monkeypatch.setitem(render.TOGETHER_PX, "cpu", 2 * 48 * 36 + 1)
    parts = world.renderer.render(cameras, poses)
    assert launches == {name: 3 * count for name, count in KERNELS.items()}
    for (one, _), (two, _) in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, two)


def test_views_of_a_world_are_those_by_number(world: World) -> None:
    numbers = (4, 0, 2)
    for number, frame in zip(numbers, world.views(numbers, **SIZE), strict=True):
        same(frame, world.view(number, **SIZE))


def test_views_of_two_sizes_are_refused(world: World) -> None:
    cameras = [Camera(30, 30, 24, 18, 48, 36), Camera(30, 30, 24, 18, 48, 32)]
    with pytest.raises(ValueError, match="one size"):
        world.renderer.render(cameras, [np.eye(4)] * 2)


def test_pictures_developed_by_kernels_are_those_of_a_cpu(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a GPU, run on a CPU: without JPEG, pictures differ by one grey level at most."""
    cameras, rng = lenses(3), world.rng(9)
    poses = [world.pose(rng, camera) for camera in cameras]

    def frames() -> tuple[Frame, ...]:
        return world.frames(cameras, poses, [world.rng(k) for k in range(3)], plain=True)

    by_numpy = frames()
    monkeypatch.setattr(world.renderer, "develops", True)
    for one, two in zip(by_numpy, frames(), strict=True):
        off = np.abs(one.image.astype(int) - two.image)
        assert off.max() <= 1 and (off > 0).mean() < 0.005
        same(replace(one, image=two.image), two)
