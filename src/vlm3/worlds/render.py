"""Renders a `Scene`: arrays to the device, kernels launched, truth, radiance or pictures back.

Draws nothing at random: cameras, poses and looks are given. One `Renderer` serves any number of
views of its scene, several of one size at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.worlds import casting, developing, edges, lighting, patterns, shading
from vlm3.worlds.looks import Look, exposed
from vlm3.worlds.scene import Scene
from vlm3.worlds.warp_start import start_warp

start_warp()
Floats = NDArray[np.float64]
TOGETHER_PX = {"cpu": 100_000, "cuda": 1 << 24}
"""Pixels of one launch at most. On a CPU what its caches do not hold costs more together than apart
(eight views of 512x384: 1.03 times as long); on a GPU it bounds memory, some 100 bytes a pixel."""


@dataclass(frozen=True)
class Truth:
    """What is known of one rendered view: distance (H, W), face (H, W), normal (H, W, 3).

    Normals are geometric, unit, in world axes, towards the camera. The sky has distance inf and
    face -1.
    """

    distance_m: NDArray[np.float32]
    face: NDArray[np.int32]
    normal: NDArray[np.float32]


@lru_cache(maxsize=4)
def pixel_rays(camera: Camera) -> Floats:
    """(H, W, 3) unit rays of the pixel centres, camera axes."""
    columns = np.arange(camera.width_px) + 0.5
    rows = np.arange(camera.height_px) + 0.5
    return camera.unproject(np.stack(np.meshgrid(columns, rows), -1))


@lru_cache(maxsize=4)
def _device_rays(lenses: tuple[Camera, ...], device: str) -> Any:
    """(lenses, H, W) rays of pixel centres as they lie on the device."""
    rays = np.stack([pixel_rays(lens).astype(np.float32) for lens in lenses])
    return wp.array(rays, dtype=wp.vec3, device=device)


def _placed(cameras: Sequence[Camera], poses: Sequence[Floats], device: str) -> Any:
    """`shading.PlacedCameras`; equal lenses are kept once."""
    lenses = tuple(dict.fromkeys(cameras))
    kind: Any = shading.PlacedCamera
    placed = np.zeros(len(cameras), kind.numpy_dtype())
    placed["rotation"] = [pose[:3, :3] for pose in poses]
    placed["origin"] = [pose[:3, 3] for pose in poses]
    placed["lens"] = [lenses.index(camera) for camera in cameras]
    placed["pixel_angle"] = [1.0 / np.sqrt(camera.fx_px * camera.fy_px) for camera in cameras]
    out = shading.PlacedCameras()
    out.placed = wp.array(placed, dtype=kind, device=device)
    out.rays = _device_rays(lenses, device)
    return out


def _truths(film: Any) -> Iterator[Truth]:
    arrays = (film.distance, film.face, film.normal)
    return map(Truth, *(array.numpy() for array in arrays))


class Renderer:
    """A scene on a device ("cpu" or "cuda:0").

    Attributes:
        develops: whether pictures are developed by kernels, as on a GPU; a CPU's are NumPy's.
    """

    def __init__(self, scene: Scene, device: str = "cpu") -> None:
        """Copy the scene to the device and build its bounding volume hierarchy."""
        self.scene, self.device = scene, device
        self.develops = device != "cpu"
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
        light = lighting.Light()
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

    def render(
        self, cameras: Sequence[Camera], poses: Sequence[Floats]
    ) -> list[tuple[NDArray[np.float32], Truth]]:
        """Linear radiance (H, W, 3) and truth of views; one launch of each kernel, if they fit.

        Rays are the cameras' own, distorted or not. More than `TOGETHER_PX` pixels are rendered in
        several groups.

        Args:
            cameras: all of one size.
            poses: (4, 4) world_from_cam, one a camera.

        Raises:
            ValueError: the cameras are of several sizes, or there is none.
        """
        found: list[tuple[NDArray[np.float32], Truth]] = []
        for _, film in self._films(cameras, poses):
            found += zip(film.image.numpy(), _truths(film), strict=True)
        return found

    def photograph(
        self, cameras: Sequence[Camera], poses: Sequence[Floats], looks: Sequence[Look]
    ) -> list[tuple[NDArray[np.uint8], Truth]]:
        """Pictures (H, W, 3), exposed as the looks say but not finished, and truth; see `render`.

        On a GPU they are developed there, which may differ from a CPU's by one grey level.
        """
        found: list[tuple[NDArray[np.uint8], Truth]] = []
        for group, film in self._films(cameras, poses):
            if self.develops:
                pictures = list(developing.exposed(film.image, looks[group]))
            else:
                pictures = list(map(exposed, film.image.numpy(), looks[group]))
            found += zip(pictures, _truths(film), strict=True)
        return found

    def _films(
        self, cameras: Sequence[Camera], poses: Sequence[Floats]
    ) -> Iterator[tuple[slice, Any]]:
        """Which views, and `shading.Film` of them, group by group."""
        sizes = {(camera.height_px, camera.width_px) for camera in cameras}
        if len(sizes) != 1:
            raise ValueError(f"views are of one size, not of {len(sizes)}")
        ((height, width),) = sizes
        most = TOGETHER_PX["cpu" if self.device == "cpu" else "cuda"]
        step = max(1, most // (height * width))
        for first in range(0, len(cameras), step):
            group = slice(first, first + step)
            yield group, self._film(cameras[group], poses[group], height, width)

    def _film(
        self, cameras: Sequence[Camera], poses: Sequence[Floats], height: int, width: int
    ) -> Any:
        shape = (len(cameras), height, width)
        half = (len(cameras), (height + 1) // 2, (width + 1) // 2)
        with wp.ScopedDevice(self.device):
            placed = _placed(cameras, poses, self.device)
            film = shading.Film()
            film.distance = wp.empty(shape, dtype=wp.float32)
            film.face = wp.empty(shape, dtype=wp.int32)
            for name in ("normal", "base", "extra", "sunlit", "smooth", "radiance", "image"):
                setattr(film, name, wp.empty(shape, dtype=wp.vec3))
            received, mean = (wp.empty(half, dtype=wp.vec3) for _ in range(2))
            scene = [self._surface, self._light, placed, film]
            wp.launch(shading.trace, shape, [*scene, received])
            wp.launch(shading.gather, half, [placed, film, received, 2, mean])
            wp.launch(shading.gather, half, [placed, film, mean, 1, received])
            wp.launch(shading.resolve, shape, [*scene, received])
            wp.launch(edges.smooth_edges, shape, scene)
        return film

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
            wp.launch(casting.cast, count, inputs)
            return distance.numpy(), face.numpy()

    def pierce(self, origin_m: Floats, directions: Floats, layers: int = 8) -> NDArray[np.int32]:
        """(n, layers) object ids along each ray through everything, nearest first, -1 after."""
        with wp.ScopedDevice(self.device):
            hits = wp.empty((len(directions), layers), dtype=wp.int32)
            rays = wp.array(np.ascontiguousarray(directions, np.float32), dtype=wp.vec3)
            reach = min(self.scene.reach_m, 120.0)
            inputs = [self._mesh.id, self._surface.instance, wp.vec3(*origin_m), rays, reach, hits]
            wp.launch(casting.pierce, len(directions), inputs)
            return np.asarray(hits.numpy(), np.int32)
