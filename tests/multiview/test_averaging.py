"""Laws of averaging: exact in, exact out; no frame is special; what is wild is let go of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vlm3.errors import InputError
from vlm3.geometry.pose import invert, relative_pose, rotation_error_deg
from vlm3.multiview.averaging import Motion, average, chain
from vlm3.multiview.build import choose_pairs


def cameras(count: int, seed: int) -> np.ndarray:
    """World_from_cam (count, 4, 4), anywhere, looking anywhere."""
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.random(count, rng=rng).as_matrix()
    poses[:, :3, 3] = rng.normal(0, 2, (count, 3))
    return poses


def exact(poses: np.ndarray) -> list[Motion]:
    return [Motion(a, b, relative_pose(poses[a], poses[b])) for a, b in choose_pairs(len(poses))]


def noisy(poses: np.ndarray, rng: np.random.Generator, wild: float) -> tuple[list[Motion], list]:
    motions, bad = [], []
    for motion in exact(poses):
        T = motion.a_from_b.copy()
        bad.append(rng.random() < wild)
        turn = Rotation.random(rng=rng) if bad[-1] else Rotation.from_rotvec(rng.normal(0, 0.03, 3))
        T[:3, :3] = T[:3, :3] @ turn.as_matrix()
        T[:3, 3] = rng.normal(0, 2, 3) if bad[-1] else T[:3, 3] * (1 + 0.05 * rng.normal())
        motions.append(Motion(motion.a, motion.b, T))
    return motions, bad


def in_first(poses: np.ndarray) -> np.ndarray:
    return invert(poses[0]) @ poses


@settings(max_examples=15, deadline=None)
@given(count=st.integers(2, 14), seed=st.integers(0, 10_000))
def test_exact_motions_give_exact_cameras(count: int, seed: int) -> None:
    poses = cameras(count, seed)
    found = average(count, exact(poses))
    np.testing.assert_allclose(found.world_from_cam, in_first(poses), atol=1e-6)
    np.testing.assert_allclose(chain(count, exact(poses)), in_first(poses), atol=1e-9)
    assert found.kept.all()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), other=st.integers(0, 10_000))
def test_no_world_frame_is_special(seed: int, other: int) -> None:
    """The same cameras in another world give the same relative motions, hence the same answer."""
    poses, rng = cameras(6, seed), np.random.default_rng(seed)
    moved = cameras(1, other)[0] @ poses
    motions, _ = noisy(poses, rng, 0.0)
    np.testing.assert_allclose(
        average(6, exact(moved)).world_from_cam, average(6, exact(poses)).world_from_cam, atol=1e-6
    )
    # Told backwards, or numbered otherwise, a motion says the same.
    back = [Motion(m.b, m.a, invert(m.a_from_b)) for m in motions]
    there, turned = average(6, motions).world_from_cam, average(6, back).world_from_cam
    assert np.abs(rotation_error_deg(there[:, :3, :3], turned[:, :3, :3])).max() < 0.05


@pytest.mark.parametrize("count", [8, 24])
def test_wild_motions_are_let_go_of(count: int) -> None:
    poses = in_first(cameras(count, 3))
    motions, bad = noisy(poses, np.random.default_rng(1), 0.25)
    found = average(count, motions)
    assert sum(bad) > 3
    assert np.mean(found.kept != np.array(bad)) > 0.95
    error = rotation_error_deg(found.world_from_cam[:, :3, :3], poses[:, :3, :3])
    assert np.median(error) < 3
    apart = np.linalg.norm(found.world_from_cam[:, :3, 3] - poses[:, :3, 3], axis=1)
    chained = np.linalg.norm(chain(count, motions)[:, :3, 3] - poses[:, :3, 3], axis=1)
    assert np.median(apart) < 0.4 < np.median(chained)


def test_averaging_beats_a_chain_without_wild_motions_too() -> None:
    poses = in_first(cameras(24, 5))
    motions, _ = noisy(poses, np.random.default_rng(2), 0.0)
    averaged = average(24, motions).world_from_cam[:, :3, 3] - poses[:, :3, 3]
    chained = chain(24, motions)[:, :3, 3] - poses[:, :3, 3]
    assert np.linalg.norm(averaged) < 0.5 * np.linalg.norm(chained)


def test_a_surer_motion_counts_more() -> None:
    """Two answers about one pair: the camera stands where the believed one says."""
    step = np.eye(4)
    step[2, 3] = 1.0
    far = step.copy()
    far[2, 3] = 1.4
    found = average(2, [Motion(0, 1, step, 100.0), Motion(0, 1, far, 1.0)])
    assert abs(found.world_from_cam[1, 2, 3] - 1.0) < 0.05


def test_a_lost_picture_is_named() -> None:
    with pytest.raises(InputError, match="picture 3, 4 to picture 1"):
        average(4, [Motion(0, 1, np.eye(4)), Motion(2, 3, np.eye(4))])
    with pytest.raises(InputError, match="no motion from camera 1 to 2"):
        chain(3, [Motion(0, 1, np.eye(4))])


def test_pairs_close_loops_and_stay_few() -> None:
    assert len(choose_pairs(8)) == 28
    pairs = choose_pairs(24)
    assert len(pairs) == 96 and (0, 23) in pairs and all(a < b for a, b in pairs)
    assert {k for pair in choose_pairs(100) for k in pair} == set(range(100))
