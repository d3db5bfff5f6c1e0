"""Records to conversations: the one resize, then questions about what is labelled.

Pixels are written from the picture as it is stored, as `infer.predict` writes those of the picture
as it is given: a resized pixel is the same point, but not the same float, and at a tie another text.

Knows protocols and records, no model and no files.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.data.record import ObjectQuestion, PairRecord, Record
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.focal import ResizePlan
from vlm3.geometry.pose import RelativePose
from vlm3.tasks import correspondence, depth, objects, pose
from vlm3.tasks.base import QA, Task
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.protocol import Protocol
from vlm3.view import View, resize_image

Rng = np.random.Generator

try:
    from simplejpeg import decode_jpeg
except ImportError:  # Pillow decodes the same pixels, 1.5 times slower.
    decode_jpeg = None


@dataclass(frozen=True)
class Asker:
    """How a source is asked.

    Attributes:
        protocol: whose words and picture size.
        tasks: which of the four to ask, where labels allow.
        multiple_px: picture sides are whole multiples of it.
        per_picture: questions a task at most: ten in the paper.
        max_tokens: most tokens a picture may take.
    """

    protocol: Protocol
    tasks: tuple[Task, ...]
    multiple_px: int
    per_picture: int = 10
    max_tokens: int | None = None

    def plan(self, camera: Camera) -> ResizePlan:
        """The picture's one resize."""
        multiple = self.multiple_px
        return self.protocol.plan(
            camera, multiple_px=multiple, max_tokens=self.max_tokens, token_px=multiple
        )

    def single(self, picture: bytes, record: Record, rng: Rng) -> Conversation:
        """Questions about one picture.

        Raises:
            InputError: a damaged picture, or nothing to ask.
        """
        plan = self.plan(record.camera)
        qas: list[QA] = []
        if "depth" in self.tasks and record.metric:
            qas += self._depth(record, plan, rng)
        if "objects" in self.tasks:
            chosen = rng.permutation(len(record.questions))[: self.per_picture]
            qas += [self._object(record.questions[k], record.camera) for k in chosen]
        return self._conversation((_view(picture, plan),), qas)

    def pair(self, pictures: tuple[bytes, bytes], pair: PairRecord, rng: Rng) -> Conversation:
        """Questions about two pictures; as `single`."""
        plans = self.plan(pair.first.camera), self.plan(pair.second.camera)
        qas: list[QA] = []
        if "correspondence" in self.tasks:
            qas += self._matches(pair, rng)
        if "pose" in self.tasks:
            motion = RelativePose.from_matrix(pair.cam1_from_cam2)
            for part in pose.components(self.protocol, metric=pair.metric):
                if part in ("rotation", "rotation_angle") or motion.direction is not None:
                    answer = pose.answer(self.protocol, part, motion)
                    qas.append(QA("pose", pose.ask(self.protocol, part), answer))
        views = tuple(_view(p, plan) for p, plan in zip(pictures, plans, strict=True))
        return self._conversation(views, qas)

    def _conversation(self, views: tuple[View, ...], qas: list[QA]) -> Conversation:
        # One answer a question: what is asked twice is kept once.
        unique = tuple({qa.question: qa for qa in qas}.values())
        if not unique:
            raise InputError(f"no label for {', '.join(self.tasks)}")
        return Conversation(views, unique)

    def _depth(self, record: Record, plan: ResizePlan, rng: Rng) -> list[QA]:
        size = _size(record.camera)
        return [
            QA(
                "depth",
                depth.ask(self.protocol, record.xy_px[k], **size),
                depth.answer(self.protocol, float(record.distance_m[k])),
            )
            for k in rng.permutation(len(record.xy_px))[: self.per_picture]
        ]

    def _object(self, q: ObjectQuestion, camera: Camera) -> QA:
        protocol, size = self.protocol, _size(camera)
        boxes = np.array(q.boxes_xyxy_px, np.float64).reshape(-1, 4)
        text = objects.ask(protocol, q.question, boxes, **size)
        # The short forms exist only where the protocol writes them.
        short = (q.value_m, q.clock_hour, q.yes, q.region) != (None,) * 4
        if short and "objects.length" in protocol.templates:
            answer = objects.answer(
                protocol,
                boxes,
                width_px=camera.width_px,
                height_px=camera.height_px,
                value_m=q.value_m,
                clock_hour=q.clock_hour,
                yes=q.yes,
                region=q.region,
            )
        elif q.answer is None:
            raise InputError(f"{q.question!r} has no answer in words")
        else:
            answer = objects.answer_text(protocol, q.answer, boxes, **size)
        return QA("objects", text, answer)

    def _matches(self, pair: PairRecord, rng: Rng) -> list[QA]:
        wordings = correspondence.template_count(self.protocol)
        qas = []
        for k in rng.permutation(len(pair.xy1_px))[: self.per_picture]:
            question = correspondence.ask(
                self.protocol,
                pair.xy1_px[k],
                template=int(rng.integers(wordings)),
                **_size(pair.first.camera),
            )
            answer = correspondence.answer(
                self.protocol, pair.xy2_px[k], **_size(pair.second.camera)
            )
            qas.append(QA("correspondence", question, answer))
        return qas


def decode(picture: bytes) -> NDArray[np.uint8]:
    """A JPEG or PNG as (H, W, 3).

    Raises:
        InputError: it is damaged.
    """
    try:
        if decode_jpeg is not None and picture[:2] == b"\xff\xd8":
            return np.asarray(decode_jpeg(picture))
        with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG", "WEBP")) as image:
            return np.array(image.convert("RGB"))
    # Decoders raise nearly anything on damaged bytes.
    except Exception as error:
        raise InputError(f"the picture is damaged ({error})") from error


def _view(picture: bytes, plan: ResizePlan) -> View:
    image = resize_image(decode(picture), plan)
    image.setflags(write=False)
    return View(image, plan.camera)


def _size(camera: Camera) -> dict[str, int]:
    return {"width_px": camera.width_px, "height_px": camera.height_px}
