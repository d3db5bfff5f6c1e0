"""The graph of motions: which cameras they join, how well its loops close, and its best tree.

An edge e joins camera a[e] to camera b[e]; `turned` (m, 3, 3) are the rotations a_from_b.
"""

from collections import defaultdict
from itertools import combinations, product

import numpy as np

from vlm3.errors import InputError
from vlm3.geometry.pose import rotation_angle_deg
from vlm3.multiview.robust import Array, Indices

# A loop of motions that closes within this is one that agrees.
_CLOSES_DEG = 10.0


def check_reached(count: int, a: Indices, b: Indices) -> None:
    """Refuses cameras that no motion joins to camera 0.

    Raises:
        InputError: there are some.
    """
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


def loop_agreement(a: Indices, b: Indices, turned: Array) -> Array:
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


def along_tree(count: int, a: Indices, b: Indices, turned: Array, belief: Array) -> Array:
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
