"""The arms of the studies: runs that differ in one thing.

An arm is a base run with one change; several studies share arms, and all share pictures. Every arm
goes on from a start, a model that has answered questions about mosaics in the arm's own way of
naming a pixel. Knows no scores.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from vlm3.ablations.data import F_PX
from vlm3.errors import InputError
from vlm3.tasks.base import TaskName
from vlm3.tasks.references import Reference
from vlm3.train.config import (
    CheckpointConfig,
    LoaderConfig,
    LoggingConfig,
    ModelConfig,
    OptimConfig,
    ParallelConfig,
    PromptConfig,
    RunConfig,
    ValidationConfig,
)
from vlm3.train.parts import ColorMosaics, DataConfig, OwnFolders, Part, Stage

LONG_SIDE_PX = 120
"""As long as pictures are on average at `F_PX`: about as many tokens either way."""

_MOSAICS = ColorMosaics(1 / 3)
"""A quarter of every run: what a start has learnt is soon lost where nothing asks for it."""
_BATCH = 8


@dataclass(frozen=True)
class ArmStart:
    """What an arm goes on from.

    Attributes:
        model: "nano", the weights in the package, or a toy from random weights.
        reference: how the mosaics' questions name a pixel.
        questions: about a mosaic.
    """

    model: str = "nano"
    reference: Reference = "normalised"
    questions: int = 24


STARTS: Mapping[str, ArmStart] = MappingProxyType(
    {
        "thousandths": ArmStart(reference="relative"),
        "pixels": ArmStart(reference="pixels"),
        "text": ArmStart(reference="relative", questions=1),
        "marker": ArmStart(reference="marker", questions=1),
        "tiny": ArmStart("tiny"),
        "tiny-wide": ArmStart("tiny-wide"),
    }
)
"""Name -> start."""


@dataclass(frozen=True)
class Arm:
    """One run.

    Attributes:
        says: what is particular about it, in a table.
        change: of the base run.
        start: which start it goes on from, of `STARTS`.
        times: its samples over those of the base run; 0 for nano as it is in the package.
    """

    says: str
    change: Callable[[RunConfig], RunConfig]
    start: str = "tiny"
    times: float = 1.0


def base(folder: Path, name: str, *, samples: int, seed: int, start: str, model: str) -> RunConfig:
    """Distances, in the paper's way, on the studies' pictures.

    Args:
        folder: of the run.
        name: of the run.
        samples: pictures and mosaics.
        seed: of the order, the questions and a toy's weights.
        start: a checkpoint.
        model: what that was made of: a model that has learnt for an hour keeps what it knows under
            AdamW at a low rate, where Muon at a toy's rate unlearns it in ten steps.
    """
    steps = max(1, round(samples / _BATCH))
    trained = model == "nano"
    return RunConfig(
        name=name,
        out=folder,
        model=ModelConfig(start),
        data=DataConfig((Stage(steps * _BATCH, (_sets(("depth",)), _MOSAICS)),)),
        prompt=PromptConfig("joint", questions=16 if trained else 32, f_px=F_PX, size_px=(112, 96)),
        loader=LoaderConfig(_BATCH, packing="independent", budget=4096, workers=0),
        optim=OptimConfig(
            rate=3e-4 if trained else 2e-3,
            optimizer="adamw" if trained else "muon",
            schedule="level",
            warmup=0.1,
            clip=1.0,
        ),
        # Bfloat16 where the processor has it; float32 elsewhere.
        parallel=ParallelConfig(precision="bf16", recompute=False),
        checkpoint=CheckpointConfig(save_every=100, keep=1),
        validation=ValidationConfig(check_every=steps, held_out=8),
        logging=LoggingConfig(most_epochs=100.0),
        seed=seed,
    )


def start_run(folder: Path, name: str, *, samples: int, seed: int) -> RunConfig:
    """Mosaics alone.

    Raises:
        InputError: no such start.
    """
    if name not in STARTS:
        raise InputError(f"no start {name!r}; choose one of {', '.join(STARTS)}")
    start = STARTS[name]
    run = base(
        folder, f"start-{name}", samples=samples, seed=seed, start=start.model, model=start.model
    )
    run = replace(
        _on(run, _MOSAICS),
        prompt=replace(run.prompt, reference=start.reference, questions=start.questions),
        optim=replace(run.optim, schedule="flat"),
        validation=ValidationConfig(check_every=10, held_out=8),
    )
    if start.questions > 1:
        return replace(run, model=replace(run.model, freeze_vision=start.model == "nano"))
    # A question needs a picture: smaller ones, and more of them a step.
    batch = 4 * _BATCH
    return replace(
        run,
        data=DataConfig((Stage(max(1, round(samples / batch)) * batch, run.data.parts),)),
        prompt=replace(run.prompt, size_px=(64, 64)),
        loader=replace(run.loader, batch=batch),
        optim=replace(run.optim, rate=5e-4),
        validation=replace(run.validation, held_out=64),
    )


def _on(run: RunConfig, *parts: Part) -> RunConfig:
    """The run on other parts of the data."""
    (stage,) = run.data.stages
    return replace(run, data=replace(run.data, stages=(replace(stage, parts=parts),)))


def _sets(
    tasks: tuple[TaskName, ...], share: float = 1.0, weights: tuple[float, ...] = ()
) -> OwnFolders:
    return OwnFolders(("rooms", "streets", "few"), tasks, share, folder_weights=weights)


def _renamed(
    reference: Reference, questions: int | None = None
) -> Callable[[RunConfig], RunConfig]:
    """Another way to name a pixel; with one question a picture where one can be drawn."""

    def change(run: RunConfig) -> RunConfig:
        prompt = replace(run.prompt, reference=reference)
        if questions is not None:
            return replace(run, prompt=replace(prompt, questions=questions))
        # Numbers are read by the text model alone: the tower may stay as it is. A drawn marker is
        # seen.
        return replace(run, prompt=prompt, model=replace(run.model, freeze_vision=True))

    return change


def _parts(*parts: Part) -> Callable[[RunConfig], RunConfig]:
    return lambda run: _on(run, *parts, _MOSAICS)


def _one_size(run: RunConfig) -> RunConfig:
    return replace(run, prompt=replace(run.prompt, f_px=None, long_side_px=LONG_SIDE_PX))


ARMS: Mapping[str, Arm] = MappingProxyType(
    {
        "base": Arm("as the paper has it", lambda run: run),
        "text": Arm(
            "named in text, in thousandths", _renamed("relative", questions=1), start="text"
        ),
        "marker": Arm("drawn on the picture", _renamed("marker", questions=1), start="marker"),
        "uniform": Arm("every set alike", _parts(_sets(("depth",), weights=(1.0, 1.0, 1.0)))),
        "tuned": Arm(
            "by size, the small set a quarter of that",
            _parts(_sets(("depth",), weights=(240.0, 80.0, 4.0))),
        ),
        "larger": Arm("a larger model", lambda run: run, start="tiny-wide"),
        "longer": Arm("twice the samples", lambda run: run, times=2.0),
        "half": Arm("half the samples", lambda run: run, times=0.5),
        "one-size": Arm(
            "every picture to one size, whatever its lens",
            _one_size,
        ),
        "untrained": Arm("nano as it is, in 2000 parts of each side", lambda run: run, times=0.0),
        "thousandths": Arm(
            "in thousandths of each side", _renamed("relative"), start="thousandths"
        ),
        "pixels": Arm("in tenths of a pixel", _renamed("pixels"), start="pixels"),
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
