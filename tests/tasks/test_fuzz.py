"""200,000 random and mutated texts through every parser: nothing raised, invented, or slow."""

import random
import re
import time
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from vlm3.tasks import correspondence, depth, object_reading, pose, pose_reading
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.protocol import PROTOCOLS, Protocol
from vlm3.tasks.truth import ClockHour, Length, ObjectTruth, Region

TEXTS = 200_000
# Of as many tests, which processes share.
PARTS = 4
FREE_EVERY = 7

VALID = (
    "<think> The point is around 2.75 meters away from the camera. </think>\n\n"
    "<answer> 2.75 </answer>",
    "The point is around 12.30 meters away from the camera.",
    "02.75",
    "The corresponding pixel is (338, 52).",
    "<think> The door, at (1, 2). </think>\n\n(338.096, 52.013)",
    "1010 0498",
    "Rotation angle: 89.7 degrees",
    "Yaw=+89.6°, Pitch=+2.6°, Roll=+6.1°",
    "Yaw=-89.6, Pitch=+2.6, Roll=-6.1.",
    "+089.6 +002.6 -006.1",
    "The camera moves left, forward, unit vector (-0.69, +0.02, +0.72).",
    "-0.69 +0.02 +0.72",
    "Translation distance: 1.98 meters.",
    "Incorrect, bounding box region (0, 39, 652, 999) is not smaller in size than bounding box "
    "region (6, 380, 228, 562).",
    "Yes, region 0 is further from the viewer.",
    "Region [1] is taller.",
    "bounding box region (6, 380, 228, 562)",
    "region 0 and region 1 are 5 feet 3 inches apart.",
    "It is 45.5 cm wide.",
    "01.25 m",
    "Region 1 is roughly at 3 o'clock from region 0.",
    "03 o'clock",
    "I cannot tell, image 2 is dark",
)
PIECES = (
    *("<think>", "</think>", "<answer>", "</answer>", "<think><think>", "\n\n", " ", "  ", "\t"),
    *(
        "٣",
        "५",
        "２",
        "²",
        "Ⅷ",
        "½",
        "\u2212",
        "–",
        "\u00a0",
        "\u200b",
        "\x00",
        "\ud800",
        "🙂",
        "§",
    ),
    *("nan", "inf", "-inf", "e9", "E+99", "e999", ".", ",", "-", "+", "=", "°", "(", ")", "[", "]"),
    *(
        "yaw",
        "roll=",
        "meters",
        "m",
        "cm",
        "in",
        "ft",
        "o'clock",
        "yes",
        "no",
        "not",
        "region",
        "{0}",
    ),
    *("9" * 30, "0" * 400, "1e308", "0.0001", "1,234", "12", "7"),
)
QUESTIONS = (
    "How far is region 0 from region 1?",
    "Is bounding box region (0, 39, 652, 999) smaller than bounding box region (6, 380, 228, 562)?",
    "Which is taller, region 0 or region 1?",
    "If you are at region 0, where will you find region 1?",
    "Tell me about region 0 and region 1.",
)


def mutated(rng: random.Random) -> str:
    text = rng.choice(VALID)
    for _ in range(rng.randrange(5)):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.randrange(12))
        match rng.randrange(7):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                text = text[:at] + rng.choice(PIECES) + text[at:]
            case 2:
                text = text[:at] + rng.choice(PIECES) + text[end:]
            case 3:
                text = text[:at] + text[at:end] * rng.randrange(2, 5) + text[end:]
            case 4:
                text = text[:at] + rng.choice(VALID)[rng.randrange(9) :]
            case 5:
                text = text.swapcase() if rng.random() < 0.2 else text[:at]
            case _:
                text = text[:at] + chr(rng.randrange(0x3000)) + text[end:]
    return text


