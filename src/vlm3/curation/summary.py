"""Summary of a curation for its user: distances, what is missing, a picture.

Wrong units and poses make plausible files. A line of quantiles and a sheet with labels drawn on
pictures show them at a glance, before a week of training does.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vlm3 import disk
from vlm3.curation.data_card import sheet
from vlm3.data.manifests import Unit
from vlm3.data.shards import Shards

SHEET = "sheet.jpg"
_MOST_READ = 2000
_PICTURES, _PAIRS = 6, 2
# Medians of two scenes of one set that differ by more are in two units.
_OTHER_UNIT = 50.0


def kinds(told: Iterable[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """Texts that differ only in numbers and names, put together.

    Args:
        told: (where, text).

    Returns:
        Where the first of a kind was, its text, and how many there are; the most frequent first.
    """
    firsts: dict[str, tuple[str, str]] = {}
    counts: Counter[str] = Counter()
    for where, text in told:
        kind = " ".join(word for word in text.split() if word.isalpha())[:60]
        counts[kind] += 1
        firsts.setdefault(kind, (where, text))
    return [(*firsts[kind], count) for kind, count in counts.most_common()]


def summary(out: Path, units: Sequence[Unit]) -> list[str]:
    """Lines about the shards in `out`, which get a sheet of labelled pictures.

    Args:
        out: the folder of a curation that is joined.
        units: its scenes.
    """
    shards = Shards(out)
    lines = _distances(shards)
    frames = [(u.scene, reason) for u in units for _, reason in u.skipped]
    if frames:
        lines.append(f"left out: {len(frames)} pictures")
        lines += [f"  {count} x {text}" for _, text, count in kinds(frames)[:5]]
    with disk.whole(out / SHEET) as partial:
        sheet(shards, pictures=_PICTURES, pairs=_PAIRS).save(partial, "JPEG", quality=90)
    return [*lines, f"labels drawn on some of the pictures: {out / SHEET}"]


def _distances(shards: Shards) -> list[str]:
    places = np.unique(np.linspace(0, len(shards) - 1, min(_MOST_READ, len(shards))).astype(int))
    by_scene: dict[str, list[float]] = {}
    metric = True
    for place in places.tolist():
        notes = shards.notes(place)
        metric &= bool(notes.get("metric", True))
        found = (notes.get("points") or {}).get("distance_m", [])
        by_scene.setdefault(str(notes.get("scene", "")), []).extend(found)
    every = np.concatenate([np.asarray(v, np.float64) for v in by_scene.values()])
    if not len(every):
        return ["no distances"]
    low, middle, high = np.quantile(every, [0.05, 0.5, 0.95])
    unit = " m" if metric else ", in the scenes' own units"
    lines = [
        f"distances: median {middle:.3g}{unit}; 5 % below {low:.3g}, 95 % below {high:.3g} "
        f"({len(every)} labels)"
    ]
    medians = {scene: float(np.median(v)) for scene, v in by_scene.items() if v}
    least, most = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
    if metric and medians[most] > _OTHER_UNIT * medians[least]:
        lines.append(
            f"scenes differ much: the median of {least} is {medians[least]:.3g} m, that of {most} "
            f"{medians[most]:.3g} m; is one of them in another unit?"
        )
    return lines
