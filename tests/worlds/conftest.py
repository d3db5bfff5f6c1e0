"""Counts what is launched."""

from collections import Counter
from typing import Any

import pytest


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each kernel is launched from here on."""
    wp = pytest.importorskip("warp")
    counted: Counter[str] = Counter()
    launch = wp.launch

    def counting(kernel: Any, *arguments: Any, **more: Any) -> Any:
        counted[kernel.key] += 1
        return launch(kernel, *arguments, **more)

    monkeypatch.setattr(wp, "launch", counting)
    return counted
