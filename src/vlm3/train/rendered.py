"""Sources that make what they are asked for: rendered worlds, and mosaics."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal
from typing import Protocol as Interface

import numpy as np
import numpy.typing as npt

from vlm3.data.mixture import ENDLESS
from vlm3.errors import InputError
from vlm3.geometry.pixels import norm_from_px
from vlm3.tasks.base import QA, Task
from vlm3.tasks.protocol import Protocol
from vlm3.train.collate import Lesson
from vlm3.train.config import Reference
from vlm3.train.mosaics import COLORS, QUESTION, color_lesson, color_qas
from vlm3.train.references import MARKED_COLOR, marked, question_place

if TYPE_CHECKING:
    from vlm3.worlds.sample import Frame, World

Image = npt.NDArray[np.uint8]
_KEPT: "dict[tuple[object, ...], Frame]" = {}
"""Views of this process that will be shown again; 0.2 MB each at 96x80."""


class LessonSource(Interface):
    """What the stream draws from; see `vlm3.data.source.Source`."""

    @property
    def name(self) -> str:
        """What the books call it."""

    def __len__(self) -> int:
        """Samples to train on."""

    def lesson(self, place: int, seed: tuple[int, int]) -> Lesson:
        """Sample `place`; from len() on they are held out. `seed`: of the run, and the count."""

    def describe(self, place: int) -> str:
        """What messages call a sample."""


@dataclass(frozen=True)
class Worlds:
    """Rendered views (depth, objects) or pairs (correspondence, pose)."""

    protocol: Protocol
    tasks: tuple[Task, ...]
    size_px: tuple[int, int]
    f_px: float
    questions: int
    seed: int
    colors: int = 0
    kind: Literal["room", "street", "both"] = "room"
    tilt_deg: float = 0.0
    views: int = 0
    name: str = "worlds"

    def __len__(self) -> int:
        return self.views or ENDLESS

    def lesson(self, place: int, seed: tuple[int, int]) -> Lesson:
        """See `LessonSource`."""
        from vlm3.worlds import labels

        rng = np.random.default_rng(seed)
        width_px, height_px = self.size_px
        qas: tuple[QA, ...] = ()
        if {"correspondence", "pose"} & set(self.tasks):
            pair = self._world(place).pair(width_px=width_px, height_px=height_px, f_px=self.f_px)
            qas += labels.match_qas(pair, self.protocol, self.questions, rng)
            qas += labels.pose_qas(pair, self.protocol)
            images: tuple[Image, ...] = (pair.frame1.image, pair.frame2.image)
        else:
            frame = self._shown(place, rng)
            if "depth" in self.tasks:
                qas += labels.depth_qas(frame, self.protocol, self.questions, rng)
            if "objects" in self.tasks:
                qas += labels.object_qas(frame, self.protocol, self.questions, rng)
            images = (frame.image,)
        chosen = [qa for qa in qas if qa.task in self.tasks]
        if len(images) == 1:
            chosen += color_qas(rng, images[0], questions=self.colors)
        unique = tuple({qa.question: qa for qa in chosen}.values())
        if not unique:
            raise InputError("nothing to ask")
        return Lesson(images, unique)

    def _world(self, place: int) -> "World":
        from vlm3.worlds.sample import World

        held = place >= len(self)
        return World(
            self.seed,
            (place - len(self) if held else place) % (1 << 31),
            split="heldout" if held else "train",
            kind=None if self.kind == "both" else self.kind,
        )

    def _shown(self, place: int, rng: np.random.Generator) -> "Frame":
        """A view of the world at `place`; one of a limited number looks another way each time."""
        if not self.views or place >= self.views:
            return self._rendered(place)
        key = (self.seed, self.size_px, self.f_px, self.kind, self.tilt_deg, place)
        frame = _KEPT.get(key)
        if frame is None:
            frame = _KEPT[key] = self._rendered(place)
        # Loaded here: worlds need Warp, and shards do not.
        from vlm3.worlds.looks import repainted
        from vlm3.worlds.mirror import mirrored

        frame = mirrored(frame) if rng.random() < 0.5 else frame
        return replace(frame, image=repainted(frame.image, rng))

    def _rendered(self, place: int) -> "Frame":
        world = self._world(place)
        look = world.rng(1)
        camera = world.camera(look, *self.size_px, self.f_px)
        pose = world.pose(look, camera)
        pose = pose @ _tilt(look.uniform(-self.tilt_deg, self.tilt_deg))
        return world.frame(camera, pose, look)

    def describe(self, place: int) -> str:
        """See `LessonSource`."""
        return f"world {place} of seed {self.seed}"


def _tilt(angle_deg: float) -> npt.NDArray[np.float64]:
    """(4, 4) a turn about the camera's x axis."""
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    out = np.eye(4)
    out[1:3, 1:3] = (c, -s), (s, c)
    return out


@dataclass(frozen=True)
class Mosaics:
    """Plain colours and questions for the one at a point: where the text points, and nothing else.

    Pictures differ in size, within a quarter of `size_px`. Where pixels are marked, a
    picture has one question.
    """

    protocol: Protocol
    size_px: tuple[int, int]
    multiple_px: int
    questions: int
    seed: int
    reference: Reference = "normalised"
    name: str = "mosaics"

    def __len__(self) -> int:
        return ENDLESS

    def lesson(self, place: int, seed: tuple[int, int]) -> Lesson:
        """See `LessonSource`."""
        rng = np.random.default_rng((7, self.seed, place))
        width_px, height_px = (
            max(1, round(side * rng.uniform(0.75, 1.25) / self.multiple_px)) * self.multiple_px
            for side in self.size_px
        )
        image, qas = color_lesson(
            rng, width_px=width_px, height_px=height_px, questions=self.questions
        )
        if self.reference == "marker":
            x, y = int(rng.integers(width_px)), int(rng.integers(height_px))
            answer = COLORS[int((image[y, x] >= 128) @ (4, 2, 1))]
            return Lesson(
                (marked(image, (x + 0.5, y + 0.5)),), (QA("depth", MARKED_COLOR, answer),)
            )
        if self.reference in ("pixels", "relative"):
            qas = self._renamed(rng, image)
        return Lesson((image,), tuple({qa.question: qa for qa in qas}.values()))

    def _renamed(self, rng: np.random.Generator, image: Image) -> list[QA]:
        height_px, width_px, _ = image.shape
        qas = {}
        for x, y in rng.integers((0, 0), (width_px, height_px), (self.questions, 2)).tolist():
            xy, size = question_place(
                self.reference, self.protocol, (x + 0.5, y + 0.5), width_px, height_px
            )
            at = norm_from_px(xy, *size.values(), size=self.protocol.norm_size, half_open=True)
            answer = COLORS[int((image[y, x] >= 128) @ (4, 2, 1))]
            question = QUESTION.format(x=int(at[0]), y=int(at[1]))
            qas[question] = QA("depth", question, answer)
        return list(qas.values())

    def describe(self, place: int) -> str:
        """See `LessonSource`."""
        return f"mosaic {place} of seed {self.seed}"
