"""Renders pairs of worlds as records: pictures, labels, and questions about objects as token ids.

Loads no torch.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.pose import relative_pose
from vlm3.nano.object_questions import ObjectQuestionWriter
from vlm3.nano.pairs import CELL_PX, F_PX, MATCH_UNIT, MATCHES, Record, pair_dtype
from vlm3.worlds.frame import Frame
from vlm3.worlds.labels import FrameObjectGroups, frame_sample
from vlm3.worlds.mirror import mirrored
from vlm3.worlds.world import Kind, Split, World

FEWEST_MATCHES = 16
"""A pair with fewer shares too little to learn from."""
_NEAREST_M = 0.05
_GROUPS = 4
"""Of questions that begin alike, where there are few others."""


class PairRenderer:
    """Renders pairs; keeps the last world, of which a street is shown more than once.

    Args:
        tokenizer_file: the model's tokenizer.json.
        seed: of the worlds.
        device: where pictures are rendered, "cpu" or "cuda:0".
    """

    def __init__(self, tokenizer_file: Path, seed: int, device: str = "cpu") -> None:
        self.writer = ObjectQuestionWriter(tokenizer_file)
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
        frames = world.pair(number, width_px=width_px, height_px=height_px, f_px=F_PX)
        rng = np.random.default_rng((self.seed, index, number, split == "heldout"))
        xy1_px, xy2_px = world.sight.matches(*frames, MATCHES, rng)
        count = len(xy1_px)
        if count < FEWEST_MATCHES:
            return None
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
            sample = frame_sample(frame, f"world {index}, pair {number}")
            grouped = replace(sample, objects=FrameObjectGroups(frame, _GROUPS))
            qas = self.writer.about(sample, grouped, rng)
            self.writer.write(qas, out["object_ids"][k], out["object_spans"][k])
        self.writer.write(self.writer.about_boxes(rng), out["box_ids"], out["box_spans"])
        return out

    def _get(self, index: int, split: Split, kind: Kind | None) -> World:
        old = self._world
        wanted = {"split": split, "kind": kind, "device": self.device, "pack": None}
        if old is None or (old.index, old.address) != (index, wanted):
            self._world = old = World(self.seed, index, split=split, kind=kind, device=self.device)
        return old


def world_kind(rng: np.random.Generator, room_share: float) -> Literal["room", "street"]:
    """Which kind of world is rendered next."""
    return "room" if rng.random() < room_share else "street"


def _log_distance(frame: Frame) -> NDArray[np.float16]:
    solid = np.isfinite(frame.distance_m)
    log = np.log(np.maximum(np.where(solid, frame.distance_m, 1.0), _NEAREST_M))
    return np.where(solid, log, np.nan).astype(np.float16)
