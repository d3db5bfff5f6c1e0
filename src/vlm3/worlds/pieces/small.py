"""Small things: what lies on tables and shelves, and what stands about on the floor."""

from collections.abc import Callable

from vlm3.worlds.materials import Colour, hsv
from vlm3.worlds.mesh import MeshBuilder, axis_matrix
from vlm3.worlds.pieces.parts import BLACK
from vlm3.worlds.pieces.piece import Palette, Piece, Rng, Size

Shape = Callable[[MeshBuilder, Palette, Size, Colour], None]


def _block(b: MeshBuilder, p: Palette, size: Size, tint: Colour) -> None:
    b.box((0, 0, size[2] / 2), size, p.paint, tint)


def _cup(b: MeshBuilder, p: Palette, size: Size, tint: Colour) -> None:
    w, _, h = size
    b.cylinder((0, 0, h / 2), w * 0.92, h, p.gloss, tint, 1.1, 14)
    b.box((w * 0.5, 0, h * 0.55), (w * 0.16, w * 0.1, h * 0.45), p.gloss, tint)


def _bottle(b: MeshBuilder, p: Palette, size: Size, tint: Colour) -> None:
    w, _, h = size
    row = p.glass if h > SMALL["bottle"][0][2] else p.gloss  # large ones are of glass
    b.cylinder((0, 0, h * 0.32), w, h * 0.64, row, tint, 1.0, 12)
    b.cylinder((0, 0, h * 0.72), w, h * 0.16, p.gloss, tint, 0.4, 12)
    b.cylinder((0, 0, h * 0.9), w * 0.4, h * 0.2, p.gloss, tint, 1.0, 8)


def _bowl(b: MeshBuilder, p: Palette, size: Size, tint: Colour) -> None:
    w, _, h = size
    b.cylinder((0, 0, h / 2), w * 0.55, h, p.gloss, tint, 1.8, 16)


def _jug(b: MeshBuilder, p: Palette, size: Size, tint: Colour) -> None:
    w, d, h = size
    b.ball((0, 0, h * 0.38), (w, d, h * 0.76), p.gloss, tint)
    b.cylinder((0, 0, h * 0.83), w * 0.5, h * 0.34, p.gloss, tint, 0.8, 12)


def _ball(b: MeshBuilder, p: Palette, size: Size, tint: Colour) -> None:
    b.ball((0, 0, size[2] / 2), size, p.paint, tint)


def _bag(b: MeshBuilder, p: Palette, size: Size, tint: Colour) -> None:
    w, d, h = size
    b.ball((0, 0, h * 0.42), (w, d, h * 0.84), p.fabric, tint, 0.5)
    b.box((0, 0, h * 0.9), (w * 0.4, 0.02, h * 0.2), p.fabric, tint)


def _keyboard(b: MeshBuilder, p: Palette, size: Size, tint: Colour) -> None:
    w, d, h = size
    _block(b, p, size, tint)
    b.box((0, 0, h), (w * 0.94, d * 0.8, 0.004), p.paint, BLACK)


def _microwave(b: MeshBuilder, p: Palette, size: Size, tint: Colour) -> None:
    w, d, h = size
    _block(b, p, size, tint)
    b.box((-0.06 * w, -d / 2, h / 2), (w * 0.68, 0.006, h * 0.8), p.glass)


SMALL: dict[str, tuple[Size, Shape]] = {
    "mug": ((0.085, 0.085, 0.095), _cup),
    "bottle": ((0.075, 0.075, 0.29), _bottle),
    "bowl": ((0.22, 0.22, 0.09), _bowl),
    "vase": ((0.14, 0.14, 0.3), _jug),
    "box": ((0.35, 0.28, 0.25), _block),
    "bin": ((0.28, 0.28, 0.38), _cup),
    "ball": ((0.22, 0.22, 0.22), _ball),
    "bag": ((0.35, 0.2, 0.4), _bag),
    "keyboard": ((0.43, 0.14, 0.025), _keyboard),
    "pot": ((0.24, 0.24, 0.16), _cup),
    "kettle": ((0.18, 0.18, 0.25), _jug),
    "microwave": ((0.48, 0.36, 0.28), _microwave),
    "clock": ((0.1, 0.05, 0.1), _block),
    "printer": ((0.42, 0.36, 0.22), _block),
}
"""Category -> its usual width, depth and height in metres, and how it is drawn."""
_BOOK: Size = (0.16, 0.22, 0.03)


def small(rng: Rng, category: str) -> Piece:
    """One of `SMALL`, larger or smaller than usual, in any colour."""
    usual, shape = SMALL[category]
    tint, size = _look(rng, usual)
    return Piece(category, size, lambda b, p: shape(b, p, size, tint))


def book(rng: Rng) -> Piece:
    """A book that lies, or a pile of up to five."""
    _, (w, d, h) = _look(rng, _BOOK)
    count = int(rng.integers(1, 6))
    jitter = rng.uniform(-0.2, 0.2, count)
    tints = [hsv(float(rng.random()), float(rng.uniform(0.1, 0.7)), 0.7) for _ in range(count)]

    def draw(b: MeshBuilder, p: Palette) -> None:
        for k in range(count):
            turn = axis_matrix((0, 0, 1), float(jitter[k]))
            b.box((0, 0, h * (k + 0.5)), (w, d, h * 0.96), p.paint, tints[k], turn)

    return Piece("books" if count > 1 else "book", (w, d, h * count), draw)


def _look(rng: Rng, usual: Size) -> tuple[Colour, Size]:
    """A colour, and the usual size times one factor."""
    hue, saturation = float(rng.random()), float(rng.triangular(0.0, 0.1, 0.85))
    tint = hsv(hue, saturation, float(rng.uniform(0.2, 0.95)))
    scale = float(rng.uniform(0.8, 1.25))
    w, d, h = (v * scale for v in usual)
    return tint, (w, d, h)
