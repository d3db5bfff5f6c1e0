"""How the figures look: colours, fonts, and matplotlib, which is imported only when one is drawn.

The colours are Okabe and Ito's, distinct with every common form of colour blindness. Knows no
task. Works on matplotlib's own objects, never through pyplot: no global state is touched.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlm3 import disk
from vlm3.errors import InputError, MissingDependencyError
from vlm3.viz.placement import place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlm3.view import View

INK = "#1a1a1a"
MUTED = "#5f6368"
GOOD = "#009e73"
NEAR = "#e69f00"
FAR = "#d55e00"
ABSENT = "#9aa0a6"
TRUTH = "#0072b2"
SERIES = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff")

MARGIN_IN = 0.2
TOP_IN = 0.72
LEGEND_IN = 0.45

SUFFIXES = (".png", ".svg", ".pdf")
_RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "grid.color": "#e3e5e8",
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "savefig.dpi": 160,
    "svg.fonttype": "none",
    "svg.hashsalt": "vlm3",
    "pdf.fonttype": 42,
}


def require_matplotlib() -> None:
    """Nothing, where matplotlib can be imported.

    Raises:
        MissingDependencyError: it cannot.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "figures need matplotlib, which is not installed: pip install 'vlm3[viz]'"
        ) from error


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib in this project's style, for the length of a `with` block.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib as mpl

    with mpl.rc_context(_RC):
        yield


def save_figure(figure: "Figure", path: str | PathLike[str]) -> Path:
    """Write a figure; the suffix chooses PNG (160 dpi), SVG or PDF.

    Raises:
        InputError: another suffix, or a place that cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"figures are written as {', '.join(SUFFIXES)}, not {target.name!r}: change the suffix"
        )
    undated = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
    with drawing(), disk.whole(target) as partial:
        figure.savefig(partial, format=suffix[1:], metadata=undated)
    return target


def new_figure(width_in: float, height_in: float) -> "Figure":
    """An empty white figure of that size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_axes(
    figure: "Figure",
    left_in: float,
    top_in: float,
    width_in: float,
    height_in: float,
    **kwargs: Any,
) -> "Axes":
    """Axes placed in inches, measured from the figure's left and top edges."""
    width, height = figure.get_size_inches()
    bottom_in = height - top_in - height_in
    box = (left_in / width, bottom_in / height, width_in / width, height_in / height)
    return figure.add_axes(box, **kwargs)


def add_text(figure: "Figure", left_in: float, top_in: float, text: str, **kwargs: Any) -> None:
    """Text whose top left corner (or `ha`) is placed in inches from the left and top edges."""
    width, height = figure.get_size_inches()
    figure.text(left_in / width, 1 - top_in / height, plain(text), va="top", **kwargs)


def add_heading(figure: "Figure", title: str, *details: str) -> None:
    """The bold line at the top left, and below it in grey the details that are not empty."""
    add_text(figure, MARGIN_IN, 0.14, title, size=12, weight="bold")
    add_text(figure, MARGIN_IN, 0.40, joined(*details), size=9, color=MUTED)


def add_legend(figure: "Figure", marks: Sequence[Any]) -> None:
    """One row of legend at the bottom left."""
    width, height = figure.get_size_inches()
    figure.legend(
        handles=list(marks),
        loc="lower left",
        bbox_to_anchor=(MARGIN_IN / width - 0.005, 0.06 / height),
        ncols=len(marks),
        frameon=False,
        handletextpad=0.3,
        columnspacing=1.4,
        borderaxespad=0,
        borderpad=0.1,
    )


def mark(marker: str, color: str, label: str) -> Any:
    """A legend entry: a dot, or a cross."""
    from matplotlib.lines import Line2D

    cross = marker == "x"
    return Line2D(
        [],
        [],
        ls="",
        marker=marker,
        color=color,
        ms=7,
        mec=None if cross else "white",
        mew=1.6 if cross else 0.8,
        label=label,
    )


def outlined(width: float, color: str = "white") -> list[Any]:
    """A path effect: the artist with a border of that width, so that it shows on any picture."""
    from matplotlib.patheffects import Normal, withStroke

    return [withStroke(linewidth=width, foreground=color), Normal()]


def picture_size(view: "View", *, widest_in: float, tallest_in: float) -> tuple[float, float]:
    """Width and height in inches that show the picture undistorted within those limits."""
    ratio = view.camera.height_px / view.camera.width_px
    width_in = min(widest_in, tallest_in / ratio)
    return width_in, width_in * ratio


def show_view(axes: "Axes", view: "View") -> None:
    """The picture on axes whose data coordinates are its pixels, `xy_px`, y down."""
    width, height = view.camera.width_px, view.camera.height_px
    axes.imshow(view.image, extent=(0, width, height, 0), aspect="auto")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()


def spread_labels(
    figure: "Figure",
    axes: "Axes",
    texts: Sequence[Any],
    anchors_px: NDArray[np.float64],
    *,
    pad_pt: float,
    gap_pt: float,
) -> None:
    """Move labels clear of each other and of their points, measured as they will be drawn.

    Args:
        figure: that holds the axes.
        axes: that hold the labels.
        texts: (n,) the labels.
        anchors_px: (n, 2) their points.
        pad_pt: the padding of a label's box, in points, on each side.
        gap_pt: the least distance between a label and its point, in points.
    """
    from matplotlib.text import Text

    canvas: Any = figure.canvas
    renderer = canvas.get_renderer()
    point = figure.dpi / 72
    # Text's own extent: an annotation's would include its leader.
    sizes = np.array([Text.get_window_extent(text, renderer).size for text in texts])
    centres = place_labels(
        axes.transData.transform(anchors_px),
        sizes + 2 * pad_pt * point,
        axes.get_window_extent(renderer).extents,
        gap=gap_pt * point,
    )
    for text, centre in zip(texts, axes.transData.inverted().transform(centres), strict=True):
        text.set_position(centre)


def joined(*parts: str) -> str:
    """The parts that are not empty, with dots between."""
    return "  ·  ".join(part for part in parts if part)


def unparsed_words(parsed: NDArray[np.bool_]) -> str:
    """How many answers could not be parsed; empty when all could."""
    missing = int(np.sum(~parsed))
    return f"{missing} of {len(parsed)} answers could not be parsed" if missing else ""


def shorten(text: str, width: int) -> str:
    """At most `width` characters, an ellipsis telling that there was more."""
    return text if len(text) <= width else text[: width - 1] + "…"


def plain(text: str) -> str:
    """The text with what the font cannot draw replaced: model output may hold anything."""
    return "".join(
        char if char == "\n" or (char.isprintable() and ord(char) < 0x2E80) else "\ufffd"
        for char in text
    )
