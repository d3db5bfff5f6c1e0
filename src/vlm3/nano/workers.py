"""Processes that render pairs all the time and leave them as files in shared memory.

A pipe holds 64 kB and moves only while it is read: files gave 70 pairs a second where a queue gave
12. A worker waits while much lies unread, and ends with the process that started it, however that
ended. Loads no torch.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vlm3.nano.pairs import SUFFIX, PairName, Record, read_pair, write_pair
from vlm3.nano.rendering import PairRenderer, world_kind

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class RenderJob:
    """What the workers of a run share.

    Attributes:
        tokenizer_file: the model's tokenizer.json.
        seed: of the worlds.
        first: index of the first world of the train split.
        held_out: pairs of the held-out split that come before.
        rendered_px: sizes, (width, height).
        shares: of each size.
        room_share: of the worlds.
        most_waiting: pairs that lie unread before the workers pause.
        device: "cpu", or "cuda:0" to render pictures there.
    """

    tokenizer_file: str
    seed: int
    first: int
    held_out: int
    rendered_px: tuple[tuple[int, int], ...]
    shares: tuple[float, ...]
    room_share: float
    most_waiting: int
    device: str = "cpu"


class Workers:
    """The processes and the folder they fill.

    Args:
        count: of processes.
        job: what they render.
        name: of the run: what an earlier process of it left behind is removed.
    """

    def __init__(self, count: int, job: RenderJob, name: str) -> None:
        shared = Path("/dev/shm")
        root = shared if shared.is_dir() else Path(tempfile.gettempdir())
        self.folder = root / f"vlm3-nano-{os.getuid()}-{name}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.job, self.received = job, 0
        environment = os.environ | dict.fromkeys(_THREADS, "1")
        if job.device == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        command = [sys.executable, "-m", "vlm3.nano.workers", str(self.folder)]
        own = [str(count), str(os.getpid()), json.dumps(asdict(job), allow_nan=False)]
        self.processes = [
            subprocess.Popen([*command, str(k), *own], env=environment, stdin=subprocess.DEVNULL)
            for k in range(count)
        ]

    def take(self, most: int) -> list[tuple[PairName, Record]]:
        """Up to `most` pairs that are ready."""
        out = []
        with os.scandir(self.folder) as found:
            names = [entry.name for entry in found if entry.name.endswith(SUFFIX)]
        for name in sorted(names)[:most]:
            pair, path = PairName.parsed(name), self.folder / name
            out.append((pair, read_pair(path, self.job.rendered_px[pair.view])))
            path.unlink()
        self.received += len(out)
        return out

    @property
    def alive(self) -> int:
        """Processes that still render."""
        return sum(process.poll() is None for process in self.processes)

    def stop(self) -> None:
        """Ends the processes and removes what they left."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def render_forever(folder: Path, number: int, count: int, parent: int, job: RenderJob) -> None:
    """Renders held-out pairs number, number + count, ..., then train pairs until `parent` ends."""
    # The training process answers these, by saving.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    first_is_done = folder / "ready"
    # The first worker compiles the kernels; the others find them compiled.
    while number and not first_is_done.exists() and os.getppid() == parent:
        time.sleep(0.1)
    import warp as wp

    wp.config.quiet = True
    renderer = PairRenderer(Path(job.tokenizer_file), job.seed, job.device)
    for index in range(number, job.held_out, count):
        view = index % len(job.rendered_px)
        record = renderer.pair(index, 0, job.rendered_px[view], split="heldout")
        if record is not None:
            write_pair(folder, PairName("heldout", index, 0, view), record)
        first_is_done.touch()
    index = job.first + number
    while os.getppid() == parent:
        if sum(1 for _ in os.scandir(folder)) > job.most_waiting:
            time.sleep(0.1)
            continue
        try:
            _render_world(renderer, job, index, folder)
        # One world that cannot be furnished is not worth a worker; it is named.
        except (ValueError, IndexError, ArithmeticError) as error:
            print(f"world {index} is left out: {error!r}", file=sys.stderr, flush=True)
        first_is_done.touch()
        index += count


def _render_world(renderer: PairRenderer, job: RenderJob, index: int, folder: Path) -> None:
    """Renders the pairs of one world of the train split."""
    rng = np.random.default_rng((job.seed, index))
    kind = world_kind(rng, job.room_share)
    # A street is costly to build: two pairs are taken of it.
    for k in range(1 if kind == "room" else 2):
        view = int(rng.choice(len(job.shares), p=job.shares))
        record = renderer.pair(index, k, job.rendered_px[view], kind=kind)
        if record is not None:
            write_pair(folder, PairName("train", index, k, view), record)


def _main(arguments: list[str]) -> None:
    folder, number, count, parent, text = arguments
    given = json.loads(text)
    given["rendered_px"] = tuple(tuple(size) for size in given["rendered_px"])
    given["shares"] = tuple(given["shares"])
    render_forever(Path(folder), int(number), int(count), int(parent), RenderJob(**given))


if __name__ == "__main__":
    try:
        _main(sys.argv[1:])
    except FileNotFoundError:
        # The folder goes away when the run ends, perhaps under a pair that is being written.
        sys.exit(0)
