"""What the digits of a number tell: errors of three read-outs, calibration, and the planes.

    python benchmarks/readout.py --ibims DIR --pictures docs/pictures

Asks a model (nano) about held-out worlds and, with --ibims, about iBims-1 as DepthLM curated it.
Writes two pictures: the reliability of its distributions, and the map of the example photograph
as written and as medians, each with its cloud seen from above.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from vlm3 import Predictor, View, load
from vlm3.assets import load_example
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.items import Item
from vlm3.eval.readers import EVERY, Wanted, read_items
from vlm3.infer.answers import depth_answer
from vlm3.infer.decoding.readout import chance_below
from vlm3.infer.generation import READOUTS, replies, sized
from vlm3.tasks import depth, metrics

INK, SOFT, COLORS = "#1c2530", "#8a95a1", ("#0b6bcb", "#c2410c")


@dataclass(frozen=True, eq=False)
class Found:
    """Answers about one data set, each (n,): truths, read-outs, and the chance below the truth."""

    name: str
    truth_m: Any
    said_m: dict[str, Any]
    p10: Any
    p90: Any
    covered: Any
    below: Any


def ask(predictor: Predictor, items: Iterable[Item], name: str) -> Found:
    """Every depth question of the items, once."""
    parts: dict[str, list[Any]] = {}
    for item in items:
        queries = [query for query in item.queries if query.task == "depth"]
        if not queries:
            continue
        view = item.pictures[0]()
        size = {"width_px": view.camera.width_px, "height_px": view.camera.height_px}
        xy = np.array([query.ask["xy_px"] for query in queries])
        prompts = [depth.ask(predictor.protocol, point, **size) for point in xy]
        budget = {"multiple_px": predictor.multiple_px, "max_tokens": predictor.max_tokens}
        images = sized([view], predictor.protocol, **budget)
        said = replies(predictor.engine, predictor.protocol, images, prompts)
        truth = np.array([query.truth["distance_m"] for query in queries])
        answers = {
            readout: depth_answer(predictor.protocol, view, xy, prompts, said, readout)
            for readout in READOUTS
        }
        written, spread = answers["digits"].distance_m, answers["digits"].spread
        checks = [partial(_same, value) for value in written]
        row = {"truth": truth, "below": chance_below(said, checks, truth)}
        row |= {readout: answer.distance_m for readout, answer in answers.items()}
        row |= {key: getattr(spread, key) for key in ("p10", "p90", "covered")}
        for key, values in row.items():
            parts.setdefault(key, []).append(values)
    whole = {key: np.concatenate(values) for key, values in parts.items()}
    said_m = {readout: whole[readout] for readout in READOUTS}
    rest = (whole[key] for key in ("p10", "p90", "covered", "below"))
    return Found(name, whole["truth"], said_m, *rest)


def _same(value: float, found: Any) -> bool:
    return abs(found[0] - value) < 1e-6


def tell(found: Found) -> dict[str, Any]:
    """Prints the table of one data set, and returns it."""
    print(f"\n{found.name}: {len(found.truth_m)} points")
    print("| number | delta1 | mean relative error | median error |\n|---|---|---|---|")
    table: dict[str, Any] = {}
    for readout, said in found.said_m.items():
        errors = np.abs(said - found.truth_m)
        table[readout] = {
            "delta1": metrics.delta(said, found.truth_m),
            "abs_rel": float(np.nanmean(errors / found.truth_m)),
            "median_error_m": float(np.nanmedian(errors)),
            "different": len(np.unique(np.round(said, 4))),
        }
        row = table[readout]
        print(
            f"| {readout} | {row['delta1']:.3f} | {row['abs_rel']:.2f} "
            f"| {row['median_error_m']:.2f} m |   {row['different']} different numbers"
        )
    inside = (found.truth_m >= found.p10) & (found.truth_m <= found.p90)
    table["inside_p10_p90"] = float(inside.mean())
    table["below_p10"] = float((found.truth_m < found.p10).mean())
    table["above_p90"] = float((found.truth_m > found.p90).mean())
    table["covered"] = float(np.nanmean(found.covered))
    print(
        f"truth inside p10-p90: {table['inside_p10_p90']:.1%} (calibrated: 80 %); below "
        f"{table['below_p10']:.1%}, above {table['above_p90']:.1%}; mass in the answer's form "
        f"{table['covered']:.1%}"
    )
    return table


def reliability(sets: list[Found], path: Path) -> None:
    """Level against the share of truths below that quantile, and the histogram behind it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.7), layout="constrained")
    levels = np.linspace(0, 1, 101)
    left.plot([0, 1], [0, 1], color=SOFT, lw=1, ls="--", label="calibrated")
    right.axhline(10, color=SOFT, lw=1, ls="--")
    for k, (found, color) in enumerate(zip(sets, COLORS, strict=False)):
        below = found.below[np.isfinite(found.below)]
        left.plot(levels, [(below <= level).mean() for level in levels], color=color, lw=2)
        left.lines[-1].set_label(f"{found.name} ({len(below)} points)")
        share = 100 * np.histogram(below, bins=10, range=(0, 1))[0] / len(below)
        right.bar(np.arange(10) + 0.3 + 0.4 * k, share, 0.4, color=color)
    left.set(xlabel="level of the quantile", ylabel="share of truths below it")
    left.legend(frameon=False, fontsize=8, loc="upper left")
    left.set_aspect("equal")
    right.set(xlabel="decile of the answer's distribution", ylabel="truths in it, %")
    right.set_xticks(np.arange(10) + 0.5, range(1, 11))
    _save(figure, path)


