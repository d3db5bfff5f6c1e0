"""From linear radiance to a photograph: exposure, white balance, lens, noise, tone curve, JPEG.

Everything that is random is drawn first, as a `Look`; then the same radiance always becomes the
same picture. Never moves a pixel, so the truth stays exact.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rng = np.random.Generator
Floats = NDArray[np.float32]
BRIGHTEST = 0.9
"""Cameras expose for the bulk of the picture, not for its lamps and windows: this share of it."""
DARKEST = 1e-3


@dataclass(frozen=True)
class Look:
    """How one picture is taken.

    Attributes:
        stops: of exposure, beside what the picture asks for.
        balance: (3,) what white is multiplied by.
        neutral: how much of the tint of the light is balanced away.
        vignette: how much darker the corners are; 0 for none.
        shoulder: how softly highlights end.
        contrast: 0 for none.
        saturation: 1 as it is.
        grey: whether it is without colours.
        level: of the noise.
        grain: (H, W, 3) standard normal; None without noise.
        blur: radius in a picture 640 px wide; None without.
        quality: of the JPEG; None without.
    """

    stops: float
    balance: NDArray[np.float64]
    neutral: float
    vignette: float
    shoulder: float
    contrast: float
    saturation: float
    grey: bool
    level: float = 0.0
    grain: Floats | None = None
    blur: float | None = None
    quality: int | None = None


def draw_look(rng: Rng, height_px: int, width_px: int, *, plain: bool = False) -> Look:
    """A look for a picture of that size; `plain` has no noise, blur or JPEG."""
    look: dict[str, Any] = {
        "stops": float(np.clip(rng.normal(0.0, 0.45), -1.2, 1.2)),
        "balance": np.exp(rng.normal(0, [0.06, 0.015, 0.07])),
        "neutral": rng.uniform(0.3, 0.85),
        "vignette": rng.uniform(0, 0.22) if rng.random() < 0.6 else 0.0,
        "shoulder": rng.uniform(0.0, 0.5),
        "contrast": rng.uniform(0.0, 0.45),
        "saturation": rng.uniform(0.8, 1.2),
        "grey": rng.random() < 0.02,
    }
    if not plain:
        look["level"] = float(np.exp(rng.uniform(np.log(0.002), np.log(0.03))))
        look["grain"] = rng.standard_normal((height_px, width_px, 3), dtype=np.float32)
        look["blur"] = float(rng.uniform(0.3, 1.0)) if rng.random() < 0.35 else None
        look["quality"] = int(rng.integers(45, 97)) if rng.random() < 0.75 else None
    return Look(**look)


def exposed(radiance: Floats, look: Look) -> NDArray[np.uint8]:
    """(H, W, 3) the picture as the sensor has it: all but blur and JPEG."""
    height, width = radiance.shape[:2]
    light = np.maximum(radiance, 0.0)
    luminance = _mean_colour(light)
    bulk = np.minimum(luminance, np.quantile(luminance, BRIGHTEST))
    tint = light.reshape(-1, 3).mean(0)
    light = light * gains(look, np.mean(np.log(bulk + DARKEST)), tint)
    if look.vignette:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        light = light * (1 - np.float32(look.vignette) * (x * x + y * y))[..., None]
    shoulder, contrast = np.float32(look.shoulder), np.float32(look.contrast)
    light = light * (1 + light * shoulder * 0.25) / (1 + light * shoulder)
    value = np.clip(light, 0, 1) ** np.float32(1 / 2.2)
    value = value + contrast * (value * value * (3 - 2 * value) - value)
    grey = _mean_colour(value)[..., None]
    value = grey + (value - grey) * np.float32(look.saturation)
    if look.grey:
        value = np.repeat(grey, 3, axis=-1)
    if look.grain is not None:
        value = value + np.float32(look.level) * (0.4 + 0.6 * (1 - value)) * look.grain
    picture: NDArray[np.uint8] = (np.clip(value, 0, 1) * 255 + 0.5).astype(np.uint8)
    return picture


def gains(look: Look, mean_log: np.floating[Any], tint: Floats) -> Floats:
    """(3,) what light is multiplied by.

    Args:
        look: exposure and white balance.
        mean_log: mean logarithm of the luminance of the picture's bulk.
        tint: (3,) mean light.
    """
    gain = 0.19 * 2.0**look.stops / max(float(np.exp(mean_log)), DARKEST)
    tint = tint + 1e-4
    # A camera balances most of the tint of the light away, not all of it.
    neutral = (tint.mean() / tint) ** look.neutral
    out: Floats = (gain * look.balance * neutral).astype(np.float32)
    return out


def finished(picture: NDArray[np.uint8], look: Look) -> NDArray[np.uint8]:
    """The picture as the file has it: blurred, and once through JPEG."""
    image = Image.fromarray(picture)
    if look.blur is not None:
        from PIL import ImageFilter

        image = image.filter(ImageFilter.GaussianBlur(look.blur * max(image.width / 640, 0.35)))
    if look.quality is not None:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=look.quality)
        image = Image.open(buffer)
    return np.array(image.convert("RGB"), np.uint8)


def _mean_colour(light: Floats) -> Floats:
    """(H, W) of (H, W, 3): `mean(-1)` to the bit, in a tenth of its time."""
    mean: Floats = (light[..., 0] + light[..., 1] + light[..., 2]) / np.float32(3)
    return mean


def repainted(image: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
    """A picture as another camera would have it: exposure, contrast, white, gamma, grain."""
    values = image.astype(np.float32) / 255
    values = values ** np.float32(np.exp(rng.normal(0, 0.25)))
    values = values * np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, 3)).astype(np.float32)
    grey = values.mean(-1, keepdims=True)
    values = grey + (values - grey) * np.float32(np.exp(rng.normal(0, 0.35)))
    middle = values.mean()
    values = middle + (values - middle) * np.float32(np.exp(rng.normal(0, 0.2)))
    if rng.random() < 0.5:
        values = values + rng.normal(0, rng.uniform(0, 0.03), values.shape).astype(np.float32)
    return np.asarray(np.clip(values * 255, 0, 255), np.uint8)
