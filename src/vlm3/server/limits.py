"""Limits of a server's load, and how it refuses more. Knows no route and no model."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vlm3.errors import Vlm3Error

MIB = 2**20
# Memory that reading a picture takes at most, for a while: measured, a PNG with alpha and a WebP
# (RGB in PNG or JPEG: 18). Afterwards it is 3, for as long as it is asked about.
DECODING_BYTES_A_PX = 26
_KEPT_BYTES_A_PX = 3
# The share of the memory that decoding may take, and that pictures in use may take; the rest is
# the model's, and everyone else's.
_SHARE = 4
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Limits:
    """How much a server takes on; what is beyond is refused at once, not slowly.

    Attributes:
        requests: under way or waiting at once; more are refused with 429.
        questions: waiting at once, of all requests (429).
        body_bytes: of one request (413); what a route can use beside pictures is less, and stands
            with its fields in `schema`.
        all_bodies_bytes: of all requests under way (429).
        parsing: bodies that are being parsed or wait for it (429).
        parse_timeout_s: for a body to be parsed (503).
        picture_px: pixels of one picture; read from its header, before anything is decoded (400).
            Not more than that are decoded at the same time.
        all_pictures_px: decoded pixels of all requests under way (429).
        timeout_s: from a request's arrival to its answer (504).
        body_timeout_s: for a request's body to arrive (408), and for a part of the answer to be
            taken (then the connection is closed).
        turn_questions: most of one request before the next has its turn.
        remembered_bytes: of answers kept, so that the same question again costs nothing.
        kept_bytes: of decoded pictures kept for the next question about them.
    """

    requests: int = 128
    questions: int = 65_536
    body_bytes: int = 32 * MIB
    all_bodies_bytes: int = 256 * MIB
    parsing: int = 64
    parse_timeout_s: float = 10.0
    picture_px: int = 50_000_000
    all_pictures_px: int = 300_000_000
    timeout_s: float = 120.0
    body_timeout_s: float = 30.0
    turn_questions: int = 512
    remembered_bytes: int = 64 * MIB
    kept_bytes: int = 128 * MIB


def pixels_for(memory_bytes: int, picture_px: int) -> tuple[int, int]:
    """How large one picture may be and all in use together, in pixels.

    Args:
        memory_bytes: of the machine, or of the container.
        picture_px: what is wanted of one.
    """
    share = memory_bytes // _SHARE
    one = min(picture_px, share // DECODING_BYTES_A_PX)
    return one, max(min(Limits.all_pictures_px, share // _KEPT_BYTES_A_PX), 2 * one)


def memory_bytes() -> int:
    """Memory of the machine, or of the container where that has less; without /proc, a lot."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        found = 2**40
    for name in _CGROUPS:
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            found = min(found, int(text))
    return found


class RefusedError(Vlm3Error):
    """A request that is answered with an error.

    Args:
        status: the HTTP status.
        message: one line: what came, what is allowed, what to do.
        code: a word for programs.
        retry_after_s: when to come again.
    """

    def __init__(
        self, status: int, message: str, *, code: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """What goes beside the body."""
        if self.retry_after_s is not None:
            return {"Retry-After": str(self.retry_after_s)}
        return {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}

    @property
    def body(self) -> dict[str, object]:
        """The body, in the shape that OpenAI's clients read."""
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = kinds.get(self.status, "invalid_request_error" if self.status < 500 else "api_error")
        return {
            "error": {"message": str(self), "type": kind, "param": None, "code": self.code},
        }


def busy(what: str, retry_after_s: int = 1) -> RefusedError:
    """Come again later."""
    return RefusedError(
        429,
        f"the server is busy ({what}): come again in {retry_after_s} s",
        code="busy",
        retry_after_s=retry_after_s,
    )


def stopping() -> RefusedError:
    """Come again when there is a server again."""
    return RefusedError(503, "the server is stopping: come again", code="stopping", retry_after_s=2)


class Budget:
    """A sum that must not grow beyond its limit.

    Args:
        most: the limit.
        what: for the refusal.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most, self._what = most, what
        self._lock = threading.Lock()
        self.held = 0

    def take(self, amount: int) -> None:
        """Adds to the sum.

        Raises:
            RefusedError: 429, there is no room now.
        """
        with self._lock:
            if self.held + amount > self._most:
                raise busy(self._what)
            self.held += amount

    def give(self, amount: int) -> None:
        """Takes back what was added."""
        with self._lock:
            self.held -= amount

    @contextmanager
    def holding(self, amount: int) -> Iterator[None]:
        """Added for the length of a `with` block."""
        self.take(amount)
        try:
            yield
        finally:
            self.give(amount)
