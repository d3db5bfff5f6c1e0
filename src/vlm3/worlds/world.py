"""Worlds: a scene made from (seed, index), which can be made alone and is always the same.

`World(seed, index)` gives any number of views and pairs of views of one scene. Every truth comes
from rays cast at the very triangles that were drawn.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.worlds import cameras, looks
from vlm3.worlds.frame import Frame
from vlm3.worlds.pack import load_pack
from vlm3.worlds.render import Renderer, Truth, pixel_rays
from vlm3.worlds.rooms import make_room
from vlm3.worlds.scene import Scene
from vlm3.worlds.sight import Sight
from vlm3.worlds.streets import make_street
from vlm3.worlds.viewpoints import find_pose, find_two_poses

Split = Literal["train", "heldout"]
Kind = Literal["room", "street"]
Floats = NDArray[np.float64]

_SPLITS = {"train": 1, "heldout": 2}
_MAKERS = {"room": make_room, "street": make_street}


class World:
    """Scene `index` of `seed`; pickles as its address, not as its triangles.

    Pictures are rendered on `device`; `sight` casts its few rays on the CPU.
    """

    def __init__(
        self,
        seed: int,
        index: int,
        *,
        split: Split = "train",
        kind: Kind | None = None,
        device: str = "cpu",
        pack: str | None = None,
    ) -> None:
        """Make the world; `kind` None lets the seed choose, `pack` adds catalogue furniture.

        Raises:
            InputError: an unknown split or kind, or a negative seed or index.
        """
        if split not in _SPLITS:
            raise InputError(f"split is {split!r}; choose train or heldout")
        if kind not in (None, "room", "street"):
            raise InputError(f"kind is {kind!r}; choose room, street or None for either")
        if seed < 0 or index < 0:
            raise InputError(f"seed {seed}, index {index}; both must be 0 or more")
        self.address: dict[str, Any] = {"split": split, "kind": kind, "device": device}
        self.address["pack"] = pack
        self.seed, self.index = seed, index
        rng = self.rng(0)
        chosen = kind or ("room" if rng.random() < 0.7 else "street")
        self.kind: str = chosen
        self.scene: Scene = _MAKERS[chosen](rng, split, load_pack(pack) if pack else None)
        self.renderer = Renderer(self.scene)
        self.sight = Sight(self.renderer)
        self._pictures = self.renderer if device == "cpu" else Renderer(self.scene, device)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_world, (self.seed, self.index, self.address))

    def rng(self, stream: int) -> np.random.Generator:
        """Generator number `stream` of this world; 0 makes the scene, 1 + k view k."""
        split = _SPLITS[self.address["split"]]
        return np.random.default_rng([stream, split, self.index, self.seed])

    def camera(
        self, rng: np.random.Generator, width_px: int, height_px: int, f_px: float | None
    ) -> Camera:
        """The requested focal length, or a free one of 40 to 110 degrees."""
        if f_px is None:
            return cameras.free_camera(rng, width_px=width_px, height_px=height_px)
        return Camera(f_px, f_px, width_px / 2, height_px / 2, width_px, height_px)

    def pose(self, rng: np.random.Generator, camera: Camera) -> Floats:
        """(4, 4) world_from_cam that sees something; see `find_pose`."""
        return find_pose(self.sight, rng, camera)

    def frame(
        self,
        camera: Camera,
        world_from_cam: Floats,
        rng: np.random.Generator,
        *,
        plain: bool = False,
    ) -> Frame:
        """Render one view; `rng` draws the look, `plain` leaves noise, blur and JPEG out."""
        (frame,) = self.frames([camera], [world_from_cam], [rng], plain=plain)
        return frame

    def frames(
        self,
        cameras: Sequence[Camera],
        poses: Sequence[Floats],
        rngs: Sequence[np.random.Generator],
        *,
        plain: bool = False,
    ) -> tuple[Frame, ...]:
        """Render views of one size together: each is what `frame` gives, in this order."""
        drawn = [
            looks.draw_look(rng, camera.height_px, camera.width_px, plain=plain)
            for camera, rng in zip(cameras, rngs, strict=True)
        ]
        rendered = self._pictures.photograph(cameras, poses, drawn)
        return tuple(
            self._frame(looks.finished(picture, look), truth, camera, pose)
            for (picture, truth), look, camera, pose in zip(
                rendered, drawn, cameras, poses, strict=True
            )
        )

    def _frame(
        self, image: NDArray[np.uint8], truth: Truth, camera: Camera, world_from_cam: Floats
    ) -> Frame:
        rays = pixel_rays(camera)
        mesh = self.scene.mesh
        hit = truth.face >= 0
        instance = np.where(hit, mesh.instance[np.maximum(truth.face, 0)], 0).astype(np.int32)
        depth = (truth.distance_m * rays[..., 2]).astype(np.float32)
        normal = (truth.normal @ world_from_cam[:3, :3].astype(np.float32)).astype(np.float32)
        return Frame(
            image=image,
            camera=camera,
            distance_m=truth.distance_m,
            depth_z_m=depth,
            normal=normal,
            instance=instance,
            objects=self.sight.objects(instance, camera, world_from_cam),
            world_from_cam=world_from_cam,
            kind=self.kind,
        )

    def view(
        self, number: int = 0, *, width_px: int, height_px: int, f_px: float | None = None
    ) -> Frame:
        """View `number` of this world; `f_px` None draws a lens of 40 to 110 degrees."""
        (frame,) = self.views([number], width_px=width_px, height_px=height_px, f_px=f_px)
        return frame

    def views(
        self, numbers: Sequence[int], *, width_px: int, height_px: int, f_px: float | None = None
    ) -> tuple[Frame, ...]:
        """Several views, each as `view` gives it, rendered together."""
        rngs = [self.rng(1 + number) for number in numbers]
        cameras = [self.camera(rng, width_px, height_px, f_px) for rng in rngs]
        poses = [self.pose(rng, camera) for rng, camera in zip(rngs, cameras, strict=True)]
        return self.frames(cameras, poses, rngs)

    def pair(
        self, number: int = 0, *, width_px: int, height_px: int, f_px: float | None = None
    ) -> tuple[Frame, Frame]:
        """Pair `number` of this world: two views that share more than a quarter.

        What is known of both together: `motion_between` of `worlds.frame`, and `matches` and
        `covisibility` of `sight`.
        """
        rng = self.rng(1_000_001 + number)
        camera1 = self.camera(rng, width_px, height_px, f_px)
        camera2 = camera1 if f_px is not None else self.camera(rng, width_px, height_px, None)
        pose1, pose2 = find_two_poses(self.sight, rng, camera1, camera2)
        one, two = self.frames((camera1, camera2), (pose1, pose2), (rng, rng))
        return one, two


def _world(seed: int, index: int, address: dict[str, Any]) -> World:
    return World(seed, index, **address)
