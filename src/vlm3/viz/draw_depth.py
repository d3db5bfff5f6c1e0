"""The depth figure: metres at the queried pixels, beside the truth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlm3.tasks.answers import DepthAnswer
from vlm3.tasks.metrics import DELTA_BASE, delta_bands
from vlm3.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlm3.view import View

Array = NDArray[np.float64]
MOST_LABELS = 24
_LABEL_SIZE = 8
_LABEL_PAD = 0.25


def depth_figure(
    view: "View",
    answer: DepthAnswer,
    *,
    truth_distance_m: Array | None = None,
    labels: Sequence[str] | None = None,
    source: str = "",
) -> "Figure":
    """Predicted metres at the queried pixels, with the truth where it is known.

    Up to 24 points are labelled one by one; with truth, a chart beside the picture shows every
    point's prediction (dot) and truth (cross), and colour shows how far off it is. Without truth,
    colour is the distance.

    Args:
        view: the picture of the questions.
        answer: what came back; pixels are `answer.xy_px`.
        truth_distance_m: (n,) true distances.
        labels: (n,) names for the chart.
        source: what answered, for the heading.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    count = len(answer.xy_px)
    names = list(labels) if labels is not None else [f"point {i + 1}" for i in range(count)]
    with style.drawing():
        width_in, height_in = style.picture_size(view, widest_in=6.4, tallest_in=5.6)
        charted = truth_distance_m is not None and count <= MOST_LABELS
        side_in = 3.5 if charted else 1.0 if truth_distance_m is None else 0.0
        below_in = style.MARGIN_IN if truth_distance_m is None else style.LEGEND_IN
        figure = style.new_figure(
            width_in + side_in + 2 * style.MARGIN_IN, height_in + style.TOP_IN + below_in
        )
        axes = style.add_axes(figure, style.MARGIN_IN, style.TOP_IN, width_in, height_in)
        style.show_view(axes, view)
        style.add_heading(
            figure,
            "Distance at pixels",
            source,
            _score_words(answer, truth_distance_m),
            style.unparsed_words(answer.parsed),
        )
        left_in = width_in + 2 * style.MARGIN_IN
        if truth_distance_m is None:
            colors, scale = _distance_colors(answer)
            bar = style.add_axes(figure, left_in, style.TOP_IN, 0.16, height_in)
            figure.colorbar(scale, cax=bar, label="predicted distance (m)")
        else:
            colors = _error_colors(answer, truth_distance_m)
            _add_legend(figure, bool(np.all(answer.parsed)), charted)
        if charted and truth_distance_m is not None:
            panel = style.add_axes(
                figure, left_in + 1.5, style.TOP_IN, side_in - 1.7, height_in - 0.1
            )
            _draw_chart(panel, answer, truth_distance_m, names, colors)
        _draw_points(figure, axes, answer, truth_distance_m, colors)
        return figure


def _score_words(answer: DepthAnswer, truth_distance_m: Array | None) -> str:
    if truth_distance_m is None:
        return ""
    within = int(np.sum(delta_bands(answer.distance_m, truth_distance_m) == 0))
    return f"{within} of {len(answer.parsed)} within a factor {DELTA_BASE} of the truth"


def _error_colors(answer: DepthAnswer, truth_distance_m: Array) -> list[Any]:
    shades = (style.GOOD, style.NEAR, style.FAR, style.FAR)
    bands = delta_bands(answer.distance_m, truth_distance_m)
    return [
        shades[band] if parsed else style.ABSENT
        for parsed, band in zip(answer.parsed, bands, strict=True)
    ]


def _distance_colors(answer: DepthAnswer) -> tuple[list[Any], Any]:
    """A colour a point, and the scale that the bar shows."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    known = answer.distance_m[answer.parsed]
    scale = ScalarMappable(Normalize(0, known.max() if known.size else 1.0), colormaps["viridis"])
    colors = scale.to_rgba(np.nan_to_num(answer.distance_m))
    return [
        color if parsed else style.ABSENT
        for color, parsed in zip(colors, answer.parsed, strict=True)
    ], scale


def _draw_points(
    figure: "Figure",
    axes: "Axes",
    answer: DepthAnswer,
    truth_distance_m: Array | None,
    colors: Sequence[Any],
) -> None:
    few = len(answer.xy_px) <= MOST_LABELS
    axes.scatter(
        answer.xy_px[:, 0],
        answer.xy_px[:, 1],
        s=52 if few else 18,
        c=list(colors),
        edgecolors="white",
        linewidths=1.1 if few else 0.5,
        zorder=6,
        clip_on=False,
    )
    if not few:
        return
    texts = [
        axes.annotate(
            _label(answer, truth_distance_m, i),
            answer.xy_px[i],
            ha="center",
            va="center",
            size=_LABEL_SIZE,
            linespacing=1.15,
            zorder=5,
            bbox={
                "boxstyle": f"round,pad={_LABEL_PAD}",
                "fc": (1, 1, 1, 0.9),
                "ec": colors[i],
                "lw": 1.2,
            },
            arrowprops={"arrowstyle": "-", "color": "white", "lw": 1.3, "shrinkA": 0, "shrinkB": 0},
        )
        for i in range(len(answer.xy_px))
    ]
    # The box's padding comes on top of the text's own extent.
    pad_pt = _LABEL_PAD * _LABEL_SIZE + 1.5
    style.spread_labels(figure, axes, texts, answer.xy_px, pad_pt=pad_pt, gap_pt=6)


def _label(answer: DepthAnswer, truth_distance_m: Array | None, i: int) -> str:
    text = f"{answer.distance_m[i]:.2f} m" if answer.parsed[i] else "not parsed"
    return text if truth_distance_m is None else f"{text}\ntrue {truth_distance_m[i]:.2f}"


def _draw_chart(
    axes: "Axes",
    answer: DepthAnswer,
    truth_distance_m: Array,
    names: Sequence[str],
    colors: Sequence[Any],
) -> None:
    """Every point's prediction and truth on one scale of metres, nearest first."""
    order = np.argsort(truth_distance_m)
    rows = np.arange(len(order))
    predicted, truth = answer.distance_m[order], truth_distance_m[order]
    ordered = [colors[i] for i in order]
    axes.hlines(rows, predicted, truth, colors=ordered, lw=1.8, zorder=2)
    axes.scatter(predicted, rows, s=52, c=ordered, edgecolors="white", linewidths=0.8, zorder=3)
    axes.scatter(truth, rows, s=30, marker="x", c=style.INK, linewidths=1.4, zorder=4)
    end = 1.08 * np.nanmax(np.concatenate([predicted, truth]))
    for row in rows[np.isnan(predicted)]:
        leftward = truth[row] > 0.5 * end
        axes.annotate(
            "not parsed",
            (truth[row], row),
            xytext=(-7 if leftward else 7, 0),
            textcoords="offset points",
            ha="right" if leftward else "left",
            va="center",
            size=8,
            color=style.MUTED,
        )
    axes.set_yticks(rows, [style.shorten(names[i], 20) for i in order])
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(0, end)
    axes.set_xlabel("distance (m)")
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _add_legend(figure: "Figure", all_parsed: bool, charted: bool) -> None:
    marks = [
        style.mark("o", style.GOOD, f"within × {DELTA_BASE}"),
        style.mark("o", style.NEAR, f"within × {DELTA_BASE**2:.2f}"),
        style.mark("o", style.FAR, "further off"),
    ]
    if not all_parsed:
        marks.append(style.mark("o", style.ABSENT, "not parsed"))
    if charted:
        marks.append(style.mark("x", style.INK, "truth"))
    style.add_legend(figure, marks)
