"""The recipes: Tables 4 and 5 of the paper, one checkpoint for four tasks, and a small one.

Each is a function that returns a `Run`; the command line changes its fields.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vlm3.errors import InputError
from vlm3.tasks.base import Task
from vlm3.train.config import Part, Run

BASE = "Qwen/Qwen3-VL-4B-Instruct"
"""What the paper trains, and the size that plans are held against."""


def debug_cpu() -> Run:
    """Minutes on one CPU core: a toy learns to point, then how far away things are in streets."""
    return Run(
        name="debug_cpu",
        out=Path("runs/debug_cpu"),
        model="tiny",
        protocol="joint",
        parts=(
            Part("worlds", ("depth",), 0.75, colors=8, worlds="street", tilt_deg=10.0, views=1200),
            # Pointing is lost where nothing asks for it.
            Part("pointing", (), 0.25),
        ),
        samples=12_000,
        batch=8,
        rate=2e-3,
        packing="independent",
        questions=48,
        pointing=4_000,
        f_px=75.0,
        size_px=(96, 80),
        budget=2048,
        precision="fp32",
        recompute=False,
        optimizer="muon",
        schedule="level",
        warmup=0.05,
        clip=1.0,
        workers=1,
        save_every=100,
        check_every=100,
        most_epochs=6.0,
        held_out=64,
    )


def _paper(name: str, part: Part, samples: int, batch: int, rate: float, mesh: str) -> Run:
    return Run(
        name=name,
        out=Path("runs") / name,
        model=BASE,
        protocol="paper",
        parts=(part,),
        samples=samples,
        batch=batch,
        rate=rate,
        mesh=mesh,
    )


def depth_4b() -> Run:
    """Distance at pixels (Tables 4 and 5): 32 GPUs in the paper."""
    return _paper("depth_4b", Part("depth", ("depth",)), 32_000_000, 1344, 5.5e-5, "auto")


def depth_8b() -> Run:
    """depth_4b on Qwen3-VL-8B; the paper trains none, and nobody has run this."""
    return replace(
        depth_4b(), name="depth_8b", out=Path("runs/depth_8b"), model="Qwen/Qwen3-VL-8B-Instruct"
    )


def depth_32b() -> Run:
    """depth_4b on Qwen3-VL-32B; the paper trains none, and nobody has run this."""
    return replace(
        depth_4b(), name="depth_32b", out=Path("runs/depth_32b"), model="Qwen/Qwen3-VL-32B-Instruct"
    )


def objects_4b() -> Run:
    """Objects (Table 4): 32 GPUs in the paper; shards in the folder `objects`."""
    part = Part("objects", ("objects",), weights="size")
    return _paper("objects_4b", part, 1_000_000, 640, 3.5e-4, "auto")


def correspondence_4b() -> Run:
    """Pixel correspondence (Tables 4 and 5): 64 GPUs in the paper."""
    part = Part("pairs", ("correspondence",))
    return _paper("correspondence_4b", part, 80_000_000, 2816, 2e-5, "auto")


def pose_4b() -> Run:
    """Camera pose (Tables 4 and 5): 32 GPUs in the paper."""
    return _paper("pose_4b", Part("pairs", ("pose",)), 10_000_000, 448, 5e-5, "auto")


def joint_4b() -> Run:
    """One checkpoint for four tasks; shares, rate and length are ours, not the paper's."""
    four: tuple[tuple[str, tuple[Task, ...], float], ...] = (
        ("depth", ("depth",), 0.40),
        ("objects", ("objects",), 0.10),
        ("pairs", ("correspondence",), 0.35),
        ("pairs", ("pose",), 0.15),
    )
    parts = tuple(
        Part(kind, tasks, share, "size" if kind == "objects" else "table5")  # type: ignore[arg-type]
        for kind, tasks, share in four
    )
    return Run(
        name="joint_4b",
        out=Path("runs/joint_4b"),
        model=BASE,
        protocol="joint",
        parts=parts,
        samples=40_000_000,
        batch=1344,
        rate=5e-5,
        packing="independent",
        mesh="auto",
    )


RECIPES: dict[str, Callable[[], Run]] = {
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


def recipe(name: str) -> Run:
    """The run of that name.

    Raises:
        InputError: there is none; the message lists the names.
    """
    if name not in RECIPES:
        raise InputError(f"no recipe {name!r}; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]()
