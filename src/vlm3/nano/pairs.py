"""A rendered pair as one record of fixed layout: what renderers write and the store keeps.

A record is its bytes and nothing else: no pickle, no parsing, and a file is a pair when its size is
right. Knows no torch and no rendering.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

F_PX = 125.0
"""Focal length of every picture that nano sees."""
MATCHES = 160
"""Matches kept of a pair, in `MATCH_UNIT` parts of a pixel."""
MATCH_UNIT = 64
CELL_PX = 4
"""Normals, and the tower's labels, stand at every fourth pixel, counted from the third."""
OBJECT_QUESTIONS = 12
"""Of each picture, as it is and in the mirror."""
BOX_QUESTIONS = 16
"""About boxes alone; they come with a pair."""
LONGEST = 104
"""Tokens of a question about objects with its answer; the few that are longer are left out."""

Record = NDArray[Any]
SUFFIX = ".pair"


def pair_dtype(rendered_px: tuple[int, int]) -> np.dtype[Any]:
    """The layout of a pair of pictures of (width, height).

    Fields:
        image: (2, H, W, 3).
        log_distance: (2, H, W) of metres; NaN in the sky.
        normal: (2, H / 4, W / 4, 3) times 127, camera axes.
        matches: (MATCHES, 4) x1 y1 x2 y2, of which `match_count` are there.
        cam1_from_cam2: (4, 4).
        object_ids: (4, n, LONGEST) tokens of questions and answers about the objects of picture 1,
            picture 1 in the mirror, picture 2, picture 2 in the mirror.
        object_spans: (4, n, 2) tokens of the prompt, and of the whole; 0 for none.
        box_ids, box_spans: (m, ...) the same about boxes alone.
    """
    width, height = rendered_px
    asked = (4, OBJECT_QUESTIONS)
    return np.dtype(
        [
            ("image", np.uint8, (2, height, width, 3)),
            ("log_distance", np.float16, (2, height, width)),
            ("normal", np.int8, (2, height // CELL_PX, width // CELL_PX, 3)),
            ("matches", np.int16, (MATCHES, 4)),
            ("match_count", np.int16),
            ("cam1_from_cam2", np.float32, (4, 4)),
            ("object_ids", np.int16, (*asked, LONGEST)),
            ("object_spans", np.int16, (*asked, 2)),
            ("box_ids", np.int16, (BOX_QUESTIONS, LONGEST)),
            ("box_spans", np.int16, (BOX_QUESTIONS, 2)),
        ]
    )


@dataclass(frozen=True)
class PairName:
    """Which pair a record is; its file is called so.

    Attributes:
        split: "train" or "heldout".
        index: of the world.
        number: of the pair in its world.
        view: which of the recipe's view sizes.
    """

    split: str
    index: int
    number: int
    view: int

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.split}-{self.index:09d}-{self.number}-{self.view}{SUFFIX}"

    @classmethod
    def parsed(cls, file: str) -> Self:
        """The inverse of `file`."""
        split, *numbers = file.removesuffix(SUFFIX).split("-")
        return cls(split, *map(int, numbers))


def write_pair(folder: Path, name: PairName, record: Record) -> None:
    """Writes a pair so that it is whole as soon as it has its name."""
    partial = folder / f"{name.file}.{os.getpid()}.partial"
    partial.write_bytes(record.tobytes())
    partial.replace(folder / name.file)


def read_pair(path: Path, rendered_px: tuple[int, int]) -> Record:
    """Reads a pair, a record without dimensions."""
    record: Record = np.frombuffer(path.read_bytes(), pair_dtype(rendered_px))[0]
    return record
