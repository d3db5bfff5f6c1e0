"""Rendered worlds as a data set: made when a sample is wanted, so that there is no end to them."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from vlm3.data.mixture import ENDLESS
from vlm3.geometry.camera import Camera
from vlm3.tasks.sample import Sample
from vlm3.worlds.cameras import free_camera
from vlm3.worlds.frame import Frame
from vlm3.worlds.labels import frame_sample, pair_sample
from vlm3.worlds.looks import repainted
from vlm3.worlds.mirror import mirrored
from vlm3.worlds.world import World


@dataclass(frozen=True)
class WorldDataset:
    """Single views, or pairs, of worlds; see `vlm3.data.dataset.Dataset`.

    Attributes:
        pairs: whether a sample is a pair.
        size_px: width and height of the pictures.
        f_px: their focal length; None draws an ideal lens of 40 to 110 degrees for each.
        seed: of the worlds.
        kind: room, street, or both.
        tilt_deg: cameras of single views are turned up or down by at most this.
        views: single views to train on, kept once rendered and shown again, mirrored and
            repainted; 0 for a new world each time.
    """

    pairs: bool
    size_px: tuple[int, int]
    f_px: float | None
    seed: int
    kind: Literal["room", "street", "both"] = "room"
    tilt_deg: float = 0.0
    views: int = 0
    name: str = "worlds"
    _kept: dict[int, Frame] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return self.views or ENDLESS

    def sample(self, place: int, rng: np.random.Generator) -> Sample:
        """See `vlm3.data.dataset.Dataset`."""
        if not self.pairs:
            return frame_sample(self._shown(place, rng), self.describe(place))
        width_px, height_px = self.size_px
        world = self._world(place)
        frames = world.pair(width_px=width_px, height_px=height_px, f_px=self.f_px)
        return pair_sample(world.sight, *frames, self.describe(place))

    def describe(self, place: int) -> str:
        """See `vlm3.data.dataset.Dataset`."""
        return f"world {place} of seed {self.seed}"

    def _world(self, place: int) -> World:
        held = place >= len(self)
        return World(
            self.seed,
            (place - len(self) if held else place) % (1 << 31),
            split="heldout" if held else "train",
            kind=None if self.kind == "both" else self.kind,
        )

    def _shown(self, place: int, rng: np.random.Generator) -> Frame:
        """A view of the world at `place`; one of a limited number looks another way each time."""
        if not self.views or place >= self.views:
            return self._rendered(place)
        if place not in self._kept:
            self._kept[place] = self._rendered(place)
        frame = self._kept[place]
        frame = mirrored(frame) if rng.random() < 0.5 else frame
        return replace(frame, image=repainted(frame.image, rng))

    def _camera(self, world: World, look: np.random.Generator) -> Camera:
        width_px, height_px = self.size_px
        if self.f_px is None:
            return free_camera(look, width_px=width_px, height_px=height_px, lens="ideal")
        return world.camera(look, width_px, height_px, self.f_px)

    def _rendered(self, place: int) -> Frame:
        world = self._world(place)
        look = world.rng(1)
        camera = self._camera(world, look)
        pose = world.pose(look, camera)
        pose = pose @ _tilt(look.uniform(-self.tilt_deg, self.tilt_deg))
        return world.frame(camera, pose, look)


def _tilt(angle_deg: float) -> npt.NDArray[np.float64]:
    """(4, 4) a turn about the camera's x axis."""
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    out = np.eye(4)
    out[1:3, 1:3] = (c, -s), (s, c)
    return out
