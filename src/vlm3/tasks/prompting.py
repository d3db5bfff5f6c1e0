"""The one writer of questions about pictures, and of the answers that labels give them.

Training, asking and evaluation all come here, so that a prompt cannot differ between them. Pixels
and boxes are those of the picture as it is stored or given, with its camera; how they are named in
the text belongs to the protocol. Knows no model and no file.

A distance under `joint` at pixel (320.5, 240.5) of a 640x480 picture:

    Distance in meters from the camera to the point (x, y), each in [0, 2000): 1002 1002

    02.75
"""

from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.tasks import correspondence, depth, objects, pose
from vlm3.tasks.base import QA
from vlm3.tasks.pose import Component
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.writing import named_pixel


def depth_question(protocol: Protocol, camera: Camera, xy_px: ArrayLike) -> str:
    """How far the point at a pixel (2,) of the camera's picture is.

    Raises:
        InputError: the pixel lies outside, or the protocol has no depth.
    """
    xy, width_px, height_px = named_pixel(protocol, camera, xy_px)
    return depth.ask(protocol, xy, width_px=width_px, height_px=height_px)


def depth_qa(protocol: Protocol, camera: Camera, xy_px: ArrayLike, distance_m: float) -> QA:
    """The same with its answer."""
    question = depth_question(protocol, camera, xy_px)
    return QA("depth", question, depth.answer(protocol, distance_m))


def match_question(
    protocol: Protocol, camera: Camera, xy_px: ArrayLike, *, template: int | None = None
) -> str:
    """Where a pixel (2,) of the first picture lies in the second; see `correspondence.ask`.

    Without `template` in the wording that the protocol asks, `match_wording`.

    Raises:
        InputError: the pixel lies outside, no such wording, or the protocol has no correspondence.
    """
    wording = protocol.match_wording if template is None else template
    return correspondence.ask(protocol, xy_px, template=wording, **_size(camera))


def match_qa(
    protocol: Protocol,
    cameras: tuple[Camera, Camera],
    xy_a_px: ArrayLike,
    xy_b_px: ArrayLike,
    *,
    template: int | None = None,
) -> QA:
    """The same with its answer, a pixel (2,) of the second picture."""
    question = match_question(protocol, cameras[0], xy_a_px, template=template)
    return QA(
        "correspondence", question, correspondence.answer(protocol, xy_b_px, **_size(cameras[1]))
    )


def pose_questions(protocol: Protocol, *, metric: bool = True) -> dict[Component, str]:
    """What is asked about the motion between two pictures, by component."""
    return {part: pose.ask(protocol, part) for part in pose.components(protocol, metric=metric)}


def pose_qas(protocol: Protocol, motion: RelativePose, *, metric: bool = True) -> tuple[QA, ...]:
    """The same with their answers; without direction and distance where the camera stood still."""
    return tuple(
        QA("pose", question, pose.answer(protocol, part, motion))
        for part, question in pose_questions(protocol, metric=metric).items()
        if part in ("rotation", "rotation_angle") or motion.direction is not None
    )


def object_question(
    protocol: Protocol, camera: Camera, question: str, boxes_xyxy_px: ArrayLike
) -> str:
    """A question with {0}, {1} where boxes (n, 4) of the picture are meant; see `objects.ask`.

    Raises:
        InputError: boxes and placeholders that do not pair, a box outside, or no objects there.
    """
    return objects.ask(protocol, question, boxes_xyxy_px, **_size(camera))


def object_qa(
    protocol: Protocol,
    camera: Camera,
    question: str,
    boxes_xyxy_px: ArrayLike,
    *,
    value_m: float | None = None,
    clock_hour: int | None = None,
    yes: bool | None = None,
    region: int | None = None,
    sentence: str | None = None,
) -> QA:
    """The same with its answer: the short one if a value is given, else the sentence.

    Raises:
        InputError: as `object_question`; or there is no answer.
    """
    asked = object_question(protocol, camera, question, boxes_xyxy_px)
    size = _size(camera)
    if (value_m, clock_hour, yes, region) != (None,) * 4:
        answer = objects.answer(
            protocol,
            boxes_xyxy_px,
            value_m=value_m,
            clock_hour=clock_hour,
            yes=yes,
            region=region,
            **size,
        )
    elif sentence is not None:
        answer = objects.answer_text(protocol, sentence, boxes_xyxy_px, **size)
    else:
        raise InputError(f"{question!r} has no answer")
    return QA("objects", asked, answer)


def _size(camera: Camera) -> dict[str, int]:
    return {"width_px": camera.width_px, "height_px": camera.height_px}
