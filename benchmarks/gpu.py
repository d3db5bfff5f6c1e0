"""Everything that a GPU changes, in one table: equality first, then speed.

    python benchmarks/gpu.py                      # on a GPU, under 8 minutes; writes its JSON
    python benchmarks/gpu.py checks engine        # parts of it
    python benchmarks/gpu.py --device cpu --tiny  # anywhere: that it runs
    python benchmarks/compare.py BEFORE.json AFTER.json

Random weights: nothing here says how good an answer is. Times are of a device that is idle before
and after, medians after a first run. A part that fails is named in the table, and the others go on;
past --minutes nothing further begins.
"""

import argparse
import gc
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gpu_engine
import torch
import train_4b
from results import Row, clock, keep, machine, row

import vlm3
import vlm3.errors
from vlm3.assets import load_example
from vlm3.model import nano_tokenizer
from vlm3.train.attention import choose
from vlm3.train.collate import Collator
from vlm3.train.config import ATTENTIONS, ParallelConfig
from vlm3.train.loss_module import begin
from vlm3.train.optim import optimizers
from vlm3.train.parallel import Parallel, start
from vlm3.train.recipes import recipe
from vlm3.train.sizes import config_4b
from vlm3.train.validation import moved

COMPILED = ", compiled"
AIMS = {
    "engine 1492 joint": 1492.0,
    "engine 1492 paper": 1000.0,
    "engine 1492 joint, a grid": 2000.0,
    **{
        f"train {task}, chat{name}": 2 * rate
        for task, rate in train_4b.PAPER.items()
        for name in ("", COMPILED)
    },
    "worlds room 512x384, 16 of a world": 400.0,
    "worlds street 512x384, 16 of a world": 400.0,
}
"""What we want, in the unit of the row."""


def checks(device: torch.device, *, tiny: bool) -> Iterator[Row]:
    """Whether what runs here computes what plain operations and a CPU do."""
    text = config_4b(nano_tokenizer()).text_config
    for packing in ("chat", "independent"):
        name, why = choose(recipe("depth_4b").parallel, packing, text, device)
        yield row(f"attention of {packing}", ATTENTIONS.index(name), "number", why)
    losses = []
    for attention in ("sdpa", "tree"):
        made, tensors = _small_step(device, attention)
        losses.append(made.trainee(tensors).detach().double().cpu())
    waits = _waits(device)
    yield row("losses, tree against sdpa", (losses[0] - losses[1]).abs().max(), "nats")
    yield row("waits of a training step", waits, "number", "as torch counts them on a GPU")
    yield from gpu_engine.checks(device, tiny=tiny)


def _small_step(device: torch.device, attention: str) -> tuple[Any, Any]:
    parallel = ParallelConfig(attention=attention, recompute=False)
    made = begin(recipe("debug_cpu").model, parallel, seed=0, device=str(device))
    made.trainee.to(device)
    collator = Collator(made.tokenizer, made.spec, "independent")
    lesson = train_4b.lesson("depth", made.spec.token_px, made.tokenizer, 4)
    return made, moved(collator.batch([collator.encoder(lesson)] * 3).tensors, device)


def _waits(device: torch.device) -> int | None:
    """How often torch sees a training step wait for a GPU, the batch being there."""
    if device.type != "cuda":
        return None
    made, tensors = _small_step(device, "tree")
    (stepping,) = optimizers(made.trainee, recipe("depth_4b").optim)
    for _ in range(2):  # What is made once, and kept, is made in the first.
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            with torch.autocast("cuda", torch.bfloat16):
                losses = made.trainee(tensors)
            losses.mean().backward()
            torch.nn.utils.clip_grad_norm_(made.trainee.parameters(), 0.02)
            stepping.step()
            stepping.zero_grad()
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in seen)


def train(device: torch.device, *, tiny: bool) -> Iterator[Row]:
    """Samples a second of a full step of the four tasks, by the attention that is chosen here.

    Each with plain layers and with compiled ones, from the same weights and batch.
    """
    # On a GPU as a run has it: sharded over one, which brings the half precision.
    parallel = start("auto", ()) if device.type == "cuda" else Parallel(0, 1, device, None)
    todo = [*((task, "chat") for task in train_4b.PAPER), ("depth", "independent")]
    for task, packing in todo[-1:] if tiny else todo:
        losses = []
        for choice, name in (("off", ""), ("on", COMPILED)):
            given = argparse.Namespace(
                size="tiny" if tiny else "4b-random",
                attention="auto",
                packing=packing,
                samples=4,
                passes=1 if tiny else 5,
                compile=choice,
            )
            found = train_4b.measure(task, given, parallel)
            losses.append(found["loss"])
            numbers = (f"{k} {found[k]:.3g}" for k in ("mfu", "memory_gb") if k in found)
            note = "; ".join([*numbers, found["compiled"]])
            rate = found["samples_a_second"]
            yield row(f"train {task}, {packing}{name}", rate, "samples/s", note)
            _give_back(device)
        apart = abs(losses[1] - losses[0])
        yield row(
            f"train {task}, {packing}: loss, compiled or not", apart, "nats", "they differ by"
        )


