"""Focal unification (paper, section 3.1): plan the ONE resize a picture gets.

The picture must reach a focal length, and its sides must be multiples of the model's patch grid;
both happen in one step, so that no second resize blurs it or moves a pixel. The sides that come out
are whole multiples, hence each axis has its own achieved scale; the camera after the resize holds
exactly those, and the requested value stands beside it. Plans only: no pixels are touched here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera

Rounding = Literal["nearest", "floor"]

# A picture past this is a mistake in the focal length, not a picture; 600 MB of RGB.
LARGEST_PX = 200_000_000


@dataclass(frozen=True)
class PixelLimits:
    """Fewest and most pixels (width times height) of a picture, as a processor keeps them."""

    fewest_px2: int
    most_px2: int


@dataclass(frozen=True)
class ResizePlan:
    """One resize, from `source` to `camera`, and why it is so.

    Attributes:
        source: the camera before.
        camera: the camera after, with the achieved scales in it.
        requested_f_px: the (fx, fy) that was requested, before sides were rounded or capped; None
            when the plan was made from a side and not from a focal length.
        note: what was done against the request, in one line, when a token budget made the picture
            smaller; None when nothing was.
    """

    source: Camera
    camera: Camera
    requested_f_px: tuple[float, float] | None = None
    note: str | None = None

    @property
    def scale_x(self) -> float:
        """Achieved scale along x."""
        return self.camera.width_px / self.source.width_px

    @property
    def scale_y(self) -> float:
        """Achieved scale along y."""
        return self.camera.height_px / self.source.height_px

    def xy_to_resized(self, xy_px: ArrayLike) -> NDArray[np.float64]:
        """Pixels (*n, 2) of the source -> pixels of the resized picture."""
        return np.asarray(xy_px, dtype=np.float64) * self._scale

    def xy_to_source(self, xy_px: ArrayLike) -> NDArray[np.float64]:
        """Pixels (*n, 2) of the resized picture -> pixels of the source."""
        return np.asarray(xy_px, dtype=np.float64) / self._scale

    @property
    def _scale(self) -> NDArray[np.float64]:
        return np.array([self.scale_x, self.scale_y], dtype=np.float64)


def plan_focal(
    camera: Camera,
    *,
    f_px: float,
    multiple_px: int,
    max_tokens: int | None = None,
    token_px: int | None = None,
    limits: PixelLimits | None = None,
    axes: Literal["both", "x"] = "both",
    rounding: Rounding = "nearest",
) -> ResizePlan:
    """The resize that gives the picture the focal length `f_px`.

    Args:
        camera: the picture's camera.
        f_px: focal length to reach: 1000 in the paper.
        multiple_px: each side becomes the nearest multiple of this (1: any whole number).
        max_tokens: most picture tokens allowed; a bigger picture is made smaller, in proportion,
            and the plan's note says so. None: no limit.
        token_px: side of the square one token covers; `multiple_px` when not given.
        limits: fewest and most pixels of a picture, kept in the way of the stock processor of
            Qwen-VL models: it enlarges what is smaller. None: no such limits.
        axes: "both" scales each axis by its own f_px / focal length; "x" scales both by f_px / fx,
            and fy falls as it falls (what the released depth and object checkpoints saw).
        rounding: how a side becomes whole pixels before it is fitted to the multiple: to nearest
            (released pose checkpoint) or down (released depth and object checkpoints).

    Raises:
        InputError: arguments that are not positive, or a picture that would exceed `LARGEST_PX`.
    """
    if not (math.isfinite(f_px) and f_px > 0):
        raise InputError(f"f_px is {f_px:g}; the focal length to reach must be positive, as 1000")
    scale_x = f_px / camera.fx_px
    scale_y = scale_x if axes == "x" else f_px / camera.fy_px
    requested = (float(f_px), camera.fy_px * scale_y)
    return _plan(
        camera, scale_x, scale_y, requested, multiple_px, max_tokens, token_px, limits, rounding
    )


def plan_long_side(
    camera: Camera,
    *,
    long_side_px: int,
    multiple_px: int,
    max_tokens: int | None = None,
    token_px: int | None = None,
    limits: PixelLimits | None = None,
    rounding: Rounding = "nearest",
) -> ResizePlan:
    """The resize that brings the longer side to `long_side_px`, aspect kept; see `plan_focal`."""
    if not (math.isfinite(long_side_px) and long_side_px > 0):
        raise InputError(f"long_side_px is {long_side_px}; give a positive number of pixels")
    scale = long_side_px / max(camera.width_px, camera.height_px)
    return _plan(camera, scale, scale, None, multiple_px, max_tokens, token_px, limits, rounding)


def _plan(
    camera: Camera,
    scale_x: float,
    scale_y: float,
    requested_f_px: tuple[float, float] | None,
    multiple_px: int,
    max_tokens: int | None,
    token_px: int | None,
    limits: PixelLimits | None,
    rounding: Rounding,
) -> ResizePlan:
    token_px = multiple_px if token_px is None else token_px
    for name, value in (
        ("multiple_px", multiple_px),
        ("token_px", token_px),
        ("max_tokens", max_tokens),
    ):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}; it must be 1 or more")
    whole: Callable[[float], int] = round if rounding == "nearest" else math.floor
    wanted = whole(camera.width_px * scale_x), whole(camera.height_px * scale_y)
    width, height = (max(multiple_px, round(side / multiple_px) * multiple_px) for side in wanted)
    note = None
    if limits is not None:
        asked = width, height
        width, height = _within(wanted, multiple_px, limits)
        if width * height < asked[0] * asked[1]:
            most = limits.most_px2 // token_px**2
            note = _note(camera, asked, (width, height), most, token_px, requested_f_px)
    if max_tokens is not None and _tokens(width, height, token_px) > max_tokens:
        small = _fit(width, height, multiple_px, max_tokens, token_px)
        note = _note(camera, (width, height), small, max_tokens, token_px, requested_f_px)
        width, height = small
    if width * height > LARGEST_PX:
        raise InputError(
            f"a {camera.width_px}x{camera.height_px} picture with focal length "
            f"({camera.fx_px:g}, {camera.fy_px:g}) px would become {width}x{height}; "
            f"at most {LARGEST_PX // 10**6} megapixels are allowed: "
            "check the focal length or set max_tokens"
        )
    return ResizePlan(camera, camera.resized(width, height), requested_f_px, note)


def _within(wanted: tuple[int, int], multiple_px: int, limits: PixelLimits) -> tuple[int, int]:
    """Sides in multiples, as `smart_resize` of transformers' Qwen2-VL processor makes them.

    It rounds to the nearest multiple, and where that has too few or too many pixels scales the
    sides that were wanted, up or down, and rounds them up or down.
    """
    width, height = (round(side / multiple_px) * multiple_px for side in wanted)
    area = max(1, wanted[0]) * max(1, wanted[1])
    if width * height > limits.most_px2:
        shrink = math.sqrt(area / limits.most_px2)
        width, height = (
            max(multiple_px, math.floor(side / shrink / multiple_px) * multiple_px)
            for side in wanted
        )
    elif width * height < limits.fewest_px2:
        grow = math.sqrt(limits.fewest_px2 / area)
        width, height = (
            math.ceil(max(1, side) * grow / multiple_px) * multiple_px for side in wanted
        )
    return width, height


def _tokens(width_px: int, height_px: int, token_px: int) -> int:
    return math.ceil(width_px / token_px) * math.ceil(height_px / token_px)


def _fit(
    width_px: int, height_px: int, multiple_px: int, max_tokens: int, token_px: int
) -> tuple[int, int]:
    """The largest sides in this proportion, to the nearest multiple, that the budget allows."""

    def shrunk(factor: float) -> tuple[int, int]:
        width, height = (
            max(multiple_px, round(side * factor / multiple_px) * multiple_px)
            for side in (width_px, height_px)
        )
        return width, height

    # Tokens never grow when the factor falls, so the best factor is found by bisection.
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _tokens(*shrunk(middle), token_px) <= max_tokens:
            low = middle
        else:
            high = middle
    best = shrunk(low)
    if _tokens(*best, token_px) > max_tokens:
        raise InputError(
            f"max_tokens is {max_tokens}, but sides are multiples of {multiple_px} px and the "
            f"smallest picture takes {_tokens(*best, token_px)}; raise the budget"
        )
    return best


def _note(
    camera: Camera,
    asked: tuple[int, int],
    given: tuple[int, int],
    max_tokens: int,
    token_px: int,
    requested_f_px: tuple[float, float] | None,
) -> str:
    after = camera.resized(*given)
    focal = f"focal length ({after.fx_px:.1f}, {after.fy_px:.1f}) px"
    if requested_f_px is not None:
        focal += f" instead of ({requested_f_px[0]:.1f}, {requested_f_px[1]:.1f})"
    return (
        f"{asked[0]}x{asked[1]} takes {_tokens(*asked, token_px)} tokens, the budget is "
        f"{max_tokens}: resized to {given[0]}x{given[1]} "
        f"({_tokens(*given, token_px)} tokens), {focal}"
    )
