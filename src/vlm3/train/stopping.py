"""Signals that ask a run to stop: it saves first, and leaves with 0."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def until_asked_to_stop(*signals: signal.Signals) -> Iterator[threading.Event]:
    """Turns signals into an event that a loop looks at once a step."""
    asked = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = [(number, signal.signal(number, note)) for number in signals]
    try:
        yield asked
    finally:
        for number, handler in before:
            signal.signal(number, handler)
