"""Motions between pairs -> where every camera stands: rotations first, then positions.

Both are sparse least squares, solved by scipy and weighted anew until they settle: first as sums of
absolute residuals, which a share of wild motions cannot pull far, then with a redescending weight
that lets go of them. The start is the spanning tree of the motions that agree best with the
triangles they are in. The world is camera 0's frame. Knows no picture and no model.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError, MissingDependencyError
from vlm3.geometry.pose import rotation_angle_deg

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

_SETTLED = 1e-7
_ROUNDS = 40
# A triangle of motions that closes within this is one that agrees.
_CLOSES_DEG = 10.0
# What a motion that closes no loop is believed, beside one that closes all; and what is sound.
_LONELY = 0.05
_SOUND = 0.3
# Residuals beyond this many robust standard deviations are another motion, not noise.
_OUTLIER = 5.0
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
    _require_scipy()
    a = np.array([m.a for m in motions], dtype=np.intp)
    b = np.array([m.b for m in motions], dtype=np.intp)
    _check_reached(count, a, b)
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
    count: int, a: NDArray[np.intp], b: NDArray[np.intp], turned: Array, weight: Array
) -> tuple[Array, Bools]:
    """World_from_cam rotations (n, 3, 3), and which motions (m,) agree with them."""
    agreement = _agreement(a, b, turned)
    believed = weight * (_LONELY + agreement)
    believed = believed / believed.max()
    rotations = _along_tree(count, a, b, turned, believed)
    least = np.radians(_LEAST_SIGMA_DEG)
    # Noise is measured on motions that agree with some loop, if enough of them do.
    sound = agreement >= min(_SOUND, np.sort(agreement)[-min(2 * count, len(a))])
    spread = least
    for robust in (_absolute, _redescending):
        # Measured once: a scale that shrank with its own residuals would end on a few motions.
        off = _turn_left(a, b, turned, rotations)
        spread = _spread(count, off[sound], weight[sound], least)
        for _ in range(_ROUNDS):
            size = np.linalg.norm(off, axis=1)
            step = _solve(count, a, b, off, believed * robust(size * np.sqrt(weight), spread))
            rotations = _matrix(step) @ rotations
            # The world stays camera 0's.
            rotations = rotations[0].T @ rotations
            off = _turn_left(a, b, turned, rotations)
            if np.abs(step).max() < _SETTLED:
                break
    size = np.linalg.norm(_turn_left(a, b, turned, rotations), axis=1)
    return rotations, size * np.sqrt(weight) <= _OUTLIER * spread


def _turn_left(a: NDArray[np.intp], b: NDArray[np.intp], turned: Array, rotations: Array) -> Array:
    """(m, 3) what still turns each camera b to where its motion puts it, in the world's axes."""
    return _rotation_vector(rotations[a] @ turned @ np.swapaxes(rotations[b], -1, -2))


def _agreement(a: NDArray[np.intp], b: NDArray[np.intp], turned: Array) -> Array:
    """(m,) how well each rotation closes the loops of two and three it is in: 0 never, 1 always."""
    between: dict[int, dict[int, list[tuple[int, Array]]]] = defaultdict(lambda: defaultdict(list))
    for e, (i, j) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        between[i][j].append((e, turned[e]))
        between[j][i].append((e, turned[e].T))
    closes: list[list[float]] = [[] for _ in a]

    def close(*loop: tuple[int, Array]) -> None:
        whole = np.eye(3)
        for _, rotation in loop:
            whole = whole @ rotation
        fit = float(np.exp(-((rotation_angle_deg(whole) / _CLOSES_DEG) ** 2)))
        for e, _ in loop:
            closes[e].append(fit)

    for i, others in between.items():
        for j in [j for j in others if j > i]:
            there, back = others[j], between[j][i]
            for p, q in combinations(range(len(there)), 2):
                close(there[p], back[q])
            for k in [k for k in between[j] if k > j and k in others]:
                for loop in product(there, between[j][k], between[k][i]):
                    close(*loop)
    return np.array([np.mean(fits) if fits else 0.0 for fits in closes])


