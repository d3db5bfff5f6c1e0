"""One labelled example on disk, the same for the four tasks.

A sample of a shard is KEY.jpg (or .png) and KEY.json:

    {"schema": 1, "metric": true, "source": "hm3d", "split": "train", "intrinsics": "given",
     "camera": {"fx_px": 615.0, "fy_px": 615.0, "cx_px": 320.0, "cy_px": 240.0,
                "width_px": 640, "height_px": 480},
     "points": {"xy_px": [[12.5, 80.5]], "distance_m": [2.75]},
     "questions": [{"question": "How wide is {0}?", "boxes_xyxy_px": [[1, 2, 30, 40]],
                    "value_m": 1.2, "answer": "{0} is 1.2 meters wide."}]}

All but `schema` and `camera` may be missing. Other keys belong to their writer and are not read
here. Pictures are undistorted, pixels continuous from the top left corner, distances straight ones.
Pairs of pictures are rows of a file of their own (`vlm3.data.pair_rows`).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.files import schema
from vlm3.files.reading import parse_json, short, why
from vlm3.geometry.camera import Camera
from vlm3.tasks.sample import ObjectQuestion
from vlm3.tasks.truth import MOST_M, all_fields, truth_of_fields

SCHEMA = 1
Intrinsics = Literal["given", "exif", "fov", "assumed", "calibrator"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Record:
    """What is known about one picture.

    Attributes:
        camera: of the picture as stored.
        xy_px: (n, 2) labelled pixels.
        distance_m: (n,) straight distances there.
        questions: about objects.
        metric: whether lengths are true metres.
        source: the data set it was taken from.
        split: of that set.
        intrinsics: where the camera's focal length came from, as in `View`.
    """

    camera: Camera
    xy_px: Floats
    distance_m: Floats
    questions: tuple[ObjectQuestion, ...] = ()
    metric: bool = True
    source: str = ""
    split: str = "train"
    intrinsics: Intrinsics = "given"

    @classmethod
    def from_json(cls, data: bytes | str) -> "Record":
        """Reads and checks KEY.json.

        Raises:
            InputError: not JSON, another schema, a missing key, or values that cannot be.
        """
        data = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        fields = parse_json(data, "a record")
        if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
            found = fields.get("schema") if isinstance(fields, dict) else type(fields).__name__
            raise InputError(
                f"schema is {short(found)}; this version reads {SCHEMA}: write the shards again"
            )
        points = _object(fields.get("points", {"xy_px": [], "distance_m": []}), "points")
        record = cls(
            camera=_camera(fields.get("camera")),
            xy_px=_array(points, "points.xy_px", 2),
            distance_m=_array(points, "points.distance_m", 1),
            questions=tuple(
                _question(q, f"questions[{k}]")
                for k, q in enumerate(_list(fields.get("questions", []), "questions"))
            ),
            metric=fields.get("metric", True),
            source=fields.get("source", ""),
            split=fields.get("split", "train"),
            intrinsics=fields.get("intrinsics", "given"),
        )
        record.validate()
        return record

    def to_json(self, notes: Mapping[str, Any] | None = None) -> bytes:
        """KEY.json of this record; `notes` are keys beside its own, which no reader needs.

        Raises:
            InputError: as `validate`.
        """
        self.validate()
        camera = {k: v for k, v in asdict(self.camera).items() if k not in ("distortion", "model")}
        fields = {
            "schema": SCHEMA,
            "metric": self.metric,
            "source": self.source,
            "split": self.split,
            "intrinsics": self.intrinsics,
            "camera": camera,
            "points": {"xy_px": self.xy_px.tolist(), "distance_m": self.distance_m.tolist()},
            "questions": [question_fields(q) for q in self.questions],
            **(notes or {}),
        }
        return json.dumps(fields, allow_nan=False).encode()

    def validate(self) -> None:
        """Checks what no type can, and names the field that is wrong.

        Raises:
            InputError: a distorted camera, a label outside the picture or without a number.
        """
        camera = self.camera
        if camera.model != "pinhole":
            raise InputError(f"camera.model is {camera.model}; undistort the picture first")
        if not isinstance(self.metric, bool):
            raise InputError(f"metric is {short(self.metric)}; give true or false")
        for name, text in (("source", self.source), ("split", self.split)):
            if not isinstance(text, str):
                raise InputError(f"{name} is {short(text)}; give a text")
        # A list, which hashes of names would not take, is compared too.
        if self.intrinsics not in get_args(Intrinsics):
            allowed = ", ".join(get_args(Intrinsics))
            raise InputError(f"intrinsics is {short(self.intrinsics)}; give one of {allowed}")
        if len(self.xy_px) != len(self.distance_m):
            raise InputError(
                f"points.distance_m has {len(self.distance_m)} values for "
                f"{len(self.xy_px)} points.xy_px"
            )
        check_inside(self.xy_px, camera, "points.xy_px")
        good = (self.distance_m > 0) & (self.distance_m <= MOST_M)
        if not good.all():
            raise InputError(
                f"points.distance_m[{int(np.argmin(good))}] is not positive and finite; "
                "leave such points out"
            )
        for k, q in enumerate(self.questions):
            q.validate(f"questions[{k}]")


def check_inside(xy_px: Floats, camera: Camera, name: str) -> None:
    """Refuses pixels outside the picture, its edges included; messages call them `name`.

    Raises:
        InputError: one lies outside or is NaN.
    """
    inside = ((xy_px >= 0) & (xy_px <= (camera.width_px, camera.height_px))).all(-1)
    if not inside.all():
        k = int(np.argmin(inside))
        raise InputError(
            f"{name}[{k}] is ({xy_px[k, 0]:g}, {xy_px[k, 1]:g}), outside the "
            f"{camera.width_px}x{camera.height_px} picture"
        )


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{name} is {type(value).__name__}; give an object with its fields")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{name} is {type(value).__name__}; give a list")
    return value


def _array(points: Mapping[str, Any], name: str, dimensions: int) -> Floats:
    """(n, 2) or (n,) numbers."""
    rows = _list(points.get(name.removeprefix("points.")), name)
    try:
        found = np.array(rows, np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty((0, 0, 0))
    if not rows:
        return np.empty((0, 2) if dimensions == 2 else 0)
    if found.ndim != dimensions or (dimensions == 2 and found.shape[1] != 2):
        shape = "pairs of numbers" if dimensions == 2 else "numbers"
        raise InputError(f"{name} is not a list of {shape}")
    return found


_FOUR = ("fx_px", "fy_px", "cx_px", "cy_px")
_CAMERA = schema.fields(
    {name: schema.number(-1e9, 1e9) for name in _FOUR}
    | {name: schema.whole(1, 10**6) for name in ("width_px", "height_px")},
    {"model": schema.text(20), "distortion": schema.numbers(None)},
)


def _camera(value: Any) -> Camera:
    fields = dict(_object(value, "camera"))
    _CAMERA(fields, "camera")
    try:
        return Camera(**fields | {"distortion": tuple(fields.get("distortion", ()))})
    except InputError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"camera cannot be read ({why(error)})") from None


def _question(value: Any, name: str) -> ObjectQuestion:
    fields = _object(value, name)
    boxes = []
    for k, box in enumerate(_list(fields.get("boxes_xyxy_px"), f"{name}.boxes_xyxy_px")):
        try:
            x1, y1, x2, y2 = (float(v) for v in box)
            boxes.append((x1, y1, x2, y2))
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{name}.boxes_xyxy_px[{k}] is not four numbers") from None
    texts: dict[str, str | None] = {}
    for field in ("question", "answer"):
        text = fields.get(field)
        if not isinstance(text, str) and (text is not None or field == "question"):
            raise InputError(f"{name}.{field} is {short(text)}; it is of another kind")
        texts[field] = text
    return ObjectQuestion(
        texts["question"] or "",
        tuple(boxes),
        truth=truth_of_fields(fields, name, len(boxes)),
        sentence=texts["answer"],
    )


def question_fields(q: ObjectQuestion) -> dict[str, Any]:
    """As KEY.json holds a question: every kind of answer has a key."""
    return {
        "question": q.question,
        "boxes_xyxy_px": q.boxes_xyxy_px,
        "answer": q.sentence,
        **all_fields(q.truth),
    }
