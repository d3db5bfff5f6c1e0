"""A scene: triangles, materials, lamps, sun and sky; and what distinguishes objects.

Plain values made by `rooms` and `streets`, rendered by `render`. World axes: z up, metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vlm3.worlds.materials import MaterialTable
from vlm3.worlds.mesh import Mesh


@dataclass(frozen=True)
class AreaLamp:
    """A glowing parallelogram about `center`; shines along `normal`."""

    center: tuple[float, float, float]
    u: tuple[float, float, float]
    v: tuple[float, float, float]
    normal: tuple[float, float, float]
    power: tuple[float, float, float]


@dataclass(frozen=True)
class Sky:
    """Sun and sky. Directions point towards the sun; radiances are linear RGB."""

    sun_direction: tuple[float, float, float] = (0.3, 0.2, 0.9)
    sun: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ambient: tuple[float, float, float] = (0.5, 0.5, 0.5)
    zenith: tuple[float, float, float] = (0.3, 0.5, 0.9)
    horizon: tuple[float, float, float] = (0.8, 0.85, 0.9)
    cloud: float = 0.0
    outdoor: bool = False


@dataclass(frozen=True)
class SceneObject:
    """A thing with an oriented box: its own axes are x width, y depth (front is -y), z up."""

    instance: int
    category: str
    name: str
    size_wdh_m: tuple[float, float, float]
    center_m: tuple[float, float, float]
    yaw_rad: float


@dataclass(frozen=True)
class Scene:
    """Everything that one world holds.

    Attributes:
        spots: (K, 2) free standing places for a camera, x and y in metres.
        heights_m: lowest and highest camera height.
        focus: (M, 3) points worth looking at.
    """

    kind: str
    mesh: Mesh
    materials: MaterialTable
    lamps: tuple[AreaLamp, ...]
    sky: Sky
    objects: tuple[SceneObject, ...]
    spots: NDArray[np.float64]
    heights_m: tuple[float, float]
    focus: NDArray[np.float64]
    forward: NDArray[np.float64] | None = None
    texels: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(3, np.uint8))
    reach_m: float = 300.0


def measured(objects: Sequence[SceneObject], mesh: Mesh) -> tuple[SceneObject, ...]:
    """The objects with the boxes that their triangles really fill, in their own axes.

    Objects of which nothing was drawn are left out.
    """
    if not objects:
        return ()
    count = max(o.instance for o in objects) + 1
    yaw = np.zeros(count)
    for o in objects:
        yaw[o.instance] = o.yaw_rad
    order = np.argsort(mesh.instance, kind="stable")
    owner = mesh.instance[order]
    ids, starts = np.unique(owner, return_index=True)
    x, y, z = mesh.vertices[mesh.faces[order].ravel()].astype(np.float64).T
    c, s = (np.repeat(of_yaw[owner], 3) for of_yaw in (np.cos(yaw), np.sin(yaw)))
    local = np.stack([c * x + s * y, c * y - s * x, z], -1)
    low = np.minimum.reduceat(local, 3 * starts)
    high = np.maximum.reduceat(local, 3 * starts)
    boxes = {int(k): (low[row], high[row]) for row, k in enumerate(ids)}
    found = []
    for o in objects:
        if o.instance in boxes:
            a, b = boxes[o.instance]
            middle, c1, s1 = (a + b) / 2, float(np.cos(o.yaw_rad)), float(np.sin(o.yaw_rad))
            center = (
                c1 * float(middle[0]) - s1 * float(middle[1]),
                s1 * float(middle[0]) + c1 * float(middle[1]),
                float(middle[2]),
            )
            w, d, h = (float(v) for v in b - a)
            found.append(replace(o, size_wdh_m=(w, d, h), center_m=center))
    return tuple(found)
