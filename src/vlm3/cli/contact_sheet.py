"""Small pictures of depth maps, and a sheet of many: one look over a whole folder. Pillow only."""

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlm3 import disk

MOST = 60
"""A sheet shows so many at most, evenly chosen."""

_CELL = (240, 180)
_GAP, _TEXT = 6, 18
_COLUMNS = 3
# Near to far: after the colours of Google's turbo map, which is Apache-2.0.
_COLORS = np.array(
    [
        [122, 4, 3],
        [202, 42, 4],
        [246, 107, 25],
        [251, 185, 56],
        [164, 252, 60],
        [70, 248, 132],
        [27, 207, 212],
        [70, 134, 251],
        [65, 69, 171],
        [48, 18, 59],
    ],
    dtype=float,
)
_UNKNOWN = (128, 128, 128)


def colored(distance_m: Any) -> Image.Image:
    """Distances (rows, columns) as colours over the logarithm; near is red, grey is not read."""
    known = np.isfinite(distance_m) & (distance_m > 0)
    out = np.full((*distance_m.shape, 3), _UNKNOWN, dtype=np.uint8)
    if known.any():
        logs = np.log(np.where(known, distance_m, 1))
        low, high = np.quantile(logs[known], (0.02, 0.98))
        at = np.clip((logs - low) / max(high - low, 1e-6), 0, 1) * (len(_COLORS) - 1)
        steps = np.arange(len(_COLORS))
        rgb = np.stack([np.interp(at, steps, _COLORS[:, k]) for k in range(3)], axis=-1)
        out[known] = rgb[known].astype(np.uint8)
    return Image.fromarray(out)


def preview(image: Any, distance_m: Any, name: str) -> Image.Image:
    """A photograph beside its distances, with their range below.

    Args:
        image: (H, W, 3) uint8.
        distance_m: (rows, columns) metres.
        name: of the photograph.
    """
    width, height = _CELL
    left, top, small = _fitted(image)
    sheet = Image.new("RGB", (2 * width + _GAP, height + _TEXT), "white")
    sheet.paste(small, (left, top))
    filled = colored(distance_m).resize(small.size, Image.Resampling.NEAREST)
    sheet.paste(filled, (width + _GAP + left, top))
    known = distance_m[np.isfinite(distance_m)]
    reach = "not read"
    if known.size:
        near, far = np.quantile(known, (0.02, 0.98))
        reach = f"{near:.1f} to {far:.1f} m"
    _label(ImageDraw.Draw(sheet), height, name, reach)
    return sheet


def _fitted(image: Any) -> tuple[int, int, Image.Image]:
    """Left and top edge in a cell, and the picture made to fit it."""
    width, height = _CELL
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
    return (width - size[0]) // 2, (height - size[1]) // 2, small


def _label(draw: ImageDraw.ImageDraw, top: int, left: str, right: str) -> None:
    """A line below: a name, cut where it is long, and its caption."""
    font = ImageFont.load_default(12)
    edge = 2 * _CELL[0] + _GAP - 2
    room = edge - 14 - font.getlength(right)
    words = left
    while font.getlength(words) > room and len(words) > 4:
        words = f"...{words.removeprefix('...')[1:]}"
    draw.text((2, top + 2), words, "black", font=font)
    draw.text((edge, top + 2), right, "black", font=font, anchor="ra")


def pair_preview(
    image_a: Any, image_b: Any, dots: tuple[Any, Any] | None, words: tuple[str, str]
) -> Image.Image:
    """Two photographs, points of the first where they are seen again, and a line below.

    Args:
        image_a: (H, W, 3) uint8.
        image_b: (H', W', 3) uint8.
        dots: (n, 2) places in the first and in the second, as parts of width and height; a point
            has the same colour in both, and NaN is not drawn.
        words: below, at the left and at the right.
    """
    width, height = _CELL
    sheet = Image.new("RGB", (2 * width + _GAP, height + _TEXT), "white")
    draw = ImageDraw.Draw(sheet)
    for k, image in enumerate((image_a, image_b)):
        left, top, small = _fitted(image)
        left += k * (width + _GAP)
        sheet.paste(small, (left, top))
        if dots is None:
            continue
        for first, second in zip(*dots, strict=True):
            if not np.isfinite(second).all():
                continue
            here = (first, second)[k]
            x, y = left + here[0] * small.width, top + here[1] * small.height
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_place_color(*first), outline="black")
    _label(draw, height, *words)
    return sheet


def _place_color(x: float, y: float) -> tuple[int, int, int]:
    """A colour for a place in a picture: hue by column, lightness by row."""
    red, green, blue = colorsys.hls_to_rgb(0.8 * x, 0.35 + 0.4 * (1 - y), 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def save_preview(shown: Image.Image, path: Path) -> None:
    """Writes a preview, whole or not at all."""
    with disk.whole(path) as partial:
        shown.save(partial, format="JPEG", quality=88)


def contact_sheet(previews: Sequence[Path], target: Path) -> int:
    """Puts previews side by side into one JPEG.

    Returns:
        How many it shows.
    """
    chosen = list(previews)
    if len(chosen) > MOST:
        chosen = [previews[k] for k in np.linspace(0, len(previews) - 1, MOST).round().astype(int)]
    width, height = 2 * _CELL[0] + _GAP, _CELL[1] + _TEXT
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    sheet = Image.new(
        "RGB", (columns * (width + 3 * _GAP), rows * (height + 2 * _GAP)), (255, 255, 255)
    )
    for k, path in enumerate(chosen):
        with Image.open(path) as shown:
            row, column = divmod(k, columns)
            sheet.paste(shown, (column * (width + 3 * _GAP) + _GAP, row * (height + 2 * _GAP)))
    save_preview(sheet, target)
    return len(chosen)
