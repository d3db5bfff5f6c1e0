"""Motions between pairs -> where every camera stands: rotations first, then positions.

Both are sparse least squares, solved by scipy and weighted anew until they settle (`robust`). The
start is the spanning tree of the motions that agree best with the triangles they are in
(`motion_graph`). The world is camera 0's frame. Knows no picture and no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.geometry.pose import rotation_angle_deg
from vlm3.multiview.motion_graph import along_tree, check_reached, loop_agreement
from vlm3.multiview.robust import (
    OUTLIER,
    Indices,
    absolute_weight,
    redescending_weight,
    require_scipy,
    robust_spread,
    solve_differences,
)

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

_SETTLED = 1e-7
_ROUNDS = 40
# What a motion that closes no loop is believed, beside one that closes all; and what is sound.
_LONELY = 0.05
_SOUND = 0.3
_LEAST_SIGMA_DEG = 0.05
_LEAST_SIGMA_M = 0.002
# Errors of a stated move grow with its length; this is where that begins.
_NEAR_M = 0.1


@dataclass(frozen=True, eq=False)
class Motion:
    """What was measured between two cameras.

    Attributes:
        a: number of the camera whose frame it is in.
        b: number of the other.
        a_from_b: (4, 4), metres.
        weight: how much it is believed, as one over a variance; only ratios matter.
    """

    a: int
    b: int
    a_from_b: Array
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Cameras:
    """Cameras in one world, that of camera 0.

    Attributes:
        world_from_cam: (n, 4, 4).
        kept: (m,) which motions agree with them; the others are outliers.
        rotation_error_deg: (m,) how far each motion's rotation is off.
        translation_error_m: (m,) how far its move is off.
    """

    world_from_cam: Array
    kept: Bools
    rotation_error_deg: Array
    translation_error_m: Array


def average(count: int, motions: Sequence[Motion]) -> Cameras:
    """The cameras that the motions agree on best.

    Args:
        count: how many cameras.
        motions: between pairs of them; more than one of a pair is welcome.

    Raises:
        InputError: a camera that no motion reaches.
        MissingDependencyError: scipy is not installed.
    """
    require_scipy()
    a = np.array([m.a for m in motions], dtype=np.intp)
    b = np.array([m.b for m in motions], dtype=np.intp)
    check_reached(count, a, b)
    if count == 1:
        return Cameras(np.eye(4)[None], np.ones(0, bool), np.zeros(0), np.zeros(0))
    turned = np.array([m.a_from_b[:3, :3] for m in motions])
    moved = np.array([m.a_from_b[:3, 3] for m in motions])
    weight = np.array([m.weight for m in motions], dtype=np.float64)
    weight = weight / weight.max()
    rotations, good = _rotations(count, a, b, turned, weight)
    away = np.einsum("eij,ej->ei", rotations[a], moved)
    centres, near = _positions(count, a, b, away, weight, good)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = rotations, centres
    error = rotation_angle_deg(np.swapaxes(rotations[a] @ turned, -1, -2) @ rotations[b])
    return Cameras(
        poses, good & near, error, np.linalg.norm(centres[b] - centres[a] - away, axis=1)
    )


def chain(count: int, motions: Sequence[Motion]) -> Array:
    """World_from_cam (n, 4, 4) by multiplying the motions 0-1, 1-2, ...: what averaging improves.

    Raises:
        InputError: one of them is missing.
    """
    step = {(m.a, m.b): m.a_from_b for m in reversed(motions)}
    poses = [np.eye(4)]
    for k in range(count - 1):
        if (k, k + 1) not in step:
            raise InputError(f"no motion from camera {k} to {k + 1}; a chain needs every step")
        poses.append(poses[-1] @ step[k, k + 1])
    return np.stack(poses)


# --- rotations -----------------------------------------------------------------------------


def _rotations(
    count: int, a: Indices, b: Indices, turned: Array, weight: Array
) -> tuple[Array, Bools]:
    """World_from_cam rotations (n, 3, 3), and which motions (m,) agree with them."""
    agreement = loop_agreement(a, b, turned)
    believed = weight * (_LONELY + agreement)
    believed = believed / believed.max()
    rotations = along_tree(count, a, b, turned, believed)
    least = np.radians(_LEAST_SIGMA_DEG)
    # Noise is measured on motions that agree with some loop, if enough of them do.
    sound = agreement >= min(_SOUND, np.sort(agreement)[-min(2 * count, len(a))])
    spread = least
    for robust in (absolute_weight, redescending_weight):
        # Measured once: a scale that shrank with its own residuals would end on a few motions.
        off = _turn_left(a, b, turned, rotations)
        spread = robust_spread(count, off[sound], weight[sound], least)
        for _ in range(_ROUNDS):
            size = np.linalg.norm(off, axis=1)
            step = solve_differences(
                count, a, b, off, believed * robust(size * np.sqrt(weight), spread)
            )
            rotations = _matrix(step) @ rotations
            # The world stays camera 0's.
            rotations = rotations[0].T @ rotations
            off = _turn_left(a, b, turned, rotations)
            if np.abs(step).max() < _SETTLED:
                break
    size = np.linalg.norm(_turn_left(a, b, turned, rotations), axis=1)
    return rotations, size * np.sqrt(weight) <= OUTLIER * spread


def _turn_left(a: Indices, b: Indices, turned: Array, rotations: Array) -> Array:
    """(m, 3) what still turns each camera b to where its motion puts it, in the world's axes."""
    return _rotation_vector(rotations[a] @ turned @ np.swapaxes(rotations[b], -1, -2))


# --- positions -----------------------------------------------------------------------------


def _positions(
    count: int, a: Indices, b: Indices, away: Array, weight: Array, good: Bools
) -> tuple[Array, Bools]:
    """Centres (n, 3) from moves (m, 3) in the world's axes, and which moves agree with them.

    A move whose rotation is an outlier counts for next to nothing, but still connects.
    """
    length = np.linalg.norm(away, axis=1)
    weight = weight / (_NEAR_M + length) ** 2
    weight = weight / weight.max()
    doubt = np.where(good, 1.0, 1e-6)
    if not good.any():
        good = np.ones_like(good)
    centres = np.zeros((count, 3))

    def off() -> Array:
        return centres[a] + away - centres[b]

    spread = 1.0
    for robust in (None, absolute_weight, redescending_weight):
        if robust is not None:
            spread = robust_spread(count, off()[good], weight[good], _LEAST_SIGMA_M)
        for _ in range(_ROUNDS if robust else 1):
            size = np.linalg.norm(off(), axis=1)
            factor = robust(size * np.sqrt(weight), spread) if robust else np.ones(len(a))
            step = solve_differences(count, a, b, off(), weight * factor * doubt)
            centres = centres + step
            if np.abs(step).max() < _SETTLED:
                break
    return centres, np.linalg.norm(off(), axis=1) * np.sqrt(weight) <= OUTLIER * spread


def _rotation_vector(rotation: Array) -> Array:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_rotvec())


def _matrix(vector: Array) -> Array:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(vector).as_matrix())
