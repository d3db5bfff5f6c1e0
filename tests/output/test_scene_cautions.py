"""A scene says what of the answers speaks against it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vlm3.multiview.trust import Trust
from vlm3.output.scenes import contradictions


def scene(holds: dict[Any, bool], loop_deg: float | None, confidences: list[float]) -> Any:
    trust = Trust(np.ones(2, bool), holds, np.ones(3, bool), loop_deg, loop_deg and 0.1)
    pairs = [SimpleNamespace(check=SimpleNamespace(confidence=c)) for c in confidences]
    return SimpleNamespace(trust=trust, pairs=pairs)


ALL = {(0, 1): True, (1, 2): True, (0, 2): True}


@pytest.mark.parametrize(
    ("holds", "loop_deg", "confidences", "expected"),
    [
        (ALL, 3.0, [0.8, 0.7, 0.9], []),
        (ALL | {(0, 2): False}, 3.0, [0.8, 0.7, 0.1], []),
        (ALL | {(0, 2): False}, 142.0, [0.8, 0.7, 0.1], ["142 degrees", "1-3"]),
        (ALL, 3.0, [0.2, 0.1, 0.9], ["do not trust"]),
        (ALL | {(0, 2): False}, 50.0, [0.1, 0.1], ["50 degrees", "do not trust"]),
        ({(0, 1): True}, None, [], []),
    ],
)
def test_contradictions(
    holds: dict[Any, bool], loop_deg: float | None, confidences: list[float], expected: list[str]
) -> None:
    said = contradictions(scene(holds, loop_deg, confidences))
    assert all(part in " ".join(said) for part in expected)
    assert bool(said) == bool(expected)
