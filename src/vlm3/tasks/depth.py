"""Metric depth (paper, section 3.2): how far a pixel's point is from the camera.

Example under `release-depth` (facebookresearch/VLM3, sample_data/depth_labels.json):

    Given this image, how far is the point at coordinates (16, 1061) from the camera? ...

and answered in the form DepthLM trained:

    <think> The point is around 2.75 meters away from the camera. </think>

    <answer> 2.75 </answer>

The distance is the straight one from the camera's centre, not along the axis.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from vlm3.geometry.camera import Camera
from vlm3.tasks import metrics
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.depth_labels import cosines, label_from_distance
from vlm3.tasks.free_text.framing import framed
from vlm3.tasks.free_text.length_questions import LengthQuestion
from vlm3.tasks.free_text.lengths import read_length
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.reading import in_form, length_in_metres
from vlm3.tasks.sample import Rng, Sample
from vlm3.tasks.scoring import (
    SHORTEST_M,
    Floor,
    Measure,
    MeasureMaker,
    Rows,
    best_constant_m,
    number,
    numbers,
)
from vlm3.tasks.task import Cameras, Json, Task, Words, floats, one_text
from vlm3.tasks.writing import named_pixel, written_metres, written_xy

_FARTHEST_M = 1e9


def ask(protocol: Protocol, xy_px: ArrayLike, *, width_px: int, height_px: int) -> str:
    """The question about one pixel (2,) of a picture of that size.

    Raises:
        InputError: the pixel lies outside, or the protocol has no depth.
    """
    template = protocol.template("depth.ask")
    x, y = written_xy(protocol, xy_px, width_px=width_px, height_px=height_px)
    return template.format(x=x, y=y)


def answer(protocol: Protocol, distance_m: float) -> str:
    """The answer that a model is trained to give.

    Raises:
        InputError: a distance that is not positive and finite, or the protocol has no depth.
    """
    return protocol.template("depth.answer").format(metres=written_metres(distance_m))


_DISTANCE = LengthQuestion("distance", camera=True, unit="m")


def parse(protocol: Protocol, text: str) -> float | ParseFailure:
    """The distance in metres that a model wrote; a failure where none stands.

    Under a protocol that fixes the form of the answer only that form is read; under one that does
    not (`paper`), what a person would read, a number without a unit as metres.
    """
    form = protocol.patterns.get("depth")
    if form is None:
        frame = framed(text)
        if isinstance(frame, ParseFailure):
            return frame
        value = read_length(_DISTANCE, frame.answer, depth=True)
        return (
            ParseFailure(text, value) if isinstance(value, str) else length_in_metres(text, value)
        )
    found = in_form(form, text, "distance")
    if isinstance(found, ParseFailure):
        return found
    return length_in_metres(text, float(found["metres"]))


class Depth(Task):
    """How far the point at a pixel is.

    A query asks {"xy_px": [x, y], "cosine": z / distance along the pixel's ray}; its truth is
    {"distance_m": ..., "label_m": ...}, what the benchmark's own label says, which may be z.
    """

    name = mark = "depth"
    pictures = 1
    columns = 2
    asked_columns = 2
    fields = ("distance_m", "depth_z_m")
    headline = "delta1"
    typical_tokens = (50 * 28, 450)
    failure = "An answer that could not be read counts as wrong, and as 0 m in AbsRel and RMSE."

    def question(self, protocol: Protocol, camera: Camera, xy_px: ArrayLike) -> str:
        """How far the point at a pixel (2,) of the camera's picture is.

        Raises:
            InputError: the pixel lies outside, or the protocol has no depth.
        """
        xy, width_px, height_px = named_pixel(protocol, camera, xy_px)
        return ask(protocol, xy, width_px=width_px, height_px=height_px)

    def query(
        self, xy_px: ArrayLike, *, cosine: float, distance_m: float, label_m: float | None = None
    ) -> tuple[Json, Json]:
        """A pixel (2,) and its truth; `label_m` is what the benchmark's own label says."""
        label = distance_m if label_m is None else label_m
        ask = {"xy_px": floats(xy_px), "cosine": float(cosine)}
        return ask, {"distance_m": float(distance_m), "label_m": float(label)}

    def queries(self, sample: Sample, most: int, rng: Rng = None) -> list[tuple[Json, Json]]:
        """Distances at labelled pixels; none of a sample without a true scale."""
        if sample.points is None or not sample.metric:
            return []
        drawn = sample.points.draw(most, rng)
        slant = cosines(drawn.xy_px, sample.cameras[0])
        return [
            self.query(xy, cosine=cosine, distance_m=far)
            for xy, cosine, far in zip(drawn.xy_px, slant, drawn.distance_m, strict=True)
        ]

    def prompts(self, protocol: Protocol, cameras: Cameras, ask: Json) -> dict[str, str]:
        """See `Task`."""
        return {self.name: self.question(protocol, cameras[0], ask["xy_px"])}

    def answers(
        self, protocol: Protocol, cameras: Cameras, ask: Json, truth: Json
    ) -> dict[str, str]:
        """See `Task`."""
        return {self.name: answer(protocol, truth["distance_m"])}

    def read(self, protocol: Protocol, ask: Json, prompt: Words, text: Words) -> Json | None:
        """See `Task`."""
        value = parse(protocol, one_text(text))
        return None if isinstance(value, ParseFailure) else {"distance_m": value}

    def numbers(self, values: Json) -> list[float]:
        """Distance, and the value to hold against the published label."""
        distance, label = number(values.get("distance_m")), values.get("label_m")
        return [distance, distance if label is None else number(label)]

    def values(self, numbers: Sequence[float]) -> Json:
        """See `Task`."""
        distance, label = (v if np.isfinite(v) else None for v in numbers)
        return {"distance_m": distance, "label_m": label}

    def asked(self, ask: Json) -> list[float]:
        """X and y."""
        return numbers(ask["xy_px"], 2)

    def check_truth(self, numbers: Sequence[float]) -> None:
        """See `Task`."""
        if not all(v >= SHORTEST_M for v in numbers):
            raise ValueError("the truth is no distance")
        super().check_truth(numbers)

    def prediction(self, ask: Json, *, distance_m: float, label: str) -> Json:
        """A distance in metres as a record holds it, with what the column calls it."""
        as_label = float(label_from_distance(distance_m, ask["cosine"], label))
        return {"distance_m": distance_m, "label_m": as_label}

    def predicted(self, ask: Json, record: Json, *, label: str) -> Json:
        """A "distance_m", or a "depth_z_m" along the axis."""
        z = record.get("depth_z_m")
        name, value = ("distance_m", record["distance_m"]) if z is None else ("depth_z_m", z)
        length = float(value)
        if not 0 < length <= _FARTHEST_M:
            raise ValueError(f"{name} is {length:g}, which is no distance in metres")
        distance_m = length if z is None else length / ask["cosine"]
        return self.prediction(ask, distance_m=distance_m, label=label)

    def measures(self, rows: Rows, *, label: str = "distance") -> list[Measure]:
        """delta1 first; against the published label too, where that is no distance."""
        p, g = rows.predicted[:, 0], rows.truth[:, 0]
        make = MeasureMaker(rows, metrics.read(rows.predicted[:, :1]))
        found = []
        if label != "distance":
            published = metrics.delta_values(rows.predicted[:, 1], rows.truth[:, 1])
            found.append(make(f"delta1 (label: {label})", published, table="depth"))
        name = "delta1" if label == "distance" else "delta1 (true distance)"
        table = "depth" if label == "distance" else None
        found.append(make(name, metrics.delta_values(p, g), table=table))
        found += [make(f"delta{k}", metrics.delta_values(p, g, power=k)) for k in (2, 3)]
        found.append(make("AbsRel", metrics.abs_rel_values(p, g), better="lower"))
        squares = metrics.squared_values(p, g)
        found.append(make("RMSE", squares, unit="metres", better="lower", root=True))
        return found

    def floors(self, rows: Rows) -> list[Floor]:
        """The best constant distance, and the median of each picture's truths."""
        labels, distances = rows.truth[:, 1], rows.truth[:, 0]
        constant = best_constant_m(labels)
        mine = np.column_stack(
            [np.full(len(rows), best_constant_m(distances)), np.full(len(rows), constant)]
        )
        medians = np.empty_like(rows.truth)
        order = np.argsort(rows.clusters, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(rows.clusters[order])) + 1):
            medians[part] = np.median(rows.truth[part], axis=0)
        best = Floor(f"constant, the best: {constant:.2f} m", replace(rows, predicted=mine))
        if len(np.unique(rows.clusters)) == len(rows):
            return [best]  # Of one distance a picture the median is that distance: no floor.
        return [
            best,
            Floor("median of each picture (oracle)", replace(rows, predicted=medians), oracle=True),
        ]


DEPTH = Depth()
