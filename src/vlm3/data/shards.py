"""Plain tars that any webdataset tool reads, and beside them an index for random access.

    DIR/00000.tar ...   KEY.jpg and KEY.json one after the other
    DIR/index.npy       (n, 5) int64: shard, place and size of the picture, of the record
    DIR/shards.json     the tars, by the number in the index
    DIR/pairs.npy       optional, see `record.PAIR_DTYPE`: pairs are places in the index

Pictures are stored once, however many pairs they are in. The indices are mapped, not read: a
process that draws from 26 million pictures holds only the pages it touched.
"""

import io
import json
import os
import re
import tarfile
import warnings
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3 import disk
from vlm3.data.record import PAIR_DTYPE, PairRecord, Record, read_pair
from vlm3.data.store import Store
from vlm3.errors import InputError

_PICTURES = {"jpg", "jpeg", "png", "webp"}


class ShardWarning(UserWarning):
    """A shard, or a sample in it, that the index leaves out."""


def write_shards(
    folder: Path, samples: Iterable[tuple[str, bytes, bytes]], *, per_shard: int = 2048
) -> int:
    """Writes tars and their index; each tar appears whole or not at all.

    Args:
        folder: made if missing.
        samples: key without dots, JPEG or PNG bytes, record bytes.
        per_shard: samples a tar; at 150 KB a picture 2048 make 300 MB.

    Returns:
        The number of samples.

    Raises:
        InputError: a key that no tar of this kind can hold, one that came before in the same tar,
            or a folder that holds tars.
    """
    disk.make_folder(folder)
    if any(folder.glob("*.tar")):
        raise InputError(f"{folder} holds shards already; give an empty folder")
    count, left = 0, iter(samples)
    while (first := next(left, None)) is not None:
        path, keys = folder / f"{count // per_shard:05d}.tar", set[str]()
        with (
            disk.whole(path) as partial,
            tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for key, picture, record in chain([first], islice(left, per_shard - 1)):
                check_key(key, keys)
                add_sample(tar, key, picture, record)
                count += 1
    build_index(folder)
    return count


def check_key(key: str, taken: set[str]) -> None:
    """Adds `key` to those taken in its tar.

    Raises:
        InputError: a tar of this kind cannot hold it, or it was taken.
    """
    if not re.fullmatch(r"[\w/-]{1,90}", key):
        raise InputError(f"{key!r} is no key: letters, digits, -, _ and / only")
    if key in taken:
        raise InputError(f"the key {key!r} came twice; give each picture its own")
    taken.add(key)


def add_sample(tar: tarfile.TarFile, key: str, picture: bytes, record: bytes) -> tuple[int, ...]:
    """Writes KEY.jpg (or .png) and KEY.json; returns place, size, place, size of the two."""
    extension = "png" if picture[:4] == b"\x89PNG" else "jpg"
    row: list[int] = []
    for name, data in ((f"{key}.{extension}", picture), (f"{key}.json", record)):
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
        # What was just added ends on a whole block; its header, one block, stands before it.
        row += [tar.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, len(data)]
    return tuple(row)


def build_index(folder: Path) -> int:
    """Makes `index.npy` and `shards.json` for a folder of tars, whoever wrote them.

    Returns:
        The number of samples with a picture and a record.

    Raises:
        InputError: the folder holds no tar with such samples.

    Warns:
        ShardWarning: a tar that ends before its end; what came before is kept.
    """
    names = sorted(path.name for path in folder.glob("*.tar"))
    rows = [np.array(_rows(folder / name, k), np.int64) for k, name in enumerate(names)]
    table = np.concatenate([np.empty((0, 5), np.int64), *(r.reshape(-1, 5) for r in rows)])
    if not len(table):
        raise InputError(f"{folder} has no tar with KEY.jpg and KEY.json in it")
    save_index(folder, names, table)
    return len(table)


def save_index(folder: Path, names: Sequence[str], table: NDArray[np.int64]) -> None:
    """Writes `shards.json` and `index.npy`."""
    disk.write(folder / "shards.json", json.dumps(names, allow_nan=False))
    _save(folder / "index.npy", table)


def _rows(path: Path, number: int) -> list[tuple[int, ...]]:
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                head, _, name = member.name.rpartition("/")
                stem, _, extension = name.partition(".")
                kind = "picture" if extension.lower() in _PICTURES else extension
                if member.isfile() and kind in ("picture", "json"):
                    place = (member.offset_data, member.size)
                    found.setdefault(f"{head}/{stem}", {})[kind] = place
            end = tar.offset
        # Cut between two members, a tar looks whole but for the two empty blocks at its end.
        with path.open("rb") as file:
            file.seek(end)
            if file.read(1024) != bytes(1024):
                raise tarfile.ReadError("it ends without its end mark")
    except (tarfile.TarError, OSError) as error:
        warnings.warn(f"{path} is damaged ({error})", ShardWarning, stacklevel=3)
    whole = [parts for parts in found.values() if len(parts) == 2]
    return [(number, *parts["picture"], *parts["json"]) for parts in whole]


def write_pairs(folder: Path, rows: Iterable[NDArray[np.void]] | NDArray[np.void]) -> int:
    """Writes `pairs.npy` beside the index; returns the number of pairs."""
    table = rows if isinstance(rows, np.ndarray) else np.array(list(rows), PAIR_DTYPE)
    _save(folder / "pairs.npy", table)
    return len(table)


def _save(path: Path, table: NDArray[Any]) -> None:
    with disk.whole(path) as partial, partial.open("wb") as file:
        np.save(file, table)


class Shards:
    """A folder of shards, opened: any sample by its place.

    Args:
        root: a folder, or an address that fsspec understands.

    Raises:
        InputError: no such folder, or no index in a remote one.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.store = Store(root)
        listed = self.store.names("index.npy")
        if not listed:
            if "://" in self.store.root:
                raise InputError(f"{root} has no index.npy; run vlm3 data index where it is made")
            build_index(Path(self.store.root))
        self.index: NDArray[np.int64] = np.load(self.store.local("index.npy"), mmap_mode="r")
        with self.store.open("shards.json") as file:
            self.names: list[str] = json.loads(file.read())
        self._pairs: NDArray[np.void] | None = None
        if self.store.names("pairs.npy"):
            self._pairs = np.load(self.store.local("pairs.npy"), mmap_mode="r")

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapped index would travel to workers as its contents.
        return (Shards, (self.store.root,))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        return 0 if self._pairs is None else len(self._pairs)

    def name(self, place: int) -> str:
        """What messages call a sample."""
        return f"{self.store.root}/{self.names[int(self.index[place, 0])]} sample {place}"

    def picture(self, place: int) -> bytes:
        """The picture's file."""
        shard, offset, size, _, _ = self.index[place].tolist()
        return self.store.range(self.names[shard], offset, size)

    def record(self, place: int) -> Record:
        """What is known about the picture.

        Raises:
            InputError: it cannot be read.
        """
        return Record.from_json(self._json(place))

    def notes(self, place: int) -> dict[str, Any]:
        """The record as it stands in the file, with the keys that no reader needs.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return dict(json.loads(self._json(place)))
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.name(place)} is no JSON object ({error})") from error

    def _json(self, place: int) -> bytes:
        shard, _, _, offset, size = self.index[place].tolist()
        return self.store.range(self.names[shard], offset, size)

    def pair(self, place: int) -> tuple[int, int, PairRecord]:
        """A pair: the places of its pictures, and what is known about them.

        Raises:
            InputError: it cannot be read.
        """
        if self._pairs is None:
            raise InputError(f"{self.store.root} has no pairs.npy: it holds single pictures")
        row = self._pairs[place]
        first, second = int(row["first"]), int(row["second"])
        if not (0 <= first < len(self) and 0 <= second < len(self)):
            raise InputError(
                f"{self.store.root}/pairs.npy row {place} names pictures {first} and {second} "
                f"of {len(self)}"
            )
        return first, second, read_pair(row, self.record(first), self.record(second))
