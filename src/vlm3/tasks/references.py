"""Other ways to name a pixel than the paper's: what `vlm3 study` compares it with.

`pixels` writes the coordinates in tenths of a pixel of the picture as the model sees it (at most
200 px wide). `relative` writes them as shares of the picture's sides, as the paper does, but in
thousandths: numbers of about the size of the others, and as new to a model that was trained with
the paper's. `marker` is DepthLM's visual prompting: the pixel is drawn on the picture and the text
is always the same, so each question needs a picture of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.focal import ResizePlan
from vlm3.tasks import depth
from vlm3.tasks.base import TaskName
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.depth import Depth
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.question_writer import QuestionWriter
from vlm3.tasks.registry import in_order
from vlm3.tasks.sample import Points, Sample

Reference = Literal["normalised", "relative", "pixels", "marker"]
Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

MARKED_DEPTH = "Distance in meters from the camera to the marked point:"
MARKED_COLOR = "Color of the marked point:"

_RADIUS_PX = 3.5
_MARKER = ((255, 0, 255), (255, 255, 255))
"""A ring in magenta within one in white: rooms have neither, and its middle stays free."""


def marked(image: Image, xy_px: Sequence[float]) -> Image:
    """A copy of the picture with a ring around one pixel (2,)."""
    height_px, width_px, _ = image.shape
    y, x = np.ogrid[:height_px, :width_px]
    away = np.hypot(x + 0.5 - xy_px[0], y + 0.5 - xy_px[1])
    out = image.copy()
    for radius_px, color in zip((_RADIUS_PX, _RADIUS_PX + 1), _MARKER, strict=True):
        out[np.abs(away - radius_px) < 0.6] = color
    return out


_PARTS = 1000
"""Of each side of a picture, in reference `relative`."""
_PER_PX = 10
"""Of a pixel, in reference `pixels`: numbers of about the size of the others."""


def question_place(
    reference: Reference, protocol: Protocol, xy_px: ArrayLike, width_px: int, height_px: int
) -> tuple[Floats, dict[str, int]]:
    """What to pass to `ask` so that its question names a pixel as the reference does.

    A picture as large as the protocol's grid makes the written numbers those passed.

    Args:
        reference: how the pixel is named in text.
        protocol: whose grid.
        xy_px: (2,) continuous, in the picture as the model sees it.
        width_px: of that picture.
        height_px: of that picture.

    Returns:
        A position (2,), and the width and height of the picture that it lies in.
    """
    xy = np.asarray(xy_px, np.float64)
    if reference == "normalised":
        return xy, {"width_px": width_px, "height_px": height_px}
    xy = xy * _PARTS / (width_px, height_px) if reference == "relative" else xy * _PER_PX
    return xy, {"width_px": protocol.norm_size, "height_px": protocol.norm_size}


class ReferencedDepth(Depth):
    """Distances at pixels that are named in another way.

    Args:
        reference: which.
        plan: the picture's one resize.
    """

    def __init__(self, reference: Reference, plan: Callable[[Camera], ResizePlan]) -> None:
        self._reference, self._plan = reference, plan

    def question(self, protocol: Protocol, camera: Camera, xy_px: ArrayLike) -> str:
        """See `Depth`."""
        if self._reference == "marker":
            return MARKED_DEPTH
        plan = self._plan(camera)
        at, size = question_place(
            self._reference,
            protocol,
            plan.xy_to_resized(xy_px),
            plan.camera.width_px,
            plan.camera.height_px,
        )
        return depth.ask(protocol, at, **size)


@dataclass(frozen=True)
class MarkingWriter(QuestionWriter):
    """One question a picture, about a point that is drawn on it."""

    def write(self, sample: Sample, rng: np.random.Generator) -> Conversation:
        """See `QuestionWriter`."""
        points = _listed(sample)
        k = int(rng.integers(len(points.xy_px)))
        one = Points(points.xy_px[[k]], points.distance_m[[k]])
        return super().write(replace(sample, points=one), rng)

    def images(self, sample: Sample) -> tuple[Image, ...]:
        """The picture with a ring around the sample's first point."""
        xy_px = _listed(sample).xy_px[0]
        (image,) = super().images(sample)
        return (marked(image, self.plan(sample.cameras[0]).xy_to_resized(xy_px).tolist()),)


def _listed(sample: Sample) -> Points:
    if not isinstance(sample.points, Points) or not len(sample.points.xy_px):
        raise InputError("reference marker needs pictures with labelled points")
    return sample.points


def question_writer(
    reference: Reference,
    protocol: Protocol,
    tasks: Sequence[TaskName],
    multiple_px: int,
    per_picture: int,
    max_tokens: int | None = None,
) -> QuestionWriter:
    """A writer that names pixels as a reference does; see `QuestionWriter`.

    Raises:
        InputError: another reference than the paper's for anything but distances.
    """
    plain = QuestionWriter(protocol, in_order(tasks), multiple_px, per_picture, max_tokens)
    if reference == "normalised":
        return plain
    named = ReferencedDepth(reference, plain.plan)
    if tuple(tasks) != (named.name,):
        raise InputError(f"reference {reference} is there for {named.name} alone")
    kind = MarkingWriter if reference == "marker" else QuestionWriter
    return kind(protocol, (named,), multiple_px, per_picture, max_tokens)
