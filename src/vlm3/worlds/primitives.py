"""Unit primitives that everything is drawn from: a box, a cylinder or cone stump, a ball.

Each is a template in [-0.5, 0.5]^3 that `MeshBuilder` scales, turns and moves. Knows no scene.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Template:
    """A unit primitive in [-0.5, 0.5]^3: uv = uv_unit * size[uv_axis]."""

    vertices: Floats
    normals: Floats
    uv_unit: Floats
    uv_axis: Ints
    faces: Ints


def _grid_faces(rows: int, cols: int) -> Ints:
    """Faces of a (rows + 1, cols + 1) vertex grid, counter-clockwise seen from outside."""
    r, c = np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij")
    a = (r * (cols + 1) + c).ravel()
    b, d, e = a + 1, a + cols + 1, a + cols + 2
    return np.concatenate([np.stack([a, b, e], -1), np.stack([a, e, d], -1)]).astype(np.int32)


@lru_cache(maxsize=1)
def box() -> Template:
    """A cube of four vertices a face, so that its edges are sharp."""
    verts: list[Floats] = []
    norms: list[Floats] = []
    uvs: list[Floats] = []
    axes: list[Floats] = []
    faces: list[list[int]] = []
    for axis in range(3):
        u, v = [k for k in range(3) if k != axis]
        for sign in (-1.0, 1.0):
            corner = np.zeros((4, 3))
            corner[:, axis] = 0.5 * sign
            corner[:, u] = [-0.5, 0.5, 0.5, -0.5]
            corner[:, v] = [-0.5, -0.5, 0.5, 0.5]
            normal = np.zeros(3)
            normal[axis] = sign
            start = 4 * len(verts)
            order = [[0, 1, 2], [0, 2, 3]]
            turn = np.cross(corner[1] - corner[0], corner[2] - corner[0])[axis] * sign
            faces += [[start + k for k in (o if turn > 0 else o[::-1])] for o in order]
            verts.append(corner)
            norms.append(np.tile(normal, (4, 1)))
            uvs.append(corner[:, [u, v]])
            axes.append(np.tile([u, v], (4, 1)))
    return Template(
        np.concatenate(verts),
        np.concatenate(norms),
        np.concatenate(uvs),
        np.concatenate(axes).astype(np.int32),
        np.array(faces, np.int32),
    )


@lru_cache(maxsize=16)
def frustum(segments: int, top_ratio: float) -> Template:
    """An upright cylinder or cone stump with caps; the bottom has diameter 1."""
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], -1) * 0.5
    low, high = (
        ring + np.array([0, 0, -0.5]),
        ring * [top_ratio, top_ratio, 0] + np.array([0, 0, 0.5]),
    )
    slope = np.stack([np.cos(angle), np.sin(angle), np.full_like(angle, 0.5 * (1 - top_ratio))], -1)
    slope /= np.linalg.norm(slope, axis=1, keepdims=True)
    n = segments + 1
    side_faces = _grid_faces(1, segments)
    fan = np.arange(1, segments - 1)
    top_faces = np.stack([np.zeros_like(fan), fan, fan + 1], -1)
    vertices = np.concatenate([low, high, low, high])
    up = np.tile([0.0, 0.0, 1.0], (n, 1))
    normals = np.concatenate([slope, slope, -up, up])
    uv_side = np.stack([np.tile(angle * 0.5, 2), np.repeat([-0.5, 0.5], n)], -1)
    uv = np.concatenate([uv_side, low[:, :2], high[:, :2]])
    axes = np.concatenate([np.tile([0, 2], (2 * n, 1)), np.tile([0, 1], (2 * n, 1))])
    faces = np.concatenate([side_faces, top_faces[:, ::-1] + 2 * n, top_faces + 3 * n])
    return Template(vertices, normals, uv, axes.astype(np.int32), faces.astype(np.int32))


@lru_cache(maxsize=16)
def ball(rows: int, cols: int, power: float) -> Template:
    """A sphere (power 1) or, for power < 1, a box with round edges: cushions, car bodies."""
    lat = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)[:, None]
    lon = np.linspace(0, 2 * np.pi, cols + 1)[None, :]

    def soft(value: Floats) -> Floats:
        return np.asarray(np.sign(value) * np.abs(value) ** power)

    x = soft(np.cos(lat)) * soft(np.cos(lon))
    y = soft(np.cos(lat)) * soft(np.sin(lon))
    z = soft(np.sin(lat)) + 0 * lon
    points = np.stack([x, y, z], -1).reshape(-1, 3) * 0.5

    def hard(value: Floats) -> Floats:
        return np.asarray(np.sign(value) * np.abs(value) ** (2 - power))

    normals = np.stack(
        [
            hard(np.cos(lat)) * hard(np.cos(lon)),
            hard(np.cos(lat)) * hard(np.sin(lon)),
            hard(np.sin(lat)) + 0 * lon,
        ],
        -1,
    ).reshape(-1, 3)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    if power < 0.7:  # cloth on a soft box lies flat: no stripes that run together at the poles
        steep = np.argmax(np.abs(normals), axis=1)
        axes = np.array([[1, 2], [0, 2], [0, 1]])[steep]
        uv = np.take_along_axis(points, axes, axis=1)
    else:
        uv = np.stack([(lon + 0 * lat).ravel() * 0.5, (lat + 0 * lon).ravel() * 0.5], -1)
        axes = np.tile([0, 2], (len(points), 1))
    return Template(points, normals, uv, axes.astype(np.int32), _grid_faces(rows, cols))
