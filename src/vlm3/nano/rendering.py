"""Renders pairs of worlds as records: pictures, labels, and questions about objects as token ids.

Questions that arithmetic can write (distances, matches, motions, colours) are made later, each time
others; those about objects are in many words, and are written here. Loads no torch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import relative_pose
from vlm3.nano.pairs import (
    BOX_QUESTIONS,
    CELL_PX,
    F_PX,
    LONGEST,
    MATCH_UNIT,
    MATCHES,
    OBJECT_QUESTIONS,
    Record,
    pair_dtype,
)
from vlm3.tasks.base import QA
from vlm3.tasks.objects import OBJECTS
from vlm3.tasks.protocol import Protocol, get_protocol
from vlm3.worlds.mirror import mirrored
from vlm3.worlds.questions import grouped_object_questions, object_questions, wall_questions
from vlm3.worlds.sample import Frame, Kind, Split, World

FEWEST_MATCHES = 16
"""A pair with fewer shares too little to learn from."""
_NEAREST_M = 0.05


class PairRenderer:
    """Renders pairs; keeps the last world, of which a street is shown more than once.

    Args:
        tokenizer_file: the model's tokenizer.json.
        seed: of the worlds.
        device: where pictures are rendered, "cpu" or "cuda:0".
    """

    def __init__(self, tokenizer_file: Path, seed: int, device: str = "cpu") -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self.protocol = get_protocol("joint")
        self.seed, self.device = seed, device
        self._world: World | None = None

    def pair(
        self,
        index: int,
        number: int,
        rendered_px: tuple[int, int],
        *,
        split: Split = "train",
        kind: Kind | None = None,
    ) -> Record | None:
        """Pair `number` of world `index`, or None where its pictures share too little."""
        world = self._get(index, split, kind)
        width_px, height_px = rendered_px
        pair = world.pair(number, width_px=width_px, height_px=height_px, f_px=F_PX)
        rng = np.random.default_rng((self.seed, index, number, split == "heldout"))
        xy1_px, xy2_px = pair.matches(MATCHES, rng)
        count = len(xy1_px)
        if count < FEWEST_MATCHES:
            return None
        frames = (pair.frame1, pair.frame2)
        out = np.zeros((), pair_dtype(rendered_px))
        out["image"] = [f.image for f in frames]
        out["log_distance"] = [_log_distance(f) for f in frames]
        cells = (slice(CELL_PX // 2, None, CELL_PX),) * 2
        out["normal"] = [np.round(f.normal[cells] * 127) for f in frames]
        out["matches"][:count] = np.round(np.concatenate([xy1_px, xy2_px], 1) * MATCH_UNIT)
        out["match_count"] = count
        out["cam1_from_cam2"] = relative_pose(*(f.world_from_cam for f in frames))
        shown = [way for frame in frames for way in (frame, mirrored(frame))]
        for k, frame in enumerate(shown):
            self._write(
                self._about_objects(frame, rng), out["object_ids"][k], out["object_spans"][k]
            )
        self._write(box_qas(rng, self.protocol), out["box_ids"], out["box_spans"])
        return out

    def _get(self, index: int, split: Split, kind: Kind | None) -> World:
        old = self._world
        wanted = {"split": split, "kind": kind, "device": self.device, "pack": None}
        if old is None or (old.index, old.address) != (index, wanted):
            self._world = old = World(self.seed, index, split=split, kind=kind, device=self.device)
        return old

    def _about_objects(self, frame: Frame, rng: np.random.Generator) -> list[QA]:
        # As they are asked in evaluation, and where few fit, in groups that begin alike.
        made = object_questions(frame, rng, OBJECT_QUESTIONS)
        if len(made) < OBJECT_QUESTIONS:
            made += grouped_object_questions(frame, rng, 4)
        qas = [OBJECTS.example(self.protocol, frame.camera, q) for q in made]
        return list({qa.question: qa for qa in qas}.values())

    def _write(self, qas: Sequence[QA], ids: NDArray[np.int16], spans: NDArray[np.int16]) -> None:
        """Fills (n, LONGEST) ids and (n, 2) spans with as many questions as fit."""
        row = 0
        for qa in qas:
            prompt = self._ids(f"{qa.question}<|im_end|>")
            whole = prompt + self._ids(f"{qa.answer}<|im_end|>")
            if row < len(ids) and len(whole) <= LONGEST:
                ids[row, : len(whole)], spans[row] = whole, (len(prompt), len(whole))
                row += 1

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)


def box_qas(
    rng: np.random.Generator, protocol: Protocol, *, groups: int = 3, opposites: float = 0.35
) -> list[QA]:
    """How boxes compare, by their numbers alone: which lies further left, which is taller.

    Questions about the objects of rooms alone did not teach it in 40,000 of them; these did in
    hundreds of steps. In each group one box is compared with seven others.
    """
    width_px, height_px = 64, 48
    size = np.array([width_px, height_px])
    # Boxes are named by the size alone, so a picture without a camera may have any.
    camera = Camera.from_fov(60.0, width_px=width_px, height_px=height_px)
    qas = []
    for _ in range(groups):
        sides = size * np.exp(rng.uniform(np.log(0.04), np.log(0.6), (8, 2)))
        corners = rng.uniform(0, size - sides)
        boxes = np.concatenate([corners, corners + sides], -1)
        made = wall_questions([tuple(box) for box in boxes.tolist()], rng, opposites=opposites)
        qas += [OBJECTS.example(protocol, camera, q) for q in made]
    return [qas[k] for k in rng.permutation(len(qas))[:BOX_QUESTIONS]]


def world_kind(rng: np.random.Generator, room_share: float) -> Literal["room", "street"]:
    """Which kind of world is rendered next."""
    return "room" if rng.random() < room_share else "street"


def _log_distance(frame: Frame) -> NDArray[np.float16]:
    solid = np.isfinite(frame.distance_m)
    log = np.log(np.maximum(np.where(solid, frame.distance_m, 1.0), _NEAREST_M))
    return np.where(solid, log, np.nan).astype(np.float16)
