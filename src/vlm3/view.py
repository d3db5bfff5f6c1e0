"""View: a picture and its camera, changed together and never apart.

Opening settles everything a foreign picture may bring: orientation, colour, lens distortion, and
where the intrinsics come from. What decodes files is `pictures`. Knows no text, no task, no model.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.focal import ResizePlan
from vlm3.geometry.plausible import check_f_px, check_fov_deg, check_intrinsics
from vlm3.geometry.undistort import undistort_image
from vlm3.pictures import Picture, read_picture

Intrinsics = Literal["given", "exif", "fov", "assumed", "calibrator"]

ASSUMED_FOV_DEG = 60.0
# From 5 on, EXIF's orientations exchange width and height.
_FIRST_SIDEWAYS = 5


class AssumedCameraWarning(UserWarning):
    """Nothing says what the camera's focal length is, so a common one was assumed."""


@dataclass(frozen=True, eq=False)
class View:
    """One picture with the pinhole camera that took it.

    Attributes:
        image: (height, width, 3) uint8 RGB, read-only.
        camera: its camera, without distortion, of the picture's size.
        intrinsics: where the camera came from.
        path: the file, if there was one.

    Raises:
        InputError: image and camera do not belong together.
    """

    image: NDArray[np.uint8]
    camera: Camera
    intrinsics: Intrinsics = "given"
    path: str | None = None

    def __post_init__(self) -> None:
        image = self.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(
                f"a view's image is {image.dtype} {image.shape}; give (height, width, 3) uint8"
            )
        _check_size(self.camera, image, "the image")
        if self.camera.model != "pinhole":
            raise InputError(
                "a view's camera is a pinhole; open the picture with View.open to undistort it"
            )
        if image.flags.writeable:
            image = image.copy()
            image.setflags(write=False)
            object.__setattr__(self, "image", image)

    @classmethod
    def open(
        cls,
        source: str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8],
        *,
        camera: Camera | None = None,
        f_px: float | None = None,
        fov_deg: float | None = None,
        intrinsics_px: tuple[float, float, float, float] | None = None,
        calibrate: Callable[[NDArray[np.uint8]], Camera] | None = None,
        as_stored: bool = False,
    ) -> Self:
        """Open a picture; at most one of the four that follow it says what took it.

        Without any, the focal length is read from EXIF, else a horizontal field of view of 60
        degrees is assumed, with a warning: every distance then carries that guess's error.

        EXIF may say that a picture is shown turned. With a focal length alone it is turned, and
        its camera is made for the picture as displayed. A `camera` describes the stored pixels, so
        nothing is turned, but where its size is only that of the picture as displayed.

        Args:
            source: a path, bytes of a file, a Pillow image, or an RGB array (height, width, 3)
                uint8. Conversions to 8-bit RGB are listed in `vlm3.pictures`.
            camera: the camera of the picture. With distortion, the picture is undistorted here,
                and every pixel from then on is one of the undistorted picture.
            f_px: focal length in pixels, principal point at the centre.
            fov_deg: horizontal field of view in degrees, principal point at the centre.
            intrinsics_px: fx, fy, cx, cy in pixels, for the picture at the size it has.
            calibrate: estimates the camera from the pixels (height, width, 3) of a picture that
                neither the caller nor EXIF says anything about, in place of the 60 degrees.
            as_stored: never turn the picture; pixels and camera are of the file's own rows.

        Raises:
            InputError: a picture that cannot be used, a camera that does not fit it, or numbers
                that no camera has (`vlm3.geometry.plausible`); a panorama without a camera; and
                intrinsics of a picture that EXIF turns, as they do not say which way they are.

        Warns:
            AssumedCameraWarning: the field of view was assumed.
        """
        given = _Given(camera, f_px, fov_deg, intrinsics_px)
        picture = _read(source, camera, as_stored=as_stored)
        found, intrinsics = given.of(picture, as_stored) or _of_picture(picture, calibrate)
        if intrinsics == "assumed":
            warnings.warn(_assumed(picture, found), AssumedCameraWarning, stacklevel=2)
        _check_camera(found, picture)
        image, found = undistort_image(picture.image, found)
        image.setflags(write=False)
        return cls(image, found, intrinsics, picture.path)

    def resized(self, plan: ResizePlan) -> Self:
        """The view after `plan`'s resize.

        Raises:
            InputError: the plan was made for another camera.
        """
        if plan.source != self.camera:
            raise InputError(
                f"the plan is for another camera ({plan.source.width_px}x{plan.source.height_px}); "
                "make it from this view's camera"
            )
        image = resize_image(self.image, plan)
        image.setflags(write=False)
        return type(self)(image, plan.camera, self.intrinsics, self.path)


