"""The pose figure: two cameras in space, predicted and true, and the numbers of both.

Drawn in camera 1's frame (X right, Y down, Z forward), metres.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose, transform_points
from vlm3.tasks.answers import PoseAnswer
from vlm3.viz import style
from vlm3.viz.evidence import pose_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vlm3.view import View

Array = NDArray[np.float64]
_FIRST = style.INK
_PREDICTED = style.FAR
_TRUE = style.TRUTH
_ROW_IN = 0.25
_COLUMNS_IN = (0.0, 1.95, 2.95)


def pose_figure(
    views: "tuple[View, View]",
    answer: PoseAnswer,
    *,
    truth: RelativePose | None = None,
    source: str = "",
) -> "Figure":
    """Camera 1, camera 2 as predicted, camera 2 in truth, and a table of the numbers.

    A prediction without a distance is drawn at the true distance, or at 1 m; what could not be
    parsed is missing from the drawing and named in the table.

    Args:
        views: the two pictures, shown small; their cameras give the frusta their shape.
        answer: what came back.
        truth: the true motion.
        source: what answered, for the heading.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    with style.drawing():
        figure = style.new_figure(11.2, 4.75)
        style.add_heading(figure, "Camera motion from picture 1 to picture 2", source)
        for k, view in enumerate(views):
            _draw_thumbnail(figure, view, f"picture {k + 1}", style.TOP_IN + 1.98 * k)
        axes = style.add_axes(figure, 2.75, 0.62, 4.75, 3.9, projection="3d", computed_zorder=False)
        _draw_space(axes, [view.camera for view in views], _placed(answer, truth), truth)
        _draw_table(figure, answer, truth, left_in=7.75, top_in=0.95)
        return figure


def _draw_thumbnail(figure: "Figure", view: "View", name: str, top_in: float) -> None:
    size_in = style.picture_size(view, widest_in=2.5, tallest_in=1.68)
    style.add_text(figure, style.MARGIN_IN, top_in, name, size=9, color=style.MUTED)
    style.show_view(style.add_axes(figure, style.MARGIN_IN, top_in + 0.2, *size_in), view)


def _placed(answer: PoseAnswer, truth: RelativePose | None) -> Array | None:
    """cam1_from_cam2 as far as it can be drawn, or None without rotation or direction."""
    if answer.cam1_from_cam2 is not None:
        return np.asarray(answer.cam1_from_cam2)
    if answer.yaw_pitch_roll_deg is None or answer.direction is None:
        return None
    distance_m = answer.distance_m
    if distance_m is None:
        distance_m = 1.0 if truth is None else truth.distance_m
    return RelativePose.from_ypr_direction(
        answer.yaw_pitch_roll_deg, answer.direction, distance_m
    ).cam1_from_cam2


def _frustum(camera: Camera, depth_m: float) -> Array:
    """Centre and the four picture corners at `depth_m`, in the camera's frame: (5, 3)."""
    width, height = camera.width_px, camera.height_px
    corners_px = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    return np.concatenate([np.zeros((1, 3)), camera.unproject_z1(corners_px) * depth_m])


def _shown(points_m: Array) -> Array:
    """Camera axes to the drawing's: x right, z forward, up."""
    return np.asarray(points_m[..., [0, 2, 1]] * np.array([1, 1, -1]))


def _draw_space(
    axes: Any, cameras: Sequence[Camera], placed: Array | None, truth: RelativePose | None
) -> None:
    bodies = [(np.eye(4), cameras[0], _FIRST, "camera 1")]
    if truth is not None:
        bodies.append((truth.cam1_from_cam2, cameras[1], _TRUE, "camera 2, true"))
    if placed is not None:
        bodies.append((placed, cameras[1], _PREDICTED, "camera 2, predicted"))
    baselines_m = [float(np.linalg.norm(body[0][:3, 3])) for body in bodies[1:]]
    size_m = 0.38 * max([0.05, *baselines_m])
    drawn = []
    for cam1_from_cam, camera, color, label in bodies:
        points = _shown(transform_points(cam1_from_cam, _frustum(camera, size_m)))
        _draw_frustum(axes, points, color, label)
        path = _shown(np.stack([np.zeros(3), cam1_from_cam[:3, 3]]))
        axes.plot(*path.T, color=color, lw=1.4, ls="--")
        drawn.append(points)
    _frame(axes, np.concatenate(drawn))
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0), frameon=False, borderaxespad=0)


