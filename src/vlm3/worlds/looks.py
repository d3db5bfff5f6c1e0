"""From linear radiance to a photograph: exposure, white balance, lens, noise, tone curve, JPEG.

Draws everything from the generator it is given; never moves a pixel, so the truth stays exact.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rng = np.random.Generator


def photograph(
    radiance: NDArray[np.float32], rng: Rng, *, plain: bool = False
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 picture of linear radiance; `plain` leaves out noise, blur and JPEG."""
    height, width = radiance.shape[:2]
    light = np.maximum(radiance, 0.0)
    luminance = light.mean(-1)
    # Cameras expose for the bulk of the picture, not for its lamps and windows.
    middle = float(
        np.exp(np.mean(np.log(np.minimum(luminance, np.quantile(luminance, 0.9)) + 1e-3)))
    )
    stops = float(np.clip(rng.normal(0.0, 0.45), -1.2, 1.2))
    gain = 0.19 * 2.0**stops / max(middle, 1e-3)
    balance = np.exp(rng.normal(0, [0.06, 0.015, 0.07]))
    # A camera balances most of the tint of the light away, not all of it.
    tint = light.reshape(-1, 3).mean(0) + 1e-4
    neutral = (tint.mean() / tint) ** rng.uniform(0.3, 0.85)
    light = light * (gain * balance * neutral).astype(np.float32)
    if rng.random() < 0.6:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        light = light * (1 - np.float32(rng.uniform(0, 0.22)) * (x * x + y * y))[..., None]
    shoulder = np.float32(rng.uniform(0.0, 0.5))
    light = light * (1 + light * shoulder * 0.25) / (1 + light * shoulder)
    value = np.clip(light, 0, 1) ** np.float32(1 / 2.2)
    contrast = np.float32(rng.uniform(0.0, 0.45))
    value = value + contrast * (value * value * (3 - 2 * value) - value)
    grey = value.mean(-1, keepdims=True)
    value = grey + (value - grey) * np.float32(rng.uniform(0.8, 1.2))
    if rng.random() < 0.02:
        value = np.repeat(grey, 3, axis=-1)
    if not plain:
        level = np.float32(np.exp(rng.uniform(np.log(0.002), np.log(0.03))))
        grain = rng.standard_normal(value.shape, dtype=np.float32)
        value = value + level * (0.4 + 0.6 * (1 - value)) * grain
    picture: NDArray[np.uint8] = (np.clip(value, 0, 1) * 255 + 0.5).astype(np.uint8)
    if plain:
        return picture
    image = Image.fromarray(picture)
    if rng.random() < 0.35:
        image = _blurred(image, rng)
    if rng.random() < 0.75:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(45, 97)))
        image = Image.open(buffer)
    return np.array(image.convert("RGB"), np.uint8)


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


def _blurred(image: Image.Image, rng: Rng) -> Image.Image:
    from PIL import ImageFilter

    radius = float(rng.uniform(0.3, 1.0)) * max(image.width / 640, 0.35)
    return image.filter(ImageFilter.GaussianBlur(radius))
