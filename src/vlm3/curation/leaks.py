"""Look for pictures of evaluation sets among those that are trained on.

A leak is the same scene of the same source, a picture that its own set calls test or validation, or
one that looks the same.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3.curation.prepare import fingerprint_of
from vlm3.data.decoding import decode
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.files.reading import short
from vlm3.pictures import read_picture

NEAR_BITS = 10
"""Of 128: pictures that differ in no more look the same. Re-encoding and resizing change 0 to 6."""

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# A fingerprint with fewer bits, or fewer missing, is of a picture with nothing on it.
_LEAST_BITS = 12
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class Seen:
    """Pictures of a set: names, fingerprints (n, 2) uint64, scenes with their sources."""

    names: tuple[str, ...]
    bits: NDArray[np.uint64]
    scenes: tuple[str, ...]
    splits: Counter[str]


@dataclass(frozen=True)
class Leaks:
    """What two sets share.

    Attributes:
        scenes: of the same source and name in both.
        near: pairs of names that look the same, training first, with the bits that differ.
        splits: pictures to train on by the split their set gives them.
        compared: pictures to train on, and to evaluate on.
    """

    scenes: tuple[str, ...]
    near: tuple[tuple[str, str, int], ...]
    splits: Counter[str]
    compared: tuple[int, int]

    @property
    def found(self) -> bool:
        """Whether anything leaks."""
        held_out = sum(n for split, n in self.splits.items() if split in ("val", "test"))
        return bool(self.scenes or self.near or held_out)


def leaks(train: Sequence[Path], held_out: Sequence[Path], *, most: int = 1000) -> Leaks:
    """Compares what is trained on with what is evaluated on; `most` near pairs are kept.

    Args:
        train: folders of shards.
        held_out: folders of shards, or of pictures at any depth.
        most: pairs of near pictures kept.

    Raises:
        InputError: a folder holds neither.
    """
    ours, theirs = _together(train), _together(held_out)
    scenes = tuple(sorted(set(ours.scenes) & set(theirs.scenes)))
    near: list[tuple[str, str, int]] = []
    for i, j, bits in _near(ours.bits, theirs.bits):
        if len(near) == most:
            break
        near.append((ours.names[i], theirs.names[j], bits))
    return Leaks(scenes, tuple(near), ours.splits, (len(ours.names), len(theirs.names)))


def _near(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> Iterator[tuple[int, int, int]]:
    """Rows of a and of b that differ in few bits; blank pictures are like nothing."""

    def told(bits: NDArray[np.uint64]) -> NDArray[np.intp]:
        count = np.bitwise_count(bits).sum(axis=1)
        return np.flatnonzero((count >= _LEAST_BITS) & (count <= 128 - _LEAST_BITS))

    of_a, of_b = told(a), told(b)
    for start in range(0, len(of_a), _BLOCK):
        block = of_a[start : start + _BLOCK]
        for j in of_b.tolist():
            differ = np.bitwise_count(a[block] ^ b[j]).sum(axis=1)
            for k in np.flatnonzero(differ <= NEAR_BITS).tolist():
                yield int(block[k]), j, int(differ[k])


def _together(folders: Sequence[Path]) -> Seen:
    parts = [_seen(folder) for folder in folders]
    return Seen(
        tuple(name for part in parts for name in part.names),
        np.concatenate([part.bits for part in parts]),
        tuple(scene for part in parts for scene in part.scenes),
        sum((part.splits for part in parts), Counter()),
    )


def _seen(folder: Path) -> Seen:
    if not folder.is_dir():
        raise InputError(f"no folder {str(folder)!r}")
    if not any(folder.glob("*.tar")):
        return _pictures(folder)
    shards = Shards(folder)
    names, marks, scenes = [], [], set()
    splits: Counter[str] = Counter()
    for place in range(len(shards)):
        notes = shards.notes(place)
        source, scene = notes.get("source", ""), notes.get("scene")
        names.append(f"{folder.name}/{notes.get('frame', place)}")
        mark = notes.get("fingerprint") or fingerprint_of(decode(shards.picture(place)))
        if not isinstance(mark, str) or not re.fullmatch("[0-9a-f]{32}", mark):
            raise InputError(
                f"{shards.name(place)}: fingerprint is {short(mark)}; give 32 hexadecimal digits"
            )
        marks.append(mark)
        splits[str(notes.get("split", "train"))] += 1
        if scene is not None:
            scenes.add(f"{source}/{scene}")
    return Seen(tuple(names), _bits(marks), tuple(scenes), splits)


def _pictures(folder: Path) -> Seen:
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _PICTURES)
    names, marks = [], []
    for path in found:
        try:
            image = read_picture(path).image
        except InputError:
            # A depth map or a damaged file; neither can be compared.
            continue
        names.append(path.relative_to(folder).as_posix())
        marks.append(fingerprint_of(image))
    if not names:
        raise InputError(f"{str(folder)!r} holds neither shards nor pictures")
    return Seen(tuple(names), _bits(marks), (), Counter())


def _bits(marks: Sequence[str]) -> NDArray[np.uint64]:
    raw = b"".join(bytes.fromhex(mark) for mark in marks)
    return np.frombuffer(raw, ">u8").reshape(-1, 2).astype(np.uint64)


def as_json(found: Leaks) -> str:
    """The leaks as one JSON object."""
    return json.dumps(
        {
            "scenes": found.scenes,
            "near": [list(pair) for pair in found.near],
            "splits": dict(found.splits),
            "compared": found.compared,
        },
        allow_nan=False,
    )
