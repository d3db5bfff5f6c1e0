"""How long scoring a million answers takes, and how much memory: `python benchmarks/score.py`."""

import argparse
import json
import random
import resource
import tempfile
import time
from pathlib import Path

from vlm3.eval.predictions import FILE, header_line
from vlm3.eval.score import score


def write(folder: Path, answers: int, pictures: int) -> None:
    rng = random.Random(0)
    config = {"benchmark": "ibims1", "name": "made up", "protocol": "joint", "tasks": ["depth"]}
    with (folder / FILE).open("w", encoding="utf-8") as file:
        file.write(header_line(config, {}) + "\n")
        for i in range(answers):
            truth = rng.uniform(0.5, 9)
            record = {
                "id": f"{i:07d}",
                "cluster": f"rgb/{i % pictures:05d}.png",
                "task": "depth",
                "ask": {"xy_px": [i % 640 + 0.5, i % 480 + 0.5], "cosine": 0.9},
                "truth": {"distance_m": truth, "label_m": truth * 0.9},
                "prompt": "Distance in meters from the camera to the point (x, y), each in "
                f"[0, 2000): {i % 2000:04d} {i % 1999:04d}",
                "raw_text": f"{truth * rng.uniform(0.7, 1.4):05.2f}" if i % 100 else "no",
                "prediction": None,
                "parsed": True,
                "seconds": 0.01,
            }
            file.write(json.dumps(record) + "\n")
        file.write(json.dumps({"end": {"queries": answers}}) + "\n")


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--pictures", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, given.answers, given.pictures)
        size_mb = (folder / FILE).stat().st_size / 2**20
        before, start = peak_mb(), time.perf_counter()
        scored = score(folder)
        seconds = time.perf_counter() - start
    main_score = scored.tasks[0].scores[0]
    print(
        f"{given.answers} answers about {given.pictures} pictures, {size_mb:.0f} MB of JSON: "
        f"{seconds:.1f} s, {peak_mb():.0f} MB at most ({before:.0f} MB before); "
        f"{main_score.name} {main_score.value:.4f} [{main_score.low:.4f}, {main_score.high:.4f}]"
    )


if __name__ == "__main__":
    main()
