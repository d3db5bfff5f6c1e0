"""A mirrored frame keeps the truth, and turns left into right."""

import numpy as np
import pytest

pytest.importorskip("warp")

from vlm3.geometry.pose import RelativePose, invert, transform_points
from vlm3.tasks.truth import YesNo
from vlm3.worlds.frame import Frame, motion_between
from vlm3.worlds.mirror import mirrored
from vlm3.worlds.questions import object_questions
from vlm3.worlds.world import World

SIZE = {"width_px": 96, "height_px": 80, "f_px": 75.0}


Pair = tuple[Frame, Frame]


@pytest.fixture(scope="module")
def world() -> World:
    return World(5, 0, kind="room")


@pytest.fixture(scope="module")
def pair(world: World) -> Pair:
    return world.pair(**SIZE)


def motion(pair: Pair, change=lambda frame: frame) -> RelativePose:
    return motion_between(*map(change, pair))


def test_matches_hold_in_the_mirror(world: World, pair: Pair) -> None:
    xy1, xy2 = world.sight.matches(*pair, 60, np.random.default_rng(0))
    flip = np.array([pair[0].camera.width_px, 0.0])
    xy1, xy2 = np.abs(flip - xy1), np.abs(flip - xy2)
    one, two = map(mirrored, pair)
    rows, columns = (np.floor(xy1[:, k]).astype(int) for k in (1, 0))
    points = one.camera.unproject(xy1) * one.distance_m[rows, columns, None]
    cam2_from_cam1 = invert(two.world_from_cam) @ one.world_from_cam
    found = two.camera.project(transform_points(cam2_from_cam1, points))
    assert np.linalg.norm(found - xy2, axis=1).max() < 0.01


def test_a_mirror_turns_yaw_and_roll_and_x(pair: Pair) -> None:
    plain, turned = motion(pair), motion(pair, mirrored)
    yaw, pitch, roll = plain.yaw_pitch_roll_deg
    assert turned.yaw_pitch_roll_deg == pytest.approx([-yaw, pitch, -roll])
    assert turned.translation_m == pytest.approx(plain.translation_m * (-1, 1, 1))


def test_twice_is_the_frame_itself(pair: Pair) -> None:
    once, _ = pair
    twice = mirrored(mirrored(once))
    assert np.array_equal(twice.image, once.image)
    assert np.array_equal(twice.normal, once.normal)
    assert twice.world_from_cam == pytest.approx(once.world_from_cam)
    boxes = [[o.box_xyxy_px for o in frame.objects] for frame in (twice, once)]
    assert boxes[0] == boxes[1]


def test_left_in_a_room_is_right_in_its_mirror() -> None:
    """With the regions the other way round, a mirrored question has the old one's answer."""
    found = 0
    for index in range(6):
        frame = World(5, index, kind="room").view(**SIZE)
        width_px = frame.camera.width_px
        plain, turned = (
            [
                q
                for q in object_questions(f, np.random.default_rng(1), 40)
                if isinstance(q.truth, YesNo)
            ]
            for f in (frame, mirrored(frame))
        )
        answers = {
            (q.question, q.boxes_xyxy_px): q.truth.value for q in plain if "left" in q.question
        }
        for q in turned:
            boxes = tuple(
                (width_px - x2, y1, width_px - x1, y2) for x1, y1, x2, y2 in q.boxes_xyxy_px
            )
            if (q.question, boxes[::-1]) in answers:
                assert answers[q.question, boxes[::-1]] == q.truth.value
                found += 1
            assert (q.question, boxes) not in answers or answers[q.question, boxes] != q.truth.value
    assert found
