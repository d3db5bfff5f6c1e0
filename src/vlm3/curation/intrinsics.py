"""The camera of pictures that come without one.

In this order: what the data set says; what the user says (a field of view); what EXIF says, by the
35 mm equivalent or the sensor's pixel pitch; a calibrator, from the pixels. Which one it was
is kept in the record's `intrinsics`. A picture that none of them settles is refused, not guessed.

A calibrator is any object with two functions:

    name() -> str                        what the record's notes call it
    camera(image) -> vlm3.Camera         of an (H, W, 3) uint8 picture, pixels from the corner

given to `--calibrator` as package.module:factory, or as `anycalib` when that package is installed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vlm3.data.record import Intrinsics
from vlm3.errors import InputError, MissingDependencyError
from vlm3.geometry.camera import Camera
from vlm3.geometry.plausible import check_fov_deg
from vlm3.pictures import Picture

NONE = "none"
"""As a name: no calibrator."""


class Calibrator(Protocol):
    """Estimates a picture's camera from its pixels."""

    def name(self) -> str:
        """What it is called."""

    def camera(self, image: NDArray[np.uint8]) -> Camera:
        """The camera that took (H, W, 3)."""


@dataclass(frozen=True)
class Calibration:
    """How cameras are determined.

    Attributes:
        fov_deg: horizontal field of view of pictures without intrinsics; None where unknown.
        calibrator: "anycalib", or package.module:factory; None or "none" for none.
    """

    fov_deg: float | None = None
    calibrator: str | None = None

    def __post_init__(self) -> None:
        if self.fov_deg is not None:
            check_fov_deg(self.fov_deg)

    def camera(self, picture: Picture, given: Camera | None) -> tuple[Camera, Intrinsics]:
        """The camera of a picture and where it came from.

        Raises:
            InputError: nothing says, or the camera is not of the picture's size.
        """
        height_px, width_px = picture.image.shape[:2]
        if given is not None:
            if (given.width_px, given.height_px) != (width_px, height_px):
                raise InputError(
                    f"the picture is {width_px}x{height_px}, its camera "
                    f"{given.width_px}x{given.height_px}"
                )
            return given, "given"
        if self.fov_deg is not None:
            return Camera.from_fov(self.fov_deg, width_px=width_px, height_px=height_px), "fov"
        if picture.panorama is not None and self.calibrator is None:
            raise InputError(
                f"a panorama ({picture.panorama}): no single focal length describes it"
            )
        if picture.exif_f_px is not None:
            f_px = picture.exif_f_px
            centre = width_px / 2, height_px / 2
            return Camera(f_px, f_px, *centre, width_px, height_px), "exif"
        if self.calibrator not in (None, NONE):
            found = load_calibrator(str(self.calibrator)).camera(picture.image)
            if (found.width_px, found.height_px) != (width_px, height_px):
                raise InputError(f"{self.calibrator} gave a camera of another size")
            return found, "calibrator"
        raise InputError(f"no intrinsics ({picture.exif_problem}); give --fov-deg or --calibrator")


def calibrate_by(name: str | None) -> Callable[[NDArray[np.uint8]], Camera] | None:
    """What `View.open` takes: the calibrator of that name; None for "none" or no name.

    Raises:
        InputError: as `load_calibrator`.
    """
    return None if name in (None, NONE) else load_calibrator(str(name)).camera


@lru_cache(1)
def load_calibrator(name: str) -> Calibrator:
    """A calibrator by name, once a process.

    Raises:
        InputError: no such name, or what it names is no calibrator.
        MissingDependencyError: its package is not installed.
    """
    if name == "anycalib":
        return _AnyCalib()
    module, colon, attribute = name.partition(":")
    if not colon:
        raise InputError(f"calibrator is {name!r}; give anycalib or package.module:factory")
    try:
        factory: Callable[[], Any] = getattr(import_module(module), attribute)
        made = factory()
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"no calibrator {name!r} ({error})") from error
    if not (callable(getattr(made, "camera", None)) and callable(getattr(made, "name", None))):
        raise InputError(f"{name} makes no calibrator: it needs name() and camera(image)")
    found: Calibrator = made
    return found


class _AnyCalib:
    """AnyCalib, what the paper uses for pictures without intrinsics."""

    def __init__(self) -> None:
        try:
            from anycalib import AnyCalib
        except ImportError as error:
            raise MissingDependencyError(
                "anycalib is not installed: pip install git+https://github.com/javrtg/AnyCalib"
            ) from error
        self.model = AnyCalib(model_id="anycalib_pinhole").eval()

    def name(self) -> str:
        return "anycalib"

    def camera(self, image: NDArray[np.uint8]) -> Camera:
        import torch

        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            found = self.model.predict(pixels, cam_id="pinhole")
        fx, fy, cx, cy = (float(v) for v in found["intrinsics"].flatten())
        return Camera(fx, fy, cx, cy, image.shape[1], image.shape[0])
