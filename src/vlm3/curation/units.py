"""One scene of a data set as one unit of work: a tar of its pictures and records, or nothing.

    OUT/units/NAME.tar     KEY.jpg and KEY.json, as in a shard
    OUT/units/NAME.npz     where each sample lies in it, and its rows of pairs
    OUT/units/NAME.json    the manifest, written last: counts, hash, what was left out and why

The manifest is what makes a unit done; whatever is cut off before it is made again. A unit depends
on nothing but its scene and the job, so any process on any machine makes the same bytes.
"""

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3 import disk
from vlm3.curation.intrinsics import Calibration
from vlm3.curation.prepare import Size, prepare, questions
from vlm3.curation.stored import StoredFrame
from vlm3.data.manifests import Unit, clean_name, unit_name
from vlm3.data.pair_rows import PAIR_DTYPE
from vlm3.data.record import Record
from vlm3.data.shards import add_sample, check_key
from vlm3.datasets import get_source
from vlm3.datasets.base import (
    READ_ERRORS,
    Frames,
    PublishedDataset,
    RawFrame,
    Remark,
    Skipped,
    reason,
)
from vlm3.errors import InputError

# Reasons kept in a manifest; more say nothing new.
_MOST_REASONS = 1000
_KEY_LENGTH = 90

_THEN = "make room; the same command goes on from there"


@dataclass(frozen=True)
class Job:
    """What to curate, and how.

    Attributes:
        source: name of the data set.
        root: its folder.
        out: where units and shards go.
        points: labelled pixels a picture, at most.
        per_view: partners drawn for each picture where the source allows pairs; 0 for none.
        size: to what pictures are reduced.
        calibration: how cameras are determined where the set has none.
        seed: of which pixels and partners are drawn.
        depthlm: read the set as DepthLM's scripts do, for `curation.export`.
    """

    source: str
    root: Path
    out: Path
    points: int = 100
    per_view: int = 4
    size: Size = field(default_factory=Size)
    calibration: Calibration = field(default_factory=Calibration)
    seed: int = 0
    depthlm: bool = False

    def settings(self) -> dict[str, Any]:
        """What decides the bytes, but for the data itself; kept beside them."""
        return {k: v for k, v in asdict(self).items() if k not in ("root", "out")}


def make_unit(job: Job, scene: str) -> Unit:
    """Curates a scene, whatever was there of it; frames that cannot be used are named.

    Raises:
        InputError: the unit cannot be written, as on a full disk. Nothing half is left.
    """
    folder = job.out / "units"
    name = unit_name(scene)
    tar = folder / f"{name}.tar"
    with disk.whole(tar, then=_THEN) as partial:
        unit = _written(job, scene, folder, partial)
    if not unit.samples:
        tar.unlink()
    disk.write(
        folder / f"{name}.json", json.dumps(asdict(unit), indent=1, allow_nan=False), then=_THEN
    )
    return unit


@dataclass
class _Written:
    """What has been written of a scene, and what was left out."""

    kept: list[StoredFrame] = field(default_factory=list)
    rows: list[tuple[int, ...]] = field(default_factory=list)
    splits: Counter[str] = field(default_factory=Counter)
    intrinsics: Counter[str] = field(default_factory=Counter)
    points: int = 0
    questions: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failed: str | None = None
    remarks: list[str] = field(default_factory=list)

    def add(self, frame: StoredFrame, record: Record, row: tuple[int, ...]) -> None:
        self.kept.append(frame)
        self.rows.append(row)
        self.splits[record.split] += 1
        self.intrinsics[record.intrinsics] += 1
        self.points += len(record.xy_px)
        self.questions += len(record.questions)


def _written(job: Job, scene: str, folder: Path, partial: Path) -> Unit:
    """Writes the tar and the places of a unit; its manifest is left to be written."""
    source = get_source(job.source, job.root)
    seed = _seed(job, scene)
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        done = _write_samples(job, source, scene, seed, tar)
        payload = tar.offset
    try:
        pairs = list(_pairs(job, source, done.kept, seed))
    except READ_ERRORS as error:
        pairs = []
        done.skipped.append(("pairs", reason(error)))
    table = np.array(done.rows, np.int64).reshape(-1, 4)
    places = io.BytesIO()
    np.savez(places, rows=table, pairs=np.array(pairs, PAIR_DTYPE))
    disk.write(folder / f"{unit_name(scene)}.npz", places.getvalue(), then=_THEN)
    return Unit(
        scene,
        len(done.rows),
        len(pairs),
        payload,
        sha256_of(partial, payload),
        dict(sorted(done.splits.items())),
        dict(sorted(done.intrinsics.items())),
        done.points,
        done.questions,
        tuple(done.skipped[:_MOST_REASONS]),
        done.failed,
        tuple(done.remarks),
    )


