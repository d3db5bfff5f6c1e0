"""Metric depth (paper, section 3.2): how far a pixel's point is from the camera.

Asked under `release-depth` (facebookresearch/VLM3, sample_data/depth_labels.json):

    Given this image, how far is the point at coordinates (16, 1061) from the camera? ...

and answered in the form DepthLM trained:

    <think> The point is around 2.75 meters away from the camera. </think>

    <answer> 2.75 </answer>

The distance is the straight one from the camera's centre, not along the axis.
"""

from numpy.typing import ArrayLike

from vlm3.tasks.base import ParseFailure
from vlm3.tasks.framing import framed
from vlm3.tasks.lengths import Wanted, read_length
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.reading import answer_part, length_in_metres
from vlm3.tasks.writing import written_metres, written_xy


def ask(protocol: Protocol, xy_px: ArrayLike, *, width_px: int, height_px: int) -> str:
    """The question about one pixel (2,) of a picture of that size.

    Raises:
        InputError: the pixel lies outside, or the protocol has no depth.
    """
    template = protocol.template("depth.ask")
    x, y = written_xy(protocol, xy_px, width_px=width_px, height_px=height_px)
    return template.format(x=x, y=y)


def answer(protocol: Protocol, distance_m: float) -> str:
    """The answer that a model is trained to give.

    Raises:
        InputError: a distance that is not positive and finite, or the protocol has no depth.
    """
    return protocol.template("depth.answer").format(metres=written_metres(distance_m))


_DISTANCE = Wanted("distance", camera=True, unit="m")


def parse(protocol: Protocol, text: str) -> float | ParseFailure:
    """The distance in metres that a model wrote; a failure where none stands.

    Under a protocol that fixes the form of the answer only that form is read; under one that does
    not (`paper`), what a person would read, a number without a unit as metres.
    """
    form = protocol.patterns.get("depth")
    if form is None:
        frame = framed(text)
        if isinstance(frame, ParseFailure):
            return frame
        value = read_length(_DISTANCE, frame.answer, depth=True)
        return (
            ParseFailure(text, value) if isinstance(value, str) else length_in_metres(text, value)
        )
    part = answer_part(text)
    if isinstance(part, ParseFailure):
        return part
    found = form.search(part)
    if found is None:
        return ParseFailure(text, "no distance in the form asked for")
    return length_in_metres(text, float(found["metres"]))
