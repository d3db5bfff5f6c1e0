"""Other ways to name a pixel than the paper's: what `vlm3 study` compares it with.

`pixels` writes the coordinates in tenths of a pixel of the picture as the model sees it (at most
200 px wide). `relative` writes them as shares of the picture's sides, as the paper does, but in
thousandths: numbers of about the size of the others, and as new to a model that was trained with
the paper's. `marker` is DepthLM's visual prompting: the pixel is drawn on the picture and the text
is always the same, so each question needs a picture of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from vlm3.data.questions import Asker
from vlm3.data.record import Record
from vlm3.errors import InputError
from vlm3.tasks import depth
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.protocol import Protocol
from vlm3.train.config import Reference
from vlm3.view import View

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
        A position (2,), and the width and height of the picture that it is said to lie in.
    """
    xy = np.asarray(xy_px, np.float64)
    if reference == "normalised":
        return xy, {"width_px": width_px, "height_px": height_px}
    xy = xy * _PARTS / (width_px, height_px) if reference == "relative" else xy * _PER_PX
    return xy, {"width_px": protocol.norm_size, "height_px": protocol.norm_size}


@dataclass(frozen=True)
class OtherAsker(Asker):
    """An `Asker` about distances that names pixels in another way."""

    reference: Reference = "normalised"

    def __post_init__(self) -> None:
        if self.reference != "normalised" and self.tasks != ("depth",):
            raise InputError(f"reference {self.reference} is there for depth alone")

    def single(self, picture: bytes, record: Record, rng: np.random.Generator) -> Conversation:
        """See `Asker`; the marked picture comes with the one question about it."""
        if self.reference != "marker":
            return super().single(picture, record, rng)
        k = int(rng.integers(len(record.xy_px)))
        answer = depth.answer(self.protocol, float(record.distance_m[k]))
        (view,) = super().single(picture, record, rng).views
        image = marked(view.image, self.plan(record.camera).xy_to_resized(record.xy_px[k]).tolist())
        image.setflags(write=False)
        return Conversation((View(image, view.camera),), (QA("depth", MARKED_DEPTH, answer),))

    def _depth(self, record: Record, k: int) -> QA:
        if self.reference == "normalised":
            return super()._depth(record, k)
        plan = self.plan(record.camera)
        at, size = question_place(
            self.reference,
            self.protocol,
            plan.xy_to_resized(record.xy_px[k]),
            plan.camera.width_px,
            plan.camera.height_px,
        )
        answer = depth.answer(self.protocol, float(record.distance_m[k]))
        return QA("depth", depth.ask(self.protocol, at, **size), answer)
