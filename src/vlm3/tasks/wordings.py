"""The words of the protocols, as data: templates to fill, and patterns to read answers by.

A template is filled by `str.format`, so that its number formats stand in it. An answer is matched
after `reading.answer_part` by the pattern of the component's name; where a protocol has no pattern
(answers about objects, everything under `paper`) the answer is free text, read as a person would:
`object_reading`, and `free_text`.

Sources: the paper's section 3.2; for the released checkpoints facebookresearch/VLM3 (README,
inference.ipynb, sample_data), word for word.
"""

import re

from vlm3.tasks.reading import NUMBER


def _number(name: str) -> str:
    return rf"(?P<{name}>{NUMBER})"


# Answers are matched after `reading.answer_part`: every run of spaces is one space.
_METRES = r"(?:m|met(?:er|re)s?)"
_DEGREES = r"(?: ?(?:°|deg(?:rees?)?))"
# Nothing sticks to the number's start or end that would make it another number.
_FRESH = r"(?<![\w.,+\-–—/])"
_DONE = r"(?!\w|[.,][0-9])"
_TRIPLE = rf"\( ?{_number('x')} ?, ?{_number('y')} ?, ?{_number('z')} ?\)"
_BARE_TRIPLE = rf"({NUMBER}) ?, ?({NUMBER}) ?, ?({NUMBER})"
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

PAPER_TEMPLATES = {
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
RELEASE_DEPTH_TEMPLATES = {
    "depth.ask": "Given this image, how far is the point at coordinates ({x}, {y}) from "
    "the camera? The coordinates are in normalised [0, 2000] format relative to image "
    "width and height. Output the thinking process in <think> </think> and final answer "
    "(the meter number only, without the unit) in <answer> </answer> tags.",
    "depth.answer": "<think> The point is around {metres:.2f} meters away from the camera. "
    "</think>\n\n<answer> {metres:.2f} </answer>",
}
RELEASE_DEPTH_PATTERNS = {
    "depth": _first(rf"<answer> ?{_number('metres')}(?: ?{_METRES})? ?</answer>")
}

RELEASE_OBJECT_TEMPLATES = _REGION_WORDS

_CORR_ASK = (
    "Given these two images, what pixel in the second image corresponds to pixel ({x}, {y}) in "
    "the first image? Report the answer as (x, y)."
)

RELEASE_CORR_TEMPLATES = {
    "correspondence.ask": _CORR_ASK,
    "correspondence.ask.1": _CORR_ASK + " Please think step by step and follow the format: "
    '"<think> [think process] </think>\n\n[answer]".',
    "correspondence.answer": "({x}, {y})",
}
RELEASE_CORR_PATTERNS = {
    # In brackets anywhere, or bare and alone.
    "correspondence": _first(
        rf"(?:(?P<open>\()|\A) ?{_number('x')} ?, ?{_number('y')} ?(?(open)\)|\.?\Z)"
    )
}

RELEASE_POSE_TEMPLATES = {
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
RELEASE_POSE_PATTERNS = {
    "pose.rotation_angle": _only(rf"{_number('degrees')}{_DEGREES}(?!\w)"),
    "pose.rotation": _first(_YPR),
    # In brackets, or bare.
    "pose.direction": _first(
        rf"{_TRIPLE}|(?<![(\[])(?<![(\[] ){_FRESH}{_BARE_TRIPLE}(?!\w| ?[,.]? ?[0-9])"
    ),
    "pose.distance": _only(rf"{_number('metres')} ?{_METRES}(?!\w)"),
}

JOINT_TEMPLATES = {
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
    "objects.clock": "{hour:02d} o'clock",
}
JOINT_PATTERNS = {
    # Exactly as written: a digit too few means that the answer was cut short.
    "depth": _whole(r"(?P<metres>[0-9]{2,7}\.[0-9]{2})"),
    "correspondence": _whole(r"(?P<x>[0-9]{4}) (?P<y>[0-9]{4})"),
    "pose.rotation": _whole(" ".join(rf"(?P<{angle}>[-+][0-9]{{3}}\.[0-9])" for angle in _ANGLES)),
    "pose.direction": _whole(" ".join(rf"(?P<{axis}>[-+][0-9]\.[0-9]{{2}})" for axis in "xyz")),
    "pose.distance": _whole(r"(?P<metres>[0-9]{2,7}\.[0-9]{2})"),
}

FOV_TEMPLATES = {
    "fov.ask": "Horizontal field of view of the camera in degrees:",
    "fov.answer": "{degrees:05.1f}",
}
FOV_PATTERNS = {"fov": _whole(r"(?P<degrees>[0-9]{3}\.[0-9])")}
