"""The README's opening picture: one photograph, and what nano answers about it.

    python benchmarks/hero.py -o docs/pictures/hero.jpg

Labelled points beside the truth, a map of distances, the cloud it makes, and pixels found again in
a second photograph. Nothing is chosen by hand: these are the demo's own points and pictures.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import vlm3
from vlm3.assets import Example, load_example
from vlm3.geometry.depth import points_from_distance
from vlm3.geometry.pose import rotation_from_ypr_deg, ypr_deg_from_rotation
from vlm3.viz import style

GRID = (108, 72)
WIDTH_IN, GAP_IN, TITLE_IN = 5.4, 0.16, 0.34
# The cloud is looked at from above and beside of the camera.
TURN_DEG = (-20.0, 16.0, 0.0)
LEAST_SURE = 3.0
"""Cells whose p90 is more than so many times their p10 are left out of the cloud."""


def draw_points(axes: Any, example: Example, predictor: vlm3.Predictor) -> None:
    answer = predictor.depth(example.views[0], example.points_xy_px)
    style.show_view(axes, example.views[0])
    width = example.views[0].camera.width_px
    for xy, distance_m, true_m in zip(
        example.points_xy_px, answer.distance_m, example.points_distance_m, strict=True
    ):
        close = max(distance_m / true_m, true_m / distance_m) < 1.25
        color = style.GOOD if close else style.FAR
        axes.scatter(*xy, s=34, c=color, edgecolors="white", linewidths=1.2, zorder=4)
        left = xy[0] > 0.8 * width
        axes.annotate(
            f"{distance_m:.2f} m\ntrue {true_m:.2f}",
            xy,
            xytext=(-7 if left else 7, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            size=7.5,
            bbox={"boxstyle": "round,pad=0.2", "fc": (1, 1, 1, 0.9), "ec": color, "lw": 1.2},
        )


def draw_map(axes: Any, answer: Any) -> None:
    width, height = answer.camera.width_px, answer.camera.height_px
    low, high = np.nanquantile(answer.distance_m, [0.02, 0.96])
    axes.imshow(
        answer.distance_m,
        extent=(0, width, height, 0),
        cmap="turbo_r",
        vmin=low,
        vmax=high,
        interpolation="nearest",
    )
    rows, columns = answer.distance_m.shape
    for row, column in ((12, 16), (14, 48), (40, 20), (38, 56), (60, 40), (34, 96)):
        x, y = answer.xy_px[min(row, rows - 1), min(column, columns - 1)]
        axes.annotate(
            f"{answer.distance_m[row, column]:.1f} m",
            (x, y),
            ha="center",
            va="center",
            size=8,
            color="white",
            path_effects=style.outlined(2.0, "black"),
        )
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def draw_cloud(axes: Any, answer: Any) -> None:
    from matplotlib.collections import PolyCollection

    sure = answer.p90_m / answer.p10_m < LEAST_SURE
    distance_m = answer.distance_m[sure]
    camera = answer.camera
    points = points_from_distance(answer.xy_px[sure], distance_m, camera)
    middle = np.median(points, axis=0)
    local = (points - middle) @ rotation_from_ypr_deg(TURN_DEG).T
    z = local[:, 2] + 1.15 * np.linalg.norm(middle)
    flat = local[:, :2] / z[:, None]
    half = 0.8 * distance_m * camera.width_px / answer.distance_m.shape[1] / camera.fx_px / z
    order = np.argsort(-z)
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    axes.add_collection(
        PolyCollection(
            list(flat[order, None] + half[order, None, None] * square),
            facecolors=answer.rgb[sure][order] / 255,
            edgecolors="none",
            antialiaseds=False,
        )
    )
    low, high = np.quantile(flat, [0.002, 0.998], axis=0)
    centre, spans = (low + high) / 2, 1.05 * (high - low)
    box = axes.get_window_extent()
    scale = max(spans[0] / box.width, spans[1] / box.height)
    axes.set_xlim(centre[0] - scale * box.width / 2, centre[0] + scale * box.width / 2)
    axes.set_ylim(centre[1] + scale * box.height / 2, centre[1] - scale * box.height / 2)


def draw_matches(axes: Any, example: Example, predictor: vlm3.Predictor) -> None:
    one, two = example.views
    answer = predictor.match(one, two, example.matches_xy_1_px)
    width, height = one.camera.width_px, one.camera.height_px
    axes.imshow(np.concatenate([one.image, two.image], 1), extent=(0, 2 * width, height, 0))
    shift = np.array([width, 0.0])
    for k, (a, b, true) in enumerate(
        zip(example.matches_xy_1_px, answer.xy_px + shift, example.matches_xy_2_px, strict=True)
    ):
        color = style.SERIES[k % len(style.SERIES)]
        axes.plot(*np.stack([a, b]).T, color=color, lw=1.6, path_effects=style.outlined(2.8, "k"))
        axes.scatter(
            *np.stack([a, b]).T, s=26, c=color, edgecolors="black", linewidths=0.7, zorder=4
        )
        axes.scatter(*(true + shift), marker="x", s=40, c="black", linewidths=1.6, zorder=5)
    axes.set_xlim(0, 2 * width)
    axes.set_ylim(height, 0)


def write_motion(
    figure: Any, left_in: float, top_in: float, example: Example, predictor: vlm3.Predictor
) -> None:
    answer = predictor.pose(*example.views)
    true = example.pose
    style.add_text(figure, left_in, top_in, "How did the camera move?", size=10, weight="bold")
    rows = (
        ("", "answer", "truth"),
        (
            "yaw, pitch, roll",
            *(
                _signed(v, 1, "°")
                for v in (answer.yaw_pitch_roll_deg, ypr_deg_from_rotation(true.rotation))
            ),
        ),
        (
            "direction (right, down, ahead)",
            *(
                _signed(v, 2, "")
                for v in (answer.direction, true.translation_m / np.linalg.norm(true.translation_m))
            ),
        ),
        ("distance", f"{answer.distance_m:.2f} m", f"{np.linalg.norm(true.translation_m):.2f} m"),
    )
    for k, row in enumerate(rows):
        for text, at_in in zip(row, (0.0, 2.15, 3.85), strict=True):
            color = style.MUTED if k == 0 or at_in == 0 else style.INK
            style.add_text(
                figure, left_in + at_in, top_in + 0.3 + 0.26 * k, text, size=9.5, color=color
            )


def _signed(values: Any, digits: int, unit: str) -> str:
    return "  ".join(f"{value:+.{digits}f}{unit}" for value in np.asarray(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/pictures/hero.jpg"))
    output = parser.parse_args().output
    predictor, example = vlm3.load(), load_example()
    answer = predictor.depth_map(example.views[0], grid=GRID)
    ratio = example.views[0].camera.height_px / example.views[0].camera.width_px
    tall = WIDTH_IN * ratio
    with style.drawing():
        figure = style.new_figure(
            2 * WIDTH_IN + 3 * GAP_IN,
            2 * (TITLE_IN + tall + GAP_IN),
        )

        def panel(column: int, row: int, title: str, wide: float, high: float) -> Any:
            left = GAP_IN + column * (WIDTH_IN + GAP_IN)
            top = 0.08 + row * (tall + TITLE_IN + GAP_IN)
            style.add_text(figure, left, top, title, size=10, weight="bold")
            axes = style.add_axes(figure, left, top + TITLE_IN - 0.08, wide, high)
            axes.set_axis_off()
            return axes

        points = panel(0, 0, "How far is the point at (x, y)?", WIDTH_IN, tall)
        draw_points(points, example, predictor)
        draw_map(panel(1, 0, f"The same, {GRID[0]} × {GRID[1]} times", WIDTH_IN, tall), answer)
        draw_cloud(panel(0, 1, "The answers in space", WIDTH_IN, tall), answer)
        title = "Where is it in the second photograph?  (×: the truth)"
        draw_matches(panel(1, 1, title, WIDTH_IN, tall / 2), example, predictor)
        left, top = 2 * GAP_IN + WIDTH_IN, 0.08 + tall + TITLE_IN + GAP_IN
        write_motion(figure, left, top + TITLE_IN + tall / 2 + 0.12, example, predictor)
        figure.savefig(output, dpi=150, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()