def _write_samples(
    job: Job, source: PublishedDataset, scene: str, seed: int, tar: tarfile.TarFile
) -> _Written:
    """Writes each frame of a scene that can be used, as a picture and a record."""
    done = _Written()
    keys: set[str] = set()
    frames = _frames(job, source, scene)
    while True:
        try:
            raw = next(frames, None)
        except READ_ERRORS as error:
            # The source gave up on the scene; what came before is good.
            done.failed = reason(error)
            return done
        if raw is None:
            return done
        if isinstance(raw, Skipped):
            done.skipped.append((raw.key, raw.reason))
        elif isinstance(raw, Remark):
            done.remarks.append(raw.text)
        else:
            try:
                key = frame_key(scene, raw.key)
                check_key(key, keys)
                frame, picture, record = _sample(job, source, raw, seed, len(done.rows))
                data = record.to_json(_notes(scene, frame))
            except READ_ERRORS as error:
                done.skipped.append((raw.key, reason(error)))
            else:
                done.add(frame, record, add_sample(tar, key, picture, data))


def _frames(job: Job, source: PublishedDataset, scene: str) -> Frames:
    reader = source.reader
    read = reader.depthlm_frames if job.depthlm and reader.depthlm_frames else reader.frames
    yield from read(job.root, scene)


def _sample(
    job: Job, source: PublishedDataset, raw: RawFrame, seed: int, place: int
) -> tuple[StoredFrame, bytes, Record]:
    kept, picture = prepare(raw, job.size, job.calibration)
    xy, distance = np.empty((0, 2)), np.empty(0)
    if raw.depth is not None and job.points:
        rng = np.random.default_rng([seed, _mark(raw.key)])
        xy, found = kept.surface(job.points, rng)
        distance = np.linalg.norm(found, axis=1)
    asked = questions(kept)
    if not len(xy) and not asked and raw.world_from_cam is None:
        raise InputError("no label: no depth in the picture, no pose, no question")
    record = Record(
        kept.camera,
        xy.round(4),
        distance.round(4),
        asked,
        metric=raw.metric,
        source=source.facts.name,
        split=raw.split,
        intrinsics=kept.intrinsics,
    )
    # What pairs need later is read again; pictures of a whole scene need not wait in memory.
    return kept.without_picture(place), picture, record


def _notes(scene: str, kept: StoredFrame) -> dict[str, Any]:
    """What a record carries along for people and for `vlm3 data leaks`."""
    notes = {"scene": scene, "frame": kept.raw.key, "fingerprint": kept.fingerprint}
    pose = kept.raw.world_from_cam
    return notes if pose is None else notes | {"world_from_cam": pose.tolist()}


def _pairs(
    job: Job, source: PublishedDataset, kept: Sequence[StoredFrame], seed: int
) -> Iterator[NDArray[np.void]]:
    if not job.per_view or not {"correspondence", "pose"} & set(source.facts.tasks):
        return
    from vlm3.curation.pairs import make_pairs

    yield from make_pairs(
        kept,
        np.random.default_rng([seed, 1]),
        origin=source.facts.origin,
        per_view=job.per_view,
        metric=all(one.raw.metric for one in kept),
    )


def frame_key(scene: str, key: str) -> str:
    """The name of a sample in its tar: scene and frame in allowed letters, cut if too long."""
    whole = "/".join(part for part in (clean_name(scene), clean_name(key)) if part)
    if len(whole) <= _KEY_LENGTH:
        return whole
    return f"{whole[:60]}-{hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()}"


def sha256_of(path: Path, size: int, offset: int = 0) -> str:
    """Of `size` bytes of a file from `offset`; of fewer where it ends before."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        while size and (block := file.read(min(size, 1 << 22))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


def _mark(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _seed(job: Job, scene: str) -> int:
    return _mark(f"{job.seed}/{job.source}/{scene}")
