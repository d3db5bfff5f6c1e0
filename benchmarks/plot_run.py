"""Draws a run's log: loss, the two grounding gaps, held-out delta1 beside the best constant's.

vlm3 train debug_cpu --out runs/debug_cpu
python benchmarks/plot_run.py runs/debug_cpu/log.jsonl docs/images/debug_cpu.png 500

The last number is the step at which distances begin: the mosaics before it are shown as loss alone.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def main(log: Path, out: Path, begin: int = 0) -> None:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    checks = [line for line in lines if "depth_loss" in line and line["step"] > begin]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    steps = [line["step"] for line in lines]
    left.plot(steps, [line["loss"] for line in lines], lw=0.6, color="0.7", label="training")
    at = [line["step"] for line in checks]
    left.plot(at, [line["depth_loss"] for line in checks], "o-", ms=3, label="held out")
    left.set(title="loss, nats a token", xlabel="step", ylim=(0, 2.5))
    if begin:
        left.axvline(begin, color="0.7", lw=0.8)
        left.text(begin / 2, 2.3, "mosaics", ha="center", fontsize=8)
    for name, text in (("shuffled", "coordinates shuffled"), ("blank", "picture blanked")):
        middle.plot(at, [line[f"depth_gap_{name}"] for line in checks], "o-", ms=3, label=text)
    middle.set(title="distances: loss lost without the truth", xlabel="step")
    middle.axhline(0, color="0.7", lw=0.8)
    right.plot(at, [line["depth_delta1"] for line in checks], "o-", ms=3, label="printed digits")
    blind = [line["blind_delta1"] for line in checks]
    right.plot(at, blind, "o-", ms=3, label="picture blanked")
    constant = [line["constant_delta1"] for line in checks]
    right.plot(at, constant, "--", color="0.5", label="best constant")
    right.set(title="held-out delta1", xlabel="step", ylim=(0, 1))
    for axis in (left, middle, right):
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