def _along_tree(
    count: int, a: NDArray[np.intp], b: NDArray[np.intp], turned: Array, belief: Array
) -> Array:
    """Rotations (n, 3, 3) multiplied along the spanning tree of the most believed motions."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    best: dict[tuple[int, int], int] = {}
    for e in np.argsort(belief, kind="stable").tolist():
        best[min(a[e], b[e]), max(a[e], b[e])] = e
    rows, columns = np.array(list(best)).T
    cost = 1 / (1e-9 + belief[list(best.values())])
    tree = minimum_spanning_tree(coo_matrix((cost, (rows, columns)), shape=(count, count)))
    order, before = breadth_first_order(tree, 0, directed=False)
    rotations = np.tile(np.eye(3), (count, 1, 1))
    for node in order[1:].tolist():
        parent = int(before[node])
        e = best[min(parent, node), max(parent, node)]
        rotations[node] = rotations[parent] @ (turned[e] if a[e] == parent else turned[e].T)
    return rotations


# --- positions -----------------------------------------------------------------------------


def _positions(
    count: int, a: NDArray[np.intp], b: NDArray[np.intp], away: Array, weight: Array, good: Bools
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
    for robust in (None, _absolute, _redescending):
        if robust is not None:
            spread = _spread(count, off()[good], weight[good], _LEAST_SIGMA_M)
        for _ in range(_ROUNDS if robust else 1):
            size = np.linalg.norm(off(), axis=1)
            factor = robust(size * np.sqrt(weight), spread) if robust else np.ones(len(a))
            step = _solve(count, a, b, off(), weight * factor * doubt)
            centres = centres + step
            if np.abs(step).max() < _SETTLED:
                break
    return centres, np.linalg.norm(off(), axis=1) * np.sqrt(weight) <= _OUTLIER * spread


# --- both ----------------------------------------------------------------------------------


def _solve(
    count: int, a: NDArray[np.intp], b: NDArray[np.intp], wanted: Array, weight: Array
) -> Array:
    """X (n, 3) with x[b] - x[a] nearest to `wanted` (m, 3), x[0] = 0."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import spsolve

    edges = np.arange(len(a))
    ones = np.ones(len(a))
    incidence = coo_matrix(
        (np.concatenate([ones, -ones]), (np.tile(edges, 2), np.concatenate([b, a]))),
        shape=(len(a), count),
    ).tocsc()[:, 1:]
    weighted = incidence.T.multiply(weight).tocsc()
    found = np.asarray(spsolve((weighted @ incidence).tocsc(), weighted @ wanted))
    return np.concatenate([np.zeros((1, 3)), found.reshape(count - 1, 3)])


def _spread(count: int, off: Array, weight: Array, least: float) -> float:
    """Standard deviation along one axis at the highest weight, from the median residual (m, 3).

    The n - 1 smallest are left out: a sum of absolute residuals is least where that many are zero.
    """
    scaled = np.sort(np.linalg.norm(off, axis=1) * np.sqrt(weight))[count - 1 :]
    # The median length of a standard normal vector in space is 1.538.
    return max(float(np.median(scaled)) / 1.538, least) if scaled.size else least


def _absolute(scaled: Array, spread: float) -> Array:
    return np.asarray(1 / np.maximum(scaled, spread / 100))


def _redescending(scaled: Array, spread: float) -> Array:
    """Geman and McClure's weight."""
    scale = (_OUTLIER / 2 * spread) ** 2
    return np.asarray((scale / (scale + scaled**2)) ** 2)


def _rotation_vector(rotation: Array) -> Array:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_rotvec())


def _matrix(vector: Array) -> Array:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(vector).as_matrix())


def _check_reached(count: int, a: NDArray[np.intp], b: NDArray[np.intp]) -> None:
    reached, new = {0}, True
    while new:
        new = False
        for i, j in zip(a.tolist(), b.tolist(), strict=True):
            if (i in reached) != (j in reached):
                reached |= {i, j}
                new = True
    lost = sorted(set(range(count)) - reached)
    if lost:
        raise InputError(
            f"no readable motion joins picture {', '.join(str(k + 1) for k in lost)} to picture 1: "
            "leave it out, or give pictures between that see the same things"
        )


def _require_scipy() -> None:
    try:
        import scipy  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "scenes need scipy, which is not installed: pip install 'vlm3[scene]'"
        ) from error
