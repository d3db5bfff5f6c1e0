"""A library's models as a few hundred triangles with one colour each, in our axes.

Opens the files with trimesh; knows no catalogue beyond one item and no packs.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import MissingDependencyError
from vlm3.worlds.catalogue import Item, size_m

Floats = NDArray[np.float64]
Faces = NDArray[np.int64]
Colours = NDArray[np.uint8]
_WELD_M = 5e-4
"""Vertices nearer than this are one."""


def load_model(folder: Path, item: Item, triangles: int) -> tuple[Floats, Faces, Colours]:
    """Vertices (V, 3) in [-0.5, 0.5], z up, front -y; faces (F, 3); sRGB colours (F, 3) uint8.

    Raises:
        ValueError: nothing is left of it, or too many vertices for a pack.
        MissingDependencyError: trimesh, scipy or fast-simplification is not installed.
    """
    vertices, faces, colours = _read(folder / item["model"].lstrip("/"))
    if "modelRotation" in item:
        turn = np.array([float(v) for v in item["modelRotation"].split()]).reshape(3, 3)
        vertices = vertices @ turn.T
    vertices = _to_unit(np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], -1))
    size = np.array(size_m(item))
    vertices, faces, colours = _welded(vertices, faces, colours, size)
    if len(faces) > triangles:
        vertices, faces, colours = _reduced(vertices, faces, colours, size, triangles)
    if not len(faces) or len(vertices) > 65535:
        raise ValueError("empty or too large")
    return vertices, np.asarray(faces, np.int64), colours


def _read(path: Path) -> tuple[Floats, Faces, Colours]:
    """All parts of a file as one mesh, in its own axes and units."""
    try:
        import fast_simplification  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
        import scipy.spatial  # noqa: F401
        import trimesh
    except ImportError as error:
        raise MissingDependencyError(
            f"{error.name} is needed to make a pack: pip install trimesh scipy fast-simplification"
        ) from None
    loaded: Any = trimesh.load(path, process=False, force="scene")
    points: list[Floats] = []
    corners: list[Faces] = []
    shades: list[Colours] = []
    for part in loaded.geometry.values():
        start = sum(map(len, points))
        points.append(np.asarray(part.vertices, float))
        corners.append(np.asarray(part.faces) + start)
        shades.append(_face_colours(part))
    return np.concatenate(points), np.concatenate(corners), np.concatenate(shades)


def _to_unit(vertices: Floats) -> Floats:
    """Moved and scaled on each axis to fill [-0.5, 0.5]."""
    low, high = vertices.min(0), vertices.max(0)
    return np.asarray((vertices - (low + high) / 2) / np.maximum(high - low, 1e-9))


def _welded(
    vertices: Floats, faces: Faces, colours: Colours, size: Floats
) -> tuple[Floats, Faces, Colours]:
    """One vertex a place, so that edges can be followed; triangles that lose a corner are gone."""
    _, first, inverse = np.unique(
        np.round(vertices * size / _WELD_M).astype(np.int64),
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    faces = inverse.reshape(-1)[faces]
    whole = _has_three_corners(faces)
    return vertices[first], faces[whole], colours[whole]


def _has_three_corners(faces: Faces) -> NDArray[np.bool_]:
    a, b, c = faces.T
    return np.asarray((a != b) & (b != c) & (a != c))


def _reduced(
    vertices: Floats, faces: Faces, colours: Colours, size: Floats, triangles: int
) -> tuple[Floats, Faces, Colours]:
    """About that many triangles, each with the colour of the nearest one before."""
    from fast_simplification import simplify
    from scipy.spatial import cKDTree

    tree = cKDTree((vertices[faces].mean(1)) * size)
    metric = (vertices * size).astype(np.float32)
    fewer, faces = simplify(metric, faces.astype(np.int32), target_count=triangles, agg=9)
    fewer, faces = _clustered(np.asarray(fewer, float), faces, 2 * triangles)
    vertices = np.asarray(fewer, float) / np.maximum(size, 1e-9)
    _, nearest = tree.query((vertices[faces].mean(1)) * size)
    return _to_unit(vertices), faces, colours[nearest]


def _clustered(vertices: Floats, faces: Faces, most: int) -> tuple[Floats, Faces]:
    """Vertices merged on an ever coarser grid until at most `most` faces are left.

    Edge collapse stops early at models of many loose parts; this does not.
    """
    cell = float(np.ptp(vertices, axis=0).max()) / 160
    points, corners = vertices, faces
    while len(corners) > most:
        keys = np.round(vertices / cell).astype(np.int64)
        _, inverse = np.unique(keys, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        count = np.bincount(inverse)
        points = np.stack([np.bincount(inverse, vertices[:, k]) / count for k in range(3)], -1)
        corners = inverse[faces]
        corners = corners[_has_three_corners(corners)]
        _, first = np.unique(np.sort(corners, axis=1), axis=0, return_index=True)
        corners = corners[np.sort(first)]
        cell *= 1.25
    return points, corners


def _face_colours(part: Any) -> Colours:
    """(F, 3) sRGB: the texture at the middle of each face, or the material's colour."""
    count = len(part.faces)
    material = getattr(part.visual, "material", None)
    base = np.full(3, 180, np.uint8)
    if material is not None and getattr(material, "diffuse", None) is not None:
        base = np.asarray(material.diffuse, np.uint8)[:3]
    image = getattr(material, "image", None)
    uv = getattr(part.visual, "uv", None)
    if image is None or uv is None or len(uv) != len(part.vertices):
        return np.tile(base, (count, 1))
    picture = np.asarray(image.convert("RGB").resize((64, 64)))
    middle = np.asarray(uv, float)[part.faces].mean(1) % 1.0
    columns = np.clip((middle[:, 0] * 64).astype(int), 0, 63)
    rows = np.clip(((1 - middle[:, 1]) * 64).astype(int), 0, 63)
    return np.asarray(picture[rows, columns], np.uint8)