def made_up(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return "".join(rng.choice(PIECES) for _ in range(rng.randrange(12)))
    alphabet = rng.choice(("0123456789.-+e, ", "(),0123456789 ", "abcdeimnorst 0123456789.'"))
    return "".join(rng.choices(alphabet, k=rng.randrange(40)))


def texts(part: int) -> Iterator[str]:
    rng = random.Random(20260530 + part)
    for k in range(TEXTS // PARTS):
        yield mutated(rng) if k % 4 else made_up(rng)


NUMBERS = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def numbers_in(text: str) -> set[float]:
    folded = unicodedata.normalize("NFKC", text.replace("\u200b", ""))
    return {
        float(n) for shown in (text, folded) for n in NUMBERS.findall(shown.replace("\u2212", "-"))
    }


def check_length(text: str, read: Any) -> None:
    assert isinstance(read, float)
    assert 1e-4 <= read <= 1e6 or read == 0
    assert read in numbers_in(text)


def check_angle(text: str, read: Any) -> None:
    assert 0 <= read <= 180
    assert read in numbers_in(text)


SIDE_PX = 8


def check_pixel(text: str, read: Any) -> None:
    assert read.shape == (2,)
    assert (read >= 0).all()
    assert (read <= SIDE_PX).all()
    # Half a pixel more where whole numbers are pixel centres, as far as the picture goes.
    assert all(
        any(
            round(v, 9) == round(min(s * SIDE_PX / n + more, SIDE_PX), 9)
            for n, more in ((1000, 0), (1000, 0.5), (2000, 0))
            for s in numbers_in(text)
        )
        for v in read.tolist()
    )


def check_rotation(text: str, read: Any) -> None:
    assert read.shape == (3,)
    assert np.abs(read).max() <= 360
    assert set(read.tolist()) <= numbers_in(text)


def check_free_rotation(text: str, read: Any) -> None:
    assert read.shape == (3,)
    assert np.abs(read).max() <= 360


def check_direction(text: str, read: Any) -> None:
    assert read.shape == (3,)
    assert abs(np.linalg.norm(read) - 1) < 1e-9
    assert any(c in "123456789" for c in text)


def check_objects(text: str, read: Any) -> None:
    assert isinstance(read, ObjectTruth)
    assert read.problem(2) is None
    low = text.lower()
    if isinstance(read, Length):
        check_free_length(text, read.value)
    assert not isinstance(read, ClockHour) or "clock" in low or ":00" in low
    assert not isinstance(read, Region) or any(c.isdigit() for c in text)


def check_free_length(text: str, read: Any) -> None:
    """A number of the text in one of the units, or two of them together."""
    assert isinstance(read, float)
    assert 1e-4 <= read <= 1e6 or read == 0
    folded = unicodedata.normalize("NFKC", text).replace("\u2044", "/")
    digits = [float(n) for n in re.findall(r"[0-9]{1,15}(?:\.[0-9]{1,15})?|\.[0-9]{1,15}", folded)]
    digits += [float(n) for n in re.findall(r"[0-9]{1,15}", folded)]
    digits += [float(n.replace(",", ".")) for n in re.findall(r"[0-9]{1,6},[0-9]{1,9}", folded)]
    digits += [float(n.replace(",", "")) for n in re.findall(r"[0-9]{1,3}(?:,[0-9]{3})+", folded)]
    shown = np.unique([0.0, 0.5, *range(21), *digits])
    parts = [a / b for a in shown for b in shown if 0 < b < 100 and a < b]
    parts += [unicodedata.numeric(c) for c in text if unicodedata.category(c) == "No"]
    whole = [float(n) for n in re.findall(r"[0-9]{1,4}", text)]
    shown = np.unique([*shown, *parts, *(n + part for n in whole for part in parts)])
    units = np.array([1e-3, 1e-2, 1.0, 1e3, 0.0254, 0.3048, 0.9144, 1609.344])
    once = np.unique(np.outer(shown, units))
    if not np.isclose(once, read, rtol=1e-9).any():
        assert np.isclose(read - once[:, None], once[None, :], rtol=1e-9, atol=1e-9).any(), read


Check = Callable[[str, Any], None]
POSE_CHECKS: dict[str, Check] = {
    "rotation_angle": check_angle,
    "rotation": check_rotation,
    "direction": check_direction,
    "distance": check_length,
}


FREE_POSE_CHECKS = POSE_CHECKS | {
    "rotation": check_free_rotation,
    "distance": check_free_length,
}


def parsers_of(protocol: Protocol) -> Iterator[tuple[Callable[[str], Any], Check]]:
    size = {"width_px": SIDE_PX, "height_px": SIDE_PX}
    if "depth" in protocol.tasks:
        free = "depth" not in protocol.patterns
        yield (
            (lambda text: depth.parse(protocol, text)),
            (check_free_length if free else check_length),
        )
    if "correspondence" in protocol.tasks:
        yield (lambda text: correspondence.parse(protocol, text, **size)), check_pixel
    for c in pose.components(protocol):
        checks = POSE_CHECKS if f"pose.{c}" in protocol.patterns else FREE_POSE_CHECKS
        yield (lambda text, c=c: pose_reading.parse(protocol, c, text)), checks[c]


@pytest.mark.parametrize("part", range(PARTS))
def test_fuzz(part: int) -> None:
    strict = [pair for p in PROTOCOLS.values() if p.patterns for pair in parsers_of(p)]
    free = [pair for p in PROTOCOLS.values() if not p.patterns for pair in parsers_of(p)]
    about_objects = [
        ((lambda t, q=q: object_reading.parse(q, t, 2)), check_objects) for q in QUESTIONS
    ]
    values = readings = 0
    slowest_s = 0.0
    started_s = time.process_time()
    for k, text in enumerate(texts(part)):
        before_s = time.process_time()
        # Free answers take a dozen times as long to read.
        freely = (*free, about_objects[k % len(about_objects)]) if k % FREE_EVERY == 0 else ()
        for parse, check in (*strict, *freely):
            read = parse(text)
            readings += 1
            if not isinstance(read, ParseFailure):
                values += 1
                check(text, read)
        slowest_s = max(slowest_s, time.process_time() - before_s)
    seconds = time.process_time() - started_s
    print(
        f"{TEXTS // PARTS} texts, {readings} readings in {seconds:.1f} s, "
        f"{TEXTS / PARTS / seconds:.0f} texts/s; "
        f"{values} values; slowest text {slowest_s * 1e3:.1f} ms"
    )
    assert slowest_s < 1.0
    # The mutations still hold answers, and most are spoilt.
    assert 0.005 < values / readings < 0.5
