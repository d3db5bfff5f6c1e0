"""The correspondence figure: two pictures, predictions as dotted-end lines, truth as crosses."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlm3.tasks.answers import MatchAnswer
from vlm3.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlm3.view import View

Array = NDArray[np.float64]
_GAP_IN = 0.12


def match_figure(
    view_a: "View",
    view_b: "View",
    answer: MatchAnswer,
    *,
    truth_xy_px: Array | None = None,
    source: str = "",
) -> "Figure":
    """Both pictures side by side, each queried pixel joined to where the model sees it again.

    The prediction is a line with dotted ends, the truth a cross of the same colour, joined to the
    prediction by a dotted line. Pixels whose answer could not be parsed are hollow.

    Args:
        view_a: the picture of the queried pixels, `answer.xy_a_px`.
        view_b: the picture in which they were looked for, `answer.xy_px`.
        answer: what came back.
        truth_xy_px: (n, 2) true pixels of picture 2; NaN where there is none.
        source: what answered, for the heading.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    with style.drawing():
        size_a = style.picture_size(view_a, widest_in=5.1, tallest_in=4.6)
        size_b = style.picture_size(view_b, widest_in=5.1, tallest_in=4.6)
        figure = style.new_figure(
            size_a[0] + size_b[0] + 2 * style.MARGIN_IN + _GAP_IN,
            max(size_a[1], size_b[1]) + style.TOP_IN + style.LEGEND_IN,
        )
        left = style.add_axes(figure, style.MARGIN_IN, style.TOP_IN, *size_a)
        right = style.add_axes(figure, style.MARGIN_IN + size_a[0] + _GAP_IN, style.TOP_IN, *size_b)
        style.show_view(left, view_a)
        style.show_view(right, view_b)
        style.add_heading(
            figure,
            "Where a pixel is seen again",
            source,
            _score_words(answer, truth_xy_px, view_b),
            style.unparsed_words(answer.parsed),
        )
        _draw_matches(_overlay(figure), left, right, answer, truth_xy_px)
        _add_legend(figure, truth_xy_px is not None, bool(np.all(answer.parsed)))
        return figure


def _score_words(answer: MatchAnswer, truth_xy_px: Array | None, view_b: "View") -> str:
    if truth_xy_px is None:
        return ""
    apart_px = np.linalg.norm(answer.xy_px - truth_xy_px, axis=1)
    if not np.any(np.isfinite(apart_px)):
        return ""
    width_px = view_b.camera.width_px
    return f"median error {np.nanmedian(apart_px):.0f} px in a picture {width_px} px wide"


def _overlay(figure: "Figure") -> "Axes":
    """Axes over the whole figure, in its pixels: lines that leave one picture for the other."""
    width, height = figure.get_size_inches() * figure.dpi
    axes = figure.add_axes((0, 0, 1, 1), zorder=10)
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_axis_off()
    return axes


def _draw_matches(
    over: "Axes", left: "Axes", right: "Axes", answer: MatchAnswer, truth_xy_px: Array | None
) -> None:
    asked = left.transData.transform(answer.xy_a_px)
    found = right.transData.transform(answer.xy_px)
    true = None if truth_xy_px is None else right.transData.transform(truth_xy_px)
    for i, parsed in enumerate(answer.parsed):
        color = style.SERIES[i % len(style.SERIES)]
        if true is not None:
            over.plot(
                *np.stack([found[i], true[i]]).T,
                color=color,
                lw=1.3,
                ls=":",
                zorder=3,
                path_effects=style.outlined(2.4, style.INK),
            )
            for width, ink in ((3.8, style.INK), (2.0, color)):
                over.plot(*true[i], marker="x", ms=10, mew=width, color=ink, zorder=6)
        if parsed:
            over.plot(
                *np.stack([asked[i], found[i]]).T,
                color=color,
                lw=1.3,
                zorder=4,
                path_effects=style.outlined(2.5, style.INK),
            )
            over.plot(*found[i], **_dot(color), zorder=5)
            over.plot(*asked[i], **_dot(color), zorder=5)
        else:
            hollow = {"mfc": "none", "mec": color, "mew": 2.0}
            over.plot(
                *asked[i],
                **_dot(color) | hollow,
                zorder=5,
                path_effects=style.outlined(3.6, style.INK),
            )


def _dot(color: str) -> dict[str, Any]:
    return {"marker": "o", "ms": 7.5, "color": color, "mec": style.INK, "mew": 0.9}


def _add_legend(figure: "Figure", with_truth: bool, all_parsed: bool) -> None:
    from matplotlib.lines import Line2D

    grey: dict[str, Any] = {"color": style.MUTED, "marker": "o", "ms": 6.5}
    marks: list[Any] = [Line2D([], [], lw=1.6, label="queried pixel and prediction", **grey)]
    if with_truth:
        marks.append(style.mark("x", style.MUTED, "truth, in the same colour"))
    if not all_parsed:
        marks.append(Line2D([], [], ls="", mfc="none", mew=1.6, label="not parsed", **grey))
    style.add_legend(figure, marks)
