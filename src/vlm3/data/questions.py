"""Records to conversations: the one resize, then questions about what is labelled.

Knows records, no model and no files; `vlm3.tasks.prompting` writes the text.
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
from vlm3.tasks import correspondence
from vlm3.tasks.base import QA, Task
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.prompting import depth_qa, match_qa, object_qa, pose_qas
from vlm3.tasks.protocol import Protocol
from vlm3.view import View

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
        return self.protocol.plan(camera, multiple_px=self.multiple_px, max_tokens=self.max_tokens)

    def single(self, picture: bytes, record: Record, rng: Rng) -> Conversation:
        """Questions about one picture.

        Raises:
            InputError: a damaged picture, or nothing to ask.
        """
        qas: list[QA] = []
        if "depth" in self.tasks and record.metric:
            chosen = rng.permutation(len(record.xy_px))[: self.per_picture]
            qas += [self._depth(record, int(k)) for k in chosen]
        if "objects" in self.tasks:
            chosen = rng.permutation(len(record.questions))[: self.per_picture]
            qas += [self._object(record.questions[k], record.camera) for k in chosen]
        return self._conversation((self._view(picture, record.camera),), qas)

    def pair(self, pictures: tuple[bytes, bytes], pair: PairRecord, rng: Rng) -> Conversation:
        """Questions about two pictures; as `single`."""
        cameras = pair.first.camera, pair.second.camera
        qas: list[QA] = []
        if "correspondence" in self.tasks:
            wordings = correspondence.template_count(self.protocol)
            for k in rng.permutation(len(pair.xy1_px))[: self.per_picture]:
                template = int(rng.integers(wordings))
                xy1, xy2 = pair.xy1_px[k], pair.xy2_px[k]
                qas.append(match_qa(self.protocol, cameras, xy1, xy2, template=template))
        if "pose" in self.tasks:
            motion = RelativePose.from_matrix(pair.cam1_from_cam2)
            qas += pose_qas(self.protocol, motion, metric=pair.metric)
        views = tuple(self._view(p, c) for p, c in zip(pictures, cameras, strict=True))
        return self._conversation(views, qas)

    def _conversation(self, views: tuple[View, ...], qas: list[QA]) -> Conversation:
        # One answer a question: what is asked twice is kept once.
        unique = tuple({qa.question: qa for qa in qas}.values())
        if not unique:
            raise InputError(f"no label for {', '.join(self.tasks)}")
        return Conversation(views, unique)

    def _depth(self, record: Record, k: int) -> QA:
        """The question about labelled pixel `k`."""
        return depth_qa(self.protocol, record.camera, record.xy_px[k], float(record.distance_m[k]))

    def _object(self, q: ObjectQuestion, camera: Camera) -> QA:
        return object_qa(
            self.protocol,
            camera,
            q.question,
            q.boxes_xyxy_px,
            value_m=q.value_m,
            clock_hour=q.clock_hour,
            yes=q.yes,
            region=q.region,
            sentence=q.answer,
        )

    def _view(self, picture: bytes, camera: Camera) -> View:
        image = decode(picture)
        image.setflags(write=False)
        return View(image, camera).resized(self.plan(camera))


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
