"""Figures of whole grids: a depth map with labelled pixels and its cloud; a map of matches."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.pose import rotation_from_ypr_deg
from vlm3.viz import style
from vlm3.viz.viewer import ShownMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlm3.view import View

Array = NDArray[np.float64]
_WIDEST_IN, _TALLEST_IN = 4.6, 3.9
_BAR_IN = 0.95
_ROW_GAP_IN = 0.42
_LABELS = (4, 3)
# Where the cloud is looked at from: beside and above the camera that took the picture.
_TURN_DEG = (24.0, 14.0, 0.0)
_MOST_MATCHES = 600


def map_figure(shown: ShownMap, *, source: str = "") -> "Figure":
    """Picture, distances with labelled pixels, how sure the model is, and the cloud from aside.

    Without probabilities the panel of the intervals is left out. Cells without an answer are grey.

    Args:
        shown: the map.
        source: what answered, for the heading.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    sure = bool(np.isfinite(shown.p10_m).any())
    with style.drawing():
        size = style.picture_size(shown.view, widest_in=_WIDEST_IN, tallest_in=_TALLEST_IN)
        width_in, height_in = size
        columns, rows = (2, 2) if sure else (3, 1)
        step_in = width_in + _BAR_IN
        row_in = height_in + _ROW_GAP_IN
        figure = style.new_figure(
            2 * style.MARGIN_IN + columns * step_in - (0.0 if sure else _BAR_IN - 0.1),
            style.TOP_IN + rows * row_in + style.MARGIN_IN,
        )
        missing = style.unparsed_words(np.isfinite(shown.distance_m[shown.asked]))
        filled = int((~shown.asked).sum())
        style.add_heading(
            figure,
            f"Distance in {shown.distance_m.shape[1]} × {shown.distance_m.shape[0]} cells",
            source,
            missing,
            f"{filled} cells filled in from their neighbours" if filled else "",
        )

        def panel(number: int, name: str) -> "Axes":
            left_in = style.MARGIN_IN + (number % columns) * step_in
            top_in = style.TOP_IN + (number // columns) * row_in
            style.add_text(figure, left_in, top_in, name, size=9, color=style.MUTED)
            return style.add_axes(figure, left_in, top_in + 0.2, width_in, height_in)

        def bar(axes: "Axes", drawn: Any, name: str) -> None:
            box = axes.get_position()
            place = (box.x1 + 0.08 / figure.get_figwidth(), box.y0, 0.12 / figure.get_figwidth())
            held = figure.add_axes((*place, box.height))
            figure.colorbar(drawn, cax=held, label=name)

        style.show_view(panel(0, "picture"), shown.view)
        axes = panel(1, "distance, read from the answers")
        bar(axes, _draw_cells(axes, shown, shown.distance_m, "viridis", low=None), "metres")
        _label_cells(figure, axes, shown)
        if sure:
            axes = panel(2, "how sure: p90 over p10 of each answer")
            ratio = np.clip(shown.p90_m / shown.p10_m, 1, 99)
            bar(axes, _draw_cells(axes, shown, ratio, "YlOrBr", low=1.0), "ratio")
        _draw_cloud(panel(3 if sure else 2, "the cloud, from above right"), shown)
        return figure


def _draw_cells(
    axes: "Axes", shown: ShownMap, values: Array, colors: str, *, low: float | None
) -> Any:
    from matplotlib import colormaps

    width, height = shown.view.camera.width_px, shown.view.camera.height_px
    known = values[np.isfinite(values)]
    ends = np.quantile(known, [0.01, 0.99]) if known.size else np.array([0.0, 1.0])
    least = float(ends[0]) if low is None else low
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    return axes.imshow(
        np.ma.masked_invalid(values),
        extent=(0, width, height, 0),
        aspect="auto",
        interpolation="nearest",
        cmap=colormaps[colors].with_extremes(bad=style.ABSENT),
        vmin=least,
        vmax=max(float(ends[1]), least + 1e-3),
    )


def _label_cells(figure: "Figure", axes: "Axes", shown: ShownMap) -> None:
    """Metres at cells spread evenly over the map, clear of each other."""
    rows, columns = shown.distance_m.shape
    picks = [
        (int((j + 0.5) * rows / _LABELS[1]), int((i + 0.5) * columns / _LABELS[0]))
        for j in range(min(rows, _LABELS[1]))
        for i in range(min(columns, _LABELS[0]))
    ]
    picks = [pick for pick in picks if np.isfinite(shown.distance_m[pick])]
    if not picks:
        return
    anchors_px = np.array([shown.xy_px[pick] for pick in picks])
    axes.scatter(
        anchors_px[:, 0],
        anchors_px[:, 1],
        s=22,
        c="white",
        edgecolors=style.INK,
        linewidths=0.9,
        zorder=4,
    )
    texts = [
        axes.annotate(
            f"{shown.distance_m[pick]:.2f} m",
            anchor,
            ha="center",
            va="center",
            size=8,
            zorder=5,
            bbox={"boxstyle": "round,pad=0.2", "fc": (1, 1, 1, 0.88), "ec": style.INK, "lw": 0.6},
        )
        for pick, anchor in zip(picks, anchors_px, strict=True)
    ]
    style.spread_labels(figure, axes, texts, anchors_px, pad_pt=2, gap_pt=4)


def _draw_cloud(axes: "Axes", shown: ShownMap) -> None:
    """The points as squares of their cells' size, farthest first, and the camera's frustum."""
    from matplotlib.collections import PolyCollection

    axes.set_axis_off()
    known = np.isfinite(shown.distance_m)
    if not known.any():
        return
    camera = shown.view.camera
    points = shown.xy_px[known]
    in_camera = camera.unproject(points) * shown.distance_m[known][:, None]
    middle = np.median(in_camera, axis=0)
    turn = rotation_from_ypr_deg(_TURN_DEG)
    # The eye orbits the middle of the cloud, a little farther off than the camera was.
    reach = 1.25 * float(np.linalg.norm(middle))

    def seen(points_m: Array) -> tuple[Array, Array]:
        local = (points_m - middle) @ turn.T
        z = local[:, 2] + reach
        return local[:, :2] / np.where(z > 0.05 * reach, z, np.nan)[:, None], z

    flat, z = seen(in_camera)
    side = shown.distance_m[known] * camera.width_px / shown.distance_m.shape[1] / camera.fx_px
    half = 0.56 * side / z
    order = np.argsort(-z)
    order = order[np.isfinite(flat[order, 0])]
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    corners = flat[order, None] + half[order, None, None] * square
    axes.add_collection(
        PolyCollection(
            list(corners),
            facecolors=shown.rgb[known][order] / 255,
            edgecolors="none",
            rasterized=True,
            antialiaseds=False,
        )
    )
    size = 0.06 * reach
    ends_px = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * (camera.width_px, camera.height_px)
    body = np.concatenate([np.zeros((1, 3)), camera.unproject_z1(ends_px.astype(float)) * size])
    drawn, _ = seen(body)
    for k in range(4):
        for a, b in ((0, k + 1), (k + 1, (k + 1) % 4 + 1)):
            axes.plot(*drawn[[a, b]].T, color=style.FAR, lw=1.4, zorder=5)
    shownpoints = np.concatenate([flat[order], drawn[np.isfinite(drawn[:, 0])]])
    low, high = np.nanquantile(shownpoints, [0.004, 0.996], axis=0)
    low, high = (
        np.minimum(low, np.nanmin(drawn, axis=0)),
        np.maximum(high, np.nanmax(drawn, axis=0)),
    )
    centre, spans = (low + high) / 2, 1.06 * (high - low)
    box = axes.get_window_extent()
    scale = max(spans[0] / box.width, spans[1] / box.height)
    wide, tall = scale * box.width / 2, scale * box.height / 2
    axes.set_xlim(centre[0] - wide, centre[0] + wide)
    axes.set_ylim(centre[1] + tall, centre[1] - tall)


def match_map_figure(
    view_a: "View", view_b: "View", xy_a_px: Array, xy_px: Array, *, source: str = ""
) -> "Figure":
    """Both pictures with dots of one colour a place: a dot of A and its match in B share it.

    Args:
        view_a: the picture of the questions.
        view_b: the picture in which the places were looked for.
        xy_a_px: (rows, columns, 2) places in A.
        xy_px: (rows, columns, 2) where they are seen in B; NaN where unparsed.
        source: what answered, for the heading.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    places, found = xy_a_px.reshape(-1, 2), xy_px.reshape(-1, 2)
    if len(places) > _MOST_MATCHES:
        step = int(np.ceil(np.sqrt(len(places) / _MOST_MATCHES)))
        places = xy_a_px[::step, ::step].reshape(-1, 2)
        found = xy_px[::step, ::step].reshape(-1, 2)
    parsed = np.asarray(np.isfinite(found).all(axis=1), dtype=np.bool_)
    with style.drawing():
        sizes = [
            style.picture_size(view, widest_in=5.1, tallest_in=4.6) for view in (view_a, view_b)
        ]
        gap_in = 0.12
        figure = style.new_figure(
            sizes[0][0] + sizes[1][0] + 2 * style.MARGIN_IN + gap_in,
            max(sizes[0][1], sizes[1][1]) + style.TOP_IN + style.MARGIN_IN,
        )
        style.add_heading(
            figure,
            "Where every cell is seen again: the same colour is the same place",
            source,
            style.unparsed_words(parsed),
        )
        colors = _place_colors(places / (view_a.camera.width_px, view_a.camera.height_px))
        left_in = style.MARGIN_IN
        for view, size, at, kept in (
            (view_a, sizes[0], places, np.ones(len(places), bool)),
            (view_b, sizes[1], found, parsed),
        ):
            axes = style.add_axes(figure, left_in, style.TOP_IN, *size)
            style.show_view(axes, view)
            axes.scatter(
                at[kept, 0],
                at[kept, 1],
                s=16,
                c=colors[kept],
                edgecolors=style.INK,
                linewidths=0.4,
                zorder=4,
            )
            left_in += size[0] + gap_in
        return figure


def _place_colors(share: Array) -> Array:
    """(n, 2) places in [0, 1] -> (n, 3) colours: hue runs along x, lightness along y."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    base = colormaps["turbo"](share[:, 0])[:, :3]
    part = share[:, 1:]
    white, black = np.array(to_rgb("white")), np.array(to_rgb(style.INK))
    light = base + (white - base) * np.clip(0.8 - 1.6 * part, 0, None)
    return np.asarray(light + (black - light) * np.clip(1.6 * part - 0.8, 0, None) * 0.85)
