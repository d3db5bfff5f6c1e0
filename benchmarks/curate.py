"""Pictures a second through curation, beside bare decode + resize + encode of the same pictures.

    python benchmarks/curate.py [--pictures 160] [--workers 2]

Pictures are 1296x968 JPEGs with 16-bit depth of 640x480, as RGB-D sensors give; their focal length
is above 1000 px, so each is reduced. Runs are interleaved and the best of each is taken: cores may
be shared.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from vlm3.curation.launch import curate
from vlm3.curation.prepare import encode
from vlm3.curation.units import Job
from vlm3.data.decoding import decode
from vlm3.geometry.camera import Camera
from vlm3.geometry.focal import plan_focal
from vlm3.view import resize_image

WIDTH, HEIGHT, F_PX = 1296, 968, 1170.0


def write(root: Path, scenes: int, pictures: int) -> None:
    """Smooth noise: it costs about what photographs cost to decode and encode."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 255, (60, 80, 3), np.uint8)
    picture = Image.fromarray(cells).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    y, x = np.mgrid[:480, :640]
    depth = (1500 + 500 * np.sin(x / 90) + 400 * np.cos(y / 70)).astype(np.uint16)
    for scene in range(scenes):
        folder = root / f"scene{scene}"
        for name in ("images", "depth"):
            (folder / name).mkdir(parents=True)
        for k in range(pictures):
            picture.save(folder / "images" / f"{k:04d}.jpg", quality=92)
            Image.fromarray(depth).save(folder / "depth" / f"{k:04d}.png")
        np.savetxt(folder / "K.txt", [[F_PX, 0, WIDTH / 2], [0, F_PX, HEIGHT / 2], [0, 0, 1]])


def bare(root: Path) -> None:
    """What any curation must do to these pictures."""
    camera = Camera(F_PX, F_PX, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT)
    plan = plan_focal(camera, f_px=1000, multiple_px=32)
    for path in sorted(root.glob("*/images/*.jpg")):
        encode(resize_image(decode(path.read_bytes()), plan))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=160)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "raw"
        scenes = 8
        write(root, scenes, given.pictures // scenes)
        count = len(list(root.glob("*/images/*.jpg")))
        wall: dict[str, list[float]] = {}
        cpu: dict[str, list[float]] = {}
        for repeat in range(given.repeats):
            for name in ("bare", "1 worker", f"{given.workers} workers"):
                start, busy = time.perf_counter(), time.process_time()
                if name == "bare":
                    bare(root)
                else:
                    out = Path(folder) / f"{name} {repeat}"
                    curate(Job("folder", root, out), workers=int(name.split()[0]))
                wall.setdefault(name, []).append(time.perf_counter() - start)
                cpu.setdefault(name, []).append(time.process_time() - busy)
        for name, seconds in wall.items():
            print(f"{name:<10} {count / min(seconds):7.1f} pictures a second")
        own = min(cpu["1 worker"]) / min(cpu["bare"])
        print(f"a core's time over bare decode + resize + encode: {own:.2f}")
        many = min(wall["1 worker"]) / min(wall[f"{given.workers} workers"])
        print(f"{given.workers} workers over 1, start included: {many:.2f}")


if __name__ == "__main__":
    main()