def worlds(device: torch.device, *, tiny: bool) -> Iterator[Row]:
    """Views a second of one process, the worlds being built on the way."""
    from vlm3.worlds.bench import measure

    kind = "cuda:0" if device.type == "cuda" else "cpu"
    width_px, height_px, count, many = (64, 48, 1, 2) if tiny else (512, 384, 20, 16)
    size = {"width_px": width_px, "height_px": height_px}
    for world in ("room", "street"):
        for together in (1, many):
            found = measure(count, **size, kind=world, device=kind, together=together)
            what = f"worlds {world} {found.size}" + (f", {together} of a world" * (together > 1))
            note = f"build {found.build_ms:.0f} ms, view {found.view_ms:.1f} ms"
            yield row(what, found.views_per_s, "views/s", note)


def nano(device: torch.device, *, tiny: bool) -> Iterator[Row]:
    """A map of the example photograph by the packaged model, loading apart."""
    began = clock(device)
    predictor = vlm3.load("nano", device=str(device))
    yield row("nano loads", clock(device) - began, "s")
    view, grid = load_example().views[0], (4, 3) if tiny else (64, 48)
    for name in ("the first", "the next"):
        began = clock(device)
        predictor.depth_map(view, grid=grid)
        yield row(f"nano, {name} map {grid[0]}x{grid[1]}", clock(device) - began, "s")


PARTS: dict[str, Callable[..., Iterator[Row]]] = {
    "checks": checks,
    "nano": nano,
    "engine": gpu_engine.engine,
    "train": train,
    "worlds": worlds,
}


def _give_back(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def table(rows: list[Row]) -> str:
    """For people: each figure, its aim where there is one, and what belongs to it."""
    lines = []
    for one in rows:
        aim = f"(aim {AIMS[one['what']]:g})" if one["what"] in AIMS else ""
        value = "-" if one["value"] is None else f"{one['value']:.4g}"
        lines.append(f"{one['what']:44s} {value:>10s} {one['unit']:12s} {aim:12s} {one['note']}")
    return "\n".join(line.rstrip() for line in lines)


def main(arguments: list[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="toys: only that it runs")
    parser.add_argument("--minutes", type=float, default=8.0, help="past these nothing begins")
    parser.add_argument("--json", type=Path, help="else benchmarks/results/gpu-CARD-DATE.json")
    given = parser.parse_args(arguments)
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; choose of {', '.join(PARTS)}")
    device = torch.device(given.device)
    if not given.tiny and device.type != "cuda":
        parser.error("there is no GPU here: give --device cpu --tiny to see that it runs")
    rows: list[Row] = []
    begun = time.perf_counter()

    def over() -> bool:
        return time.perf_counter() - begun > 60 * given.minutes

    for name in given.parts or PARTS:
        started = time.perf_counter()
        if over():
            print(f"{name}: left out, {given.minutes:g} minutes are over", flush=True)
            continue
        found: list[Row] = []
        try:
            for one in PARTS[name](device, tiny=given.tiny):
                found.append(one)
                print(table([one]), flush=True)
                if over():
                    print(f"{name}: ended, {given.minutes:g} minutes are over", flush=True)
                    break
        except (RuntimeError, vlm3.errors.Vlm3Error) as error:
            # A kernel that a card does not have, or memory: the others are still to be measured.
            reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
            found.append(row(f"{name} failed", None, "", reason))
        rows += found
        _give_back(device)
        print(f"-- {name}: {time.perf_counter() - started:.0f} s", flush=True)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    about = machine(device)
    card = str(about["card"]).replace(" ", "-").lower()
    path = given.json or Path(__file__).parent / "results" / f"gpu-{card}-{about['date']}.json"
    keep(path, device, rows)
    print(f"\n{about}\n{table(rows)}\n{path}")
    return rows


if __name__ == "__main__":
    main()
