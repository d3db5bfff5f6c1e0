"""What a folder of shards holds, for people: a card in words, and a sheet with its labels drawn.

The card counts every record up to a limit and says how many it read; the sheet shows a few pictures
spread over the folder, each labelled pixel as a disc, red near, blue far, and some pairs with lines
between matches.
"""

import colorsys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vlm3.data.dataset import pair_sample
from vlm3.data.decoding import decode
from vlm3.data.pair_rows import MATCHES
from vlm3.data.record import Record
from vlm3.data.shards import Shards
from vlm3.datasets import get_facts, names
from vlm3.errors import InputError
from vlm3.files.reading import read_json
from vlm3.files.schema import anything, fields, list_of, maybe, text
from vlm3.tasks.sample import Sample

Floats = NDArray[np.float64]

_TILE_PX = 480
_BAR_PX = 20
_ROWS = 24
_MOST_READ = 20_000


@dataclass(frozen=True)
class Card:
    """Counts and spreads; `text` is Markdown."""

    text: str
    distance_m: Floats


def card(shards: Shards, *, most: int = _MOST_READ) -> Card:
    """Reads up to `most` records, evenly spread.

    Raises:
        InputError: none can be read.
    """
    places = np.unique(np.linspace(0, len(shards) - 1, min(most, len(shards))).astype(int))
    counts = {name: Counter[str]() for name in ("source", "split", "intrinsics", "metric", "size")}
    distances, fovs, labels, asked, damaged = [], [], [], 0, []
    for place in places.tolist():
        try:
            record = shards.record(place)
        except InputError as error:
            damaged.append(f"{shards.name(place)}: {error}")
            continue
        camera = record.camera
        counts["source"][record.source or "?"] += 1
        counts["split"][record.split] += 1
        counts["intrinsics"][record.intrinsics] += 1
        counts["metric"]["yes" if record.metric else "no"] += 1
        counts["size"][f"{camera.width_px}x{camera.height_px}"] += 1
        distances.append(record.distance_m)
        labels.append(len(record.distance_m))
        fovs.append(camera.fov_deg[0])
        asked += len(record.questions)
    if not labels:
        raise InputError(f"no record of {shards.store.root} can be read; {damaged[0]}")
    every = np.concatenate(distances)
    lines = [f"# {Path(shards.store.root).name}", "", *_origin(counts["source"])]
    lines += ["", "| | |", "|---|---|"]
    read = "" if len(places) == len(shards) else f" (of which {len(places)} were read)"
    lines.append(f"| pictures | {len(shards)}{read} |")
    for name, counter in counts.items():
        shown = ", ".join(f"{key} {n}" for key, n in counter.most_common(6))
        more = f", {len(counter) - 6} others" if len(counter) > 6 else ""
        lines.append(f"| {name} | {shown}{more} |")
    lines.append(f"| labelled pixels a picture | {_spread(np.array(labels, float), '')} |")
    if len(every):
        lines.append(f"| distance | {_spread(every, ' m' if counts['metric']['yes'] else '')} |")
    lines.append(f"| horizontal field of view | {_spread(np.array(fovs), ' degrees')} |")
    if asked:
        lines.append(f"| object questions | {asked} |")
    if shards.pairs:
        lines.append(f"| pairs | {shards.pairs} |")
        lines += _pair_lines(shards)
    lines += [f"| damaged | {len(damaged)}, first: {damaged[0]} |"] if damaged else []
    lines += _left_out(Path(shards.store.root))
    return Card("\n".join(lines) + "\n", every)


def sheet(shards: Shards, *, pictures: int = 12, pairs: int = 4) -> Image.Image:
    """Pictures with their labels, a histogram of distances, pairs with their matches."""
    places = np.unique(np.linspace(0, len(shards) - 1, min(pictures, len(shards))).astype(int))
    tiles = []
    distances = [np.empty(0)]
    for place in places.tolist():
        try:
            record = shards.record(place)
            tiles.append(_labelled(shards.picture(place), record, shards.name(place)))
        except InputError as error:
            tiles.append(_captioned(_blank(), f"{place}: {error}"))
            continue
        distances.append(record.distance_m)
    tiles.append(_histogram(np.concatenate(distances)))
    columns = 3
    sheet = _grid(tiles, columns)
    if not shards.pairs:
        return sheet
    chosen = np.unique(np.linspace(0, shards.pairs - 1, min(pairs, shards.pairs)).astype(int))
    strips = []
    for place in chosen.tolist():
        try:
            strips.append(_matched(pair_sample(shards, place, f"pair {place}")))
        except InputError as error:
            strips.append(_captioned(_blank(), f"pair {place}: {error}"))
    below = _grid(strips, 1)
    whole = Image.new("RGB", (max(sheet.width, below.width), sheet.height + below.height), "white")
    whole.paste(sheet, (0, 0))
    whole.paste(below, (0, sheet.height))
    return whole


def _origin(sources: Counter[str]) -> list[str]:
    lines = []
    for name in sources:
        if name in names():
            source = get_facts(name)
            lines.append(f"{source.title}. Licence: {source.licence}. {source.url}")
    return lines


def _spread(values: Floats, unit: str) -> str:
    if not len(values):
        return "none"
    low, middle, high = np.nanquantile(values, [0.05, 0.5, 0.95])
    return f"median {middle:.3g}{unit}, 5 to 95 %: {low:.3g} to {high:.3g}{unit}"


