"""Bytes of a folder, local or remote, by name and place. Knows nothing of what they mean."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm3.errors import InputError, MissingDependencyError


class Store:
    """Reads ranges of files below one root: a folder, or an address that fsspec understands.

    Raises:
        InputError: the root does not exist.
        MissingDependencyError: an address without fsspec installed.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root).rstrip("/")
        self._files: dict[str, int] = {}
        self._remote: Any = None
        if "://" in self.root:
            try:
                import fsspec
            except ImportError as error:
                raise MissingDependencyError(
                    f"{self.root} is remote; pip install fsspec and the package of its protocol"
                ) from error
            self._remote, self._base = fsspec.core.url_to_fs(self.root)
            exists = self._remote.isdir(self._base)
        else:
            exists = Path(self.root).is_dir()
        if not exists:
            raise InputError(f"no data folder {self.root}; check the path")

    def __reduce__(self) -> tuple[Any, ...]:
        # File descriptors and connections belong to one process.
        return (Store, (self.root,))

    def range(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes of a file from `offset`.

        Raises:
            InputError: the file is missing or ends before.
        """
        try:
            if self._remote is not None:
                data: bytes = self._remote.cat_file(
                    f"{self._base}/{name}", start=offset, end=offset + size
                )
            else:
                data = os.pread(self._descriptor(name), size, offset)
        except OSError as error:
            raise InputError(f"{self.root}/{name} cannot be read ({error.strerror})") from error
        if len(data) != size:
            raise InputError(f"{self.root}/{name} is cut off: {len(data)} of {size} bytes")
        return data

    def names(self, suffix: str) -> Sequence[str]:
        """The files in the root that end so, sorted."""
        if self._remote is not None:
            found = [str(p).rsplit("/", 1)[-1] for p in self._remote.ls(self._base, detail=False)]
        else:
            found = [path.name for path in Path(self.root).iterdir()]
        return sorted(name for name in found if name.endswith(suffix))

    def open(self, name: str) -> Any:
        """A binary file object."""
        if self._remote is not None:
            return self._remote.open(f"{self._base}/{name}", "rb")
        return (Path(self.root) / name).open("rb")

    def local(self, name: str) -> Path:
        """A path on this machine; what is remote is fetched once into the temporary folder."""
        if self._remote is None:
            return Path(self.root) / name
        mark = hashlib.sha256(f"{self.root}/{name}".encode()).hexdigest()[:24]
        info = self._remote.info(f"{self._base}/{name}")
        path = Path(tempfile.gettempdir()) / f"vlm3-{os.getuid()}-{mark}-{info.get('size')}.npy"
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}.partial")
            self._remote.get_file(f"{self._base}/{name}", str(partial))
            partial.replace(path)
        return path

    def _descriptor(self, name: str) -> int:
        found = self._files.get(name)
        if found is None:
            found = os.open(f"{self.root}/{name}", os.O_RDONLY)
            self._files[name] = found
        return found