def planes(predictor: Predictor, path: Path, grid: tuple[int, int]) -> dict[str, int]:
    """The example photograph, its map as written and as medians, and the clouds from above."""
    view: View = load_example().views[0]
    maps = {name: predictor.depth_map(view, grid=grid, readout=name) for name in READOUTS}
    figure = plt.figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots(2, 3)
    axes[0, 0].imshow(view.image)
    axes[0, 0].set_title("photograph", fontsize=9)
    axes[1, 0].axis("off")
    shown = [maps["digits"].distance_m, maps["median"].distance_m]
    low, high = np.nanpercentile(np.stack(shown), [1, 99])
    counts = {}
    for column, (name, title) in enumerate((("digits", "as written"), ("median", "medians")), 1):
        chart = maps[name]
        counts[name] = len(np.unique(np.round(chart.distance_m, 4)))
        drawn = axes[0, column].imshow(chart.distance_m, vmin=low, vmax=high, cmap="viridis")
        axes[0, column].set_title(f"{title}: {counts[name]} different distances", fontsize=9)
        figure.colorbar(drawn, ax=axes[0, column], shrink=0.7, label="m")
        points = chart.cloud()
        axes[1, column].scatter(
            points.points_m[:, 0], points.points_m[:, 2], c=points.rgb / 255, s=3, linewidths=0
        )
        axes[1, column].set(title="seen from above", xlabel="X, m", ylabel="Z, m", aspect="equal")
    for axis in axes[0]:
        axis.set_xticks([]), axis.set_yticks([])
    _save(figure, path)
    return counts


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"written to {path}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument("--worlds", type=int, default=24, help="held-out worlds")
    parser.add_argument("--ibims", type=Path, help="folder with DepthLM's .jsonl of iBims-1")
    parser.add_argument("--pictures", type=Path, help="where the two pictures go")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    predictor = load(given.model)
    wanted = [(Wanted(get_benchmark("worlds"), None, given.worlds, 0), "held-out worlds")]
    if given.ibims:
        wanted.append((Wanted(get_benchmark("ibims1"), given.ibims, EVERY, 42), "iBims-1"))
    sets = [ask(predictor, read_items(one), name) for one, name in wanted]
    result: dict[str, Any] = {found.name: tell(found) for found in sets}
    if given.pictures:
        reliability(sets, given.pictures / "readout.png")
        result["planes"] = planes(predictor, given.pictures / "planes.png", (64, 48))
        print(f"different distances on the photograph: {result['planes']}")
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
