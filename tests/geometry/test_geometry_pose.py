"""Poses: SciPy as the oracle, group laws, and the released sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vlm3.errors import InputError
from vlm3.geometry.pose import (
    RelativePose,
    direction_error_deg,
    invert,
    relative_pose,
    rotation_angle_deg,
    rotation_error_deg,
    rotation_from_ypr_deg,
    transform_points,
    ypr_deg_from_rotation,
)

ANGLES = st.tuples(st.floats(-360, 360), st.floats(-360, 360), st.floats(-360, 360))
VECTORS = st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.floats(-50, 50))


def scipy_rotation(ypr_deg: object) -> np.ndarray:
    return Rotation.from_euler("YXZ", ypr_deg, degrees=True).as_matrix()


def transform(ypr_deg: object, translation: object) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = scipy_rotation(ypr_deg)
    T[:3, 3] = translation
    return T


@given(ANGLES)
def test_rotation_matches_scipy(ypr_deg: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(rotation_from_ypr_deg(ypr_deg), scipy_rotation(ypr_deg), atol=1e-12)


@given(st.floats(-179.9, 180), st.floats(-89.9, 89.9), st.floats(-179.9, 180))
def test_angles_match_scipy(yaw: float, pitch: float, roll: float) -> None:
    R = scipy_rotation([yaw, pitch, roll])
    expected = Rotation.from_matrix(R).as_euler("YXZ", degrees=True)
    got = ypr_deg_from_rotation(R)
    # As angles on a circle: -180 and 180 are the same.
    off = (got - expected + 180) % 360 - 180
    np.testing.assert_allclose(off, 0, atol=1e-6)
    np.testing.assert_allclose((got - [yaw, pitch, roll] + 180) % 360 - 180, 0, atol=1e-6)


@given(ANGLES)
def test_rotation_survives_its_angles(ypr_deg: tuple[float, float, float]) -> None:
    R = scipy_rotation(ypr_deg)
    angles = ypr_deg_from_rotation(R)
    assert -180 < angles[0] <= 180
    assert -90 <= angles[1] <= 90
    assert -180 < angles[2] <= 180
    np.testing.assert_allclose(rotation_from_ypr_deg(angles), R, atol=3e-6)


@given(st.floats(-180, 180), st.sampled_from([90.0, -90.0]), st.floats(-180, 180))
def test_gimbal(yaw: float, pitch: float, roll: float) -> None:
    R = scipy_rotation([yaw, pitch, roll])
    angles = ypr_deg_from_rotation(R)
    assert angles[2] == 0
    assert angles[1] == pytest.approx(pitch, abs=1e-4)
    np.testing.assert_allclose(rotation_from_ypr_deg(angles), R, atol=1e-9)


def test_half_turn_is_written_positive() -> None:
    np.testing.assert_array_equal(ypr_deg_from_rotation(np.diag([-1.0, 1.0, -1.0])), [180, 0, 0])
    turned = np.array([[-1.0, 0.0, -0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
    np.testing.assert_array_equal(ypr_deg_from_rotation(turned), [180, 0, 0])


def test_what_the_signs_mean() -> None:
    forward, right = [0, 0, 1], [1, 0, 0]
    assert (rotation_from_ypr_deg([30, 0, 0]) @ forward)[0] > 0  # yaw: turn right
    assert (rotation_from_ypr_deg([0, 30, 0]) @ forward)[1] < 0  # pitch: look up
    assert (rotation_from_ypr_deg([0, 0, 30]) @ right)[1] > 0  # roll: right side dips


@given(ANGLES)
def test_angle_matches_scipy(ypr_deg: tuple[float, float, float]) -> None:
    R = scipy_rotation(ypr_deg)
    expected = np.degrees(Rotation.from_matrix(R).magnitude())
    assert rotation_angle_deg(R) == pytest.approx(expected, abs=1e-6)


@given(st.floats(0, 180), VECTORS)
def test_angle_keeps_its_digits_at_both_ends(
    angle_deg: float, axis: tuple[float, float, float]
) -> None:
    length = np.linalg.norm(axis)
    if length < 1e-3:
        return
    R = Rotation.from_rotvec(np.radians(angle_deg) * np.array(axis) / length).as_matrix()
    assert rotation_angle_deg(R) == pytest.approx(angle_deg, abs=1e-7)


@given(ANGLES, ANGLES)
def test_rotation_error_matches_scipy(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    Ra, Rb = scipy_rotation(a), scipy_rotation(b)
    expected = (Rotation.from_matrix(Ra).inv() * Rotation.from_matrix(Rb)).magnitude()
    assert rotation_error_deg(Ra, Rb) == pytest.approx(np.degrees(expected), abs=1e-6)
    assert rotation_error_deg(Ra, Rb) == pytest.approx(rotation_error_deg(Rb, Ra), abs=1e-9)
    assert rotation_error_deg(Ra, Ra) == pytest.approx(0, abs=1e-6)


@given(ANGLES, VECTORS, ANGLES, VECTORS)
def test_group_laws(a: object, s: object, b: object, t: object) -> None:
    A, B = transform(a, s), transform(b, t)
    np.testing.assert_allclose(A @ invert(A), np.eye(4), atol=1e-11)
    np.testing.assert_allclose(invert(invert(A)), A, atol=1e-11)
    np.testing.assert_allclose(invert(A @ B), invert(B) @ invert(A), atol=1e-10)
    points = np.random.default_rng(0).normal(size=(4, 5, 3))
    np.testing.assert_allclose(
        transform_points(A @ B, points), transform_points(A, transform_points(B, points)), atol=1e-9
    )
    np.testing.assert_allclose(invert(A), np.linalg.inv(A), atol=1e-10)


@given(ANGLES, VECTORS, ANGLES, VECTORS)
def test_relative_pose_both_ways(a: object, s: object, b: object, t: object) -> None:
    world_from_cam1, world_from_cam2 = transform(a, s), transform(b, t)
    cam1_from_cam2 = relative_pose(world_from_cam1, world_from_cam2)
    np.testing.assert_allclose(world_from_cam1 @ cam1_from_cam2, world_from_cam2, atol=1e-9)
    back = relative_pose(world_from_cam2, world_from_cam1)
    np.testing.assert_allclose(back, invert(cam1_from_cam2), atol=1e-9)
    # Published form: R = R1 R2^T, c = R1 (C2 - C1), with world-to-camera rotations.
    R1, R2 = world_from_cam1[:3, :3].T, world_from_cam2[:3, :3].T
    centres = world_from_cam2[:3, 3] - world_from_cam1[:3, 3]
    np.testing.assert_allclose(cam1_from_cam2[:3, :3], R1 @ R2.T, atol=1e-12)
    np.testing.assert_allclose(cam1_from_cam2[:3, 3], R1 @ centres, atol=1e-9)


@given(ANGLES, VECTORS)
def test_relative_pose_as_numbers(ypr_deg: object, translation: object) -> None:
    pose = RelativePose.from_matrix(transform(ypr_deg, translation))
    again = RelativePose.from_ypr_direction(
        pose.yaw_pitch_roll_deg, pose.direction, pose.distance_m
    )
    np.testing.assert_allclose(again.rotation, pose.rotation, atol=3e-6)
    np.testing.assert_allclose(again.translation_m, pose.translation_m, atol=2e-4)
    np.testing.assert_array_equal(pose.cam1_from_cam2, transform(ypr_deg, translation))


def test_golden_pose_sample() -> None:
    # facebookresearch/VLM3, sample_data/pose_labels.json.
    ypr_deg = [89.60077227075526, 2.598684372865458, 6.072327841623985]
    pose = RelativePose.from_ypr_direction(ypr_deg, [-0.69, 0.02, 0.72], 1.9806591332884265)
    assert pose.angle_deg == pytest.approx(89.6547345694857, abs=1e-7)
    np.testing.assert_allclose(pose.yaw_pitch_roll_deg, ypr_deg, atol=1e-12)
    assert pose.distance_m == pytest.approx(1.9806591332884265)
    assert pose.direction is not None
    np.testing.assert_allclose(pose.direction, [-0.69, 0.02, 0.72], atol=5e-3)


@given(VECTORS, VECTORS)
def test_direction_errors(u: tuple[float, ...], v: tuple[float, ...]) -> None:
    if min(np.linalg.norm(u), np.linalg.norm(v)) < 1e-3:
        return
    signed = direction_error_deg(u, v, sign_free=False)
    free = direction_error_deg(u, v, sign_free=True)
    cosine = np.dot(u, v) / np.linalg.norm(u) / np.linalg.norm(v)
    assert signed == pytest.approx(np.degrees(np.arccos(np.clip(cosine, -1, 1))), abs=1e-5)
    assert free == pytest.approx(min(signed, 180 - signed), abs=1e-9)
    flipped = direction_error_deg(u, np.negative(v), sign_free=True)
    assert flipped == pytest.approx(free, abs=1e-9)


def test_tiny_and_impossible_directions() -> None:
    tiny = np.radians(1e-6)
    assert direction_error_deg([1, 0, 0], [1, tiny, 0], sign_free=False) == pytest.approx(1e-6)
    assert np.isnan(direction_error_deg([0, 0, 0], [1, 0, 0], sign_free=True))
    many = direction_error_deg(np.eye(3), [[1, 0, 0]], sign_free=False)
    np.testing.assert_allclose(many, [0, 90, 90], atol=1e-12)


def test_batches_equal_singles() -> None:
    ypr_deg = np.random.default_rng(1).uniform(-180, 180, (5, 3))
    R = rotation_from_ypr_deg(ypr_deg)
    np.testing.assert_array_equal(R[2], rotation_from_ypr_deg(ypr_deg[2]))
    np.testing.assert_array_equal(ypr_deg_from_rotation(R)[3], ypr_deg_from_rotation(R[3]))
    assert rotation_angle_deg(R).shape == (5,)
    T = np.stack([transform(a, [1, 2, 3]) for a in ypr_deg])
    np.testing.assert_allclose(invert(T) @ T, np.broadcast_to(np.eye(4), (5, 4, 4)), atol=1e-12)


def test_a_camera_that_did_not_move() -> None:
    pose = RelativePose(np.eye(3), np.array([0, 0, 5e-5]))
    assert pose.direction is None
    still = RelativePose.from_ypr_direction([1, 2, 3], None, 0.0)
    assert still.distance_m == 0
    with pytest.raises(InputError, match="no direction"):
        RelativePose.from_ypr_direction([1, 2, 3], None, 1.0)


def test_pose_is_frozen() -> None:
    R = np.eye(3)
    pose = RelativePose(R, np.zeros(3))
    R[0, 0] = 5
    assert pose.rotation[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        pose.rotation[0, 0] = 2


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.eye(3), "finite numbers, got shape"),
        (np.diag([2.0, 2.0, 2.0, 1.0]), "not a rotation"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "not a rotation"),
        (np.full((4, 4), np.nan), "finite"),
        (np.eye(4) + np.eye(4)[[3, 0, 1, 2]].T, "last row|not a rotation"),
    ],
)
def test_bad_matrices(matrix: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        RelativePose.from_matrix(matrix)


def test_bad_numbers() -> None:
    with pytest.raises(InputError, match="zero vector"):
        RelativePose.from_ypr_direction([0, 0, 0], [0, 0, 0], 1.0)
    with pytest.raises(InputError, match="0 or more"):
        RelativePose.from_ypr_direction([0, 0, 0], [1, 0, 0], -1.0)
    with pytest.raises(InputError, match="0 or more"):
        RelativePose.from_ypr_direction([0, 0, 0], [1, 0, 0], float("nan"))
    with pytest.raises(InputError, match="ypr_deg"):
        RelativePose.from_ypr_direction([0, 0], [1, 0, 0], 1.0)
