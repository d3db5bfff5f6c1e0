"""Pairs against rays cast at what was drawn, against MapAnything's formula, and by laws."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("warp")

from vlm3.curation import pairs
from vlm3.curation.pairs import (
    LEAST_COVISIBLE,
    TOLERANCES,
    coarse_view,
    make_pairs,
    matches,
    shared,
)
from vlm3.curation.stored import StoredFrame
from vlm3.datasets.base import DepthMap, RawFrame
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.depth import points_from_z
from vlm3.geometry.pixels import pixel_centres
from vlm3.geometry.pose import (
    RelativePose,
    invert,
    relative_pose,
    rotation_from_ypr_deg,
    transform_points,
)
from vlm3.worlds.frame import Frame
from vlm3.worlds.world import World

TRUTH = TOLERANCES["truth"]


@lru_cache(maxsize=1)
def room() -> tuple[World, tuple[Frame, ...]]:
    world = World(11, 2, split="heldout", kind="room")
    found = [world.pair(k, width_px=224, height_px=168, f_px=190.0) for k in range(8)]
    return world, tuple(frame for pair in found for frame in pair)


def view_of(place: int, frame: Frame) -> StoredFrame:
    z = np.where(np.isfinite(frame.depth_z_m), frame.depth_z_m, np.nan).astype(np.float64)
    raw = RawFrame("", b"", frame.camera, lambda: DepthMap(z, "z"), frame.world_from_cam)
    return StoredFrame(raw, frame.camera, place=place)


def views() -> list[StoredFrame]:
    return [view_of(10 + k, frame) for k, frame in enumerate(room()[1])]


def hidden_and_off(rows: list[np.void]) -> tuple[float, float]:
    """The share of matches that the second view does not see, and their worst place."""
    world, frames = room()
    seen, off = [], []
    for row in rows:
        one, two = (frames[row[k] - 10] for k in ("first", "second"))
        count = int(row["matches"])
        xy1, xy2 = (row[k][:count].astype(np.float64) for k in ("xy1_px", "xy2_px"))
        rays = one.camera.unproject(xy1)
        distance, _ = world.renderer.cast(
            one.world_from_cam[:3, 3], rays @ one.world_from_cam[:3, :3].T
        )
        points = transform_points(one.world_from_cam, rays * distance[:, None])
        seen += world.sight.visible(points, two.world_from_cam).tolist()
        true = two.camera.project(transform_points(invert(two.world_from_cam), points))
        off += np.linalg.norm(true - xy2, axis=1).tolist()
    return 1 - float(np.mean(seen)), float(np.max(off))


def test_matches_are_what_rays_say() -> None:
    rows = list(make_pairs(views(), np.random.default_rng(0)))
    hidden, off = hidden_and_off(rows)
    assert len(rows) >= 10 and hidden < 0.015 and off < 1e-3, (len(rows), hidden, off)
    for row in rows:
        one, two = (room()[1][row[k] - 10] for k in ("first", "second"))
        motion = relative_pose(one.world_from_cam, two.world_from_cam)
        np.testing.assert_allclose(row["cam1_from_cam2"], motion[:3], atol=1e-6)
        assert row["covisibility"] > LEAST_COVISIBLE and row["matches"] >= 10


def test_coming_back_is_worth_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    strict, _ = hidden_and_off(list(make_pairs(views(), np.random.default_rng(1))))
    monkeypatch.setattr(pairs, "_RETURN_PX", np.inf)
    loose, _ = hidden_and_off(list(make_pairs(views(), np.random.default_rng(1))))
    assert loose > 2 * strict, (loose, strict)


def test_each_pair_once_and_no_more_than_asked() -> None:
    rows = list(make_pairs(views(), np.random.default_rng(2), per_view=2))
    both = {tuple(sorted((int(r["first"]), int(r["second"])))) for r in rows}
    assert len(both) == len(rows)
    firsts = np.bincount([int(r["first"]) - 10 for r in rows], minlength=16)
    assert firsts.max() <= 2
    again = list(make_pairs(views(), np.random.default_rng(2), per_view=2))
    assert all((a == b).all() for a, b in zip(rows, again, strict=True))


def test_the_share_is_mapanythings() -> None:
    """Their formula, written out pixel by pixel: z, all pixels, both ways, over the known share."""
    _, frames = room()
    for a, b in ((0, 1), (2, 3), (4, 5), (1, 0)):
        counts = []
        for one, two in ((frames[a], frames[b]), (frames[b], frames[a])):
            cam2_from_cam1 = relative_pose(two.world_from_cam, one.world_from_cam)
            camera, depth2 = two.camera, two.depth_z_m
            centres = pixel_centres(224, 168).reshape(-1, 2)
            z1 = one.depth_z_m.reshape(-1).astype(np.float64)
            points = transform_points(cam2_from_cam1, points_from_z(centres, z1, one.camera))
            seen = 0
            for x, y, z in points[np.isfinite(points[:, 2])]:
                u = camera.fx_px * x / max(z, 0.04) + camera.cx_px
                v = camera.fy_px * y / max(z, 0.04) + camera.cy_px
                if z > 0.04 and 0 <= u < 224 and 0 <= v < 168:
                    found = float(depth2[int(v), int(u)])
                    seen += abs(z - found) < 0.1 + 0.005 * z + 0.693 * 0.1
            counts.append(seen / len(centres))
        known = float(np.isfinite(frames[a].depth_z_m).mean())
        small = [coarse_view(view_of(k, frames[k])) for k in (a, b)]
        assert small[0] and small[1]
        found = shared(small[0], small[1], TRUTH)
        assert found == pytest.approx(sum(counts) / 2 / known, abs=0.02)


def test_no_pair_is_lost_to_the_bound() -> None:
    small = [v for frame in views() if (v := coarse_view(frame)) is not None]
    bounds = pairs._Bounds(small)
    lost = kept = 0
    for i, one in enumerate(small):
        candidates = set(bounds.candidates(i).tolist())
        assert i not in candidates
        for j, two in enumerate(small):
            if i != j and shared(one, two, TRUTH) > LEAST_COVISIBLE:
                kept += 1
                lost += j not in candidates
    assert kept >= 30 and lost == 0, (kept, lost)


def test_less_trusted_depth_is_compared_more_loosely() -> None:
    small = [coarse_view(frame) for frame in views()[:2]]
    assert small[0] and small[1]
    by_origin = {k: shared(small[0], small[1], t) for k, t in TOLERANCES.items()}
    assert by_origin["truth"] < by_origin["predicted"]
    assert by_origin["truth"] < by_origin["mvs"]


def test_frames_that_cannot_be_used_are_left_out() -> None:
    good = views()[:4]

    def broken() -> DepthMap:
        raise InputError("the file is cut off")

    def changed(frame: StoredFrame, place: int, **fields: Any) -> StoredFrame:
        return replace(frame, place=place, raw=replace(frame.raw, **fields))

    nothing = DepthMap(np.full((168, 224), np.nan), "z")
    unusable = [
        changed(good[0], 98, world_from_cam=np.full((4, 4), np.nan)),
        changed(good[0], 96, world_from_cam=None),
        changed(good[1], 99, depth=broken),
        changed(good[1], 97, depth=lambda: nothing),
        changed(good[1], 95, depth=None),
    ]
    rows = list(make_pairs([unusable[0], *good, *unusable[1:]], np.random.default_rng(3)))
    used = {int(row[k]) for row in rows for k in ("first", "second")}
    assert used and used <= {10, 11, 12, 13}
    assert list(make_pairs([], np.random.default_rng(0))) == []


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.floats(-12, 12)] * 3),
    st.tuples(*[st.floats(-0.4, 0.4)] * 3),
    st.integers(0, 2**32 - 1),
)
def test_there_and_back(ypr_deg: tuple[float, ...], moved_m: tuple[float, ...], seed: int) -> None:
    """Before a wall: matches of the swapped views are the same matches, the motion is inverse."""
    camera = Camera(200.0, 205.0, 96.0, 70.0, 192, 144)
    cam1_from_cam2 = np.eye(4)
    cam1_from_cam2[:3, :3] = rotation_from_ypr_deg(ypr_deg)
    cam1_from_cam2[:3, 3] = moved_m
    depth = [wall(camera, np.eye(4)), wall(camera, invert(cam1_from_cam2))]
    rng = np.random.default_rng(seed)
    xy1 = rng.uniform((0, 0), (192, 144), (64, 2))
    points1 = points_on_wall(camera, np.eye(4), xy1)
    good, xy2 = matches(xy1, points1, camera, depth[1], camera, cam1_from_cam2, tolerance=TRUTH)
    inside = camera.contains(xy2)
    assert (good <= inside).all()
    points2 = transform_points(invert(cam1_from_cam2), points1[good])
    back, returned = matches(
        xy2[good], points2, camera, depth[0], camera, invert(cam1_from_cam2), tolerance=TRUTH
    )
    np.testing.assert_allclose(returned, xy1[good], atol=1e-6)
    # Nothing hides anything: all but what lies at the very border is seen both ways.
    assert good.sum() >= 0.9 * inside.sum() and back.mean() > 0.9 if good.any() else True
    there, again = (RelativePose.from_matrix(T) for T in (cam1_from_cam2, invert(cam1_from_cam2)))
    assert there.angle_deg == pytest.approx(again.angle_deg, abs=1e-9)
    assert there.distance_m == pytest.approx(again.distance_m)


def points_on_wall(camera: Camera, cam_from_world: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Where rays meet the plane z = 3 m of the world, in the camera's frame."""
    rays = camera.unproject_z1(xy)
    world_from_cam = invert(cam_from_world)
    z = (3.0 - world_from_cam[2, 3]) / (rays @ world_from_cam[:3, :3].T)[..., 2]
    return np.asarray(rays * z[..., None])


def wall(camera: Camera, cam_from_world: np.ndarray) -> np.ndarray:
    centres = pixel_centres(camera.width_px, camera.height_px)
    return points_on_wall(camera, cam_from_world, centres)[..., 2]
