"""Draws what nano is shown: fuller rooms, wide crops, patterns, light, collages; for docs/.

python benchmarks/looks.py docs/images
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vlm3.model import NANO_PATH
from vlm3.nano.looks import collaged, lit, patterned
from vlm3.nano.recipe import NANO
from vlm3.nano.rendering import PairRenderer
from vlm3.nano.store import Store, Views, views
from vlm3.worlds.world import World

SIZE_PX = NANO.views[-1].rendered_px
WORLDS = ((1, "room"), (3, "street"), (6, "room"), (9, "room"))


def saved(folder: Path, name: str, rows: Sequence[Sequence[np.ndarray]]) -> None:
    """Rows of pictures of one height each, with a white line between."""
    width = max(sum(p.shape[1] + 4 for p in row) - 4 for row in rows)
    strips = []
    for row in rows:
        height = max(p.shape[0] for p in row)
        strip = np.full((height + 4, width, 3), 255, np.uint8)
        x = 0
        for picture in row:
            strip[: picture.shape[0], x : x + picture.shape[1]] = picture
            x += picture.shape[1] + 4
        strips.append(strip)
    path = folder / f"nano_{name}.jpg"
    Image.fromarray(np.concatenate(strips)[:-4]).save(path, quality=82)
    print(path, path.stat().st_size // 1000, "kB")


def numbers(pictures: torch.Tensor) -> list[np.ndarray]:
    """Pictures (n, H, W, 3) of 0 to 255."""
    return list(pictures.clamp(0, 255).byte().numpy())


def rooms(folder: Path) -> None:
    """Above as the held-out split has them, below as they are learnt from; the same seeds."""
    size = {"width_px": 256, "height_px": 192, "f_px": 125.0}
    rows = [
        [World(0, k, split=split, kind="room").view(**size).image for k in (4, 5, 7, 12)]
        for split in ("heldout", "train")
    ]
    saved(folder, "rooms", rows)


def main(folder: Path) -> None:
    """All five."""
    torch.set_num_threads(1)
    rooms(folder)
    renderer = PairRenderer(NANO_PATH / "tokenizer.json", 0)
    store = Store(SIZE_PX, len(WORLDS), torch.device("cpu"))
    made = [renderer.pair(index, 0, SIZE_PX, kind=kind) for index, kind in WORLDS]
    store.add([one for one in made if one is not None])
    whole = views(store, torch.arange(store.count), SIZE_PX)
    wide = [numbers(views(store, torch.tensor([1]), cut).image[0, :1])[0] for cut in cuts()]
    saved(folder, "wide", [wide[:3], wide[3:]])
    saved(folder, "patterns", patterns(whole))
    torch.manual_seed(5)
    light = [lit(whole.image[:, 0].float() / 255) * 255 for _ in range(2)]
    saved(folder, "light", [numbers(whole.image[:, 0]), *map(numbers, light)])
    torch.manual_seed(2)
    image = whole.image.flatten(0, 1)
    log, normal = whole.log_distance.flatten(0, 1), whole.normal.flatten(0, 1)
    collages = numbers(collaged(image, log, normal, 1.0)[0])
    saved(folder, "collages", [collages[:4]])


def cuts() -> tuple[tuple[int, int], ...]:
    """Some of the wide crops."""
    found = NANO.views[-1].wide_cuts_px
    return (*found[:3], *found[3:6])


def patterns(whole: Views) -> list[list[np.ndarray]]:
    """Both views of two pairs: as rendered, and below with the strongest of some patterns."""
    plain = whole.image.float()
    tried = []
    for seed in range(30):
        torch.manual_seed(seed)
        tried.append(patterned(whole.image, whole.log_distance, whole.cam1_from_cam2))
    rows = [[], [], []]
    for pair in (0, 1):
        order = sorted(tried, key=lambda one: -float((one[pair] - plain[pair]).std()))
        for row, image in zip(rows, (plain, order[1], order[4]), strict=True):
            row += numbers(image[pair])
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]))
