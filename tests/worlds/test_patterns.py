"""The table of patterns, against the kinds that materials can have."""

import pytest

pytest.importorskip("warp")

from vlm3.worlds.materials import TEXTURE
from vlm3.worlds.patterns import PATTERNS


def test_every_kind_before_texture_has_a_pattern() -> None:
    assert list(PATTERNS) == list(range(TEXTURE))
