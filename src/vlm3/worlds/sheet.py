"""A contact sheet: pictures beside what is true about them, to be judged by eye.

Draws with Pillow only. Knows no command line.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vlm3.worlds.frame import Frame
from vlm3.worlds.world import Kind, Split, World

Picture = NDArray[np.uint8]


def distance_colours(frame: Frame) -> Picture:
    """Distance as colour: near red over yellow and green to far blue, logarithmic; sky white."""
    seen = np.isfinite(frame.distance_m)
    value = np.log(np.where(seen, frame.distance_m, 1.0))
    low, high = np.quantile(value[seen], [0.02, 0.98]) if seen.any() else (0.0, 1.0)
    t = np.clip((value - low) / max(high - low, 1e-6), 0, 1)[..., None] * 0.68
    k = (np.array([5.0, 3.0, 1.0]) + t * 6) % 6
    rgb = 1 - np.clip(np.minimum(k, 4 - k), 0, 1)
    rgb[~seen] = 1.0
    return (rgb * 255).astype(np.uint8)


def object_overlay(frame: Frame) -> Picture:
    """The picture with outlined objects, their names and true sizes."""
    image = Image.fromarray(frame.image)
    image = Image.blend(image, Image.new("RGB", image.size, (255, 255, 255)), 0.25)
    draw = ImageDraw.Draw(image)
    large = sorted(frame.objects, key=lambda o: -_area(o.box_xyxy_px))
    for k, o in enumerate([o for o in large if o.visible_share > 0.3][:8]):
        colour = ((200, 30, 30), (20, 90, 200), (20, 140, 60), (160, 60, 170))[k % 4]
        x0, y0, x1, y1 = o.box_xyxy_px
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour)
        w, d, h = o.size_wdh_m
        draw.text((x0 + 2, y0 + 1), f"{o.name} {w:.2f}x{d:.2f}x{h:.2f}", fill=colour)
    return np.asarray(image)


def contact_sheet(
    count: int,
    *,
    seed: int = 0,
    split: Split = "train",
    kind: Kind | None = None,
    width_px: int = 320,
    height_px: int = 240,
    columns: int = 4,
    overlays: bool = True,
    pack: str | None = None,
) -> Image.Image:
    """Pictures of `count` worlds in rows; under each row distance and objects."""
    frames = []
    for index in range(count):
        world = World(seed, index, split=split, kind=kind, pack=pack)
        frames.append(world.view(width_px=width_px, height_px=height_px))
    rows: list[Picture] = []
    for start in range(0, count, columns):
        group = frames[start : start + columns]
        strips = [[f.image for f in group]]
        if overlays:
            strips += [[distance_colours(f) for f in group], [object_overlay(f) for f in group]]
        for strip in strips:
            blank = [np.full_like(strip[0], 255)] * (columns - len(strip))
            rows.append(np.concatenate([*strip, *blank], axis=1))
    return Image.fromarray(np.concatenate(rows))


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
