"""Signals that ask a run to stop: it saves first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def until_asked_to_stop() -> Iterator[set[int]]:
    """Turns SIGTERM and Ctrl-C into a note that a loop looks at once a step.

    Yields:
        The signals that came; empty as long as none did.
    """
    asked: set[int] = set()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        asked.add(number)
        if number == signal.SIGINT:
            # Who asks twice does not want to wait.
            signal.signal(number, before[number])

    before |= {n: signal.signal(n, note) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
