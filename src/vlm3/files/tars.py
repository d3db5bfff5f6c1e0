"""The members of a plain tar of any origin; nothing is extracted."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vlm3.errors import InputError
from vlm3.files.reading import MEGABYTE, why

TAR_ERRORS = (
    tarfile.TarError, OSError, ValueError, OverflowError, EOFError, KeyError, IndexError,
    AttributeError, TypeError, RecursionError,
)  # fmt: skip
"""What `tarfile` raises on damaged bytes."""


class _Bounded:
    """A file that reads headers and no more at once, whatever a header says."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """See `io`."""
        if not 0 <= size <= MEGABYTE:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def members(path: Path, problems: list[str]) -> Iterator[tarfile.TarInfo]:
    """The members of an uncompressed tar in their order; what ends them early is noted.

    A damaged tar gives what stands before the damage. One that was cut between two members looks
    whole but for the two empty blocks at its end, so these are looked for.
    """
    last = -1
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            with tarfile.open(fileobj=_Bounded(file), mode="r:") as tar:  # type: ignore[call-overload]
                for member in tar:
                    # Negative sizes would lead back to where it has been.
                    if member.offset <= last or not 0 <= member.size <= size:
                        raise tarfile.ReadError(f"the header at byte {member.offset} is wrong")
                    last = member.offset
                    # All the names of a large tar need not be kept.
                    tar.members = []
                    yield member
                end = tar.offset
            file.seek(end)
            if file.read(1024) != bytes(1024):
                raise tarfile.ReadError("it ends without its end mark")
    except TAR_ERRORS as error:
        if isinstance(error, InputError):
            raise
        problems.append(why(error))
