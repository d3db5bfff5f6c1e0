"""Bytes of a folder, local or remote, by name and place. Knows nothing of what they mean."""

import hashlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm3 import disk
from vlm3.errors import InputError, MissingDependencyError

_OPEN_FILES = 256
"""At most, in one store; 26 million pictures lie in thousands of tars."""


class _File:
    """A descriptor that is closed when the last thread lets go of it."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        # Not opened: nothing to close.
        if hasattr(self, "number"):
            os.close(self.number)


class Store:
    """Reads ranges of files below one root: a folder, or an address that fsspec understands.

    Raises:
        InputError: the root does not exist.
        MissingDependencyError: an address without fsspec installed.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root).rstrip("/")
        self._files: OrderedDict[str, _File] = OrderedDict()
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
                file = self._file(name)
                data = os.pread(file.number, size, offset)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InputError(f"{self.root}/{name} cannot be read ({reason})") from error
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
        # `ukey` distinguishes versions of a file.
        version = hashlib.sha256(str(self._remote.ukey(f"{self._base}/{name}")).encode())
        file = f"vlm3-{os.getuid()}-{mark}-{version.hexdigest()[:12]}.npy"
        path = Path(tempfile.gettempdir()) / file
        if not path.exists():
            with disk.whole(path) as partial:
                self._remote.get_file(f"{self._base}/{name}", str(partial))
        return path

    def _file(self, name: str) -> _File:
        found = self._files.pop(name, None) or _File(f"{self.root}/{name}")
        self._files[name] = found
        if len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)
        return found
