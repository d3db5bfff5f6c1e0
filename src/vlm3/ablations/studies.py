"""The studies: questions of the paper, the arms that answer each, and what it reports itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vlm3.errors import InputError
from vlm3.tasks.base import TaskName


@dataclass(frozen=True)
class Study:
    """Some arms beside each other; the first is the one that the others are held against.

    Attributes:
        asks: the question.
        paper: what the paper reports, if it does.
        arms: names.
        equal: what the arms have alike.
        task: what they are measured by; None for each arm's own.
        samples: pictures that the base run trains on, where the command does not say.
        mosaics: those that a start trains on.
    """

    asks: str
    paper: str
    arms: tuple[str, ...]
    equal: str
    task: TaskName | None = "depth"
    samples: int = 3200
    mosaics: int = 12_800


STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        "reference": Study(
            "Is a pixel named in text as good as one drawn on the picture?",
            "Table 3, left: text 0.853, drawn 0.849",
            ("text", "marker", "untrained"),
            "weights at the start, mosaics, pictures, steps, one question a picture",
            samples=1920,
            mosaics=2560,
        ),
        "mixture": Study(
            "How should sets of very different size be weighted?",
            "Table 3, middle: uniform 0.842, by size 0.884, tuned 0.904",
            ("base", "uniform", "tuned"),
            "samples; base weighs by size",
        ),
        "size": Study(
            "Does a larger model, or more of the same data, help?",
            "Table 3, right: 4B 0.904, 8B 0.880, 32B 0.873; 4B with twice the samples 0.880",
            ("base", "larger", "longer", "half"),
            "pictures on disk; longer and half see them more and less often",
        ),
        "focal": Study(
            "Does one focal length for every picture help?",
            "section 3.1: it removes the ambiguity of the camera; no figure",
            ("base", "one-size"),
            "samples, and about the tokens a picture",
        ),
        "coordinates": Study(
            "Are normalised coordinates better than those in pixels?",
            "section 3.1: normalised; no figure",
            ("thousandths", "pixels", "untrained"),
            "weights at the start, mosaics, pictures, steps; the first two are new to the model",
            samples=320,
            mosaics=640,
        ),
        "joint": Study(
            "Does one model for four tasks match four models?",
            "not answered: one checkpoint a task",
            ("joint", "base", "objects", "correspondence", "pose"),
            "samples of each task: the joint run has four times those of each other run",
            task=None,
        ),
    }
)
"""Name -> study."""


def study(name: str) -> Study:
    """The study of that name.

    Raises:
        InputError: there is none; the message lists the names.
    """
    if name not in STUDIES:
        raise InputError(f"no study {name!r}; choose one of {', '.join(STUDIES)}")
    return STUDIES[name]
