"""Many pictures by one command beside one command a picture, and killed and resumed.

    python benchmarks/many.py --photos DIR --work out/many

Makes 50 JPEGs of 1280 px (with EXIF's focal length) and a video of 20 s from the pictures in DIR,
then measures on 2 threads, with nano and a grid of 12x9: seconds a picture of `vlm3 depth` over
the folder, over the video and of three single commands; of `vlm3 pose` over 10 pairs and of three
single ones; and whether a folder whose command was killed with SIGKILL half way and given again
holds the same files as one made in one go. Beside the clock it tells seconds of the processor,
which what else runs changes little; the ratios are of those. The work folder can go afterwards.
"""

import argparse
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

COUNT, WIDTH_PX, F_35MM = 50, 1280, 33
GRID = ("--grid", "12x9", "--form", "png", "--form", "npz")
FPS, SECONDS = 15, 20


def make_photos(source: Path, folder: Path) -> list[Path]:
    """COUNT JPEGs; a picture that comes twice is mirrored."""
    folder.mkdir(parents=True)
    found = sorted(p for p in source.iterdir() if p.suffix.lower() in (".png", ".jpg"))
    made = []
    for k in range(COUNT):
        with Image.open(found[k % len(found)]) as opened:
            image = opened.convert("RGB")
        image = image.resize((WIDTH_PX, round(WIDTH_PX * image.height / image.width)))
        if k >= len(found):
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA405] = F_35MM
        made.append(folder / f"photo_{k:02d}.jpg")
        image.save(made[-1], quality=92, exif=exif)
    return made


def make_video(photos: list[Path], path: Path) -> None:
    """SECONDS of the photographs, each shown for a while."""
    import cv2
    import numpy as np

    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (WIDTH_PX // 2, WIDTH_PX // 3)
    )
    for k in range(FPS * SECONDS):
        with Image.open(photos[k * len(photos) // (FPS * SECONDS)]) as opened:
            small = opened.resize((WIDTH_PX // 2, WIDTH_PX // 3))
        writer.write(np.asarray(small)[..., ::-1])
    writer.release()


def vlm3(*words: str | Path, kill_when: Path | None = None) -> tuple[float, float]:
    """Seconds of a command, on the clock and of the processor.

    Args:
        words: the command line.
        kill_when: kill it as soon as this folder holds half the maps.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    began, used = time.perf_counter(), _processor_s()
    process = subprocess.Popen(
        [sys.executable, "-m", "vlm3", *map(str, words)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if kill_when is not None:
        while process.poll() is None and len(list(kill_when.glob("*.npz"))) < COUNT // 2:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    elif process.wait() != 0:
        raise SystemExit(f"vlm3 {' '.join(map(str, words))}: exit code {process.returncode}")
    return time.perf_counter() - began, _processor_s() - used


def _processor_s() -> float:
    """Of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def contents(folder: Path) -> dict[str, str]:
    """Digests of all files but the manifest, which tells seconds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.jsonl"
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    work: Path = options.work
    shutil.rmtree(work, ignore_errors=True)
    photos = make_photos(options.photos, work / "photos")
    make_video(photos, work / "walk.mp4")
    print(f"load before: {os.getloadavg()[0]:.1f}", flush=True)

    def each(name: str, runs: list[tuple[float, float]], count: int) -> float:
        clock, processor = (sum(part) / count for part in zip(*runs, strict=True))
        print(
            f"{name}: {clock:.2f} s each of {count}, {processor:.2f} s of the processor; "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        return processor

    def single(photo: Path) -> tuple[float, float]:
        return vlm3("depth", photo, *GRID[:2], "-o", work / "one.png", "-o", work / "one.npz")

    alone = each("one depth command a picture", [single(photo) for photo in photos[:3]], 3)
    whole = each("folder", [vlm3("depth", work / "photos", "-o", work / "whole", *GRID)], COUNT)
    line = ("depth", work / "photos", "-o", work / "cut", *GRID)
    cut = vlm3(*line, kill_when=work / "cut")
    kept = len(list((work / "cut").glob("*.npz")))
    each(f"killed at {kept} and resumed", [cut, vlm3(*line)], COUNT)
    same = contents(work / "cut") == contents(work / "whole")
    print(f"killed and resumed: {'the same files' if same else 'OTHER FILES'}")
    video = each("video", [vlm3("depth", work / "walk.mp4", "-o", work / "frames", *GRID)], SECONDS)
    pairs = each("pose over pairs", [vlm3("pose", *photos[:11], "-o", work / "poses")], 10)
    two = [vlm3("pose", photos[k], photos[k + 1]) for k in range(2)]
    pair = each("one pose command a pair", two, 2)
    print(
        f"ratios: folder {alone / whole:.1f}, video {alone / video:.1f}, pairs {pair / pairs:.1f}"
    )
    if not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
