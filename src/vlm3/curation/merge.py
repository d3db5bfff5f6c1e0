"""Merge units into shards: tars of scenes end to end, and the index that `data.shards` reads.

    OUT/00000.tar ...   up to 512 MB of whole scenes each
    OUT/index.npy, shards.json, pairs.npy
    OUT/joined.json     which units each shard holds; written before their tars are removed
    OUT/SHA256SUMS      hashes of the indices and of all that says what was joined, written last

Joining again adds what is new and leaves what was joined alone. A run that is killed here loses
nothing: a shard counts once `joined.json` names it, and only then do its units' tars go.
"""

import fcntl
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3 import disk
from vlm3.curation.units import sha256_of
from vlm3.data.manifests import Unit, read_joined, read_unit, unit_name
from vlm3.data.pair_rows import PAIR_DTYPE
from vlm3.data.shard_index import INDEX, NAMES, save_index
from vlm3.data.shards import PAIRS, write_pairs
from vlm3.errors import InputError
from vlm3.files.arrays import read_arrays
from vlm3.files.sums import sha256_of_file, write_sums

SHARD_BYTES = 512_000_000
_THEN = "make room; the same command goes on from there"


@dataclass(frozen=True)
class Joined:
    """What a folder of shards holds."""

    shards: int
    samples: int
    pairs: int


@contextmanager
def joining(out: Path) -> Iterator[bool]:
    """Whether this process may join; False while another does. Ends with the process."""
    with disk.naming(out, then=_THEN):
        file = (out / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def join(out: Path, scenes: Sequence[str]) -> Joined:
    """Puts the units of `scenes` that are not joined yet into shards, in this order.

    Raises:
        InputError: a unit is damaged, or a shard cannot be written.
    """
    shards = read_joined(out)
    known = {scene for shard in shards for scene in shard["scenes"]}
    fresh = [
        unit
        for scene in scenes
        if scene not in known and (unit := read_unit(out, scene)) is not None and unit.samples
    ]
    for group in _groups(fresh, SHARD_BYTES):
        name = f"{len(shards):05d}.tar"
        _write_shard(out, name, group)
        shards.append({"name": name, "scenes": [unit.scene for unit in group]})
        disk.write(out / "joined.json", json.dumps(shards, indent=1, allow_nan=False), then=_THEN)
        for unit in group:
            (out / "units" / f"{unit_name(unit.scene)}.tar").unlink(missing_ok=True)
    # What kills left behind: tars whose shard was named already.
    for scene in known:
        (out / "units" / f"{unit_name(scene)}.tar").unlink(missing_ok=True)
    found = _index(out, shards)
    if found.samples:
        _write_sums(out, shards)
    return found


def _write_sums(out: Path, shards: Sequence[dict[str, Any]]) -> None:
    """Hashes of what is not in a shard; the bytes of shards are hashed in the units' manifests."""
    names = ["curation.json", "joined.json", INDEX, NAMES, PAIRS]
    for shard in shards:
        for scene in shard["scenes"]:
            names += [f"units/{unit_name(scene)}.{ending}" for ending in ("json", "npz")]
    write_sums(out, {name: sha256_of_file(out / name) for name in names if (out / name).is_file()})


def _groups(units: Sequence[Unit], most: int) -> Iterator[list[Unit]]:
    group: list[Unit] = []
    for unit in units:
        if group and sum(u.payload for u in group) + unit.payload > most:
            yield group
            group = []
        group.append(unit)
    if group:
        yield group


def _write_shard(out: Path, name: str, units: Sequence[Unit]) -> None:
    with disk.whole(out / name, then=_THEN) as partial, partial.open("wb") as shard:
        for unit in units:
            path = out / "units" / f"{unit_name(unit.scene)}.tar"
            if sha256_of(path, unit.payload) != unit.sha256:
                raise InputError(
                    f"{path} is not what was written; delete its .json to curate "
                    f"{unit.scene!r} again"
                )
            with path.open("rb") as file:
                left = unit.payload
                while left and (block := file.read(min(left, 1 << 22))):
                    shard.write(block)
                    left -= len(block)
        shard.truncate(shard_size(shard.tell()))


def shard_size(payload: int) -> int:
    """Bytes of a tar with so many before its end mark."""
    return -(-(payload + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def _index(out: Path, shards: Sequence[dict[str, Any]]) -> Joined:
    rows = [np.empty((0, 5), np.int64)]
    pairs = [np.empty(0, PAIR_DTYPE)]
    count = 0
    for number, shard in enumerate(shards):
        start = 0
        for scene in shard["scenes"]:
            unit = read_unit(out, scene)
            if unit is None:
                raise InputError(f"{out}/units has lost the manifest of {scene!r}")
            places = out / "units" / f"{unit_name(scene)}.npz"
            stored = read_arrays(places, _PLACES)
            own, found = stored["rows"], stored["pairs"]
            if (len(own), len(found)) != (unit.samples, unit.pairs):
                raise InputError(
                    f"{places} has {len(own)} samples and {len(found)} pairs; its manifest says "
                    f"{unit.samples} and {unit.pairs}"
                )
            rows.append(_moved(own, number, start))
            found["first"] += count
            found["second"] += count
            pairs.append(found)
            start += unit.payload
            count += len(own)
    if not count:
        return Joined(0, 0, 0)
    table = np.concatenate(pairs)
    save_index(out, [shard["name"] for shard in shards], np.concatenate(rows))
    if len(table):
        write_pairs(out, table)
    return Joined(len(shards), count, len(table))


_PLACES: dict[str, tuple[np.dtype[Any], tuple[int | None, ...]]] = {
    "rows": (np.dtype(np.int64), (None, 4)),
    "pairs": (PAIR_DTYPE, (None,)),
}


def _moved(rows: NDArray[np.int64], shard: int, start: int) -> NDArray[np.int64]:
    """Places within a unit (n, 4) -> rows of the index (n, 5)."""
    moved = rows + np.array([start, 0, start, 0])
    return np.concatenate([np.full((len(rows), 1), shard), moved], axis=1)
