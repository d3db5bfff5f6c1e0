"""What is written below a folder, and where that is to fail, or to be killed.

An audit hook sees every file that Python opens, every folder it makes and every renaming, whoever
asks for it.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vlm3 import lock

STREAMS = ("predictions.jsonl", "manifest.jsonl")
"""What grows line by line, so that a command that was stopped goes on; each line is whole."""
LOCKS = (lock.NAME, ".lock")
KILLED = -1
"""In place of what the system says: SIGKILL."""


class Watch:
    """What is written below a folder, step by step, and where that is to fail.

    Attributes:
        steps: (event, path) of each file opened for writing, folder made, and renaming.
        renamed: from where to where.
        fails_at: the step at which the fault begins; None for never.
        code: what the system says; None is Ctrl-C, which is pressed once.
        removing: whether removing something is a step too.
    """

    def __init__(
        self,
        root: Path,
        fails_at: int | None = None,
        code: int | None = None,
        *,
        removing: bool = False,
    ) -> None:
        self.removing = removing
        self.root, self.fails_at, self.code = f"{root}/", fails_at, code
        self.steps: list[tuple[str, Path]] = []
        self.renamed: dict[Path, Path] = {}

    def see(self, event: str, args: tuple[Any, ...]) -> None:
        """An audit event; raises what the step is to fail with."""
        if event == "open":
            name, _, flags = args
            if not flags & (os.O_WRONLY | os.O_RDWR) or isinstance(name, int):
                return
        elif event in ("os.remove", "os.rmdir") and not self.removing:
            return
        else:
            name = args[0]
        path = os.fsdecode(name)
        if not path.startswith(self.root):
            return
        number = len(self.steps)
        if self.fails_at is not None and number >= self.fails_at:
            if self.code == KILLED:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.code is not None:
                raise OSError(self.code, os.strerror(self.code), path)
            if number == self.fails_at:
                self.steps.append((event, Path(path)))
                raise KeyboardInterrupt
        self.steps.append((event, Path(path)))
        if event == "os.rename":
            self.renamed[Path(os.fsdecode(args[1]))] = Path(path)

    def around(self, files: set[Path]) -> list[str]:
        """Files that came about without `vlm3.disk`, and places that were written in themselves."""
        found = [
            str(path)
            for event, path in self.steps
            if event == "open" and path.name not in (*STREAMS, *LOCKS) and not _partial(path)
        ]
        for path in files:
            moved = any(one in self.renamed for one in (path, *path.parents))
            if not moved and path.name not in (*STREAMS, *LOCKS):
                found.append(str(path))
        return found


EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
_watching: list[Watch] = []
_hooked: list[bool] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _watching and event in EVENTS:
        _watching[-1].see(event, args)


@contextmanager
def watched(watch: Watch) -> Iterator[Watch]:
    """Lets it see what is written in the block."""
    # A hook cannot be taken away again; this one does nothing where nobody watches.
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    _watching.append(watch)
    try:
        yield watch
    finally:
        _watching.pop()


def _partial(path: Path) -> bool:
    return any(one.name.startswith(".vlm3-") for one in (path, *path.parents))


def killed_at(step: int, folder: Path, write: Callable[[], Any]) -> bool:
    """Writes in a child that is killed at a step of what it does below a folder.

    Returns:
        Whether it was; False where it came to its end before.
    """
    child = os.fork()
    if not child:
        code = 1
        try:
            with watched(Watch(folder, step, KILLED, removing=True)):
                write()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0
