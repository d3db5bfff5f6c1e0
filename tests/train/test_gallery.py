"""Stored pairs: what was rendered comes back, and every other look of it keeps the truth."""

import numpy as np
import pytest

pytest.importorskip("warp", reason="worlds need Warp")

from vlm3.geometry.pose import invert, transform_points
from vlm3.tasks.protocol import get_protocol
from vlm3.train.gallery import SHAPES, Gallery, StoredPair, collage, mirrored, shown
from vlm3.train.school import School
from vlm3.worlds.questions import object_questions


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return Gallery(tmp_path_factory.mktemp("gallery"), 125.0, 5)


@pytest.fixture(scope="module")
def pair(gallery: Gallery) -> StoredPair:
    return gallery.pair(0)


def error_px(pair: StoredPair) -> float:
    """Largest distance of a match from where depth, camera and pose of frame 1 put it."""
    rows, columns = (np.floor(pair.xy1_px[:, k]).astype(int) for k in (1, 0))
    camera = pair.frame1.camera
    # Labels belong to pixel centres, where the matches of a pair not swapped lie.
    points = camera.unproject(pair.xy1_px) * pair.frame1.distance_m[rows, columns, None]
    cam2_from_cam1 = invert(pair.frame2.world_from_cam) @ pair.frame1.world_from_cam
    xy2 = pair.frame2.camera.project(transform_points(cam2_from_cam1, points))
    return float(np.linalg.norm(xy2 - pair.xy2_px, axis=1).max())


def test_what_is_read_is_what_was_rendered(gallery: Gallery, pair: StoredPair) -> None:
    again = gallery.pair(0)
    assert np.array_equal(again.xy2_px, pair.xy2_px)
    for one, two in ((pair.frame1, again.frame1), (pair.frame2, again.frame2)):
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.distance_m, two.distance_m)
        assert np.array_equal(one.normal, two.normal)
        solid = np.isfinite(one.depth_z_m)
        assert two.depth_z_m[solid] == pytest.approx(one.depth_z_m[solid], rel=1e-5)
        assert np.array_equal(one.instance, two.instance)
        assert one.camera == two.camera
        assert [o.box_xyxy_px for o in one.objects] == [o.box_xyxy_px for o in two.objects]
        assert [o.size_wdh_m for o in one.objects] == [o.size_wdh_m for o in two.objects]


def test_matches_hold_mirrored_and_cut(pair: StoredPair) -> None:
    assert error_px(pair) < 0.01
    assert error_px(pair.mirrored()) < 0.01
    assert error_px(pair.mirrored().cut(144, 112)) < 0.01


def test_a_mirror_turns_left_into_right(pair: StoredPair) -> None:
    mirrored = pair.mirrored()
    yaw, pitch, roll = pair.cam1_from_cam2.yaw_pitch_roll_deg
    assert mirrored.cam1_from_cam2.yaw_pitch_roll_deg == pytest.approx([-yaw, pitch, -roll])
    assert mirrored.cam1_from_cam2.translation_m == pytest.approx(
        pair.cam1_from_cam2.translation_m * (-1, 1, 1)
    )
    twice = mirrored.mirrored()
    assert np.array_equal(twice.frame1.image, pair.frame1.image)
    assert twice.xy1_px == pytest.approx(pair.xy1_px)
    assert np.linalg.det(mirrored.frame1.world_from_cam[:3, :3]) == pytest.approx(1)


def test_swapped_undoes_the_motion(pair: StoredPair) -> None:
    motion, back = pair.cam1_from_cam2, pair.swapped().cam1_from_cam2
    assert motion.rotation @ back.rotation == pytest.approx(np.eye(3), abs=1e-9)
    moved = motion.rotation @ back.translation_m + motion.translation_m
    assert moved == pytest.approx(np.zeros(3), abs=1e-9)


def test_left_in_a_room_is_right_in_its_mirror(gallery: Gallery) -> None:
    """With the regions the other way round, a mirrored question has the old one's answer."""
    found = 0
    for index in range(6):
        frame = gallery.pair(index).frame1
        width_px = frame.camera.width_px
        plain, turned = (
            [q for q in object_questions(f, np.random.default_rng(1), 40) if q.form == "predicate"]
            for f in (frame, mirrored(frame))
        )
        answers = {(q.question, q.boxes_xyxy_px): q.yes for q in plain if "left" in q.question}
        for q in turned:
            boxes = tuple(
                (width_px - x2, y1, width_px - x1, y2) for x1, y1, x2, y2 in q.boxes_xyxy_px
            )
            if (q.question, boxes[::-1]) in answers:
                assert answers[q.question, boxes[::-1]] == q.yes
                found += 1
            assert (q.question, boxes) not in answers or answers[q.question, boxes] != q.yes
    assert found


@pytest.mark.parametrize("kind", ["boxes", "view", "objects", "pair"])
def test_lessons_of_worlds_are_the_same_again(gallery: Gallery, kind: str) -> None:
    school = School(get_protocol("joint"), gallery, 2)
    first, again, other = (school.lesson(n, kind=kind) for n in (0, 0, 2))  # type: ignore[arg-type]
    assert first.qas == again.qas
    assert all(map(np.array_equal, first.images, again.images))
    # The same pair, two lessons later, looks another way.
    assert first.qas != other.qas


def test_a_collage_shows_at_each_place_one_of_its_frames(
    gallery: Gallery, pair: StoredPair
) -> None:
    other = gallery.pair(1)
    frames = (pair.frame1, other.frame1, other.frame2, pair.frame2)
    made = collage(frames, np.random.default_rng(3))
    # Picture and labels come from the same frame.
    same = [
        (made.image == frame.image).all(-1)
        & (made.distance_m == frame.distance_m)
        & (made.normal == frame.normal).all(-1)
        for frame in frames
    ]
    assert np.any(same, axis=0).all()
    assert min(np.sum(same, axis=(1, 2))) >= made.distance_m.size / 16
    assert not made.objects


def test_every_shape_fits_whole_tokens(pair: StoredPair) -> None:
    rng = np.random.default_rng(0)
    for width_px, height_px in SHAPES:
        assert width_px % 16 == height_px % 16 == 0
        seen = shown(pair, rng, width_px, height_px).frame2
        assert seen.image.shape == (height_px, width_px, 3)
        assert (seen.camera.width_px, seen.camera.height_px) == (width_px, height_px)
