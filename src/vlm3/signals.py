"""SIGTERM interrupts a command as Ctrl-C does, its workers too, whatever libraries it loads.

By default SIGTERM ends a process at once, with its file half written, and libraries in C++ install
handlers that print a native trace. Only the main thread can have handlers: elsewhere these do
nothing. Imports nothing that costs time.
"""

import os
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

# Tools such as `timeout` send the same signal to a process and to its group, so it comes twice.
_ONCE_S = 1.0


@contextmanager
def sigterm_interrupts() -> Iterator[list[int]]:
    """Raises KeyboardInterrupt on SIGTERM, as Ctrl-C does, where nobody handles it already.

    Yields:
        The signals that came so; empty as long as none did.
    """
    came: list[int] = []
    last_s = -_ONCE_S

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last_s
        came.append(number)
        before_s, last_s = last_s, time.monotonic()
        if last_s - before_s >= _ONCE_S:
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield came
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def keeping_sigterm() -> Iterator[None]:
    """Around an import: what a library's own handler of SIGTERM replaced is put back."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        # Python's table does not know of handlers set in C, so it is always set again.
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def one_interrupt() -> Iterator[None]:
    """In a worker: SIGINT ends the block once, and is ignored while it ends and after it."""

    def once(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def interrupt_children(but: Collection["BaseProcess"] = ()) -> None:
    """Sends SIGINT to the processes that this one has started by `multiprocessing`.

    Args:
        but: those that are somebody else's.
    """
    import multiprocessing

    for child in multiprocessing.active_children():
        if child.pid is not None and child not in but:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGINT)
