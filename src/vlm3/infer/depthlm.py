"""DepthLM's own protocol: a red arrow is drawn at the pixel, and the question has no numbers.

From facebookresearch/DepthLM_Official, utils/datasets.py (`dataset_inference`) and eval.py. Prompt:

    Given this image, how far is the point pointed by the red arrow from the camera? Output the
    thinking process in <think> </think> and final answer (the meter number only, without the unit)
    in <answer> </answer> tags.

Every point needs a picture of its own, so that nothing is shared between questions. Pictures are
brought to a focal length of 750 px, as their evaluation of the released 12B model has it.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from vlm3.errors import InputError
from vlm3.infer.answers import depth_answer
from vlm3.infer.engines.base import Reply
from vlm3.infer.generation import Progress, max_new_tokens
from vlm3.infer.inputs import points_in
from vlm3.infer.predictor import Predictor
from vlm3.tasks.answers import DepthAnswer, Readout
from vlm3.tasks.protocol import ImagePrep, Protocol, get_protocol
from vlm3.view import View

QUESTION = (
    "Given this image, how far is the point pointed by the red arrow from the camera? Output the "
    "thinking process in <think> </think> and final answer (the meter number only, without the "
    "unit) in <answer> </answer> tags."
)
F_PX = 750.0
_REACH_PX = 5
_RED = (255, 0, 0)

_TRAINED_ALIKE = get_protocol("release-depth")
"""What DepthLM is trained to answer is what VLM3-depth is."""
_ROOM = max_new_tokens(_TRAINED_ALIKE)

PROTOCOL = Protocol(
    name="depthlm",
    description="facebook/DepthLM: a red arrow in the picture",
    prep=ImagePrep("focal_x", F_PX, "floor"),
    norm_size=1,
    half_open=False,
    templates=MappingProxyType({"depth.ask": QUESTION}),
    patterns=_TRAINED_ALIKE.patterns,
)


def resized(view: View) -> NDArray[np.uint8]:
    """The picture at the protocol's focal length: both sides by f / fx, cut to whole pixels.

    Theirs also passes pictures whose fx and fy differ through OpenCV's undistortion without any
    distortion; this does not.
    """
    scale = F_PX / view.camera.fx_px
    size = int(view.camera.width_px * scale), int(view.camera.height_px * scale)
    if min(size) < 2 * _REACH_PX + 1:
        raise InputError(
            f"at a focal length of {F_PX:g} px the picture has {size[0]}x{size[1]} px, too few for "
            "an arrow"
        )
    return np.asarray(Image.fromarray(view.image).resize(size))


def marked_pixel(view: View, xy_px: ArrayLike) -> tuple[int, int]:
    """The pixel of the resized picture that a point of the view falls into, in their operations.

    Args:
        view: the picture.
        xy_px: (2,) a point of it; their labels are of whole pixels, the one that holds it.
    """
    camera = view.camera
    scale = F_PX / camera.fx_px
    x, y = (int(v) for v in np.floor(np.asarray(xy_px, dtype=float)))
    return (
        int((x - camera.cx_px) * (camera.fx_px * scale / camera.fx_px) + camera.cx_px * scale),
        int((y - camera.cy_px) * (camera.fy_px * scale / camera.fy_px) + camera.cy_px * scale),
    )


def with_arrow(image: NDArray[np.uint8], x: int, y: int) -> NDArray[np.uint8] | None:
    """A copy with a red arrow from the left, whose tip is beside pixel (x, y).

    Returns:
        None within five pixels of the border, where their evaluation leaves the point out.
    """
    height, width = image.shape[:2]
    if not (_REACH_PX <= x < width - _REACH_PX and _REACH_PX <= y < height - _REACH_PX):
        return None
    drawn = image.copy()
    drawn[y, x - _REACH_PX : x] = _RED
    for step in range(1, _REACH_PX // 2 + 1):
        drawn[[y + step, y - step], x - step - 1] = _RED
    return drawn


@dataclass(frozen=True)
class ArrowPredictor(Predictor):
    """Distances from an engine that is shown arrows; the other tasks are not DepthLM's."""

    def depth(
        self,
        view: View,
        xy_px: ArrayLike,
        *,
        engine: Literal["naive"] | None = None,
        readout: Readout | None = None,
        grammar: bool = False,
        progress: Progress | None = None,
    ) -> DepthAnswer:
        """As `Predictor.depth`; a point too near the border for its arrow is unparsed.

        Raises:
            InputError: a point outside the picture; or a readout, a grammar or another engine, of
                which there is none.
        """
        if engine is not None or readout not in (None, "digits") or grammar:
            raise InputError("DepthLM's answers are digits as written; leave the options out")
        xy = points_in(view, xy_px)
        picture = resized(view)
        replies = []
        for point in xy:
            drawn = with_arrow(picture, *marked_pixel(view, point))
            replies.append(Reply("" if drawn is None else self._told(drawn)))
            if progress is not None:
                progress(1)
        return depth_answer(self.protocol, view, xy, [QUESTION] * len(xy), replies, "digits")

    def _told(self, picture: NDArray[np.uint8]) -> str:
        fitted = _fitted(picture, self.multiple_px)
        with self.engine.open([fitted]) as scene:
            (text,) = self.engine.ask(scene, [QUESTION], max_new_tokens=_ROOM)
        return text


def _fitted(picture: NDArray[np.uint8], multiple_px: int) -> NDArray[np.uint8]:
    """Sides that the model's patches need, by the resize its stock processor would make."""
    height, width = picture.shape[:2]
    sides = [max(multiple_px, round(side / multiple_px) * multiple_px) for side in (width, height)]
    if sides == [width, height]:
        return picture
    return np.asarray(Image.fromarray(picture).resize((sides[0], sides[1])))


def load_depthlm(
    name: str, *, device: str | None, base_url: str | None, cache: bool = True
) -> ArrowPredictor:
    """DepthLM's checkpoint: a folder (Pixtral, or Qwen2.5-VL), a hub id, or openai:NAME.

    Raises:
        CheckpointError: the folder cannot be loaded.
        InputError: no such device or server.
    """
    kind, _, rest = name.partition(":")
    if kind == "openai" and rest:
        from vlm3.infer.engines.served import behind_server

        served = behind_server(rest, _TRAINED_ALIKE.name, base_url, cache=cache)
        # The server's model fits the picture to its own grid.
        return ArrowPredictor(served.engine, PROTOCOL, multiple_px=1)
    if base_url is not None:
        raise InputError(f"base_url goes with a server: give depthlm:openai:{name}")
    from vlm3.infer.engines.pixtral import is_pixtral, load_pixtral
    from vlm3.model.finding import find_folder
    from vlm3.model.loading import load_checkpoint

    folder = find_folder(name)
    if is_pixtral(folder):
        return ArrowPredictor(load_pixtral(folder, name=name, device=device), PROTOCOL, 1)
    from vlm3.infer.engines.naive import NaiveEngine

    checkpoint = load_checkpoint(name, device=device)
    return ArrowPredictor(NaiveEngine(checkpoint), PROTOCOL, checkpoint.token_px)