def _draw_frustum(axes: Any, points: Array, color: str, label: str) -> None:
    """Pyramid from the centre to the picture's corners, with a roof that marks its top edge."""
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    centre, corners = points[0], points[1:]
    axes.add_collection3d(
        Poly3DCollection([corners], facecolor=color, alpha=0.18, edgecolor="none")
    )
    axes.plot(*np.concatenate([corners, corners[:1]]).T, color=color, lw=1.8, label=label)
    for corner in corners:
        axes.plot(*np.stack([centre, corner]).T, color=color, lw=1.1)
    peak = (corners[0] + corners[1]) / 2 + 0.25 * (corners[0] - corners[3])
    axes.plot(*np.stack([corners[0], peak, corners[1]]).T, color=color, lw=1.1)
    axes.scatter(*centre, color=color, s=16, depthshade=False)


def _frame(axes: Any, points: Array) -> None:
    """Equal scales on the three axes, few ticks, light panes."""
    from matplotlib.ticker import MaxNLocator

    low, high = points.min(0), points.max(0)
    spans = np.maximum(high - low, 0.35 * (high - low).max())
    starts, ends = (low + high) / 2 - 0.56 * spans, (low + high) / 2 + 0.56 * spans
    axes.set(xlim=(starts[0], ends[0]), ylim=(starts[1], ends[1]), zlim=(starts[2], ends[2]))
    axes.set_box_aspect(spans)
    axes.view_init(elev=24, azim=-58)
    names = ("x, right (m)", "z, forward (m)", "up, −y (m)")
    for axis, name in zip((axes.xaxis, axes.yaxis, axes.zaxis), names, strict=True):
        axis.set_label_text(name, size=8)
        axis.set_major_locator(MaxNLocator(3, prune="both"))
        axis.set_pane_color((0.97, 0.97, 0.98, 1.0))
    axes.tick_params(labelsize=7, pad=0)


def _draw_table(
    figure: "Figure",
    answer: PoseAnswer,
    truth: RelativePose | None,
    *,
    left_in: float,
    top_in: float,
) -> None:
    def row(cells: Sequence[str], y_in: float, colors: Sequence[str], **kwargs: Any) -> None:
        for k, (x_in, cell) in enumerate(zip(_COLUMNS_IN, cells, strict=True)):
            text = cell.replace("-", "−")
            side = "right" if k else "left"
            style.add_text(figure, left_in + x_in, y_in, text, ha=side, color=colors[k], **kwargs)

    plain = (style.MUTED, style.INK, style.INK)
    heads = ("", "predicted", "" if truth is None else "true")
    row(heads, top_in, (style.INK, _PREDICTED, _TRUE), size=9, weight="bold")
    y_in = top_in + _ROW_IN
    for block in (*_number_rows(answer, truth), _error_rows(answer, truth)):
        for cells in block:
            row(cells, y_in, plain, size=10)
            y_in += _ROW_IN
        y_in += _ROW_IN / 2
    missing = [name.replace("_", " ") for name, parsed in answer.parsed.items() if not parsed]
    if missing:
        note = f"not parsed: {', '.join(missing)}"
        style.add_text(figure, left_in, y_in, note, size=9, color=_PREDICTED)


def _number_rows(
    answer: PoseAnswer, truth: RelativePose | None
) -> tuple[list[tuple[str, str, str]], ...]:
    """Blocks of rows (name, predicted, true): rotation, direction, distance."""

    def rows(names: Sequence[str], form: str, given: Any, true: Any) -> list[tuple[str, str, str]]:
        return [
            (
                name,
                "–" if given is None else form.format(given[k]),
                "" if true is None else form.format(true[k]),
            )
            for k, name in enumerate(names)
        ]

    return (
        rows(
            ("yaw, right", "pitch, up", "roll, right"),
            "{:+.1f}°",
            answer.yaw_pitch_roll_deg,
            None if truth is None else truth.yaw_pitch_roll_deg,
        ),
        rows(
            ("direction x", "direction y", "direction z"),
            "{:+.2f}",
            answer.direction,
            None if truth is None else truth.direction,
        ),
        rows(
            ("distance",),
            "{:.2f} m",
            None if answer.distance_m is None else [answer.distance_m],
            None if truth is None else [truth.distance_m],
        ),
    )


def _error_rows(answer: PoseAnswer, truth: RelativePose | None) -> list[tuple[str, str, str]]:
    return [(f"{name} error", error, "") for name, error in pose_errors(answer, truth).items()]