def resize_image(image: NDArray[np.uint8], plan: ResizePlan) -> NDArray[np.uint8]:
    """The one resize that `plan` asks for: (h, w, 3) uint8 -> (h', w', 3) uint8.

    Pillow's bicubic: its kernel widens with the reduction, so it antialiases; its pixels are
    areas, so it is a pure scale about the corner; and it is what the released checkpoints and their
    processor used.

    Raises:
        InputError: the picture is not of the plan's source size.
    """
    _check_size(plan.source, image, "the image")
    size = (plan.camera.width_px, plan.camera.height_px)
    if size == (plan.source.width_px, plan.source.height_px):
        return image
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class _Given:
    """What a caller says of the camera that took a picture: one of the four, or nothing.

    Raises:
        InputError: more than one, or a camera that is none.
    """

    camera: Camera | None
    f_px: float | None
    fov_deg: float | None
    intrinsics_px: tuple[float, float, float, float] | None

    def __post_init__(self) -> None:
        names = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        if len(names) > 1:
            raise InputError(f"{' and '.join(names)} were given; give only one of them")
        if self.camera is not None and not isinstance(self.camera, Camera):
            raise InputError(
                f"camera is a {type(self.camera).__name__}; give a vlm3.Camera, "
                "as from Camera.from_K(K, width_px=..., height_px=...)"
            )

    def of(self, picture: Picture, as_stored: bool) -> tuple[Camera, Intrinsics] | None:
        """The camera of a picture, and what it is from; None where nothing was given."""
        height_px, width_px = picture.image.shape[:2]
        if self.fov_deg is not None:
            check_fov_deg(self.fov_deg)
            wide = Camera.from_fov(self.fov_deg, width_px=width_px, height_px=height_px)
            return wide, "fov"
        if self.f_px is not None:
            check_f_px(self.f_px, width_px, height_px)
            return _centred(self.f_px, width_px, height_px), "given"
        if self.intrinsics_px is not None:
            return _from_intrinsics(picture, self.intrinsics_px, as_stored), "given"
        return None if self.camera is None else (self.camera, "given")


def _from_intrinsics(
    picture: Picture, intrinsics_px: tuple[float, float, float, float], as_stored: bool
) -> Camera:
    height_px, width_px = picture.image.shape[:2]
    if picture.orientation != 1 and not as_stored:
        raise InputError(
            f"EXIF turns {picture.name} when it is shown, and intrinsics do not say "
            "whether they are of the picture as stored or as shown; save it upright "
            "without that mark, or give f_px or fov_deg"
        )
    check_intrinsics(*intrinsics_px, width_px, height_px, fisheye=False)
    camera = Camera(*intrinsics_px, width_px, height_px)
    cx_px, cy_px = intrinsics_px[2:]
    if not camera.contains((cx_px, cy_px)):
        raise InputError(
            f"the principal point ({cx_px:g}, {cy_px:g}) lies outside {picture.name} of "
            f"{width_px}x{height_px} px; give intrinsics for the picture at this size"
        )
    return camera


def _of_picture(
    picture: Picture, calibrate: Callable[[NDArray[np.uint8]], Camera] | None
) -> tuple[Camera, Intrinsics]:
    """The camera of a picture of which the caller says nothing, and what it is from."""
    if picture.panorama is not None:
        raise InputError(
            f"{picture.name} is a panorama ({picture.panorama}): no single focal length "
            "describes it; cut an ordinary view out of it first, or give camera, f_px or "
            "fov_deg if it really is one"
        )
    height_px, width_px = picture.image.shape[:2]
    if picture.exif_f_px is not None:
        return _centred(picture.exif_f_px, width_px, height_px), "exif"
    if calibrate is not None:
        return calibrate(picture.image), "calibrator"
    assumed = Camera.from_fov(ASSUMED_FOV_DEG, width_px=width_px, height_px=height_px)
    return assumed, "assumed"


def _check_camera(camera: Camera, picture: Picture) -> None:
    """Refuses a camera that is not of the picture's size, or that no camera can be."""
    _check_size(camera, picture.image, picture.name)
    lens = camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px
    check_intrinsics(*lens, camera.width_px, camera.height_px, fisheye=True)


def _read(source: object, camera: Camera | None, *, as_stored: bool) -> Picture:
    """The picture, turned as EXIF says unless its camera describes the stored pixels."""
    if camera is None and not as_stored:
        return read_picture(source)
    picture = read_picture(source, upright=False)
    if as_stored or camera is None or picture.orientation < _FIRST_SIDEWAYS:
        return picture
    height_px, width_px = picture.image.shape[:2]
    size = (camera.width_px, camera.height_px)
    if size == (height_px, width_px) != (width_px, height_px):
        return read_picture(source)
    return picture


def _centred(f_px: float, width_px: int, height_px: int) -> Camera:
    return Camera(f_px, f_px, width_px / 2, height_px / 2, width_px, height_px)


def _check_size(camera: Camera, image: NDArray[np.uint8], name: str) -> None:
    height_px, width_px = image.shape[:2]
    size = (camera.width_px, camera.height_px)
    if size == (width_px, height_px):
        return
    hint = "if K was measured at that size, pass camera.resized(width_px, height_px)"
    if size == (height_px, width_px):
        hint = "the camera is of the picture turned by a quarter; give that of the stored pixels"
    raise InputError(
        f"{name} is {width_px}x{height_px}, its camera {size[0]}x{size[1]}; "
        f"sizes must agree: {hint}"
    )


def _assumed(picture: Picture, camera: Camera) -> str:
    return (
        f"{picture.name}: {picture.exif_problem}; assuming a horizontal field of view of "
        f"{ASSUMED_FOV_DEG:g} degrees (focal length {camera.fx_px:.0f} px): distances may be off "
        "by a common factor. Give camera, f_px or fov_deg"
    )
