"""The words of questions about objects: tables of them, and one wording drawn from these.

Our own words, in the style of SpatialRGPT-Bench. Knows no boxes and no answers.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Rng = np.random.Generator
Form = Literal["predicate", "choice", "length", "clock"]
"""How a question is answered."""

RELATIONS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    # category: (word, word of the opposite), (comparative as predicate needs it, of the opposite)
    "left_right": (("left", "right"), ("to the left of", "to the right of")),
    "below_above": (("below", "above"), ("below", "above")),
    "big_small": (("bigger", "smaller"), ("bigger than", "smaller than")),
    "tall_short": (("taller", "shorter"), ("taller than", "shorter than")),
    "wide_thin": (("wider", "thinner"), ("wider than", "thinner than")),
    "behind_front": (("behind", "in front"), ("behind", "in front of")),
}
QUANTITIES = (
    "direct_distance",
    "horizontal_distance",
    "vertical_distance",
    "width",
    "height",
    "direction",
)
CATEGORIES = (*RELATIONS, *QUANTITIES)
OF_ONE = ("width", "height")
"""Categories that ask about one region."""

_PREDICATES = (
    "Is {{0}} {relation} {{1}}?",
    "Would you say that {{0}} is {relation} {{1}}?",
    "Does {{0}} appear {relation} {{1}}, seen from here?",
)
_CHOICES = {
    "left_right": "Which lies further to the {word}, {{0}} or {{1}}?",
    "below_above": "Which of {{0}} and {{1}} is placed {lower}?",
    "behind_front": "Which is {nearer} the camera, {{0}} or {{1}}?",
}
_MEASURES = {
    "direct_distance": ("How far is {0} from {1}?", "What is the distance between {0} and {1}?"),
    "horizontal_distance": (
        "How far apart are {0} and {1} horizontally?",
        "What is the horizontal distance between {0} and {1}?",
    ),
    "vertical_distance": (
        "How far apart are {0} and {1} vertically?",
        "What is the vertical distance from {0} to {1}?",
    ),
    "width": ("How wide is {0}?", "What is the width of {0}?"),
    "height": ("How tall is {0}?", "What is the height of {0}?"),
    "direction": (
        "Standing at {0} and facing away from the camera, at which hour of the clock is {1}?",
        "If you are at {0}, in which clock direction do you find {1}?",
    ),
}


@dataclass(frozen=True)
class Wording:
    """The wording of a question, whatever the regions.

    Attributes:
        category, question: as in `ObjectQuestion`.
        form: how it is answered.
        relation: that a yes or no is about.
        inverse: whether the opposite word is used.
    """

    category: str
    form: Form
    question: str
    relation: str = ""
    inverse: bool = False


def worded(category: str, rng: Rng, *, opposites: float = 0.5) -> Wording:
    """A wording of a category; `opposites` is how often a relation's second word is used."""
    if category not in RELATIONS:
        form: Form = "clock" if category == "direction" else "length"
        return Wording(category, form, str(rng.choice(_MEASURES[category])))
    (word, opposite), (phrase, other) = RELATIONS[category]
    inverse, choice = bool(rng.random() < opposites), bool(rng.random() < 0.5)
    if choice:
        text = _CHOICES.get(category, "Which is {word}, {{0}} or {{1}}?").format(
            word=opposite if inverse else word,
            lower="higher" if inverse else "lower",
            nearer="nearer to" if inverse else "further from",
        )
        return Wording(category, "choice", text, inverse=inverse)
    relation = other if inverse else phrase
    text = str(rng.choice(_PREDICATES)).format(relation=relation)
    return Wording(category, "predicate", text, relation, inverse)


def in_words(length_m: float, rng: Rng) -> str:
    """A length with a unit, drawn as the benchmark draws it (metrics: inches below 1 m, ...)."""
    if length_m < 1:
        options = [(0.2, 100.0, "centimeters"), (0.8, 39.3701, "inches")]
    elif length_m < 3:
        options = [(0.5, 1.0, "meters"), (0.5, 3.28084, "feet")]
    else:
        options = [(0.7, 1.0, "meters"), (0.3, 3.28084, "feet")]
    _, factor, unit = options[0] if rng.random() < options[0][0] else options[1]
    return f"{length_m * factor:.2f} {unit}"
