"""500 answers about objects with known truth, in all twelve categories and many wordings.

Written from what people and models say, not from the reader's patterns: each sample knows by
construction whether it is right. The wording is our own, in the style of SpatialRGPT-Bench.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from vlm3.tasks.truth import ClockHour, Length, ObjectTruth, Region, YesNo

R0, R1 = "Region [0]", "Region [1]"


@dataclass(frozen=True)
class Sample:
    """A question, its truth, an answer, and whether that answer is right."""

    category: str
    manner: str
    question: str
    truth: ObjectTruth
    answer: str
    right: bool


_PAIRS = {
    "below_above": ("below", "above"),
    "left_right": ("to the left of", "to the right of"),
    "big_small": ("bigger than", "smaller than"),
    "tall_short": ("taller than", "shorter than"),
    "wide_thin": ("wider than", "thinner than"),
    "behind_front": ("behind", "in front of"),
}
_SUPERLATIVE = {
    "below_above": ("lower", "higher"),
    "left_right": ("more to the left", "more to the right"),
    "big_small": ("bigger", "smaller"),
    "tall_short": ("taller", "shorter"),
    "wide_thin": ("wider", "thinner"),
    "behind_front": ("further from the camera", "closer to the camera"),
}
_QUANTITY = {
    "direct_distance": f"What is the distance between {R0} and {R1}?",
    "horizontal_distance": f"How far apart are {R0} and {R1} horizontally?",
    "vertical_distance": f"Can you tell me the vertical distance from {R0} to {R1}?",
    "width": f"How wide is {R0}?",
    "height": f"What is the height of {R0}?",
}
CATEGORIES = (*_PAIRS, *_QUANTITY, "direction")
_REFUSALS = (
    "I cannot determine that from the image.",
    "I'm sorry, but I can't tell.",
    "It is not possible to say without more information.",
    "",
    "Unclear.",
)


def samples(count: int = 500, seed: int = 0) -> list[Sample]:
    """That many, categories in turn."""
    rng = random.Random(seed)
    return [_sample(CATEGORIES[k % len(CATEGORIES)], rng) for k in range(count)]


def _sample(category: str, rng: random.Random) -> Sample:
    if category == "direction":
        return _clock(rng)
    if category in _QUANTITY:
        return _length(category, rng)
    return _predicate(category, rng) if rng.random() < 0.6 else _choice(category, rng)


def _predicate(category: str, rng: random.Random) -> Sample:
    relation, other = rng.sample(_PAIRS[category], 2)
    yes = rng.random() < 0.5
    manner = rng.choice(("right", "wrong", "other wording", "statement", "refusal"))
    question = rng.choice(
        (
            f"Is {R0} {relation} {R1}?",
            f"Can you confirm if {R0} is {relation} {R1}?",
            f"Does {R0} appear to be {relation} {R1}?",
        )
    )
    says = yes if manner != "wrong" else not yes
    if manner == "refusal":
        answer, right = rng.choice(_REFUSALS), False
    elif manner == "statement":
        says = rng.random() < 0.5
        right = says == yes
        answer = f"{R0} is {relation} {R1}." if says else f"{R0} is {other} {R1}."
    else:
        right = says == yes
        forms: tuple[str, ...] = (
            f"{'Yes' if says else 'No'}, {R0} is {'' if says else 'not '}{relation} {R1}.",
            f"{'Correct' if says else 'Incorrect'}, {R0} is {relation if says else other} {R1}.",
        )
        if manner == "other wording":
            forms = (
                f"{'Indeed' if says else 'Actually'}, {R0} is {relation if says else other} {R1}.",
                f"{'That is True.' if says else 'That is False.'}",
                f"{'YES' if says else 'NO'}",
                f"<think> Compare both. </think> <answer> {'Yes' if says else 'No'} </answer>",
                f"{'True' if says else 'False'}, {R0} is {relation if says else other} {R1}.",
            )
        answer = rng.choice(forms)
    return Sample(category, manner, question, YesNo(yes), answer, right)


def _choice(category: str, rng: random.Random) -> Sample:
    word = rng.choice(_SUPERLATIVE[category])
    region = rng.randrange(2)
    question = f"Which is {word}, {R0} or {R1}?"
    manner = rng.choice(("right", "wrong", "other wording", "hedge", "refusal"))
    chosen = region if manner != "wrong" else 1 - region
    name = f"Region [{chosen}]"
    right = chosen == region
    if manner == "refusal":
        answer, right = rng.choice(_REFUSALS), False
    elif manner == "hedge":
        answer, right = f"Both {R0} and {R1} look about the same.", False
    elif manner == "other wording":
        answer = rng.choice(
            (
                f"It's {name}.",
                f"{name}",
                f"region {chosen}",
                f"Of the two, {name} is {word}.",
                f"{name} appears to be {word} here.",
            )
        )
    else:
        answer = f"{name} is {word}."
    return Sample(category, manner, question, Region(region), answer, right)


_UNITS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (1.0, ("m", "meters", "metres", "meter")),
    (100.0, ("cm", "centimeters", "centimetres")),
    (1 / 0.0254, ("inches", "inch", "in")),
    (1 / 0.3048, ("feet", "ft", "foot")),
)


def _length(category: str, rng: random.Random) -> Sample:
    truth_m = round(rng.uniform(0.2, 8.0), 3)
    manner = rng.choice(("right", "wrong", "other wording", "feet and inches", "bare", "refusal"))
    # Well inside or outside the quarter, so that rounding in the text cannot decide.
    factor = rng.uniform(0.80, 1.20)
    if manner == "wrong":
        factor = rng.choice((rng.uniform(0.2, 0.7), rng.uniform(1.3, 4.0)))
    said_m = truth_m * factor
    scale, names = rng.choice(_UNITS)
    unit = rng.choice(names)
    number = f"{said_m * scale:.2f}"
    right = manner != "wrong"
    if manner == "refusal":
        answer, right = rng.choice(_REFUSALS), False
    elif manner == "bare":
        # Without a unit nobody knows: a failure by rule.
        answer, right = f"{said_m:.2f}", False
    elif manner == "feet and inches":
        total = said_m / 0.0254
        answer = f"{int(total // 12)} feet {total % 12:.1f} inches"
        if total < 12:
            answer = f"{total:.1f} inches"
    elif manner == "other wording":
        answer = rng.choice(
            (
                f"{R0} and {R1} are {number} {unit} apart.",
                f"About {number} {unit}, I would say.",
                f"The answer is approximately {number} {unit}.",
                f"<think> Around {number}? </think>\n\n<answer> {number} {unit} </answer>",
                f"It measures roughly {number} {unit}.",
            )
        )
    else:
        answer = f"{R0} is {number} {unit} away from {R1}."
        if category in ("width", "height"):
            what = "wide" if category == "width" else "tall"
            answer = f"{R0} is {number} {unit} {what}."
    return Sample(category, manner, _QUANTITY[category], Length(truth_m), answer, right)


def _clock(rng: random.Random) -> Sample:
    hour = rng.randint(1, 12)
    manner = rng.choice(("right", "near", "wrong", "other wording", "refusal"))
    step = {"near": rng.choice((-1, 1)), "wrong": rng.choice((-5, -3, -2, 2, 3, 6))}.get(manner, 0)
    said = (hour - 1 + step) % 12 + 1
    question = f"If you are at {R0}, where will you find {R1}? Answer on the clock face."
    right = manner != "wrong"
    words: tuple[Callable[[int], str], ...] = (
        lambda h: f"{R1} is at {h} o'clock.",
        lambda h: f"You will find {R1} roughly at {h} o'clock from {R0}.",
    )
    if manner == "other wording":
        words = (
            lambda h: f"At the {h} o’clock position",
            lambda h: f"{h} o'clock",
            lambda h: f"Toward {h:02d} o'clock.",
        )
    answer = rng.choice(words)(said)
    if manner == "refusal":
        answer, right = rng.choice(_REFUSALS), False
    return Sample("direction", manner, question, ClockHour(hour), answer, right)
