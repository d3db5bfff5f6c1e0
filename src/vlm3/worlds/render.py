"""Renders a `Scene`: arrays to the device, kernels launched, truth and radiance back.

Holds no looks and no sampling; one `Renderer` serves any number of views of its scene.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.worlds import kernels, patterns
from vlm3.worlds.scene import Scene

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Buffers:
    """One rendered view: linear radiance (H, W, 3), distance (H, W), face (H, W), normal (H, W, 3).

    Normals are geometric, unit, in world axes, towards the camera. The sky has distance inf and
    face -1.
    """

    radiance: NDArray[np.float32]
    distance_m: NDArray[np.float32]
    face: NDArray[np.int32]
    normal: NDArray[np.float32]


@lru_cache(maxsize=4)
def pixel_rays(camera: Camera) -> Floats:
    """(H, W, 3) unit rays of the pixel centres, camera axes."""
    columns = np.arange(camera.width_px) + 0.5
    rows = np.arange(camera.height_px) + 0.5
    return camera.unproject(np.stack(np.meshgrid(columns, rows), -1))


class Renderer:
    """A scene on a device ("cpu" or "cuda:0")."""

    def __init__(self, scene: Scene, device: str = "cpu") -> None:
        """Copy the scene to the device and build its bounding volume hierarchy."""
        self.scene, self.device = scene, device
        mesh, table = scene.mesh, scene.materials.arrays()
        with wp.ScopedDevice(device):
            self._mesh = wp.Mesh(
                points=wp.array(mesh.vertices, dtype=wp.vec3),
                indices=wp.array(mesh.faces.ravel(), dtype=wp.int32),
            )
            surface = patterns.Surface()
            surface.mesh = self._mesh.id
            surface.faces = self._mesh.indices
            surface.normals = wp.array(mesh.normals, dtype=wp.vec3)
            surface.uv = wp.array(mesh.uv, dtype=wp.vec2)
            surface.material = wp.array(mesh.material, dtype=wp.int32)
            surface.tint = wp.array(mesh.tint, dtype=wp.vec3)
            surface.instance = wp.array(mesh.instance, dtype=wp.int32)
            for name, kind in (("kind", wp.int32), ("seed", wp.int32), ("p", wp.vec4)):
                setattr(surface, name, wp.array(table[name], dtype=kind))
            for name in ("a", "b", "emission", "look"):
                setattr(surface, name, wp.array(table[name], dtype=wp.vec3))
            surface.texels = wp.array(scene.texels, dtype=wp.uint8)
            self._surface, self._light = surface, self._make_light()

    def _make_light(self) -> Any:
        lamps, sky = self.scene.lamps, self.scene.sky
        light = kernels.Light()
        light.count = len(lamps)
        for name in ("center", "u", "v", "normal", "power"):
            values = np.array([getattr(x, name) for x in lamps] or [(0, 0, 0)], np.float32)
            setattr(light, name, wp.array(values, dtype=wp.vec3))
        direction = np.array(sky.sun_direction)
        light.sun_direction = wp.vec3(*(direction / np.linalg.norm(direction)))
        for name in ("sun", "ambient", "zenith", "horizon"):
            setattr(light, name, wp.vec3(*getattr(sky, name)))
        light.cloud = sky.cloud
        light.reach = self.scene.reach_m
        light.near = 20.0 if sky.outdoor else 4.0
        light.outdoor = float(sky.outdoor)
        # Lamps and windows of a room are sampled as lamps: met again by chance they would leave
        # sixteen ghosts of themselves on the walls.
        light.limit = 100.0 if sky.outdoor else 0.8
        return light

    def render(self, camera: Camera, world_from_cam: Floats) -> Buffers:
        """Render one view; the rays are the camera's own, distortion included."""
        height, width = camera.height_px, camera.width_px
        rays = pixel_rays(camera).astype(np.float32)
        pose = (wp.mat33(*world_from_cam[:3, :3].ravel()), wp.vec3(*world_from_cam[:3, 3]))
        angle = 1.0 / float(np.sqrt(camera.fx_px * camera.fy_px))
        shape = (height, width)
        with wp.ScopedDevice(self.device):
            dirs = wp.array(rays, dtype=wp.vec3)
            distance = wp.empty(shape, dtype=wp.float32)
            face = wp.empty(shape, dtype=wp.int32)
            normal, base, extra, sunlit, smooth, radiance, image = (
                wp.empty(shape, dtype=wp.vec3) for _ in range(7)
            )
            common = [self._surface, self._light, *pose, dirs, angle]
            half = ((height + 1) // 2, (width + 1) // 2)
            received, mean = (wp.empty(half, dtype=wp.vec3) for _ in range(2))
            lit = [normal, base, received, extra, sunlit]
            wp.launch(kernels.trace, shape, [*common, distance, face, *lit])
            plane = [pose[0], dirs, distance, normal]
            wp.launch(kernels.gather, half, [*plane, received, 2, mean])
            wp.launch(kernels.gather, half, [*plane, mean, 1, received])
            wp.launch(
                kernels.resolve,
                shape,
                [self._surface, self._light, *pose, dirs, distance, *lit, smooth, radiance],
            )
            wp.launch(
                kernels.smooth_edges,
                shape,
                [*common, distance, face, normal, smooth, extra, radiance, image],
            )
            return Buffers(image.numpy(), distance.numpy(), face.numpy(), normal.numpy())

    def cast(
        self, origins_m: Floats, directions: Floats
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Distance and face of the first hit of rays (n, 3), world frame; inf and -1 for none."""
        count = len(directions)
        origins = np.ascontiguousarray(np.broadcast_to(origins_m, directions.shape), np.float32)
        with wp.ScopedDevice(self.device):
            distance = wp.empty(count, dtype=wp.float32)
            face = wp.empty(count, dtype=wp.int32)
            inputs = [
                self._mesh.id,
                wp.array(origins, dtype=wp.vec3),
                wp.array(np.ascontiguousarray(directions, np.float32), dtype=wp.vec3),
                self.scene.reach_m,
                distance,
                face,
            ]
            wp.launch(kernels.cast, count, inputs)
            return distance.numpy(), face.numpy()

    def pierce(self, origin_m: Floats, directions: Floats, layers: int = 8) -> NDArray[np.int32]:
        """(n, layers) object ids along each ray through everything, nearest first, -1 after."""
        with wp.ScopedDevice(self.device):
            hits = wp.empty((len(directions), layers), dtype=wp.int32)
            rays = wp.array(np.ascontiguousarray(directions, np.float32), dtype=wp.vec3)
            reach = min(self.scene.reach_m, 120.0)
            inputs = [self._mesh.id, self._surface.instance, wp.vec3(*origin_m), rays, reach, hits]
            wp.launch(kernels.pierce, len(directions), inputs)
            return np.asarray(hits.numpy(), np.int32)
