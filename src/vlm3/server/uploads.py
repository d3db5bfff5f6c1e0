"""From a picture of a request to a `View`: limits first, decoding last. Knows no route."""

import base64
import binascii
import hashlib
import io
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from PIL import Image

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.focal import plan_long_side
from vlm3.infer.engines.base import UInt8
from vlm3.pictures import LARGEST_PX, picture_size
from vlm3.server.jobs import Ticket
from vlm3.server.limits import Budget, Limits, busy
from vlm3.server.schema.requests import RequestPicture
from vlm3.view import View

Calibrate = Callable[[UInt8], Camera]

# More at once would only wait for each other, and hold memory meanwhile.
_DECODERS = 2
# Decoded in one step; Python's global lock, which the event loop needs too, is free between them.
_BASE64_STEP = 2**20
# What stands before the comma of a data URL.
_LONGEST_HEAD = 200


class Uploads:
    """Opens pictures of requests, and keeps the latest for the next question about them.

    Args:
        limits: how large one picture and all of them together may be.
        calibrate: the camera of pictures that come without one, as `View.open` takes it; called
            for one picture at a time.
    """

    def __init__(self, limits: Limits, calibrate: Calibrate | None = None) -> None:
        self._limits = limits
        self._calibrate = None if calibrate is None else self._alone
        self._calibrator, self._calibrating = calibrate, threading.Lock()
        self.budget = Budget(limits.all_pictures_px, "too many pictures are being read")
        self._decoding = _Turns(limits.picture_px)
        self._kept: OrderedDict[bytes, View] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def open(self, pictures: Sequence[RequestPicture], ticket: Ticket) -> Iterator[list[View]]:
        """The pictures with their cameras, held to account for the length of the block.

        Raises:
            InputError: a picture or a camera that cannot be used.
            RefusedError: 429, too many pixels are in use already, or others are decoded until
                the ticket's time is up.
        """
        files = [picture_bytes(picture.url) for picture in pictures]
        pixels = [self._checked(data) for data in files]
        with self.budget.holding(sum(pixels)):
            yield [self._view(*each, ticket) for each in zip(pictures, files, pixels, strict=True)]

    def _alone(self, image: UInt8) -> Camera:
        assert self._calibrator is not None
        with self._calibrating:
            return self._calibrator(image)

    def _checked(self, data: bytes) -> int:
        width, height = picture_size(data)
        most = min(self._limits.picture_px, LARGEST_PX)
        if width * height > most:
            raise InputError(
                f"the picture has {width}x{height} pixels; this server reads at most "
                f"{most / 1e6:g} megapixels: make it smaller first"
            )
        return width * height

    def _view(self, picture: RequestPicture, data: bytes, pixels: int, ticket: Ticket) -> View:
        camera = (picture.f_px, picture.fov_deg, picture.intrinsics_px)
        digest = hashlib.sha256(repr(camera).encode() + b"\0")
        digest.update(data)
        key = digest.digest()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._decoding.turn(pixels, ticket):
            view = view_of(data, picture, self._calibrate)
        with self._lock:
            self._kept[key] = view
            while sum(v.image.nbytes for v in self._kept.values()) > self._limits.kept_bytes:
                self._kept.popitem(last=False)
        return view


class _Turns:
    """Pictures that are decoded at the same time: few, and together no larger than the largest.

    Args:
        most_px: pixels at the same time.
    """

    def __init__(self, most_px: int) -> None:
        self._most_px = most_px
        self._pixels: list[int] = []
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, pixels: int, ticket: Ticket) -> Iterator[None]:
        """Waits until there is room, then holds it for the length of the block.

        Raises:
            RefusedError: 429, there was none until the ticket's time was up.
        """

        def room() -> bool:
            if ticket.ended:
                return True
            return not self._pixels or (
                len(self._pixels) < _DECODERS and sum(self._pixels) + pixels <= self._most_px
            )

        with self._changed:
            free = self._changed.wait_for(room, max(ticket.until - time.monotonic(), 0))
            if not free or ticket.ended:
                raise busy("other pictures are being decoded")
            self._pixels.append(pixels)
        try:
            yield
        finally:
            with self._changed:
                self._pixels.remove(pixels)
                self._changed.notify_all()


def picture_bytes(url: str) -> bytes:
    """The file in a data URL.

    Raises:
        InputError: another kind of address, or no base64.
    """
    # The picture itself is long: it is not copied more often than it must be.
    comma = url.find(",", 0, _LONGEST_HEAD)
    head = url[: max(comma, 0)] or url[:_LONGEST_HEAD]
    if not head.startswith("data:"):
        raise InputError(
            f"the picture's address begins with {url[:12]!r}; this server fetches nothing from a "
            "network or a disk: send the picture itself, as data:image/jpeg;base64,..."
        )
    if comma < 0 or not head.endswith(";base64"):
        raise InputError(
            f"the picture's address begins with {head[:40]!r}; "
            "send data:image/jpeg;base64,... (or another picture format)"
        )
    try:
        data = _base64(url, comma + 1)
    except (binascii.Error, ValueError) as error:
        raise InputError(
            f"the picture's base64 cannot be read ({error}); encode it again"
        ) from None
    if not data:
        raise InputError("the picture is empty (0 bytes); send a picture file")
    return data


def _base64(text: str, begin: int) -> bytes:
    """What base64 stands for, from that character on; decoded in steps.

    Raises:
        ValueError: it is not base64, to the letter.
    """
    if text.find("=", begin, len(text) - 2) >= 0:
        raise ValueError("there is an = before the end")
    steps = range(begin, len(text), _BASE64_STEP)
    return b"".join(
        binascii.a2b_base64(text[at : at + _BASE64_STEP], strict_mode=True) for at in steps
    )


def view_of(data: bytes, picture: RequestPicture, calibrate: Calibrate | None = None) -> View:
    """The view of a picture file, with the camera that came with it, else the calibrator's.

    Raises:
        InputError: a picture or a camera that cannot be used.
    """
    return View.open(
        data,
        f_px=picture.f_px,
        fov_deg=picture.fov_deg,
        intrinsics_px=picture.intrinsics_px,
        calibrate=calibrate,
    )


def preview_url(view: View, side_px: int) -> str:
    """A JPEG of the picture as it is read, as a data URL."""
    image = Image.fromarray(view.image)
    image.thumbnail((side_px, side_px), Image.Resampling.BICUBIC)
    return "data:image/jpeg;base64," + base64.b64encode(_jpeg(image)).decode("ascii")


def fitted(view: View, *, multiple_px: int, max_tokens: int | None) -> UInt8:
    """The picture with sides that the model's grid has, changed no more than that needs.

    For chats, where nothing says at which focal length a picture is wanted: a picture that fits is
    left as it is.
    """
    plan = plan_long_side(
        view.camera,
        long_side_px=max(view.camera.width_px, view.camera.height_px),
        multiple_px=multiple_px,
        max_tokens=max_tokens,
    )
    return view.resized(plan).image


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
