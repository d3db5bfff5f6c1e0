"""Triangle meshes assembled from many small primitives in one vectorised step.

Furniture and buildings are a few hundred boxes, cylinders and balls. `MeshBuilder` only notes
them down; `build` turns all of one kind into triangles at once. World axes: z up, metres.

It knows no materials beyond an index and no cameras.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlm3.worlds import primitives
from vlm3.worlds.primitives import Floats, Ints

Vec3 = Sequence[float] | Floats


@dataclass(frozen=True)
class Mesh:
    """Triangles with what shading and truth need.

    Attributes:
        vertices: (V, 3) float32 positions, metres, world frame.
        normals: (V, 3) float32 unit shading normals.
        uv: (V, 2) float32 surface coordinates in metres (textures are at true scale).
        faces: (F, 3) int32 vertex indices.
        material: (F,) int32 rows of the material table.
        tint: (F, 3) float32 linear colour that multiplies the material's.
        instance: (F,) int32 object ids; 0 is the shell or the ground.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    uv: NDArray[np.float32]
    faces: Ints
    material: Ints
    tint: NDArray[np.float32]
    instance: Ints


def yaw_matrix(yaw_rad: float) -> Floats:
    """(3, 3) rotation about z, counter-clockwise seen from above."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def axis_matrix(axis: Vec3, angle_rad: float) -> Floats:
    """(3, 3) rotation about a unit axis (Rodrigues)."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(np.asarray(axis, float))
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle_rad) * skew + (1 - np.cos(angle_rad)) * skew @ skew)


_Primitive = tuple[Callable[..., primitives.Template], *tuple[float, ...]]
"""What makes a template, and its arguments."""


class _Item(NamedTuple):
    """A primitive in the world: where, how it is turned, and its size."""

    center: Floats
    rotation: Floats
    size: Vec3
    material: int
    tint: Vec3
    instance: int


class _Quad(NamedTuple):
    """A quadrilateral in the frame that it was given in."""

    corners: Floats
    rotation: Floats
    origin: Floats
    uv: Floats | None
    material: int
    tint: Vec3
    instance: int


class _Triangles(NamedTuple):
    """The arrays of `Mesh`, not yet in single precision; faces count from the first vertex here."""

    vertices: Floats
    normals: Floats
    uv: Floats
    faces: Ints
    material: Ints
    tint: Floats
    instance: Ints


@dataclass
class MeshBuilder:
    """Collects primitives under a current frame and a current object id."""

    rotation: Floats = field(default_factory=lambda: np.eye(3))
    origin: Floats = field(default_factory=lambda: np.zeros(3))
    instance: int = 0
    _items: dict[_Primitive, list[_Item]] = field(default_factory=dict)
    _quads: list[_Quad] = field(default_factory=list)
    _raw: list[_Triangles] = field(default_factory=list)

    def place(self, origin: Vec3 = (0, 0, 0), yaw_rad: float = 0.0, instance: int = 0) -> None:
        """Set the frame in which the next primitives are given, and their object id."""
        self.rotation, self.origin = yaw_matrix(yaw_rad), np.asarray(origin, float)
        self.instance = instance

    def _add(
        self,
        primitive: _Primitive,
        center: Vec3,
        size: Vec3,
        material: int,
        tint: Vec3,
        turn: Floats | None,
    ) -> None:
        local = np.asarray(center, float)
        world = self.rotation @ local + self.origin
        rotation = self.rotation if turn is None else self.rotation @ turn
        item = _Item(world, rotation, size, material, tint, self.instance)
        self._items.setdefault(primitive, []).append(item)

    def box(
        self,
        center: Vec3,
        size: Vec3,
        material: int,
        tint: Vec3 = (1, 1, 1),
        turn: Floats | None = None,
    ) -> None:
        """An upright box; `turn` (3, 3) rotates it about its centre."""
        self._add((primitives.box,), center, size, material, tint, turn)

    def cylinder(
        self,
        center: Vec3,
        diameter: float,
        height: float,
        material: int,
        tint: Vec3 = (1, 1, 1),
        top_ratio: float = 1.0,
        segments: int = 12,
        turn: Floats | None = None,
    ) -> None:
        """An upright cylinder or cone stump about its centre."""
        primitive = (primitives.frustum, segments, round(top_ratio * 10) / 10)
        self._add(primitive, center, (diameter, diameter, height), material, tint, turn)

    def ball(
        self,
        center: Vec3,
        size: Vec3,
        material: int,
        tint: Vec3 = (1, 1, 1),
        power: float = 1.0,
        turn: Floats | None = None,
        detail: int = 8,
    ) -> None:
        """An ellipsoid; power 0.3 gives a soft box (cushions, mattresses)."""
        primitive = (primitives.ball, detail, 2 * detail, power)
        self._add(primitive, center, size, material, tint, turn)

    def quad(
        self, corners: Floats, material: int, tint: Vec3 = (1, 1, 1), uv: Floats | None = None
    ) -> None:
        """A flat quadrilateral: corners (4, 3) in order, in the current frame."""
        quad = _Quad(corners, self.rotation, self.origin, uv, material, tint, self.instance)
        self._quads.append(quad)

    def raw(
        self,
        vertices: Floats,
        normals: Floats,
        uv: Floats,
        faces: Ints,
        material: int | Ints,
        tint: Vec3 = (1, 1, 1),
    ) -> None:
        """Ready triangles; tint and material for all (3,) or for each face (F, 3), (F,)."""
        count = len(faces)
        self._raw.append(
            _Triangles(
                vertices=vertices @ self.rotation.T + self.origin,
                normals=normals @ self.rotation.T,
                uv=uv,
                faces=faces,
                material=np.broadcast_to(np.asarray(material, np.int32), (count,)),
                tint=np.broadcast_to(np.asarray(tint, float), (count, 3)),
                instance=np.full(count, self.instance, np.int32),
            )
        )

    def build(self, rng: np.random.Generator) -> Mesh:
        """All primitives as one mesh; `rng` shifts each one's texture."""
        parts = [_expand(primitive, items, rng) for primitive, items in self._items.items()]
        if self._quads:
            parts.append(_expand_quads(self._quads))
        parts += self._raw
        starts = np.cumsum([0] + [len(p.vertices) for p in parts[:-1]])
        return Mesh(
            vertices=np.concatenate([p.vertices for p in parts]).astype(np.float32),
            normals=np.concatenate([p.normals for p in parts]).astype(np.float32),
            uv=np.concatenate([p.uv for p in parts]).astype(np.float32),
            faces=np.concatenate(
                [p.faces + start for p, start in zip(parts, starts, strict=True)]
            ).astype(np.int32),
            material=np.concatenate([p.material for p in parts]).astype(np.int32),
            tint=np.concatenate([p.tint for p in parts]).astype(np.float32),
            instance=np.concatenate([p.instance for p in parts]).astype(np.int32),
        )


