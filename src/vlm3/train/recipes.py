"""The recipes: Tables 4 and 5 of the paper, one checkpoint for four tasks, and a small one.

Each is a function that returns a `RunConfig`; the command line changes its settings.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vlm3.errors import InputError
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
from vlm3.train.parts import (
    ColorMosaics,
    DataConfig,
    ObjectsFolder,
    Part,
    RenderedWorlds,
    Stage,
    TableSets,
)

BASE = "Qwen/Qwen3-VL-4B-Instruct"
"""What the paper trains, and the size that plans are held against."""


def debug_cpu() -> RunConfig:
    """Minutes on one CPU core: a toy learns to point, then how far away things are in streets."""
    streets = RenderedWorlds(("depth",), 0.75, colors=8, worlds="street", tilt_deg=10.0, views=1200)
    return RunConfig(
        name="debug_cpu",
        out=Path("runs/debug_cpu"),
        model=ModelConfig("tiny"),
        data=DataConfig(
            stages=(
                Stage(4_000, (ColorMosaics(),)),
                # Pointing is lost where nothing asks for it.
                Stage(8_000, (streets, ColorMosaics(0.25))),
            )
        ),
        prompt=PromptConfig("joint", questions=48, f_px=75.0, size_px=(96, 80)),
        loader=LoaderConfig(batch=8, packing="independent", budget=2048, workers=1),
        optim=OptimConfig(2e-3, optimizer="muon", schedule="level", warmup=0.05, clip=1.0),
        parallel=ParallelConfig(precision="fp32", recompute=False),
        checkpoint=CheckpointConfig(save_every=100),
        validation=ValidationConfig(check_every=100, held_out=64),
        logging=LoggingConfig(most_epochs=6.0),
    )


def _paper(name: str, part: Part, samples: int, batch: int, rate: float) -> RunConfig:
    return RunConfig(
        name=name,
        out=Path("runs") / name,
        model=ModelConfig(BASE),
        data=DataConfig((Stage(samples, (part,)),)),
        prompt=PromptConfig("paper"),
        loader=LoaderConfig(batch),
        optim=OptimConfig(rate),
    )


def depth_4b() -> RunConfig:
    """Distance at pixels (Tables 4 and 5): 32 GPUs in the paper."""
    return _paper("depth_4b", TableSets("depth", ("depth",)), 32_000_000, 1344, 5.5e-5)


def depth_8b() -> RunConfig:
    """depth_4b on Qwen3-VL-8B; the paper trains none, and nobody has run this."""
    return _of_size(depth_4b(), "depth_8b", "Qwen/Qwen3-VL-8B-Instruct")


def depth_32b() -> RunConfig:
    """depth_4b on Qwen3-VL-32B; the paper trains none, and nobody has run this."""
    return _of_size(depth_4b(), "depth_32b", "Qwen/Qwen3-VL-32B-Instruct")


def _of_size(run: RunConfig, name: str, source: str) -> RunConfig:
    return replace(run, name=name, out=Path("runs") / name, model=replace(run.model, source=source))


def objects_4b() -> RunConfig:
    """Objects (Table 4): 32 GPUs in the paper; shards in the folder `objects`."""
    return _paper("objects_4b", ObjectsFolder(), 1_000_000, 640, 3.5e-4)


def correspondence_4b() -> RunConfig:
    """Pixel correspondence (Tables 4 and 5): 64 GPUs in the paper."""
    part = TableSets("pairs", ("correspondence",))
    return _paper("correspondence_4b", part, 80_000_000, 2816, 2e-5)


def pose_4b() -> RunConfig:
    """Camera pose (Tables 4 and 5): 32 GPUs in the paper."""
    return _paper("pose_4b", TableSets("pairs", ("pose",)), 10_000_000, 448, 5e-5)


def joint_4b() -> RunConfig:
    """One checkpoint for four tasks; shares, rate and length are ours, not the paper's."""
    parts = (
        TableSets("depth", ("depth",), 0.40),
        ObjectsFolder(share=0.10),
        TableSets("pairs", ("correspondence",), 0.35),
        TableSets("pairs", ("pose",), 0.15),
    )
    return RunConfig(
        name="joint_4b",
        out=Path("runs/joint_4b"),
        model=ModelConfig(BASE),
        data=DataConfig((Stage(40_000_000, parts),)),
        prompt=PromptConfig("joint"),
        loader=LoaderConfig(1344, packing="independent"),
        optim=OptimConfig(5e-5),
    )


RECIPES: dict[str, Callable[[], RunConfig]] = {
    f.__name__: f
    for f in (
        debug_cpu,
        depth_4b,
        depth_8b,
        depth_32b,
        objects_4b,
        correspondence_4b,
        pose_4b,
        joint_4b,
    )
}


def recipe(name: str) -> RunConfig:
    """The run of that name.

    Raises:
        InputError: there is none; the message lists the names.
    """
    if name not in RECIPES:
        raise InputError(f"no recipe {name!r}; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]()
