"""A furniture pack in use: its models as pieces, kept apart for train and held-out worlds."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.files.arrays import Shape, read_arrays
from vlm3.files.reading import parse_json, why
from vlm3.files.schema import fields, list_of, text, whole
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.pieces.piece import Palette, Piece

_WITH_TOP = {
    "table",
    "desk",
    "coffee table",
    "nightstand",
    "cupboard",
    "tv stand",
    "chest of drawers",
}
_FLAT = 0.75  # cosine beyond which neighbouring triangles are shaded as one surface


_ARRAYS: dict[str, tuple[str, Shape]] = {
    "meta": ("u", (None,)),
    "vertices": ("f", (None, 3)),
    "faces": ("iu", (None, 3)),
    "colours": ("u", None),
}
_WINDOW = ("first_vertex", "vertex_count", "first_face", "face_count")
_META = fields(
    {"models": list_of(fields({"category": text(200)} | {name: whole() for name in _WINDOW}))}
)


class Pack:
    """Models by category; every fifth of a category is held out."""

    def __init__(self, path: Path) -> None:
        """Read a pack made by `vlm3 worlds assets`.

        Raises:
            InputError: not such a file.
        """
        try:
            data = read_arrays(path, _ARRAYS)
            meta = parse_json(data["meta"].tobytes(), "its meta", _META)
        except InputError as error:
            raise InputError(
                f"{path} is no furniture pack ({why(error)}); make one with `vlm3 worlds assets`"
            ) from None
        vertices, faces = data["vertices"].astype(np.float64), data["faces"].astype(np.int64)
        colours = data["colours"].astype(np.float64) / 255
        linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
        self.models = meta["models"]
        self._pieces: dict[tuple[str, str], list[Piece]] = {}
        seen: dict[str, int] = {}
        for m in self.models:
            number = seen.get(m["category"], 0)
            seen[m["category"]] = number + 1
            split = "heldout" if number % 5 == 4 else "train"
            v = vertices[m["first_vertex"] : m["first_vertex"] + m["vertex_count"]]
            window = slice(m["first_face"], m["first_face"] + m["face_count"])
            corners = faces[window]
            if len(corners) != m["face_count"] or ((corners < 0) | (corners >= len(v))).any():
                raise InputError(f"{path}: faces of {m['category']!r:.80} have no such corners")
            piece = _piece(m, v, faces[window], np.clip(linear[window], 0.01, 0.9))
            self._pieces.setdefault((m["category"], split), []).append(piece)

    def choose(self, category: str, split: str, rng: np.random.Generator) -> Piece | None:
        """A random model of a category, None where the pack has none."""
        options = self._pieces.get((category, split))
        return options[int(rng.integers(len(options)))] if options else None


@lru_cache(maxsize=2)
def load_pack(path: str) -> Pack:
    """The pack at a path, read once."""
    return Pack(Path(path))


def _piece(
    meta: dict[str, object],
    vertices: NDArray[np.float64],
    faces: NDArray[np.int64],
    tints: NDArray[np.float64],
) -> Piece:
    w, d, h = (float(x) for x in meta["size_wdh_m"])  # type: ignore[attr-defined]
    points = (vertices + np.array([0, 0, 0.5])) * [w, d, h]
    corners = points[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    shared = np.zeros_like(points)
    for k in range(3):
        np.add.at(shared, faces[:, k], normal)
    shared /= np.maximum(np.linalg.norm(shared, axis=1, keepdims=True), 1e-12)
    flat = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    smooth = shared[faces]
    alike = (smooth * flat[:, None]).sum(-1, keepdims=True) > _FLAT
    normals = np.where(alike, smooth, flat[:, None]).reshape(-1, 3)
    flat_points = corners.reshape(-1, 3)
    uv = flat_points[:, :2] + flat_points[:, 2:]
    indices = np.arange(3 * len(faces), dtype=np.int32).reshape(-1, 3)

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.raw(flat_points, normals, uv, indices, p.paint, tints)

    category = str(meta["category"])
    top = h if category in _WITH_TOP and h < 1.3 else 0.0
    return Piece(category, (w, d, h), draw, top, str(meta["name"]))
