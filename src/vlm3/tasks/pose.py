"""Camera pose (paper, section 3.2): how the camera turned and moved between two pictures.

One question a component. The released sample (facebookresearch/VLM3, sample_data/pose_labels.json)
answers

    Rotation angle: 89.7 degrees
    Yaw=+89.6°, Pitch=+2.6°, Roll=+6.1°
    The camera moves left, forward, unit vector (-0.69, +0.02, +0.72).
    Translation distance: 1.98 meters

Camera 2 is described in camera 1's frame: X right, Y down, Z forward.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.pose import RelativePose, rotation_from_ypr_deg
from vlm3.tasks import metrics
from vlm3.tasks.base import Floats
from vlm3.tasks.pose_reading import COMPONENTS, Component, parse
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.sample import Rng, Sample
from vlm3.tasks.scoring import LARGEST, Floor, Measure, MeasureMaker, Rows, number, numbers
from vlm3.tasks.task import Cameras, Json, Task, Words
from vlm3.tasks.writing import written_metres

# A smaller part of the direction gets no word: 0.02 has none in the released sample.
_WORD_FROM = 0.1
_WORDS = (("left", "right"), ("up", "down"), ("backward", "forward"))


def components(protocol: Protocol, *, metric: bool = True) -> tuple[Component, ...]:
    """What the protocol asks about a pair; without the distance where the scale is not metric."""
    return tuple(
        c
        for c in COMPONENTS
        if f"pose.{c}.ask" in protocol.templates and (metric or c != "distance")
    )


def ask(protocol: Protocol, component: Component) -> str:
    """The question about one component.

    Raises:
        InputError: the protocol does not ask it.
    """
    return protocol.template(f"pose.{component}.ask")


def answer(protocol: Protocol, component: Component, pose: RelativePose) -> str:
    """The answer that a model is trained to give.

    Raises:
        InputError: the protocol does not ask it, or the camera did not move and the component is
            its direction or distance.
    """
    template = protocol.template(f"pose.{component}.answer")
    if component == "rotation_angle":
        return template.format(degrees=pose.angle_deg)
    if component == "rotation":
        yaw, pitch, roll = pose.yaw_pitch_roll_deg.tolist()
        return template.format(yaw=yaw, pitch=pitch, roll=roll)
    if pose.direction is None:
        raise InputError(f"the camera did not move, so there is no {component}; skip the question")
    if component == "distance":
        return template.format(metres=written_metres(pose.distance_m))
    x, y, z = pose.direction.tolist()
    return template.format(words=direction_words(pose.direction), x=x, y=y, z=z)


def direction_words(direction: ArrayLike) -> str:
    """A unit direction (3,) in words, in the order x, y, z: "left, forward".

    Parts below 0.1 are left out. That threshold is ours: the release shows only that 0.02 is.
    """
    return ", ".join(
        words[value > 0]
        for words, value in zip(_WORDS, np.asarray(direction).tolist(), strict=True)
        if abs(value) >= _WORD_FROM
    )


class Pose(Task):
    """How the camera turned and moved between two pictures, a question a component.

    A query asks {"metric": whether the distance is in metres}; its truth is
    {"cam1_from_cam2": (4, 4)}, a prediction that or {"rotation": (3, 3), "direction": (3,),
    "distance_m": ...}.
    """

    name = mark = "pose"
    pictures = 2
    once = True
    columns = 13
    asked_columns = 1
    fields = ("cam1_from_cam2", "rotation", "direction", "distance_m")
    headline = "AUC@30"
    typical_tokens = (40 * 23, 300)
    failure = (
        "An answer that could not be read counts as an error of 180 degrees. AUC@30 is the "
        "histogram form with v and -v the same, the direction that of camera 2 seen from camera 1 "
        "(VGGT, MapAnything); signed and exact stand beside it. AUC@30 DA3 is Depth Anything 3's: "
        "its direction is that of camera 1 seen from camera 2."
    )

    def questions(self, protocol: Protocol, *, metric: bool = True) -> dict[Component, str]:
        """The questions about the motion between two pictures, by component."""
        return {part: ask(protocol, part) for part in components(protocol, metric=metric)}

    def query(self, motion: RelativePose, *, metric: bool = True) -> tuple[Json, Json]:
        """A motion; `metric` says whether its distance is in metres."""
        return {"metric": metric}, {"cam1_from_cam2": motion.cam1_from_cam2.tolist()}

    def queries(self, sample: Sample, most: int, rng: Rng = None) -> list[tuple[Json, Json]]:
        """The one motion there is; its components are not counted by `most`."""
        return [] if sample.motion is None else [self.query(sample.motion, metric=sample.metric)]

    def prompts(self, protocol: Protocol, cameras: Cameras, ask: Json) -> dict[str, str]:
        """All components, in metres or not: what is scored does not depend on the scale."""
        return dict(self.questions(protocol).items())

    def answers(
        self, protocol: Protocol, cameras: Cameras, ask: Json, truth: Json
    ) -> dict[str, str]:
        """See `Task`."""
        motion = RelativePose.from_matrix(truth["cam1_from_cam2"])
        parts = components(protocol, metric=ask.get("metric", True))
        if motion.direction is None:
            # A camera that stood still moved in no direction, by no distance.
            parts = tuple(part for part in parts if part.startswith("rotation"))
        return {part: answer(protocol, part, motion) for part in parts}

    def read(self, protocol: Protocol, ask: Json, prompt: Words, text: Words) -> Json | None:
        """What could be read of the components."""
        found: Json = {}
        for component, raw in self.parts(text).items():
            if component not in COMPONENTS:
                continue
            value = parse(protocol, component, raw)
            if component == "rotation" and isinstance(value, np.ndarray):
                found["rotation"] = rotation_from_ypr_deg(value).tolist()
            elif component == "direction" and isinstance(value, np.ndarray):
                found["direction"] = value.tolist()
            elif component == "distance" and isinstance(value, float):
                found["distance_m"] = value
        return found

    def numbers(self, values: Json) -> list[float]:
        """Rotation by rows, direction, distance."""
        if values.get("cam1_from_cam2") is not None:
            T = np.asarray(values["cam1_from_cam2"], dtype=np.float64).reshape(4, 4)
            if not (np.abs(T) <= LARGEST).all():
                return [np.nan] * 13
            distance = float(np.linalg.norm(T[:3, 3]))
            moved = T[:3, 3] / distance if distance > 1e-9 else np.full(3, np.nan)
            return [*T[:3, :3].ravel().tolist(), *moved.tolist(), distance]
        turned = values.get("rotation")
        flat = None if turned is None else np.asarray(turned, dtype=np.float64).ravel().tolist()
        moved_to = numbers(values.get("direction"), 3)
        return [*numbers(flat, 9), *moved_to, number(values.get("distance_m"))]

    def values(self, numbers: Sequence[float]) -> Json:
        """See `Task`."""
        n = [v if np.isfinite(v) else None for v in numbers]
        rotation = [n[0:3], n[3:6], n[6:9]]
        return {"rotation": rotation, "direction": n[9:12], "distance_m": n[12]}

    def asked(self, ask: Json) -> list[float]:
        """Whether the distance is in metres."""
        return [float(ask.get("metric", True))]

    def check_truth(self, numbers: Sequence[float]) -> None:
        """A camera that stood still has no direction; it has a rotation."""
        if not np.isfinite(numbers[:9]).all():
            raise ValueError("the truth is not complete")

    def measures(self, rows: Rows, *, label: str = "distance") -> list[Measure]:
        """AUC@30 as the paper counts it first, then its variants."""
        n = len(rows)
        R, true_R = (a[:, :9].reshape(n, 3, 3) for a in (rows.predicted, rows.truth))
        t, true_t = (a[:, 9:12] for a in (rows.predicted, rows.truth))
        free = metrics.pose_errors_deg(R, t, true_R, true_t)
        signed = metrics.pose_errors_deg(R, t, true_R, true_t, signs="signed")
        da3 = metrics.pose_errors_deg(R, t, true_R, true_t, frame="camera 2")
        still = ~metrics.read(true_t)
        make = MeasureMaker(rows, metrics.read(R) & (still | metrics.read(t)))
        return [
            make("AUC@30", metrics.auc_values(free), unit="percent", table="pose"),
            make("AUC@30 signed", metrics.auc_values(signed), unit="percent"),
            make("AUC@30 exact", metrics.auc_values(free, form="exact"), unit="percent"),
            make("AUC@30 DA3", metrics.auc_values(da3), unit="percent"),
            make("AUC@5", metrics.auc_values(free, max_deg=5), unit="percent"),
        ]

    def floors(self, rows: Rows) -> list[Floor]:
        """No turn, and the best of six directions along the axes."""
        n = len(rows)
        true_R, true_t = rows.truth[:, :9].reshape(n, 3, 3), rows.truth[:, 9:12]
        R = np.broadcast_to(np.eye(3), (n, 3, 3))
        best: tuple[float, str, Floats] | None = None
        for name, axis in zip(("sideways", "up or down", "along the axis"), np.eye(3), strict=True):
            for sign in (1, -1):
                t = np.broadcast_to(sign * axis, (n, 3))
                scores = [
                    metrics.pose_auc(metrics.pose_errors_deg(R, t, true_R, true_t, signs=signs))
                    for signs in ("free", "signed")
                ]
                if best is None or sum(scores) > best[0]:
                    best = (sum(scores), name, t)
        assert best is not None
        distance = np.full((n, 1), np.median(rows.truth[:, 12]))
        constant = np.column_stack([R.reshape(n, 9), best[2], distance])
        return [Floor(f"identity: no turn, {best[1]}", replace(rows, predicted=constant))]


POSE = Pose()
