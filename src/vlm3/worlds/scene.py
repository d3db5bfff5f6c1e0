"""A scene: triangles, materials, lamps, sun and sky; and what tells objects apart.

Plain values made by `rooms` and `streets`, rendered by `render`. World axes: z up, metres.
"""

from dataclasses import dataclass, field

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
