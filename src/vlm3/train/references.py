"""Other ways to name a pixel than the paper's: what `vlm3 study` compares it with.

`pixels` writes the coordinates in pixels of the picture as the model sees it. `marker` is DepthLM's
visual prompting: the pixel is drawn on the picture and the text is always the same, so each
question needs a picture of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


def question_size(
    reference: Reference, protocol: Protocol, width_px: int, height_px: int
) -> dict[str, int]:
    """The size to ask with: a picture as large as the grid makes written numbers its pixels."""
    if reference == "pixels":
        return {"width_px": protocol.norm_size, "height_px": protocol.norm_size}
    return {"width_px": width_px, "height_px": height_px}


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
        if self.reference != "pixels":
            return super()._depth(record, k)
        plan = self.plan(record.camera)
        size = question_size(
            self.reference, self.protocol, plan.camera.width_px, plan.camera.height_px
        )
        return QA(
            "depth",
            depth.ask(self.protocol, plan.xy_to_resized(record.xy_px[k]), **size),
            depth.answer(self.protocol, float(record.distance_m[k])),
        )
