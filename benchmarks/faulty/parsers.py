"""Answers that models write, damaged: what is read is a value in range or a `ParseFailure`."""

from pathlib import Path
from typing import Any

import numpy as np

from faulty.mutate import Rng, damaged_text, pick
from vlm3.tasks import correspondence, depth, object_reading, pose, pose_reading
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.protocol import PROTOCOLS, get_protocol

_TEXTS = {
    "depth": (
        "03.42",
        "3.4 meters",
        "The distance is 3.4 m.",
        "<answer>2.1</answer>",
        "about 12 ft",
    ),
    "correspondence": ("(0880, 0512)", "0880 0512", '{"x": 880, "y": 512}', "[100, 200]", "none"),
    "pose": (
        "012.3 -004.0 001.0",
        "(0.1, 0.2, 0.97)",
        "15.2 degrees",
        "1.4 meters",
        "yaw 3 pitch 2",
    ),
    "objects": ("1.2 meters", "Yes", "3 o'clock", "Region 1", "5 feet 2 inches", "No, it is not."),
}
_QUESTIONS = (
    "How wide is Region [0]?",
    "Is Region [0] left of Region [1]?",
    "Which is larger, Region [0] or Region [1]?",
    "At which o'clock is Region [1] from Region [0]?",
)


def setup(folder: Path) -> list[Any]:
    return [get_protocol(name) for name in PROTOCOLS]


def case(protocols: list[Any], rng: Rng, folder: Path) -> str:
    protocol = pick(rng, protocols)
    task = pick(rng, [t for t in _TEXTS if t == "objects" or t in protocol.patterns or t == "pose"])
    text = damaged_text(rng, pick(rng, _TEXTS[pick(rng, (task, task, pick(rng, list(_TEXTS))))]))
    if task == "depth":
        found: Any = depth.parse(protocol, text)
        good = isinstance(found, ParseFailure) or 0 < found < 1e7
    elif task == "correspondence":
        found = correspondence.parse(protocol, text, width_px=640, height_px=480)
        good = isinstance(found, ParseFailure) or (
            np.shape(found) == (2,) and bool((np.abs(found) <= 640 * 2).all())
        )
    elif task == "pose":
        components = pose.components(protocol)
        if not components:
            return "value"
        found = pose_reading.parse(protocol, pick(rng, components), text)
        good = isinstance(found, ParseFailure) or bool(np.isfinite(found).all())
    else:
        found = object_reading.parse(pick(rng, _QUESTIONS), text, 2)
        # Of lengths the parsers promise more than that they can be.
        good = isinstance(found, ParseFailure) or (found.problem(2) is None and found.value < 1e7)
    if not good:
        return f"wrong: {text[:60]!r} is read as {found!r:.60}"
    return "skip" if isinstance(found, ParseFailure) else "value"
