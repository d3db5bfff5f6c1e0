"""The loader's speed beside bare decode + resize, its start, and what an index costs in memory.

python benchmarks/loader.py [--pictures 400] [--size 1920x1080] [--index 26000000]
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from vlm3.data.mixture import Mixture
from vlm3.data.record import Record
from vlm3.data.shards import Shards, write_shards
from vlm3.geometry.camera import Camera
from vlm3.train.bench import measure, picture_file


def make(folder: Path, count: int, width_px: int, height_px: int) -> None:
    camera = Camera(
        0.9 * width_px, 0.9 * width_px, width_px / 2, height_px / 2, width_px, height_px
    )
    rng = np.random.default_rng(0)

    def samples():
        for k in range(count):
            xy_px = rng.uniform((0, 0), (width_px, height_px), (64, 2))
            record = Record(camera, xy_px, rng.uniform(0.5, 40, 64))
            yield f"p{k:06d}", picture_file(width_px, height_px, k % 40), record.to_json()

    write_shards(folder, samples())


def memory_mb() -> float:
    """Memory of this process that is its own, file pages it mapped left out."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(x.split()[1]) for x in lines if x.startswith("Private_Dirty")) / 1024


def index_memory(rows: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = np.lib.format.open_memmap(
            folder / "index.npy", mode="w+", dtype=np.int64, shape=(rows, 5)
        )
        table[:, 1] = 1
        table.flush()
        del table
        (folder / "shards.json").write_text(json.dumps([f"{k:05d}.tar" for k in range(12_700)]))
        before, begun = memory_mb(), time.perf_counter()
        shards = Shards(folder)
        opened = time.perf_counter() - begun
        mixture = Mixture((len(shards),), (1.0,))
        begun = time.perf_counter()
        for count in range(20_000):
            shards.index[mixture[count].place].tolist()
        each = (time.perf_counter() - begun) / 20_000
        own = memory_mb() - before
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = (folder / "index.npy").stat().st_size / 2**20
        print(
            f"index of {rows} pictures: {size:.0f} MB on disk, opened in {opened * 1e3:.0f} ms, "
            f"{own:.1f} MB of own memory after 20,000 draws of {each * 1e6:.1f} us "
            f"(peak resident {peak:.0f} MB, cached file pages included)"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--f-px", type=float, default=1000.0)
    parser.add_argument("--samples", type=int, default=320)
    parser.add_argument("--index", type=int, default=26_000_000)
    given = parser.parse_args()
    if given.index:
        index_memory(given.index)
    width_px, height_px = map(int, given.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), given.pictures, width_px, height_px)
        for workers in (1, 2):
            speed = measure(
                folder, samples=given.samples, workers=workers, f_px=given.f_px, multiple_px=32
            )
            print(f"{given.size} JPEG: {speed.text()}", flush=True)


if __name__ == "__main__":
    main()
