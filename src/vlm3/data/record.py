"""One labelled example on disk, the same for the four tasks.

A sample of a shard is KEY.jpg (or .png) and KEY.json:

    {"schema": 1, "metric": true,
     "camera": {"fx_px": 615.0, "fy_px": 615.0, "cx_px": 320.0, "cy_px": 240.0,
                "width_px": 640, "height_px": 480},
     "points": {"xy_px": [[12.5, 80.5]], "distance_m": [2.75]},
     "questions": [{"question": "How wide is {0}?", "boxes_xyxy_px": [[1, 2, 30, 40]],
                    "value_m": 1.2, "answer": "{0} is 1.2 meters wide."}]}

`points` and `questions` may be missing. Other keys are kept by whoever wrote them and not read
here. A pair is a row of `pairs.npy` with the places of its two pictures in the same folder.
Pictures are undistorted, pixels continuous from the top left corner, distances straight ones.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera

SCHEMA = 1
Floats = NDArray[np.float64]

_MATCHES = 32
PAIR_DTYPE = np.dtype(
    [
        ("first", "<i8"),
        ("second", "<i8"),
        ("metric", "?"),
        ("covisibility", "<f4"),
        ("cam1_from_cam2", "<f4", (3, 4)),
        ("matches", "<i4"),
        ("xy1_px", "<f4", (_MATCHES, 2)),
        ("xy2_px", "<f4", (_MATCHES, 2)),
    ]
)
"""A row of `pairs.npy`: two pictures, the motion between them, and where some pixels went."""


@dataclass(frozen=True)
class ObjectQuestion:
    """A question about boxes, with {0}, {1} for them, and one kind of answer.

    Attributes:
        question: with {k} where box k is meant.
        boxes_xyxy_px: corners of the boxes.
        answer: in words, for protocols that answer in sentences.
        value_m: a length.
        clock_hour: 1 to 12.
        yes: agreement.
        region: index of the chosen box.
    """

    question: str
    boxes_xyxy_px: tuple[tuple[float, ...], ...]
    answer: str | None = None
    value_m: float | None = None
    clock_hour: int | None = None
    yes: bool | None = None
    region: int | None = None


@dataclass(frozen=True, eq=False)
class Record:
    """What is known about one picture.

    Attributes:
        camera: of the picture as stored.
        xy_px: (n, 2) labelled pixels.
        distance_m: (n,) straight distances there.
        questions: about objects.
        metric: whether lengths are true metres.
    """

    camera: Camera
    xy_px: Floats
    distance_m: Floats
    questions: tuple[ObjectQuestion, ...] = ()
    metric: bool = True

    @classmethod
    def from_json(cls, data: bytes | str) -> "Record":
        """Reads and checks KEY.json.

        Raises:
            InputError: not JSON, another schema, a missing key, or values that cannot be.
        """
        try:
            fields = json.loads(data)
            record = cls._from_fields(fields)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"a record cannot be read ({type(error).__name__}: {error})") from None
        record.validate()
        return record

    @classmethod
    def _from_fields(cls, fields: Mapping[str, Any]) -> "Record":
        if fields.get("schema") != SCHEMA:
            raise InputError(
                f"a record of schema {fields.get('schema')!r}; this version reads {SCHEMA}: "
                "write the shards again"
            )
        camera = dict(fields["camera"])
        camera["distortion"] = tuple(camera.get("distortion", ()))
        points = fields.get("points", {"xy_px": [], "distance_m": []})
        return cls(
            camera=Camera(**camera),
            xy_px=np.asarray(points["xy_px"], np.float64).reshape(-1, 2),
            distance_m=np.asarray(points["distance_m"], np.float64).reshape(-1),
            questions=tuple(_question(q) for q in fields.get("questions", ())),
            metric=bool(fields.get("metric", True)),
        )

    def to_json(self) -> bytes:
        """KEY.json of this record."""
        camera = {k: v for k, v in asdict(self.camera).items() if k not in ("distortion", "model")}
        fields = {
            "schema": SCHEMA,
            "metric": self.metric,
            "camera": camera,
            "points": {"xy_px": self.xy_px.tolist(), "distance_m": self.distance_m.tolist()},
            "questions": [asdict(q) for q in self.questions],
        }
        return json.dumps(fields, allow_nan=False).encode()

    def validate(self) -> None:
        """Checks what no type can.

        Raises:
            InputError: a distorted camera, a label outside the picture or without a number.
        """
        camera = self.camera
        if camera.model != "pinhole":
            raise InputError(f"a record's camera is {camera.model}; undistort the picture first")
        if len(self.xy_px) != len(self.distance_m):
            raise InputError(f"{len(self.xy_px)} points have {len(self.distance_m)} distances")
        inside = (self.xy_px >= 0) & (self.xy_px <= (camera.width_px, camera.height_px))
        if not inside.all():
            wrong = self.xy_px[~inside.all(-1)][0]
            raise InputError(
                f"the point ({wrong[0]:g}, {wrong[1]:g}) lies outside the "
                f"{camera.width_px}x{camera.height_px} picture"
            )
        if not (np.isfinite(self.distance_m).all() and (self.distance_m > 0).all()):
            raise InputError("a distance is not positive and finite; leave such points out")
        for q in self.questions:
            if any(len(box) != 4 for box in q.boxes_xyxy_px):
                raise InputError(f"{q.question!r} has a box that is not x1, y1, x2, y2")
            if (q.answer, q.value_m, q.clock_hour, q.yes, q.region) == (None,) * 5:
                raise InputError(f"{q.question!r} has no answer")


@dataclass(frozen=True, eq=False)
class PairRecord:
    """Two pictures of one scene.

    Attributes:
        first: record of picture 1.
        second: record of picture 2.
        cam1_from_cam2: (4, 4).
        xy1_px: (n, 2) pixels of picture 1 that picture 2 shows too.
        xy2_px: (n, 2) where it shows them.
        metric: whether the translation is in metres.
    """

    first: Record
    second: Record
    cam1_from_cam2: Floats
    xy1_px: Floats
    xy2_px: Floats
    metric: bool


def pair_row(
    first: int,
    second: int,
    cam1_from_cam2: Floats,
    xy1_px: Sequence[Sequence[float]] | Floats,
    xy2_px: Sequence[Sequence[float]] | Floats,
    *,
    covisibility: float,
    metric: bool = True,
) -> NDArray[np.void]:
    """One row for `pairs.npy`; at most 32 matches are kept."""
    row = np.zeros((), PAIR_DTYPE)
    xy1, xy2 = (np.asarray(xy)[:_MATCHES].reshape(-1, 2) for xy in (xy1_px, xy2_px))
    row["first"], row["second"], row["metric"] = first, second, metric
    row["covisibility"], row["matches"] = covisibility, len(xy1)
    row["cam1_from_cam2"] = np.asarray(cam1_from_cam2)[:3]
    row["xy1_px"][: len(xy1)], row["xy2_px"][: len(xy2)] = xy1, xy2
    return row


def read_pair(row: NDArray[np.void] | np.void, first: Record, second: Record) -> PairRecord:
    """A row of `pairs.npy` with the records of its pictures.

    Raises:
        InputError: a motion that is no rigid one.
    """
    motion = np.eye(4)
    motion[:3] = row["cam1_from_cam2"]
    # Rows are float32; a rotation that is off by more was never one.
    if not np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-4):
        raise InputError("the motion of a pair is not a rotation and a translation")
    # Back to an exact rotation: the nearest one.
    u, _, vt = np.linalg.svd(motion[:3, :3])
    motion[:3, :3] = u @ vt
    count = int(row["matches"])
    return PairRecord(
        first,
        second,
        motion,
        row["xy1_px"][:count].astype(np.float64),
        row["xy2_px"][:count].astype(np.float64),
        bool(row["metric"]),
    )


def _question(fields: Mapping[str, Any]) -> ObjectQuestion:
    known = {k: fields.get(k) for k in ("answer", "value_m", "clock_hour", "yes", "region")}
    boxes = tuple(tuple(float(v) for v in box) for box in fields["boxes_xyxy_px"])
    return ObjectQuestion(str(fields["question"]), boxes, **known)
