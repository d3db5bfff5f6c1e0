"""From a picture of a request to a `View`: limits first, decoding last. Knows no route."""

import base64
import binascii
import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from PIL import Image

from vlm3.app.limits import Budget, Limits
from vlm3.app.schema import Picture
from vlm3.errors import InputError
from vlm3.geometry.focal import plan_long_side
from vlm3.infer.engine import UInt8
from vlm3.pictures import LARGEST_PX, picture_size
from vlm3.view import View

# More at once would only wait for each other, and hold memory meanwhile.
_DECODERS = 2


class Uploads:
    """Opens pictures of requests, and keeps the latest for the next question about them.

    Args:
        limits: how large one picture and all of them together may be.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.budget = Budget(limits.all_pictures_px, "too many pictures are being read")
        self._decoders = threading.Semaphore(_DECODERS)
        self._kept: OrderedDict[bytes, View] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def open(self, pictures: Sequence[Picture]) -> Iterator[list[View]]:
        """The pictures with their cameras, held to account for the length of the block.

        Raises:
            InputError: a picture or a camera that cannot be used.
            RefusedError: 429, too many pixels are in use already.
        """
        files = [picture_bytes(picture.url) for picture in pictures]
        pixels = sum(self._checked(data) for data in files)
        with self.budget.holding(pixels):
            yield [self._view(p, data) for p, data in zip(pictures, files, strict=True)]

    def _checked(self, data: bytes) -> int:
        width, height = picture_size(data)
        most = min(self._limits.picture_px, LARGEST_PX)
        if width * height > most:
            raise InputError(
                f"the picture has {width}x{height} pixels; this server reads at most "
                f"{most / 1e6:g} megapixels: make it smaller first"
            )
        return width * height

    def _view(self, picture: Picture, data: bytes) -> View:
        camera = (picture.f_px, picture.fov_deg, picture.intrinsics_px)
        key = hashlib.sha256(repr(camera).encode() + b"\0" + data).digest()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._decoders:
            view = view_of(data, picture)
        with self._lock:
            self._kept[key] = view
            while sum(v.image.nbytes for v in self._kept.values()) > self._limits.kept_bytes:
                self._kept.popitem(last=False)
        return view


def picture_bytes(url: str) -> bytes:
    """The file in a data URL.

    Raises:
        InputError: another kind of address, or no base64.
    """
    head, comma, body = url.partition(",")
    if not head.startswith("data:"):
        raise InputError(
            f"the picture's address begins with {url[:12]!r}; this server fetches nothing from a "
            "network or a disk: send the picture itself, as data:image/jpeg;base64,..."
        )
    if not comma or not head.endswith(";base64"):
        raise InputError(
            f"the picture's address begins with {head[:40]!r}; "
            "send data:image/jpeg;base64,... (or another picture format)"
        )
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(
            f"the picture's base64 cannot be read ({error}); encode it again"
        ) from None
    if not data:
        raise InputError("the picture is empty (0 bytes); send a picture file")
    return data


def view_of(data: bytes, picture: Picture) -> View:
    """The view of a picture file, with the camera that came with it.

    Raises:
        InputError: a picture or a camera that cannot be used.
    """
    return View.open(
        data, f_px=picture.f_px, fov_deg=picture.fov_deg, intrinsics_px=picture.intrinsics_px
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
