"""Many questions about the same pictures in one sequence, none seeing another.

Each question sees the pictures and itself: training then equals asking alone, which is what the
engine computes, and a model trained from scratch cannot get by on the earlier answers. Questions
that begin alike share their beginning, so the sequence is a tree: a token sees its ancestors.
Knows token ids only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IGNORE = -100
"""The label of a position that is not learnt from: torch's default for cross entropy."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PackedQuestions:
    """A tree of tokens laid out in one row.

    Attributes:
        ids: (T,) token ids.
        depth: (T,) place on the path from the root: what a position would be if asked alone.
        labels: (T,) the token that follows, where it belongs to an answer; else `IGNORE`.
        sees: (T, T) bool, row sees column.
    """

    ids: Ints
    depth: Ints
    labels: Ints
    sees: npt.NDArray[np.bool_]


def pack_independent(
    head: Sequence[int], questions: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> PackedQuestions:
    """Lays out a head and the questions that follow it as a tree.

    Args:
        head: what all questions share: the pictures.
        questions: each a prompt after the head, and its answer with the end token.

    Raises:
        ValueError: two questions with one prompt and different answers.
    """
    ids, parents, depth = list(head), list(range(-1, len(head) - 1)), list(range(len(head)))
    labels = [IGNORE] * len(head)
    children: dict[tuple[int, int], int] = {}

    def step(node: int, token: int) -> int:
        child = children.get((node, token))
        if child is None:
            child = children[node, token] = len(ids)
            ids.append(token)
            parents.append(node)
            depth.append(depth[node] + 1 if node >= 0 else 0)
            labels.append(IGNORE)
        return child

    for prompt, answer in questions:
        node = len(head) - 1
        for token in prompt:
            node = step(node, token)
        for place, token in enumerate(answer):
            if labels[node] not in (IGNORE, token):
                raise ValueError("one prompt came with two different answers")
            labels[node] = token
            if place + 1 < len(answer):  # Nothing follows the end token: it needs no row.
                node = step(node, token)

    sees = np.zeros((len(ids), len(ids)), bool)
    for node, parent in enumerate(parents):
        if parent >= 0:
            sees[node] = sees[parent]
        sees[node, node] = True
    return PackedQuestions(
        ids=np.array(ids), depth=np.array(depth), labels=np.array(labels), sees=sees
    )
