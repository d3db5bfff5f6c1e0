"""What drawing costs at the paper's scale: memory of an index, draws a second, start-up.

    python benchmarks/mixture.py [--pictures 26000000] [--draws 200000]

The index is simulated: its rows point nowhere, as nothing but them is read here.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from vlm3.data.paper_tables import plan_table


def own_mb():
    """Memory that this process alone holds, mapped pages left out, and those pages."""
    fields = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        fields[name] = int(value.split()[0]) / 1024
    anonymous = fields["Anonymous"]
    return anonymous, fields["Rss"] - anonymous


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=26_000_000)
    parser.add_argument("--draws", type=int, default=200_000)
    given = parser.parse_args()

    start = time.perf_counter()
    _, mixture, _ = plan_table("depth", with_absent=True)
    first = mixture[0]
    print(f"| plan and first draw | {1000 * (time.perf_counter() - start):.0f} ms |")
    start = time.perf_counter()
    for count in range(given.draws):
        mixture[count]
    seconds = time.perf_counter() - start
    print(f"| draws a second, in order | {given.draws / seconds:,.0f} |")
    print(f"| a draw | {1e6 * seconds / given.draws:.1f} us |")
    start = time.perf_counter()
    assert mixture[31_999_999] != first
    print(f"| going on at draw 31,999,999 | {1000 * (time.perf_counter() - start):.1f} ms |")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.npy"
        index = np.lib.format.open_memmap(path, "w+", np.int64, (given.pictures, 5))
        index[:] = 1
        index.flush()
        del index
        before = own_mb()
        start = time.perf_counter()
        index = np.load(path, mmap_mode="r")
        opened = time.perf_counter() - start
        rng = np.random.default_rng(0)
        for place in rng.integers(0, given.pictures, given.draws):
            index[place].tolist()
        after = own_mb()
        print(f"| index on disk | {path.stat().st_size / 1e6:,.0f} MB |")
        print(f"| opening it | {1000 * opened:.1f} ms |")
        print(f"| own memory after {given.draws:,} draws | {after[0] - before[0]:+.1f} MB |")
        print(f"| mapped pages, shared by all workers | {after[1] - before[1]:+.0f} MB |")


if __name__ == "__main__":
    main()
