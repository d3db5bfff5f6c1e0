"""Every built-in model stands on its ground, is as large as it says, and is the same each time."""

import numpy as np
import pytest

from vlm3.worlds.mesh import Mesh, MeshBuilder
from vlm3.worlds.pieces.furniture import FURNITURE
from vlm3.worlds.pieces.piece import Makers, Palette, Piece, numbered_model
from vlm3.worlds.pieces.street import STREET_PIECES

PALETTE = Palette(*range(13))
CASES = [(makers, category) for makers in (FURNITURE, STREET_PIECES) for category in makers]
GROWN = ("plant", "tree")  # no leaf need reach the side of the box that is given


def drawn(piece: Piece) -> Mesh:
    builder = MeshBuilder()
    piece.draw(builder, PALETTE)
    return builder.build(np.random.default_rng(0))


@pytest.mark.parametrize(("makers", "category"), CASES, ids=[category for _, category in CASES])
def test_a_model_fills_its_size(makers: Makers, category: str) -> None:
    for number in (0, 1, 2, 10_000):
        piece = numbered_model(makers, category, number)
        vertices = drawn(piece).vertices
        extent, size = np.ptp(vertices, axis=0), np.array(piece.size_wdh_m)
        assert abs(vertices[:, 2].min()) < 0.01
        assert (extent < size + (1.0 if category in GROWN else 0.2)).all()
        assert (extent > size - 0.2).all() or category in GROWN
        assert piece.top_m in (0.0, piece.size_wdh_m[2])


@pytest.mark.parametrize(("makers", "category"), CASES, ids=[category for _, category in CASES])
def test_a_number_is_always_the_same_model(makers: Makers, category: str) -> None:
    one, again, other = (drawn(numbered_model(makers, category, n)) for n in (3, 3, 4))
    assert np.array_equal(one.vertices, again.vertices)
    assert np.array_equal(one.tint, again.tint)
    if category != "bench":  # benches are all alike
        looks = [
            (m.vertices.tobytes(), m.tint.tobytes(), m.material.tobytes()) for m in (one, other)
        ]
        assert looks[0] != looks[1]