def _pair_lines(shards: Shards) -> list[str]:
    table = shards.pair_table
    covisible = np.asarray(table["covisibility"], np.float64)
    motion = np.asarray(table["cam1_from_cam2"], np.float64)
    trace = motion[:, 0, 0] + motion[:, 1, 1] + motion[:, 2, 2]
    angle = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    return [
        f"| covisible | {_spread(covisible * 100, ' %')} |",
        f"| baseline | {_spread(np.linalg.norm(motion[:, :, 3], axis=1), '')} |",
        f"| rotation | {_spread(angle, ' degrees')} |",
        f"| matches a pair | {_spread(np.asarray(table['matches'], np.float64), '')} |",
    ]


def _left_out(folder: Path) -> list[str]:
    """What the manifests say was left out, if this folder was curated here."""
    skipped, failed = 0, []
    for path in sorted((folder / "units").glob("*.json")):
        unit = read_json(path, _UNIT)
        skipped += len(unit["skipped"])
        failed += [unit["scene"]] if unit["failed"] else []
    lines = [f"| frames left out | {skipped} |"] if skipped else []
    return lines + ([f"| scenes left out | {', '.join(failed[:5])} |"] if failed else [])


_UNIT = fields({"scene": text(), "skipped": list_of(anything), "failed": maybe(text())})


def _labelled(data: bytes, record: Record, name: str) -> Image.Image:
    image, scale = _small(decode(data))
    draw = ImageDraw.Draw(image)
    for (x, y), colour in zip(record.xy_px * scale, _colours(record.distance_m), strict=True):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour, outline="black")
    for k, question in enumerate(record.questions[:6]):
        for box in question.boxes_xyxy_px:
            draw.rectangle([v * scale for v in box], outline=_hue(k / 6), width=2)
    far = record.distance_m
    span = f"{far.min():.2f} to {far.max():.2f}" if len(far) else "no distances"
    key = name.rpartition("/")[2]
    return _captioned(image, f"{key}  {span}{' m' if record.metric and len(far) else ''}")


def _matched(pair: Sample) -> Image.Image:
    matches, motion = pair.matches, pair.motion
    assert matches is not None and motion is not None
    drawn = matches.draw(MATCHES, None)
    (one, scale1), (two, scale2) = (_small(view.image) for view in pair.open())
    both = Image.new("RGB", (one.width + two.width, max(one.height, two.height)), "white")
    both.paste(one, (0, 0))
    both.paste(two, (one.width, 0))
    draw = ImageDraw.Draw(both)
    for k, (a, b) in enumerate(zip(drawn.xy1_px * scale1, drawn.xy2_px * scale2, strict=True)):
        colour = _hue(k / max(1, len(drawn.xy1_px)))
        ends = [(a[0], a[1]), (b[0] + one.width, b[1])]
        draw.line(ends, fill=colour, width=1)
        for x, y in ends:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), outline=colour, width=2)
    unit = " m" if pair.metric else " (no metric scale)"
    return _captioned(both, f"{len(drawn.xy1_px)} matches, baseline {motion.distance_m:.2f}{unit}")


def _histogram(distance_m: Floats) -> Image.Image:
    """Counts over the logarithm of the distance."""
    image = _blank()
    draw = ImageDraw.Draw(image)
    if not len(distance_m):
        return _captioned(image, "no distances")
    edges = np.geomspace(distance_m.min() * 0.999, distance_m.max() * 1.001, _ROWS + 1)
    counts, _ = np.histogram(distance_m, edges)
    width = image.width / _ROWS
    for k, (count, colour) in enumerate(zip(counts, _colours(edges[1:]), strict=True)):
        top = image.height - count / counts.max() * (image.height - _BAR_PX)
        draw.rectangle((k * width, top, (k + 1) * width - 1, image.height), fill=colour)
    return _captioned(image, f"distances, {edges[0]:.2f} to {edges[-1]:.2f}, logarithmic")


def _small(pixels: NDArray[np.uint8]) -> tuple[Image.Image, float]:
    image = Image.fromarray(pixels)
    scale = _TILE_PX / image.width
    return image.resize((_TILE_PX, max(1, round(image.height * scale)))), scale


def _blank() -> Image.Image:
    return Image.new("RGB", (_TILE_PX, _TILE_PX * 3 // 4), "white")


def _captioned(image: Image.Image, text: str) -> Image.Image:
    out = Image.new("RGB", (image.width, image.height + _BAR_PX), "white")
    out.paste(image, (0, _BAR_PX))
    ImageDraw.Draw(out).text((4, 4), text[: image.width // 6], fill="black")
    return out


def _grid(tiles: Sequence[Image.Image], columns: int) -> Image.Image:
    rows = [tiles[k : k + columns] for k in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) for row in rows]
    width = max(sum(tile.width for tile in row) for row in rows)
    sheet = Image.new("RGB", (width, sum(heights)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for k, tile in enumerate(row):
            sheet.paste(tile, (sum(t.width for t in row[:k]), top))
        top += height
    return sheet


def _colours(distance_m: Floats) -> list[tuple[int, int, int]]:
    """Red near, blue far, by logarithm within the picture."""
    if not len(distance_m):
        return []
    log = np.log(distance_m)
    span = max(float(np.ptp(log)), 1e-9)
    return [_hue(0.67 * float(v)) for v in (log - log.min()) / span]


def _hue(value: float) -> tuple[int, int, int]:
    r, g, b = colorsys.hsv_to_rgb(value % 1.0, 1.0, 1.0)
    return round(r * 255), round(g * 255), round(b * 255)