def _expand_quads(quads: list[_Quad]) -> _Triangles:
    """Two triangles a quadrilateral; without uv of its own, metres from its first corner."""
    rotation = np.array([q.rotation for q in quads])
    corners = np.matmul(np.array([q.corners for q in quads], float), rotation.transpose(0, 2, 1))
    corners += np.array([q.origin for q in quads])[:, None, :]
    u_axis = corners[:, 1] - corners[:, 0]
    u_axis /= np.linalg.norm(u_axis, axis=1, keepdims=True)
    normal = np.cross(u_axis, corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    offset = corners - corners[:, :1]
    axes = np.stack([u_axis, np.cross(normal, u_axis)], -1)  # (k, 3, 2)
    uv = np.matmul(offset, axes)
    for row, quad in enumerate(quads):
        if quad.uv is not None:
            uv[row] = quad.uv
    faces = np.array([[0, 1, 2], [0, 2, 3]]) + 4 * np.arange(len(quads))[:, None, None]
    return _Triangles(
        vertices=corners.reshape(-1, 3),
        normals=np.repeat(normal, 4, axis=0),
        uv=uv.reshape(-1, 2),
        faces=faces.reshape(-1, 3).astype(np.int32),
        material=np.repeat(np.array([q.material for q in quads], np.int32), 2),
        tint=np.repeat(np.array([q.tint for q in quads], float), 2, axis=0),
        instance=np.repeat(np.array([q.instance for q in quads], np.int32), 2),
    )


def _expand(primitive: _Primitive, items: list[_Item], rng: np.random.Generator) -> _Triangles:
    """All items of one primitive at once."""
    template = primitive[0](*primitive[1:])
    columns = _Item._make(zip(*items, strict=True))
    center, rotation, size = (np.array(c, float) for c in columns[:3])  # (k,3) (k,3,3) (k,3)
    k, nv, nf = len(items), len(template.vertices), len(template.faces)
    local = template.vertices[None] * size[:, None, :]
    vertices = np.matmul(local, rotation.transpose(0, 2, 1)) + center[:, None, :]
    normals = template.normals[None] / np.maximum(size[:, None, :], 1e-6)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.matmul(normals, rotation.transpose(0, 2, 1))
    extent = size[:, template.uv_axis]  # (k, nv, 2)
    uv = template.uv_unit[None] * extent
    # Wood grain runs along a board: the longer side of a face is u.
    if primitive[0] is primitives.box:
        uv = np.where((extent[..., 1] > extent[..., 0])[..., None], uv[..., ::-1], uv)
    uv = uv + rng.uniform(0, 40, (k, 1, 2))
    faces = template.faces[None] + (np.arange(k) * nv)[:, None, None]
    return _Triangles(
        vertices=vertices.reshape(-1, 3),
        normals=normals.reshape(-1, 3),
        uv=uv.reshape(-1, 2),
        faces=faces.reshape(-1, 3).astype(np.int32),
        material=np.repeat(np.array(columns.material, np.int32), nf),
        tint=np.repeat(np.array(columns.tint, float), nf, axis=0),
        instance=np.repeat(np.array(columns.instance, np.int32), nf),
    )
