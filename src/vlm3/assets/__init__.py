"""The pictures that lie in the package: two photographs of one room, with their truth.

`load_example()` is all there is. How the truth was derived, and whose pictures these are, stands in
`examples/example.json` and `examples/LICENSE`. Knows no model and no figure.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.tasks.truth import ObjectTruth, truth_of_fields
from vlm3.view import View

EXAMPLES_DIR = Path(__file__).parent / "examples"


@dataclass(frozen=True)
class ExampleQuestion:
    """A question about regions of picture 1, and its true answer.

    A region is an index into this question's boxes.
    """

    question: str
    boxes_xyxy_px: NDArray[np.float64]
    labels: tuple[str, ...]
    truth: ObjectTruth


@dataclass(frozen=True)
class Example:
    """Two views of one room with truth measured by a depth camera.

    Attributes:
        views: pictures 1 and 2, each with its own camera, 540 x 360 px.
        world_from_cam: camera poses, each (4, 4), metres.
        pose: the motion from camera 1 to camera 2.
        point_labels, points_xy_px (n, 2), points_distance_m (n,), points_depth_z_m (n,):
            labelled points of picture 1.
        match_labels, matches_xy_1_px (m, 2), matches_xy_2_px (m, 2): the same places in both.
        questions: object questions about picture 1.
        credit: one line that names the source and its licence.
    """

    views: tuple[View, View]
    world_from_cam: tuple[NDArray[np.float64], NDArray[np.float64]]
    pose: RelativePose
    point_labels: tuple[str, ...]
    points_xy_px: NDArray[np.float64]
    points_distance_m: NDArray[np.float64]
    points_depth_z_m: NDArray[np.float64]
    match_labels: tuple[str, ...]
    matches_xy_1_px: NDArray[np.float64]
    matches_xy_2_px: NDArray[np.float64]
    questions: tuple[ExampleQuestion, ...]
    credit: str


def _column(rows: list[dict[str, Any]], key: str) -> NDArray[np.float64]:
    return np.array([row[key] for row in rows], dtype=np.float64)


def _questions(objects: dict[str, Any]) -> tuple[ExampleQuestion, ...]:
    boxes = objects["boxes"]
    return tuple(
        ExampleQuestion(
            question=item["question"],
            boxes_xyxy_px=_column([boxes[i] for i in item["boxes"]], "xyxy_px"),
            labels=tuple(boxes[i]["label"] for i in item["boxes"]),
            truth=_truth(item["truth"]),
        )
        for item in objects["questions"]
    )


def _truth(fields: dict[str, Any]) -> ObjectTruth:
    truth = truth_of_fields(fields)
    assert truth is not None
    return truth


def load_example() -> Example:
    """The example pair that is shipped with the package, with cameras and truth."""
    doc = json.loads((EXAMPLES_DIR / "example.json").read_text(encoding="utf-8"))
    first, second = (
        View.open(EXAMPLES_DIR / view["file"], camera=Camera(**view["camera"]))
        for view in doc["views"]
    )
    world_1, world_2 = (np.array(view["world_from_cam"]) for view in doc["views"])
    points, matches, source = doc["points"], doc["matches"], doc["source"]
    return Example(
        views=(first, second),
        world_from_cam=(world_1, world_2),
        pose=RelativePose.from_matrix(np.array(doc["cam1_from_cam2"])),
        point_labels=tuple(point["label"] for point in points),
        points_xy_px=_column(points, "xy_px"),
        points_distance_m=_column(points, "distance_m"),
        points_depth_z_m=_column(points, "depth_z_m"),
        match_labels=tuple(match["label"] for match in matches),
        matches_xy_1_px=_column(matches, "xy_1_px"),
        matches_xy_2_px=_column(matches, "xy_2_px"),
        questions=_questions(doc["objects"]),
        credit=f"Photographs: {source['repository']}, {source['licence'].split(';')[0]}.",
    )
