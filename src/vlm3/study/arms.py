"""The studies: which runs they compare, and in what those differ.

An arm is a base run with one change; several studies share arms, and all share pictures and
starts. A start is a model that has learnt to point in mosaics: from random weights nothing would
show in minutes. Knows no scores.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from vlm3.errors import InputError
from vlm3.tasks.base import Task
from vlm3.train.config import Part, Run

F_PX = 64.0
LONG_SIDE_PX = 96
"""As long as pictures are on average at `F_PX`: about as many tokens either way."""

_MOSAICS = Part("pointing", (), 1 / 3)
"""A quarter of every run: what a start has learnt is soon lost where nothing asks for it."""
_BATCH = 8
_RATE = 2e-3


@dataclass(frozen=True)
class Arm:
    """One run.

    Attributes:
        says: what is particular about it, in a table.
        change: of the base run.
        start: which start it goes on from.
        times: its samples over those of the base run.
    """

    says: str
    change: Callable[[Run], Run]
    start: str = "shared"
    times: float = 1.0


@dataclass(frozen=True)
class Study:
    """Some arms beside each other; the first is the one that the others are held against.

    Attributes:
        asks: the question.
        paper: what the paper reports, if it does.
        arms: names.
        task: what they are measured by; None for each arm's own.
        equal: what the arms have alike.
    """

    asks: str
    paper: str
    arms: tuple[str, ...]
    equal: str
    task: Task | None = "depth"


def base(folder: Path, name: str, *, samples: int, seed: int, start: str) -> Run:
    """Distances, in the paper's way, on the studies' pictures; `start` is a checkpoint."""
    steps = max(1, round(samples / _BATCH))
    return Run(
        name=name,
        out=folder,
        model=start,
        protocol="joint",
        parts=(_sets(("depth",)), _MOSAICS),
        samples=steps * _BATCH,
        batch=_BATCH,
        rate=_RATE,
        packing="independent",
        questions=32,
        f_px=F_PX,
        size_px=(96, 80),
        budget=4096,
        precision="fp32",
        recompute=False,
        optimizer="muon",
        schedule="level",
        warmup=0.1,
        clip=1.0,
        seed=seed,
        workers=0,
        save_every=100,
        check_every=steps,
        held_out=8,
        keep=1,
        most_epochs=100.0,
    )


def start_run(folder: Path, name: str, *, samples: int, seed: int) -> Run:
    """Mosaics alone.

    Raises:
        InputError: no such start.
    """
    # Every third lesson of the marked start is marked: the others are as many as elsewhere.
    kinds = {
        "shared": ("tiny", "normalised", 1.0),
        "marked": ("tiny", "marker", 1.5),
        "pixels": ("tiny", "pixels", 1.0),
        "larger": ("tiny-wide", "normalised", 1.0),
    }
    if name not in kinds:
        raise InputError(f"no start {name!r}; choose one of {', '.join(kinds)}")
    model, reference, share = kinds[name]
    run = base(folder, f"start-{name}", samples=round(samples * share), seed=seed, start=model)
    return replace(
        run,
        parts=(_MOSAICS,),
        reference=reference,  # type: ignore[arg-type]
        questions=48,
        schedule="flat",
        held_out=16,
        check_every=50,
    )


def _sets(tasks: tuple[Task, ...], share: float = 1.0, weights: tuple[float, ...] = ()) -> Part:
    return Part(
        "folders",
        tasks,
        share,
        weights="size",
        folders=("rooms", "streets", "few"),
        folder_weights=weights,
    )


def _parts(*parts: Part) -> Callable[[Run], Run]:
    return lambda run: replace(run, parts=(*parts, _MOSAICS))


ARMS: Mapping[str, Arm] = MappingProxyType(
    {
        "base": Arm("as the paper has it", lambda run: run),
        "text": Arm(
            "text, one question a picture", lambda run: replace(run, questions=1), start="marked"
        ),
        "marker": Arm(
            "drawn marker, one question a picture",
            lambda run: replace(run, questions=1, reference="marker"),
            start="marked",
        ),
        "many": Arm("text, 32 questions a picture", lambda run: run, start="marked"),
        "uniform": Arm("every set alike", _parts(_sets(("depth",), weights=(1.0, 1.0, 1.0)))),
        "tuned": Arm(
            "by size, the small set a quarter of that",
            _parts(_sets(("depth",), weights=(960.0, 320.0, 8.0))),
        ),
        "larger": Arm("a larger model", lambda run: run, start="larger"),
        "longer": Arm("twice the samples", lambda run: run, times=2.0),
        "half": Arm("half the samples", lambda run: run, times=0.5),
        "one-size": Arm(
            "every picture to one size, whatever its lens",
            lambda run: replace(run, f_px=None, long_side_px=LONG_SIDE_PX),
        ),
        "pixels": Arm(
            "coordinates in pixels of the picture",
            lambda run: replace(run, reference="pixels"),
            start="pixels",
        ),
        "objects": Arm("objects alone", _parts(_sets(("objects",)))),
        "correspondence": Arm("matches alone", _parts(_sets(("correspondence",)))),
        "pose": Arm("poses alone", _parts(_sets(("pose",)))),
        "joint": Arm(
            "four tasks in one model",
            _parts(
                *(_sets((task,), 0.25) for task in ("depth", "objects", "correspondence", "pose"))
            ),
            times=4.0,
        ),
    }
)
"""Name -> arm."""

STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        "reference": Study(
            "Is a pixel named in text as good as one drawn on the picture?",
            "Table 3, left: text 0.853, drawn 0.849",
            ("text", "marker", "many"),
            "pictures and optimiser steps; the last has 32 questions a picture instead of one",
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
            "Are normalised coordinates better than the picture's own pixels?",
            "section 3.1: normalised; no figure",
            ("base", "pixels"),
            "samples; each arm learnt to point in its own coordinates",
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
