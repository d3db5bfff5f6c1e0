"""Lengths in space between pixels, and the size of regions, from the distances a model states.

A pixel and a distance give a point; two points give a length. A region is measured between the
middles of its edges. Knows no engine and no file format.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.depth import distance_from_z, points_from_distance, z_from_distance
from vlm3.infer.generation import Progress
from vlm3.infer.inputs import number_rows, pixel_pairs, points_in
from vlm3.tasks.answers import DepthAnswer, Readout
from vlm3.tasks.base import Floats
from vlm3.tasks.object_writing import check_boxes
from vlm3.view import View

if TYPE_CHECKING:
    from vlm3.infer.predictor import Predictor

CELLS = 8
"""Columns and rows of the points at which a region is measured."""

# Standard deviations from the median to the p10 or the p90 of a normal distribution.
_P90_SIGMAS = 1.2816
# Of every distance so many equally likely values are tried.
_STEPS = 40
# A point belongs to a region's surface within so many median deviations of the logarithm, and
# always within a tenth of the distance.
_DEVIATIONS, _ALWAYS = 3.0, math.log(1.1)


@dataclass(frozen=True)
class MeasuredLength:
    """A length in metres; NaN where an answer was not read.

    Attributes:
        value_m: from the points themselves.
        p10_m: a tenth of the probability lies below; NaN without probabilities.
        p90_m: a tenth lies above.
    """

    value_m: float
    p10_m: float
    p90_m: float

    def to_json(self) -> dict[str, float | None]:
        """The three under their own names, NaN as None."""
        values = {"value_m": self.value_m, "p10_m": self.p10_m, "p90_m": self.p90_m}
        return {name: v if math.isfinite(v) else None for name, v in values.items()}


@dataclass(frozen=True, eq=False)
class Span:
    """The straight line between the points at two pixels.

    Attributes:
        xy_px: (2, 2) the pixels.
        xyz_m: (2, 3) the points in the camera's frame: X right, Y down, Z forward.
        length: of the line.
        raw_text: what the model wrote about each.
        prompt: the question, word for word.
    """

    xy_px: Floats
    xyz_m: Floats
    length: MeasuredLength
    raw_text: tuple[str, str]
    prompt: tuple[str, str]

    def to_json(self) -> dict[str, Any]:
        """All fields, NaN as None."""
        return {
            "measured": "span",
            "xy_px": self.xy_px.tolist(),
            "xyz_m": _plain(self.xyz_m),
            "length": self.length.to_json(),
            "raw_text": list(self.raw_text),
            "prompt": list(self.prompt),
        }


@dataclass(frozen=True, eq=False)
class MeasuredRegion:
    """The size of what a box shows.

    Attributes:
        box_xyxy_px: (4,) the box.
        edges_xyz_m: (4, 3) the middles of its left, right, top and bottom edge in space.
        width: between the left and the right one.
        height: between the top and the bottom one.
        distance: of its surface from the camera, the median.
        points: how many answers lie on the surface.
        asked: how many points had a question.
    """

    box_xyxy_px: Floats
    edges_xyz_m: Floats
    width: MeasuredLength
    height: MeasuredLength
    distance: MeasuredLength
    points: int
    asked: int

    def to_json(self) -> dict[str, Any]:
        """All fields, NaN as None."""
        return {
            "measured": "region",
            "box_xyxy_px": self.box_xyxy_px.tolist(),
            "edges_xyz_m": _plain(self.edges_xyz_m),
            "width": self.width.to_json(),
            "height": self.height.to_json(),
            "distance": self.distance.to_json(),
            "points": self.points,
            "asked": self.asked,
        }


@dataclass(frozen=True, eq=False)
class Measurement:
    """Lengths in one picture.

    Attributes:
        spans: one for each pair of pixels.
        regions: one for each box.
        protocol: the wording of its prompts.
        readout: which number of its answers the distances are.
        intrinsics: where the camera came from: every length is in proportion to its guess.
    """

    spans: tuple[Span, ...]
    regions: tuple[MeasuredRegion, ...]
    protocol: str
    readout: Readout
    intrinsics: str


def measure(
    predictor: "Predictor",
    view: View,
    pairs_px: ArrayLike,
    boxes_xyxy_px: ArrayLike,
    *,
    readout: Readout | None,
    grammar: bool,
    progress: Progress | None,
) -> Measurement:
    """Asks for all distances at once; `Predictor.measure` says what comes back."""
    flat = pixel_pairs(pairs_px)
    boxes = number_rows("boxes_xyxy_px", boxes_xyxy_px, 4)
    check_boxes(boxes, width_px=view.camera.width_px, height_px=view.camera.height_px)
    if not len(flat) and not len(boxes):
        raise InputError("nothing to measure: give two points or a box")
    ends = points_in(view, flat.reshape(-1, 2))
    grids = [_grid(box) for box in boxes]
    answer = predictor.depth(
        view,
        np.concatenate([ends, *(grid.reshape(-1, 2) for grid in grids)]),
        readout=readout,
        grammar=grammar,
        progress=progress,
    )
    quantiles = _quantiles(answer)
    spans = []
    for k in range(len(flat)):
        pair = slice(2 * k, 2 * k + 2)
        xyz_m, length = _between(view.camera, ends[pair], quantiles[:, pair])
        texts, prompts = answer.raw_text[pair], answer.prompt[pair]
        spans.append(
            Span(ends[pair], xyz_m, length, (texts[0], texts[1]), (prompts[0], prompts[1]))
        )
    regions = []
    for k, box in enumerate(boxes):
        start = len(ends) + k * CELLS**2
        cells = quantiles[:, start : start + CELLS**2].reshape(3, CELLS, CELLS)
        regions.append(_region(view.camera, box, cells))
    return Measurement(
        tuple(spans), tuple(regions), answer.protocol, answer.readout, view.intrinsics
    )


def _grid(box: Floats) -> Floats:
    """(CELLS, CELLS, 2) centres of equal cells of a box."""
    part = (np.arange(CELLS) + 0.5) / CELLS
    x = box[0] + part * (box[2] - box[0])
    y = box[1] + part * (box[3] - box[1])
    return np.stack(np.meshgrid(x, y), axis=-1)


def _quantiles(answer: DepthAnswer) -> Floats:
    """(3, n) the distance, its p10 and its p90, metres."""
    nothing = np.full_like(answer.distance_m, np.nan)
    if answer.spread is None:
        return np.stack([answer.distance_m, nothing, nothing])
    return np.stack([answer.distance_m, answer.spread.p10, answer.spread.p90])


def _between(camera: Camera, xy_px: Floats, quantiles: Floats) -> tuple[Floats, MeasuredLength]:
    """The points (2, 3) at two pixels, and their distance from each other.

    Args:
        camera: of the picture.
        xy_px: (2, 2) pixels.
        quantiles: (3, 2) value, p10 and p90 of each pixel's distance, metres.

    The interval: every distance is a log-normal with that median and those quantiles, each side of
    the median having its own width; equally likely values of both are combined, each with each, as
    independent ones, and the tenths of the lengths are taken.
    """
    xyz_m = points_from_distance(xy_px, quantiles[0], camera)
    value_m = float(np.linalg.norm(xyz_m[1] - xyz_m[0]))
    if not np.isfinite(quantiles).all():
        return xyz_m, MeasuredLength(value_m, math.nan, math.nan)
    rays = points_from_distance(xy_px, np.ones(2), camera)
    a, b = (_likely(*quantiles[:, k]) for k in range(2))
    lengths = np.linalg.norm(
        a[:, None, None] * rays[0] - b[None, :, None] * rays[1], axis=-1
    ).ravel()
    low, high = np.quantile(lengths, (0.1, 0.9))
    return xyz_m, MeasuredLength(value_m, min(float(low), value_m), max(float(high), value_m))


def _likely(value: float, p10: float, p90: float) -> Floats:
    """Equally likely distances (_STEPS,), metres."""
    steps = _NORMAL / _P90_SIGMAS
    low, high = math.log(value / min(p10, value)), math.log(max(p90, value) / value)
    return value * np.exp(np.where(steps < 0, steps * low, steps * high))


def _normal_steps() -> Floats:
    from statistics import NormalDist

    return np.array([NormalDist().inv_cdf((k + 0.5) / _STEPS) for k in range(_STEPS)])


_NORMAL = _normal_steps()


def _region(camera: Camera, box: Floats, cells: Floats) -> MeasuredRegion:
    """The size of a box's surface.

    Args:
        camera: of the picture.
        box: (4,) pixels.
        cells: (3, CELLS, CELLS) value, p10 and p90 of the distances, metres.

    Cells that lie off the surface, such as the wall behind in a box's corners, are left out: those
    far from the median, by the median deviation. An edge lies as deep as the median of the two
    columns or rows beside it; where nothing of them is surface, of the next two that have some.
    """
    x1, y1, x2, y2 = box
    middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    xy_px = np.array([[x1, middle[1]], [x2, middle[1]], [middle[0], y1], [middle[0], y2]])
    with np.errstate(invalid="ignore"):
        known = np.isfinite(cells[0]) & (cells[0] > 0)
        if not known.any():
            gap = MeasuredLength(math.nan, math.nan, math.nan)
            return MeasuredRegion(box, np.full((4, 3), np.nan), gap, gap, gap, 0, known.size)
        logs = np.log(np.where(known, cells[0], 1))
        off = np.abs(logs - np.median(logs[known]))
        surface = known & (off <= max(_DEVIATIONS * float(np.median(off[known])), _ALWAYS))
    columns, rows = surface.any(axis=0).nonzero()[0], surface.any(axis=1).nonzero()[0]
    beside = (
        np.isin(np.arange(CELLS), columns[:2])[None],
        np.isin(np.arange(CELLS), columns[-2:])[None],
        np.isin(np.arange(CELLS), rows[:2])[:, None],
        np.isin(np.arange(CELLS), rows[-2:])[:, None],
    )
    depth_z_m = z_from_distance(cells, camera.unproject(_grid(box)))
    edges = np.stack([np.median(depth_z_m[:, surface & part], axis=1) for part in beside], axis=1)
    edges = distance_from_z(edges, camera.unproject(xy_px))
    across, width = _between(camera, xy_px[:2], edges[:, :2])
    down, height = _between(camera, xy_px[2:], edges[:, 2:])
    value, low, high = np.median(cells[:, surface], axis=1)
    return MeasuredRegion(
        box,
        np.concatenate([across, down]),
        width,
        height,
        MeasuredLength(float(value), float(low), float(high)),
        int(surface.sum()),
        surface.size,
    )


def _plain(xyz_m: Floats) -> list[list[float] | None]:
    return [row.tolist() if np.isfinite(row).all() else None for row in xyz_m]
