"""Plain tars that any webdataset tool reads, and beside them an index for random access.

    DIR/00000.tar ...   KEY.jpg and KEY.json one after the other
    DIR/index.npy       (n, 5) int64: shard, place and size of the picture, of the record
    DIR/shards.json     the tars, by the number in the index
    DIR/pairs.npy       optional, see `pair_rows.PAIR_DTYPE`: pairs are places in the index
    DIR/SHA256SUMS      hashes of these files, as sha256sum writes them

Pictures are stored once, however many pairs they are in. The indices are mapped, not read: a
process that draws from 26 million pictures holds only the pages it touched. So a damaged row is
noticed when it is drawn, as a damaged picture is.
"""

import io
import os
import re
import tarfile
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3 import disk
from vlm3.data.pair_rows import PAIR_DTYPE
from vlm3.data.record import Record
from vlm3.data.shard_index import INDEX, NAMES, build_index, save_table
from vlm3.data.store import Store
from vlm3.errors import InputError
from vlm3.files.arrays import read_array
from vlm3.files.reading import MEGABYTE, below, parse_json
from vlm3.files.schema import list_of, text
from vlm3.files.sums import add_sums, sha256_of_file

PAIRS = "pairs.npy"
LARGEST_PICTURE = 256 * MEGABYTE
LARGEST_RECORD = 64 * MEGABYTE
"""Bytes of one member of a tar that are read; a damaged index may ask for more."""

# A name that needs no closer look; there are tens of thousands in a large set.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


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
            a folder that holds tars, or one that cannot be written to.
    """
    disk.make_folder(folder)
    if any(folder.glob("*.tar")):
        raise InputError(f"{folder} holds shards already; give an empty folder")
    left = iter(samples)
    sums: dict[str, str] = {}
    while (first := next(left, None)) is not None:
        path = folder / f"{len(sums):05d}.tar"
        keys: set[str] = set()
        with disk.whole(path) as partial:
            with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
                for key, picture, record in chain([first], islice(left, per_shard - 1)):
                    check_key(key, keys)
                    add_sample(tar, key, picture, record)
            sums[path.name] = sha256_of_file(partial)
    add_sums(folder, sums)
    return build_index(folder)


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


def write_pairs(folder: Path, rows: Iterable[NDArray[np.void]] | NDArray[np.void]) -> int:
    """Writes `pairs.npy` beside the index, and its hash; returns the number of pairs."""
    table = rows if isinstance(rows, np.ndarray) else np.array(list(rows), PAIR_DTYPE)
    save_table(folder / PAIRS, table)
    add_sums(folder, {PAIRS: sha256_of_file(folder / PAIRS)})
    return len(table)


class Shards:
    """A folder of shards, opened: any sample by its place.

    Args:
        root: a folder, or an address that fsspec understands.

    Raises:
        InputError: no such folder, no index in a remote one, or an index that is damaged.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.store = Store(root)
        if INDEX not in self.store.names(INDEX):
            if "://" in self.store.root:
                raise InputError(f"{root} has no index.npy; run vlm3 data index where it is made")
            build_index(Path(self.store.root))
        try:
            self.index: NDArray[np.int64] = read_array(
                self.store.local(INDEX), np.dtype(np.int64), (None, 5), mapped=True
            )
            self.names: list[str] = self._names()
        except InputError as error:
            raise InputError(f"{error}; vlm3 data index {root} makes both anew") from error
        if not len(self.index):
            raise InputError(f"{root}/{INDEX} lists no picture; vlm3 data index makes it anew")
        self._pairs: NDArray[np.void] | None = None
        if PAIRS in self.store.names(PAIRS):
            self._pairs = read_array(self.store.local(PAIRS), PAIR_DTYPE, (None,), mapped=True)

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapped index would travel to workers as its contents.
        return (Shards, (self.store.root,))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        return 0 if self._pairs is None else len(self._pairs)

    @property
    def pair_table(self) -> NDArray[np.void]:
        """The rows of `pairs.npy`, mapped; none where there is no such file."""
        return np.empty(0, PAIR_DTYPE) if self._pairs is None else self._pairs

    def name(self, place: int) -> str:
        """What messages call a sample."""
        shard = int(self.index[place, 0])
        tar = self.names[shard] if 0 <= shard < len(self.names) else INDEX
        return f"{self.store.root}/{tar} sample {place}"

    def picture(self, place: int) -> bytes:
        """The picture's file.

        Raises:
            InputError: it cannot be read.
        """
        shard, offset, size, _, _ = self._row(place)
        return self.store.range(shard, offset, size)

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
        notes = parse_json(self._json(place), f"the record of {self.name(place)}")
        if not isinstance(notes, dict):
            raise InputError(f"the record of {self.name(place)} is no JSON object")
        return notes

    def _json(self, place: int) -> bytes:
        shard, _, _, offset, size = self._row(place)
        return self.store.range(shard, offset, size)

    def _row(self, place: int) -> tuple[str, int, int, int, int]:
        """A row of the index, with the name of its shard."""
        if not 0 <= place < len(self.index):
            raise InputError(f"{self.store.root} has samples 0 to {len(self) - 1}, no {place}")
        shard, start, size, json_start, json_size = self.index[place].tolist()
        if (
            not 0 <= shard < len(self.names)
            or min(start, json_start) < 0
            or not 0 <= size <= LARGEST_PICTURE
            or not 0 <= json_size <= LARGEST_RECORD
        ):
            raise InputError(
                f"{self.store.root}/{INDEX} row {place} is damaged: it names shard {shard} of "
                f"{len(self.names)}, {size} bytes at {start} and {json_size} at {json_start}"
            )
        return self.names[shard], start, size, json_start, json_size

    def _names(self) -> list[str]:
        path = f"{self.store.root}/{NAMES}"
        try:
            # In parts: a size given to read() is allocated at once.
            with self.store.open(NAMES) as file:
                data = b"".join(islice(iter(lambda: file.read(MEGABYTE), b""), 64))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InputError(f"cannot read {path!r} ({reason})") from error
        names: list[str] = parse_json(data, path, list_of(text(255)))
        for name in names:
            if _PLAIN.fullmatch(name):
                continue
            below(Path(self.store.root), name, path)
            if "/" in name:
                raise InputError(f"{path} names {name!r}; shards lie in the folder itself")
        return names

    def places(self, place: int) -> tuple[int, int]:
        """The places of a pair's pictures.

        Raises:
            InputError: there are no pairs, or this one points nowhere.
        """
        row = self.pair_row(place)
        first, second = int(row["first"]), int(row["second"])
        if not (0 <= first < len(self) and 0 <= second < len(self)):
            raise InputError(
                f"{self.store.root}/pairs.npy row {place} names pictures {first} and {second} "
                f"of {len(self)}"
            )
        return first, second

    def pair_row(self, place: int) -> np.void:
        """A row of `pairs.npy`, see `pair_rows.read_row`.

        Raises:
            InputError: there are no pairs, or not so many.
        """
        if self._pairs is None:
            raise InputError(f"{self.store.root} has no pairs.npy: it holds single pictures")
        if not 0 <= place < len(self._pairs):
            raise InputError(f"{self.store.root} has pairs 0 to {self.pairs - 1}, no {place}")
        row: np.void = self._pairs[place]
        return row
