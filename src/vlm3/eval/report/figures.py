"""Figures of an evaluation run: its pictures with what was answered and what is true.

A predictions file holds no pictures, so the benchmark is read again, as in the run. Texts are
parsed anew, as scores do.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlm3.errors import InputError
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.predictions import FILE, read_again, read_header
from vlm3.eval.readers import EVERY, Wanted, read_items
from vlm3.geometry.pose import RelativePose, ypr_deg_from_rotation
from vlm3.tasks.answers import DepthAnswer, MatchAnswer, ObjectAnswer, PoseAnswer
from vlm3.tasks.base import Floats, TaskName
from vlm3.tasks.correspondence import CORRESPONDENCE
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.objects import OBJECTS
from vlm3.tasks.pose import POSE
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.registry import TASKS
from vlm3.tasks.truth import ObjectTruth, all_fields, truth_of_fields
from vlm3.view import View
from vlm3.viz import figures
from vlm3.viz.evidence import object_evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_QUESTIONS = 5
_MOST_MATCHES = 16


def run_figures(
    run: Path, data: Path | None, count: int
) -> Iterator[tuple[str, TaskName, "Figure"]]:
    """Item key, task and figure of the first pictures or pairs of a run that were answered.

    Args:
        run: the folder that `vlm3 eval` wrote.
        data: the benchmark's data, where it has any.
        count: how many pictures or pairs.

    Raises:
        InputError: no run, or data that is not the run's.
    """
    path = run / FILE if run.is_dir() else run
    config, _ = read_header(path)
    answered: dict[str, dict[str, dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # Half a line of a killed run; scores name it.
        if "id" in record:
            answered.setdefault(str(record["cluster"]), {})[str(record["id"])] = record
    samples = EVERY if config["count"] == "all" else int(config["count"])
    wanted = Wanted(
        get_benchmark(config["benchmark"]),
        data,
        samples,
        int(config["seed"]),
        split=config.get("split", "heldout"),
    )
    source = f"model {config.get('name') or config['model']}"
    if config.get("protocol"):
        source += f"  ·  protocol {config['protocol']}"
    done = 0
    for item in read_items(wanted):
        records = answered.get(item.key, {})
        item_records = [records[q.id] for q in item.queries if q.id in records]
        if not item_records:
            continue
        views = [open_picture() for open_picture in item.pictures]
        for task in dict.fromkeys(r["task"] for r in item_records if r["task"] in _DRAW):
            own = [record for record in item_records if record["task"] == task]
            answers = _Answered.read(task, views, own, config.get("protocol"), source)
            yield item.key, task, _DRAW[task](answers)
        done += 1
        if done == count:
            return
    if not done:
        raise InputError(f"nothing in {str(path)!r} is about this data; give the run's own --data")


@dataclass(frozen=True)
class _Answered:
    """The answers of one task about a picture or pair.

    Attributes:
        views: the pictures.
        records: lines of the predictions file.
        predicted: what is read from each; None where nothing is.
        common: protocol and intrinsics, as every answer holds them.
        source: the line below a figure.
    """

    views: tuple[View, ...]
    records: Sequence[dict[str, Any]]
    predicted: Sequence[dict[str, Any] | None]
    common: dict[str, Any]
    source: str

    @classmethod
    def read(
        cls,
        task: TaskName,
        views: Sequence[View],
        records: Sequence[dict[str, Any]],
        protocol: str | None,
        source: str,
    ) -> "_Answered":
        """Reads the records anew."""
        words = get_protocol(protocol) if protocol else None
        return cls(
            tuple(views),
            records,
            [read_again(TASKS[task], record, words) for record in records],
            {
                "protocol": protocol or "",
                "intrinsics": tuple(view.intrinsics for view in views),
            },
            source,
        )

    def words(self, key: str) -> tuple[str, ...]:
        """Prompts or raw texts of all."""
        return tuple(str(record[key] or "") for record in self.records)


def _draw_depth(answered: _Answered) -> "Figure":
    distance = np.array([DEPTH.numbers(found or {})[0] for found in answered.predicted])
    answer = DepthAnswer(
        xy_px=np.array([record["ask"]["xy_px"] for record in answered.records]),
        distance_m=distance,
        depth_z_m=distance * np.array([record["ask"]["cosine"] for record in answered.records]),
        parsed=np.isfinite(distance),
        raw_text=answered.words("raw_text"),
        prompt=answered.words("prompt"),
        **answered.common,
    )
    truth = np.array([record["truth"]["distance_m"] for record in answered.records])
    return figures.depth_figure(
        answered.views[0], answer, truth_distance_m=truth, source=answered.source
    )


def _draw_matches(answered: _Answered) -> "Figure":
    answered = replace(
        answered,
        records=answered.records[:_MOST_MATCHES],
        predicted=answered.predicted[:_MOST_MATCHES],
    )
    xy = np.array([CORRESPONDENCE.numbers(found or {}) for found in answered.predicted])
    answer = MatchAnswer(
        xy_a_px=np.array([record["ask"]["xy_px"] for record in answered.records]),
        xy_px=xy,
        parsed=np.isfinite(xy).all(axis=1),
        raw_text=answered.words("raw_text"),
        prompt=answered.words("prompt"),
        **answered.common,
    )
    truth = np.array([record["truth"]["xy_px"] for record in answered.records])
    return figures.match_figure(
        answered.views[0], answered.views[1], answer, truth_xy_px=truth, source=answered.source
    )


def _draw_pose(answered: _Answered) -> "Figure":
    record = answered.records[0]
    numbers = np.array(POSE.numbers(answered.predicted[0] or {}))
    rotation, direction, distance = numbers[:9].reshape(3, 3), numbers[9:12], float(numbers[12])
    ypr = None if np.isnan(rotation).any() else ypr_deg_from_rotation(rotation)
    moved: Floats | None = None if np.isnan(direction).any() else direction
    whole = None
    if ypr is not None and moved is not None and np.isfinite(distance):
        whole = RelativePose.from_ypr_direction(ypr, moved, distance).cam1_from_cam2
    raw, prompt = record["raw_text"], record["prompt"]
    answer = PoseAnswer(
        yaw_pitch_roll_deg=ypr,
        direction=moved,
        distance_m=distance if np.isfinite(distance) else None,
        cam1_from_cam2=whole,
        parsed={
            "rotation": ypr is not None,
            "direction": moved is not None,
            "distance": bool(np.isfinite(distance)),
        },
        raw_text=raw if isinstance(raw, dict) else {},
        prompt=prompt if isinstance(prompt, dict) else {},
        **answered.common,
    )
    truth = RelativePose.from_matrix(record["truth"]["cam1_from_cam2"])
    return figures.pose_figure(
        (answered.views[0], answered.views[1]), answer, truth=truth, source=answered.source
    )


def _truth(values: Mapping[str, Any]) -> ObjectTruth | None:
    """From a record, in which any number may stand as a decimal one."""
    return truth_of_fields(OBJECTS.values(OBJECTS.numbers(dict(values))))


def _draw_objects(answered: _Answered) -> "Figure":
    items = []
    for record, found in list(zip(answered.records, answered.predicted, strict=True))[
        :_MOST_QUESTIONS
    ]:
        answer = ObjectAnswer(
            text=str(record["raw_text"] or ""),
            **all_fields(_truth(found or {})),
            parsed=found is not None,
            raw_text=str(record["raw_text"] or ""),
            prompt=str(record["prompt"] or ""),
            boxes_xyxy_px=np.asarray(record["ask"]["boxes_xyxy_px"], dtype=float).reshape(-1, 4),
            **answered.common,
        )
        question = record["ask"]["question"]
        evidence = object_evidence(answer, question, _truth(record["truth"]))
        items.append(figures.ObjectItem(question, answer, evidence))
    return figures.object_figure(answered.views[0], items, source=answered.source)


_DRAW: Mapping[TaskName, Callable[[_Answered], "Figure"]] = {
    "depth": _draw_depth,
    "correspondence": _draw_matches,
    "pose": _draw_pose,
    "objects": _draw_objects,
}
"""Task -> what draws its answers; others have nothing to draw."""
