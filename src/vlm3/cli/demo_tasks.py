"""The demo's tasks: what each asks about the photographs in the package, and how it is shown.

Asks the model through the calls that users make, and puts the truth beside every answer. A new task
of the demo is a line in `DEMO_TASKS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlm3.assets import Example, ExampleQuestion
from vlm3.tasks.answers import Answer
from vlm3.tasks.correspondence import CORRESPONDENCE
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.objects import OBJECTS
from vlm3.tasks.pose import POSE
from vlm3.tasks.task import Task
from vlm3.tasks.truth import all_fields
from vlm3.viz import figures
from vlm3.viz.evidence import (
    Evidence,
    depth_evidence,
    match_evidence,
    object_evidence,
    pose_evidence,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vlm3.infer.predictor import Predictor


@dataclass(frozen=True)
class TaskAnswers:
    """One task's answers.

    Attributes:
        answers: each with its truth.
        evidence: the same as lines for people.
        draw: makes the figure; takes what answered, for the heading.
    """

    answers: Sequence[tuple[Answer, dict[str, Any]]]
    evidence: tuple[Evidence, ...]
    draw: "Callable[[str], Figure]"


@dataclass(frozen=True)
class DemoTask:
    """A task as the demo shows it.

    Attributes:
        task: which.
        title: of its figure and its part of the page.
        text: a sentence or two of explanation.
        figure: name of the file.
        ask: puts its questions about the example.
    """

    task: Task
    title: str
    text: str
    figure: str
    ask: "Callable[[Predictor, Example], TaskAnswers]"


def _ask_depth(predictor: "Predictor", example: Example) -> TaskAnswers:
    view = example.views[0]
    answer = predictor.depth(view, example.points_xy_px)
    truth_m, labels = example.points_distance_m, example.point_labels
    truth = {
        "labels": labels,
        "distance_m": truth_m.tolist(),
        "depth_z_m": example.points_depth_z_m.tolist(),
    }
    return TaskAnswers(
        [(answer, truth)],
        tuple(depth_evidence(answer, labels, truth_m)),
        lambda source: figures.depth_figure(
            view, answer, truth_distance_m=truth_m, labels=labels, source=source
        ),
    )


def _ask_match(predictor: "Predictor", example: Example) -> TaskAnswers:
    answer = predictor.match(*example.views, example.matches_xy_1_px)
    truth_px, labels = example.matches_xy_2_px, example.match_labels
    return TaskAnswers(
        [(answer, {"labels": labels, "xy_px": truth_px.tolist()})],
        tuple(match_evidence(answer, labels, truth_px)),
        lambda source: figures.match_figure(
            *example.views, answer, truth_xy_px=truth_px, source=source
        ),
    )


def _ask_pose(predictor: "Predictor", example: Example) -> TaskAnswers:
    answer = predictor.pose(*example.views)
    truth = {
        "yaw_pitch_roll_deg": example.pose.yaw_pitch_roll_deg.tolist(),
        "direction": None if example.pose.direction is None else example.pose.direction.tolist(),
        "distance_m": example.pose.distance_m,
        "cam1_from_cam2": example.pose.cam1_from_cam2.tolist(),
    }
    return TaskAnswers(
        [(answer, truth)],
        tuple(pose_evidence(answer, example.pose)),
        lambda source: figures.pose_figure(
            example.views, answer, truth=example.pose, source=source
        ),
    )


def _ask_objects(predictor: "Predictor", example: Example) -> TaskAnswers:
    view = example.views[0]
    answers, items = [], []
    for question in example.questions:
        answer = predictor.ask(view, question.question, question.boxes_xyxy_px)
        evidence = object_evidence(answer, _in_words(question), question.truth)
        answers.append((answer, all_fields(question.truth)))
        items.append(figures.ObjectItem(question.question, answer, evidence))
    return TaskAnswers(
        answers,
        tuple(item.evidence for item in items),
        lambda source: figures.object_figure(view, items, source=source),
    )


def _in_words(question: ExampleQuestion) -> str:
    """The question for people: with the objects' names, which the model does not see."""
    return question.question.format(*(f"the {label}" for label in question.labels))


DEMO_TASKS = (
    DemoTask(
        DEPTH,
        "Distance at pixels",
        "How far is the point at a pixel from the camera? The truth was measured by a depth "
        "camera. An answer counts as right within a factor 1.25 of it (δ1, the paper's score).",
        "depth.png",
        _ask_depth,
    ),
    DemoTask(
        CORRESPONDENCE,
        "Pixel correspondence",
        "Where is a pixel of picture 1 seen in picture 2? Lines with dotted ends are the "
        "predictions, crosses the truth.",
        "match.png",
        _ask_match,
    ),
    DemoTask(
        POSE,
        "Camera motion",
        "How did the camera move and turn from picture 1 to picture 2? Both are drawn in "
        "camera 1's frame: x right, y down, z forward.",
        "pose.png",
        _ask_pose,
    ),
    DemoTask(
        OBJECTS,
        "Objects",
        "Questions about regions, which are named by their corners in text. The boxes are drawn "
        "for you; the model sees the plain picture. A length counts as right within 25 %.",
        "objects.png",
        _ask_objects,
    ),
)
"""In the order of the page."""
