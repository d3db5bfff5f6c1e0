"""A grid of distances at the photograph's size: error of three ways to fill it in, on worlds.

    python benchmarks/upsampling.py --worlds 12 --picture docs/pictures/upsampling.png

nano is asked about held-out worlds taken by pinhole cameras, 32x24 cells of 256x192 pixels. Every
way fills in the same answers, and also the true distances at the same cells ("truth on the grid"):
what is left then is the error of filling in alone. Also counts how often the interval of a length
holds the truth.
"""

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vlm3 import View, load
from vlm3.infer.maps import DepthMap
from vlm3.infer.measure import _between
from vlm3.worlds import sample_view

GRID, SIZE = (32, 24), (256, 192)
EDGE_PX, EDGE_RATIO = 2, 1.15


def filled(depth: DepthMap, way: str) -> Any:
    """(H, W) metres at every pixel."""
    width, height = SIZE
    if way == "edge-aware":
        return depth.upsampled(width, height).distance_m
    rows, columns = depth.distance_m.shape
    y = (np.arange(height) + 0.5) * rows / height - 0.5
    x = (np.arange(width) + 0.5) * columns / width - 0.5
    if way == "nearest":
        return depth.distance_m[np.ix_(np.rint(y).astype(int), np.rint(x).astype(int))]
    y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)
    j, i = np.minimum(y.astype(int), rows - 2), np.minimum(x.astype(int), columns - 2)
    v, u = (y - j)[:, None], (x - i)[None]
    d = depth.distance_m
    top = d[np.ix_(j, i)] * (1 - u) + d[np.ix_(j, i + 1)] * u
    return top * (1 - v) + (d[np.ix_(j + 1, i)] * (1 - u) + d[np.ix_(j + 1, i + 1)] * u) * v


def near_edges(truth_m: Any) -> Any:
    """(H, W) whether the distance jumps by 15 % within two pixels."""
    edge = np.zeros(truth_m.shape, bool)
    across = truth_m[:, 1:] / truth_m[:, :-1]
    down = truth_m[1:] / truth_m[:-1]
    jump = np.abs(np.log(across)) > np.log(EDGE_RATIO)
    edge[:, 1:] |= jump
    edge[:, :-1] |= jump
    jump = np.abs(np.log(down)) > np.log(EDGE_RATIO)
    edge[1:] |= jump
    edge[:-1] |= jump
    for _ in range(EDGE_PX - 1):
        grown = edge.copy()
        grown[1:] |= edge[:-1]
        grown[:-1] |= edge[1:]
        grown[:, 1:] |= edge[:, :-1]
        grown[:, :-1] |= edge[:, 1:]
        edge = grown
    return edge


def held(depth: DepthMap, truth_m: Any, rng: np.random.Generator) -> list[bool]:
    """Whether the true length between two cells lies in its interval, for 60 pairs."""
    found = []
    cells = depth.xy_px.reshape(-1, 2)
    quantiles = np.stack([depth.distance_m, depth.p10_m, depth.p90_m]).reshape(3, -1)
    true = truth_m.ravel()
    rays = depth.camera.unproject(cells)
    for _ in range(60):
        pair = rng.choice(len(cells), 2, replace=False)
        if not (np.isfinite(quantiles[:, pair]).all() and np.isfinite(true[pair]).all()):
            continue
        _, length = _between(depth.camera, cells[pair], quantiles[:, pair])
        points = rays[pair] * true[pair, None]
        found.append(bool(length.p10_m <= np.linalg.norm(points[1] - points[0]) <= length.p90_m))
    return found


def draw(path: Path, frame: Any, maps: dict[str, Any]) -> None:
    """The picture, the truth, and each way, in one row."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = {"picture": frame.image, "truth": frame.distance_m, **maps}
    figure, axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 2.6))
    known = frame.distance_m[np.isfinite(frame.distance_m)]
    low, high = np.quantile(known, (0.02, 0.98))
    for axis, (name, values) in zip(axes, panels.items(), strict=True):
        axis.imshow(values, vmin=low, vmax=high, cmap="turbo_r")
        axis.set_title(name, fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=12)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    predictor = load(options.model)
    rng = np.random.default_rng(0)
    scores: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    inside: list[bool] = []
    shown = None
    index = -1
    for _ in range(options.worlds):
        camera = None
        while camera is None or camera.model != "pinhole":
            index += 1
            frame = sample_view(7, index, width_px=SIZE[0], height_px=SIZE[1], split="heldout")
            camera = frame.camera
        view = View(frame.image, frame.camera)
        asked = predictor.depth_map(view, grid=GRID)
        at = asked.xy_px.astype(int)
        truth = frame.distance_m.astype(float)
        on_grid = replace(asked, distance_m=truth[at[..., 1], at[..., 0]])
        known = np.isfinite(truth)
        on_grid = replace(
            on_grid,
            distance_m=np.where(np.isfinite(on_grid.distance_m), on_grid.distance_m, np.nan),
        )
        edges = near_edges(np.where(known, truth, 1e3)) & known
        maps: dict[str, Any] = {}
        for source, grid in (("nano", asked), ("truth on the grid", on_grid)):
            for way in ("nearest", "bilinear", "edge-aware"):
                out = maps[f"{source}: {way}"] = filled(grid, way)
                good = known & np.isfinite(out)
                with np.errstate(invalid="ignore"):
                    ratio = np.maximum(out / truth, truth / out)
                    off = np.abs(out - truth) / truth
                scores[source, way].append(
                    (
                        float((ratio[good] < 1.25).mean()),
                        float(off[good].mean()),
                        float((ratio[good & edges] < 1.25).mean()),
                        float(off[good & edges].mean()),
                    )
                )
        inside += held(asked, on_grid.distance_m, rng)
        if shown is None:
            shown = frame, {k: v for k, v in maps.items() if not k.endswith("bilinear")}
        print(f"world {index}: {frame.kind}", flush=True)
    print("| source | way | delta1 | AbsRel | delta1 at edges | AbsRel at edges |")
    for (source, way), rows in scores.items():
        mean = np.mean(rows, axis=0)
        print(f"| {source} | {way} | " + " | ".join(f"{value:.3f}" for value in mean) + " |")
    print(f"lengths: {np.mean(inside):.3f} of {len(inside)} true lengths in p10 to p90")
    if options.picture is not None and shown is not None:
        draw(options.picture, *shown)


if __name__ == "__main__":
    main()
