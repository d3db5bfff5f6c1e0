"""The conventions in which a model is asked and answers, as data: six of them, by name.

`paper` is the paper's section 3.2; the four `release-` ones are those of the released checkpoints
(facebookresearch/VLM3: README, inference.ipynb, sample_data), word for word; `joint` is ours: one
checkpoint for the four tasks, what is constant first and the numbers that vary last.

A template is filled by `str.format`, so that its number formats stand in it. An answer is read by
the regular expression of the same name. Knows no model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from types import MappingProxyType
from typing import Literal, Self

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.focal import ResizePlan, plan_focal, plan_long_side
from vlm3.tasks.base import Task
from vlm3.tasks.reading import NUMBER


@dataclass(frozen=True)
class ImagePrep:
    """How a picture is resized before the model sees it.

    Attributes:
        kind: "focal" brings both focal lengths to `target_px`, each axis by its own factor;
            "focal_x" scales both axes by `target_px` / fx; "long_side" makes the longer side
            `target_px`.
        target_px: pixels.
        rounding: how a side becomes whole: to nearest, or down.
    """

    kind: Literal["focal", "focal_x", "long_side"]
    target_px: float
    rounding: Literal["nearest", "floor"] = "nearest"


@dataclass(frozen=True)
class Protocol:
    """One convention: picture, coordinates, questions, answers.

    Attributes:
        name: what it is chosen by.
        description: one line.
        tasks: what can be asked.
        prep: what happens to the picture.
        norm_size: coordinates in the text run from 0 to this.
        half_open: whether written coordinates stay below `norm_size`.
        templates: name -> text with fields, e.g. "depth.ask" with {x} and {y}.
        patterns: name -> the form of an answer, with named groups.
    """

    name: str
    description: str
    tasks: frozenset[Task]
    prep: ImagePrep
    norm_size: int
    half_open: bool
    templates: Mapping[str, str]
    patterns: Mapping[str, re.Pattern[str]]

    def template(self, name: str) -> str:
        """The template of that name, e.g. "depth.ask".

        Raises:
            InputError: the protocol does not have it.
        """
        found = self.templates.get(name)
        if found is None:
            others = ", ".join(p.name for p in PROTOCOLS.values() if name in p.templates)
            raise InputError(
                f"protocol {self.name!r} has no {name!r}; "
                f"choose one that has: {others or 'none does'}"
            )
        return found

    def plan(
        self,
        camera: Camera,
        *,
        multiple_px: int,
        max_tokens: int | None = None,
        token_px: int | None = None,
    ) -> ResizePlan:
        """The resize this protocol gives a picture; see `vlm3.geometry.focal`."""
        if self.prep.kind == "long_side":
            return plan_long_side(
                camera,
                long_side_px=round(self.prep.target_px),
                multiple_px=multiple_px,
                max_tokens=max_tokens,
                token_px=token_px,
                rounding=self.prep.rounding,
            )
        return plan_focal(
            camera,
            f_px=self.prep.target_px,
            multiple_px=multiple_px,
            max_tokens=max_tokens,
            token_px=token_px,
            axes="both" if self.prep.kind == "focal" else "x",
            rounding=self.prep.rounding,
        )

    def with_focal(self, f_px: float) -> Self:
        """The same protocol at another focal length, as a checkpoint may have been trained.

        Raises:
            InputError: the protocol has no focal length, or `f_px` is not positive.
        """
        if self.prep.kind == "long_side":
            raise InputError(f"protocol {self.name!r} sets the longer side, not a focal length")
        if not 0 < f_px < float("inf"):
            raise InputError(f"f_px is {f_px}; a focal length is positive, in pixels")
        return replace(self, prep=replace(self.prep, target_px=f_px))


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        InputError: there is none; the message lists the names.
    """
    if name not in PROTOCOLS:
        raise InputError(f"unknown protocol {name!r}; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def protocol_for_checkpoint(name_or_path: str) -> Protocol | None:
    """The protocol of a released checkpoint, by its name; None for any other.

    Takes a hub id ("facebook/VLM3-depth"), a folder that ends in the name, or a hub cache path.
    """
    path = PurePath(name_or_path)
    cached = [p.split("--")[-1] for p in path.parts if p.startswith("models--")]
    for name in (path.name, *cached):
        if name.lower() in _RELEASED:
            return PROTOCOLS[_RELEASED[name.lower()]]
    return None


_RELEASED = {
    "vlm3-depth": "release-depth",
    "vlm3-object": "release-object",
    "vlm3-corr": "release-corr",
    "vlm3-pose": "release-pose",
}


def _number(name: str) -> str:
    return rf"(?P<{name}>{NUMBER})"


# Answers are matched after `reading.answer_part`: every run of spaces is one space.
_METRES = r"(?:m|met(?:er|re)s?)"
_DEGREES = r"(?: ?(?:°|deg(?:rees?)?))"
# Nothing sticks to the number's start or end that would make it another number.
_FRESH = r"(?<![\w.,+\-–—/])"
_DONE = r"(?!\w|[.,][0-9])"
_PAIR = rf"\( ?{_number('x')} ?, ?{_number('y')} ?\)"
_TRIPLE = rf"\( ?{_number('x')} ?, ?{_number('y')} ?, ?{_number('z')} ?\)"
_ECHO = rf"\( ?{NUMBER} ?, ?{NUMBER} ?\)"
_IN_SECOND = r"(?: in (?:the second image|image 2))"
_ANGLES = ("yaw", "pitch", "roll")
_YPR = ",? ?(?:and )?".join(
    rf"{angle} ?[=:]? ?{_number(angle)}{_DEGREES}?{_DONE}" for angle in _ANGLES
)


def _whole(pattern: str) -> re.Pattern[str]:
    """The answer is this and nothing else."""
    return re.compile(rf"\A(?:{pattern})\Z", re.IGNORECASE)


def _first(pattern: str) -> re.Pattern[str]:
    """The first such place is the answer, whatever stands around it."""
    return re.compile(pattern, re.IGNORECASE)


def _only(pattern: str) -> re.Pattern[str]:
    """No other number stands around it, of any script, and not many words."""
    return _whole(rf"\D{{0,80}}?{_FRESH}{pattern}\D{{0,80}}")


_REGION_WORDS = {
    "objects.region": "bounding box region ({x1}, {y1}, {x2}, {y2})",
    "objects.ask": "{question}",
    "objects.length": "{metres:.2f} meters",
    "objects.yes": "Yes.",
    "objects.no": "No.",
    "objects.choice": "{region}",
    "objects.clock": "{hour} o'clock",
}

_ROTATION = (
    "Treating the first image as the reference viewpoint, describe the camera's reorientation "
    "needed to reach the second image's viewpoint as yaw, pitch and roll about the first camera's "
    "local axes, applied intrinsically in the order yaw -> pitch -> roll.{gap}Conventions: yaw is "
    "rotation about the vertical (down) axis, positive = turn right; pitch is about the lateral "
    "(right) axis after yaw, positive = look up; roll is about the optical (forward) axis after "
    "yaw and pitch, positive = bank to the right (image content rotates clockwise from the "
    "operator's POV)."
)
_DISTANCE = "Estimate the magnitude of the camera translation between the two viewpoints."
_DIRECTION_ANSWER = "The camera moves {words}, unit vector ({x:+z.2f}, {y:+z.2f}, {z:+z.2f})."

_PAPER = Protocol(
    name="paper",
    description="the paper's own wording (section 3.2), four tasks",
    tasks=frozenset({"depth", "objects", "correspondence", "pose"}),
    prep=ImagePrep("focal", 1000.0),
    norm_size=2000,
    half_open=True,
    templates=MappingProxyType(
        {
            # Section 3.1; the paper does not print the answer, so this is DepthLM's sentence.
            "depth.ask": "How far is the pixel at ({x}, {y}) from the camera? "
            "Both x and y are normalized to between [0, 2000].",
            "depth.answer": "The point is around {metres:.2f} meters away from the camera.",
            "correspondence.ask": "Given these two images, what pixel in the second image "
            "corresponds to pixel ({x}, {y}) in the first image? Report the answer as (x2, y2).",
            # The paper used five templates and prints one; the other four are ours.
            "correspondence.ask.1": "The same scene point is visible in both images. In the first "
            "image it lies at ({x}, {y}). At which pixel (x2, y2) does it lie in the second image?",
            "correspondence.ask.2": "Find the match of pixel ({x}, {y}) of image 1 in image 2. "
            "Answer with its coordinates (x2, y2).",
            "correspondence.ask.3": "Look at the point ({x}, {y}) in the first image. "
            "Where is that point in the second image? Give the pixel as (x2, y2).",
            "correspondence.ask.4": "Which location (x2, y2) in the second image shows the surface "
            "point that the first image shows at ({x}, {y})?",
            "correspondence.answer": "The corresponding pixel is ({x}, {y}).",
            "pose.rotation.ask": _ROTATION.format(gap=" "),
            "pose.rotation.answer": "Yaw={yaw:+z.1f}, Pitch={pitch:+z.1f}, Roll={roll:+z.1f}.",
            "pose.direction.ask": "Using the first camera as the reference frame, describe the "
            "displacement of the camera between the two views. Use the first camera's local axes "
            "(X = right, Y = down, Z = forward) and give a qualitative direction together with the "
            "precise unit direction vector (x, y, z).",
            "pose.direction.answer": _DIRECTION_ANSWER,
            "pose.distance.ask": _DISTANCE,
            "pose.distance.answer": "Translation distance: {metres:.2f} meters.",
            **_REGION_WORDS,
        }
    ),
    patterns=MappingProxyType(
        {
            "depth": _whole(
                rf"(?:(?:the (?:point|pixel|distance)|it)(?: at {_ECHO})? is )?"
                rf"(?:(?:about|around|approximately|roughly) )?"
                rf"{_number('metres')} ?{_METRES}?(?: away)?(?: from the camera)? ?\.?"
            ),
            "correspondence": _whole(
                rf"(?:(?:the (?:corresponding |matching )?(?:pixel|point)|it){_IN_SECOND}? "
                rf"(?:is|lies)(?: at)? )?(?:\(x2?, y2?\) ?= ?)?{_PAIR}{_IN_SECOND}? ?\.?"
            ),
            "pose.rotation": _whole(rf"{_YPR} ?\.?"),
            "pose.direction": _whole(
                rf"(?:the camera moves [a-z ,]{{0,60}}unit vector )?{_TRIPLE} ?\.?"
            ),
            "pose.distance": _whole(
                rf"(?:translation distance:? )?{_number('metres')} ?{_METRES} ?\.?"
            ),
        }
    ),
)

_RELEASE_DEPTH = Protocol(
    name="release-depth",
    description="facebook/VLM3-depth",
    tasks=frozenset({"depth"}),
    prep=ImagePrep("focal_x", 1000.0, "floor"),
    norm_size=2000,
    half_open=False,
    templates=MappingProxyType(
        {
            "depth.ask": "Given this image, how far is the point at coordinates ({x}, {y}) from "
            "the camera? The coordinates are in normalised [0, 2000] format relative to image "
            "width and height. Output the thinking process in <think> </think> and final answer "
            "(the meter number only, without the unit) in <answer> </answer> tags.",
            "depth.answer": "<think> The point is around {metres:.2f} meters away from the camera. "
            "</think>\n\n<answer> {metres:.2f} </answer>",
        }
    ),
    patterns=MappingProxyType(
        {"depth": _first(rf"<answer> ?{_number('metres')}(?: ?{_METRES})? ?</answer>")}
    ),
)

_RELEASE_OBJECT = Protocol(
    name="release-object",
    description="facebook/VLM3-object: SpatialRGPT's questions, regions as boxes in text",
    tasks=frozenset({"objects"}),
    prep=ImagePrep("focal_x", 1000.0, "floor"),
    norm_size=1000,
    half_open=False,
    templates=MappingProxyType(_REGION_WORDS),
    patterns=MappingProxyType({}),
)

_CORR_ASK = (
    "Given these two images, what pixel in the second image corresponds to pixel ({x}, {y}) in "
    "the first image? Report the answer as (x, y)."
)

_RELEASE_CORR = Protocol(
    name="release-corr",
    description="facebook/VLM3-corr",
    tasks=frozenset({"correspondence"}),
    prep=ImagePrep("long_side", 1024.0),
    norm_size=1000,
    half_open=False,
    templates=MappingProxyType(
        {
            "correspondence.ask": _CORR_ASK,
            "correspondence.ask.1": _CORR_ASK + " Please think step by step and follow the format: "
            '"<think> [think process] </think>\n\n[answer]".',
            "correspondence.answer": "({x}, {y})",
        }
    ),
    patterns=MappingProxyType(
        {
            # In brackets anywhere, or bare and alone.
            "correspondence": _first(
                rf"(?:(?P<open>\()|\A) ?{_number('x')} ?, ?{_number('y')} ?(?(open)\)|\.?\Z)"
            )
        }
    ),
)

_RELEASE_POSE = Protocol(
    name="release-pose",
    description="facebook/VLM3-pose: four questions, one a call",
    tasks=frozenset({"pose"}),
    prep=ImagePrep("focal", 750.0),
    norm_size=2000,
    half_open=False,
    templates=MappingProxyType(
        {
            "pose.rotation_angle.ask": "Given these two images captured from different viewpoints, "
            "what is the relative rotation angle (in degrees) between the two camera poses?",
            "pose.rotation_angle.answer": "Rotation angle: {degrees:.1f} degrees",
            "pose.rotation.ask": _ROTATION.format(gap="  "),
            "pose.rotation.answer": "Yaw={yaw:+z.1f}°, Pitch={pitch:+z.1f}°, Roll={roll:+z.1f}°",
            "pose.direction.ask": "Where did the camera move, expressed in the first camera's "
            "local frame (X right, Y down, Z forward)?  Give a qualitative direction and the "
            "precise unit direction vector (x, y, z).",
            "pose.direction.answer": _DIRECTION_ANSWER,
            "pose.distance.ask": _DISTANCE,
            "pose.distance.answer": "Translation distance: {metres:.2f} meters",
        }
    ),
    patterns=MappingProxyType(
        {
            "pose.rotation_angle": _only(rf"{_number('degrees')}{_DEGREES}(?!\w)"),
            "pose.rotation": _first(_YPR),
            "pose.direction": _first(_TRIPLE),
            "pose.distance": _only(rf"{_number('metres')} ?{_METRES}(?!\w)"),
        }
    ),
)

_JOINT = Protocol(
    name="joint",
    description="ours: one checkpoint, four tasks, constant text first, numbers last",
    tasks=frozenset({"depth", "objects", "correspondence", "pose"}),
    prep=ImagePrep("focal", 1000.0),
    norm_size=2000,
    half_open=True,
    templates=MappingProxyType(
        {
            "depth.ask": "Distance in meters from the camera to the point (x, y), "
            "each in [0, 2000): {x:04d} {y:04d}",
            "depth.answer": "{metres:05.2f}",
            "correspondence.ask": "The point (x, y) of picture 1, each in [0, 2000), "
            "seen in picture 2: {x:04d} {y:04d}",
            "correspondence.answer": "{x:04d} {y:04d}",
            "pose.rotation.ask": "Rotation from camera 1 to camera 2, yaw pitch roll in degrees:",
            "pose.rotation.answer": "{yaw:+z06.1f} {pitch:+z06.1f} {roll:+z06.1f}",
            "pose.direction.ask": "Direction from camera 1 to camera 2, x right y down z forward:",
            "pose.direction.answer": "{x:+z.2f} {y:+z.2f} {z:+z.2f}",
            "pose.distance.ask": "Distance in meters from camera 1 to camera 2:",
            "pose.distance.answer": "{metres:05.2f}",
            "objects.region": "region {k}",
            "objects.ask": "{question} Regions x1 y1 x2 y2, each in [0, 2000): {boxes}",
            "objects.box": "{x1:04d} {y1:04d} {x2:04d} {y2:04d}",
            "objects.length": "{metres:05.2f} m",
            "objects.yes": "yes",
            "objects.no": "no",
            "objects.choice": "{region}",
            "objects.clock": "{hour:02d} o'clock",
        }
    ),
    patterns=MappingProxyType(
        {
            # Exactly as written: a digit too few means that the answer was cut short.
            "depth": _whole(r"(?P<metres>[0-9]{2,7}\.[0-9]{2})"),
            "correspondence": _whole(r"(?P<x>[0-9]{4}) (?P<y>[0-9]{4})"),
            "pose.rotation": _whole(
                " ".join(rf"(?P<{angle}>[-+][0-9]{{3}}\.[0-9])" for angle in _ANGLES)
            ),
            "pose.direction": _whole(
                " ".join(rf"(?P<{axis}>[-+][0-9]\.[0-9]{{2}})" for axis in "xyz")
            ),
            "pose.distance": _whole(r"(?P<metres>[0-9]{2,7}\.[0-9]{2})"),
        }
    ),
)

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        p.name: p
        for p in (_PAPER, _RELEASE_DEPTH, _RELEASE_OBJECT, _RELEASE_CORR, _RELEASE_POSE, _JOINT)
    }
)
