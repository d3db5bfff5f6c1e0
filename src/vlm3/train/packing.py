"""Many questions about the same pictures in one sequence, none seeing another.

Each question sees the pictures and itself: training then equals single inference, which is what the
engine computes, and a model trained from scratch cannot get by on the earlier answers. Questions
that begin alike share their beginning, so the sequence is a tree: a token sees its ancestors.
It is laid out depth first, so that all that follows from a token stands in one run behind it, and
where that run ends says who sees the token: one number a token instead of a square of truths.
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
        depth: (T,) place on the path from the root: what a position would be alone.
        labels: (T,) the token that follows, where it belongs to an answer; else `IGNORE`.
        until: (T,) the place behind the last token that sees this one; all from it on to there do.
    """

    ids: Ints
    depth: Ints
    labels: Ints
    until: Ints

    @property
    def sees(self) -> npt.NDArray[np.bool_]:
        """(T, T), row sees column."""
        place = np.arange(len(self.ids))
        return (place <= place[:, None]) & (place[:, None] < self.until)


def pack_independent(
    head: Sequence[int], questions: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> PackedQuestions:
    """Lays out a head and the questions that follow it as a tree.

    Args:
        head: what all questions share: the pictures; at least one token.
        questions: each a prompt after the head, and its answer with the end token.

    Raises:
        ValueError: two questions with one prompt and different answers.
    """
    ids, depth, labels = list(head), list(range(len(head))), [IGNORE] * len(head)
    children: list[dict[int, int]] = [{node + 1: node + 1} for node in range(len(head) - 1)]
    children.append({})

    def step(node: int, token: int) -> int:
        child = children[node].get(token)
        if child is None:
            child = children[node][token] = len(ids)
            ids.append(token)
            depth.append(depth[node] + 1)
            labels.append(IGNORE)
            children.append({})
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

    order, until = _depth_first(children)
    return PackedQuestions(
        ids=np.array(ids)[order],
        depth=np.array(depth)[order],
        labels=np.array(labels)[order],
        until=until,
    )


def _depth_first(children: Sequence[dict[int, int]]) -> tuple[Ints, Ints]:
    """Nodes depth first from node 0, and the place behind each one's last descendant.

    Args:
        children: of each node, which stand behind it in the sequence.
    """
    # A parent was made before its children: sizes add up from the last node on.
    size = np.ones(len(children), np.int64)
    for node in range(len(children) - 1, -1, -1):
        size[node] += sum(size[child] for child in children[node].values())
    order, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting += reversed(children[node].values())
    chosen = np.array(order)
    return chosen, np.arange(len(order)) + size[chosen]
