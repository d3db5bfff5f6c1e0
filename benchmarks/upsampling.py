"""A grid of distances at the photograph's size: error of three ways to fill it in.

    python benchmarks/upsampling.py --worlds 12 --picture docs/pictures/upsampling.png
    python benchmarks/upsampling.py --worlds 0 --ibims DIR
    python benchmarks/upsampling.py --worlds 0 --photo PHOTO --picture docs/pictures/full_size.png

nano is asked about held-out worlds taken by pinhole cameras, 32x24 cells of 256x192 pixels. Every
way fills in the same answers, and also the true distances at the same cells ("truth on the grid"):
what is left then is the error of filling in alone. Also counts how often the interval of a length
holds the truth.

With --ibims, a folder with DepthLM's .jsonl of iBims-1: photographs with 100 labelled pixels each,
none of which is a cell's centre. There "asked" is nano's answer about the very pixel, what a map of
every pixel would say; and "edges" are labelled pixels with another one within a cell's width whose
true distance differs by 15 %.
"""

import argparse
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vlm3 import View, load
from vlm3.infer.maps import DepthMap
from vlm3.infer.measure import _between
from vlm3.worlds import World

GRID, SIZE = (32, 24), (256, 192)
WAYS = ("nearest", "bilinear", "edge-aware")
EDGE_PX, EDGE_RATIO = 2, 1.15


def filled(depth: DepthMap, way: str, size_px: tuple[int, int] = SIZE) -> Any:
    """(H, W) metres at every pixel of a picture of that width and height."""
    width, height = size_px
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


def read(values: Any, xy_px: Any) -> Any:
    """(n,) values (rows, columns) at pixels (n, 2) of a picture of that size."""
    x, y = xy_px.astype(int).T
    return values[y, x]


def near_jump(xy_px: Any, truth_m: Any, within_px: float) -> Any:
    """(n,) whether another labelled pixel nearby is 15 % nearer or farther."""
    apart = np.linalg.norm(xy_px[:, None] - xy_px[None], axis=-1)
    jump = np.abs(np.log(truth_m[:, None] / truth_m[None])) > np.log(EDGE_RATIO)
    return ((apart < within_px) & jump).any(axis=1)


def on_ibims(
    predictor: Any, data: Path, every: int
) -> tuple[dict[tuple[str, str], list[tuple[float, ...]]], tuple[Any, dict[str, Any]]]:
    """Scores over all labelled pixels by way, and what to draw of the first picture."""
    errors: dict[tuple[str, str], list[Any]] = defaultdict(list)
    shown: tuple[Any, dict[str, Any]] | None = None
    edges = []
    for line in (data / "ibims1_val.jsonl").read_text().splitlines()[::every]:
        row = json.loads(line)
        *intrinsics, width, height = row["intrinsics"]
        view = View.open(data / row["image"], intrinsics_px=tuple(intrinsics))
        xy_px = np.array(row["pixel_coords"]) + 0.5
        rays = view.camera.unproject(xy_px)
        # The file tells depth along the axis.
        truth = np.array(row["depth"]) * np.linalg.norm(rays, axis=1) / rays[:, 2]
        depth = predictor.depth_map(view, grid=GRID)
        edges.append(near_jump(xy_px, truth, width / GRID[0]))
        maps = {way: filled(depth, way, (width, height)) for way in WAYS}
        at = {way: read(out, xy_px) for way, out in maps.items()}
        at["asked"] = predictor.depth(view, xy_px).distance_m
        for way, out in at.items():
            errors["nano, iBims-1", way].append(np.log(out / truth))
        shown = shown or (view, {k: v for k, v in maps.items() if k != "bilinear"})
        print(row["image"], flush=True)
    assert shown is not None
    edge = np.concatenate(edges)
    print(f"{len(edge)} labelled pixels, {edge.sum()} of them near a jump")
    scores = {}
    for key, parts in errors.items():
        off = np.concatenate(parts)
        known = np.isfinite(off)
        ratio = np.exp(np.abs(off))
        relative = np.abs(np.expm1(off))
        some = known & edge
        scores[key] = [
            (
                float((ratio[known] < 1.25).mean()),
                float(relative[known].mean()),
                float((ratio[some] < 1.25).mean()),
                float(relative[some].mean()),
            )
        ]
    return scores, shown


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
    """The picture, the truth where it is known everywhere, and each way, in one row."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    truth = getattr(frame, "distance_m", None)
    panels = {"picture": frame.image, **({} if truth is None else {"truth": truth}), **maps}
    figure, axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 2.6))
    scale = next(iter(maps.values())) if truth is None else truth
    known = scale[np.isfinite(scale)]
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
    parser.add_argument("--ibims", type=Path, help="folder with DepthLM's .jsonl of iBims-1")
    parser.add_argument("--photo", type=Path, help="only to draw")
    parser.add_argument("--every", type=int, default=1, help="of its pictures, every so many")
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
            world = World(7, index, split="heldout")
            frame = world.view(width_px=SIZE[0], height_px=SIZE[1])
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
            for way in WAYS:
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
    if options.photo is not None:
        view = View.open(options.photo)
        asked = predictor.depth_map(view, grid=GRID)
        size_px = view.camera.width_px, view.camera.height_px
        shown = (
            view,
            {
                "grid 32x24: each pixel its cell's": filled(asked, "nearest", size_px),
                "--full-size: along the picture's edges": asked.full_size().distance_m,
            },
        )
    if options.ibims is not None:
        found, shown = on_ibims(predictor, options.ibims, options.every)
        scores |= found
    if scores:
        print("| source | way | delta1 | AbsRel | delta1 at edges | AbsRel at edges |")
    for (source, way), rows in scores.items():
        mean = np.mean(rows, axis=0)
        print(f"| {source} | {way} | " + " | ".join(f"{value:.3f}" for value in mean) + " |")
    if inside:
        print(f"lengths: {np.mean(inside):.3f} of {len(inside)} true lengths in p10 to p90")
    if options.picture is not None and shown is not None:
        draw(options.picture, *shown)


if __name__ == "__main__":
    main()
