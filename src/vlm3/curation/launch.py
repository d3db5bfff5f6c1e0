"""Curate a data set, from downloaded files to shards: scene by scene, on one machine or many.

Every launcher runs the one function `units.make_unit` on scenes that are not done yet. Local
processes are the default; Ray spreads them over its cluster; an array job (Slurm, or any pair of
rank and world) takes every world-th scene, and whichever rank finds all scenes done joins them.
The same command again goes on where it stopped, whatever stopped it.
"""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

from vlm3 import disk, partials
from vlm3.curation.merge import Joined, join, joining
from vlm3.curation.units import Job, make_unit
from vlm3.data.manifests import Unit, read_joined, read_unit, unit_name
from vlm3.datasets import get_source
from vlm3.errors import InputError, MissingDependencyError
from vlm3.files.reading import read_json, short
from vlm3.files.schema import anything, table_of
from vlm3.lock import NAME as LOCK
from vlm3.lock import writing
from vlm3.signals import interrupt_children, one_interrupt

Launcher = Literal["local", "ray", "slurm"]
Tell = Callable[[Unit], None]

# Each scene in one thread: processes share the cores.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Share:
    """Which scenes this process takes of an array job."""

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise InputError(f"rank {self.rank} of world {self.world}; give 0 <= rank < world")

    @classmethod
    def of_slurm(cls) -> "Share":
        """From Slurm's array variables, else from those of its tasks.

        Raises:
            InputError: neither are set.
        """
        env = os.environ
        if "SLURM_ARRAY_TASK_ID" in env:
            first, last = (int(env.get(f"SLURM_ARRAY_TASK_{k}", "0")) for k in ("MIN", "MAX"))
            if last - first + 1 != int(env.get("SLURM_ARRAY_TASK_COUNT", "1")):
                raise InputError("the array has gaps; submit it as --array=0-N")
            return cls(int(env["SLURM_ARRAY_TASK_ID"]) - first, last - first + 1)
        if "SLURM_PROCID" in env:
            return cls(int(env["SLURM_PROCID"]), int(env["SLURM_NTASKS"]))
        raise InputError(
            "no Slurm here: SLURM_ARRAY_TASK_ID and SLURM_PROCID are not set; elsewhere give "
            "--rank and --world"
        )


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        units: of this process's scenes, in their order.
        joined: the shards; None where other ranks still have scenes to do.
    """

    units: tuple[Unit, ...]
    joined: Joined | None


def scenes_of(job: Job, most: int | None = None) -> list[str]:
    """The scenes of a job, the first `most` of them.

    Raises:
        InputError: no such folder, or not in the source's layout.
        MissingDependencyError: the source reads its files with a package that is not there.
    """
    if not job.root.is_dir():
        raise InputError(f"no folder {str(job.root)!r}; --root is the data set as downloaded")
    source = get_source(job.source, job.root)
    source.check_needs()
    found = source.list_scenes(job.root)[:most]
    if not found:
        raise InputError(f"no scene in {str(job.root)!r}; expected {source.facts.layout}")
    return found


def curate(
    job: Job,
    *,
    launcher: Launcher = "local",
    workers: int = 1,
    share: Share | None = None,
    most_scenes: int | None = None,
    start: Callable[[int], None] = lambda count: None,
    tell: Tell = lambda unit: None,
) -> Outcome:
    """Curates what is not done yet, then joins if everything is.

    Args:
        job: what and how.
        launcher: where scenes are worked on.
        workers: processes, local or Ray's.
        share: of an array job; None takes all scenes.
        most_scenes: only so many.
        start: called with how many scenes this process is about to have done.
        tell: called with each as it is done.

    Raises:
        InputError: the folder holds something else, or nothing could be curated.
    """
    if launcher not in get_args(Launcher):
        raise InputError(f"launcher is {launcher!r}; choose {', '.join(get_args(Launcher))}")
    if workers < 1:
        raise InputError(f"workers is {workers}; give 1 or more")
    scenes = scenes_of(job, most_scenes)
    if launcher == "slurm" and share is None:
        share = Share.of_slurm()
    own = scenes[share.rank :: share.world] if share else scenes
    # The ranks of an array job write beside each other, each its own scenes.
    with writing(job.out, shared=share is not None):
        _claim(job)
        joined = {scene for shard in read_joined(job.out) for scene in shard["scenes"]}
        done = {scene: unit for scene in own if (unit := _done(job.out, scene, joined)) is not None}
        start(len(own))
        for unit in done.values():
            tell(unit)
        left = [scene for scene in own if scene not in done]
        run = {"local": _local, "slurm": _local, "ray": _ray}[launcher]
        with closing(run(job, left, workers)) as made:
            for unit in made:
                done[unit.scene] = unit
                tell(unit)
        units = tuple(done[scene] for scene in own)
        return Outcome(units, _joined(job, scenes))


def _done(out: Path, scene: str, joined: set[str]) -> Unit | None:
    """The unit of a scene that need not be made again: joined, or whole with a picture in it."""
    unit = read_unit(out, scene)
    if unit is None or scene in joined:
        return unit
    tar = out / "units" / f"{unit_name(scene)}.tar"
    return unit if unit.failed is None and unit.samples and tar.is_file() else None


def _claim(job: Job) -> None:
    """Makes the folder this job's, or refuses it.

    Raises:
        InputError: it holds shards, or a curation with other settings.
    """
    note = job.out / "curation.json"
    settings = json.loads(json.dumps(job.settings(), allow_nan=False))
    if note.is_file():
        found = read_json(note, table_of(anything))
        other = sorted(k for k in settings.keys() | found.keys() if settings.get(k) != found.get(k))
        if other:
            raise InputError(
                f"{job.out} was curated with another {other[0]:.40} "
                f"({short(found.get(other[0]))}); give the same, or another folder"
            )
        return
    # Killed while it wrote the note, a curation has left a part of it.
    partials.restored(job.out)
    if any(path.name != LOCK for path in job.out.iterdir()):
        raise InputError(f"{job.out} is not empty and no curation; give a new folder")
    disk.write(note, json.dumps(settings, indent=1, allow_nan=False))


def _joined(job: Job, scenes: Sequence[str]) -> Joined | None:
    """Joins if every scene has been worked on, by whichever rank."""
    if any(read_unit(job.out, scene) is None for scene in scenes):
        return None
    with joining(job.out) as alone:
        if not alone:
            return None
        found = join(job.out, scenes)
    if not found.samples:
        reasons = [u for s in scenes if (u := read_unit(job.out, s)) is not None]
        why = next((u.failed for u in reasons if u.failed), None) or next(
            (f"{key}: {text}" for u in reasons for key, text in u.skipped), "no frames"
        )
        raise InputError(f"no picture of {str(job.root)!r} could be curated; the first: {why}")
    return found


def _local(job: Job, scenes: Sequence[str], workers: int) -> Generator[Unit]:
    if workers == 1 or len(scenes) < 2:
        for scene in scenes:
            yield make_unit(job, scene)
        return
    # A program that curates may have workers of its own.
    others = multiprocessing.active_children()
    with _one_thread(), _pool(min(workers, len(scenes))) as pool:
        waiting = iter(scenes)
        running: dict[Future[Unit], str] = {}
        try:
            while True:
                # A few ahead, so that a million scenes are not all pickled at once.
                for scene in islice(waiting, 2 * workers - len(running)):
                    running[pool.submit(_in_worker, job, scene)] = scene
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    scene = running.pop(future)
                    yield future.result()
        except (KeyboardInterrupt, GeneratorExit):
            # Ctrl-C reaches the workers too, SIGTERM this process alone.
            interrupt_children(but=others)
            raise
        except BrokenProcessPool as error:
            raise InputError(
                f"a worker was killed, perhaps for memory, about {scene!r}; the same command "
                "goes on from there, with fewer --workers if need be"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )


_stopped = False


def _in_worker(job: Job, scene: str) -> Unit:
    """A scene in a process of the pool: Ctrl-C, which every process gets, ends it and all after.

    Between scenes it is for the parent to act on, or each would print a trace-back.
    """
    global _stopped
    if _stopped:
        raise KeyboardInterrupt
    try:
        with one_interrupt():
            return make_unit(job, scene)
    except KeyboardInterrupt:
        _stopped = True
        raise


def _ray(job: Job, scenes: Sequence[str], workers: int) -> Generator[Unit]:
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError("ray is not installed; pip install ray") from error
    given = ray.is_initialized()
    if not given:
        # A cluster where RAY_ADDRESS names one, else this machine.
        local = "RAY_ADDRESS" not in os.environ
        ray.init(num_cpus=workers if local else None, include_dashboard=False, log_to_driver=False)
    try:
        work = ray.remote(num_cpus=1, max_retries=2)(make_unit)
        waiting = iter(scenes)
        running = [work.remote(job, scene) for scene in islice(waiting, 4 * workers)]
        while running:
            (ready,), running = ray.wait(running, num_returns=1)
            if (scene := next(waiting, None)) is not None:
                running.append(work.remote(job, scene))
            yield ray.get(ready)
    finally:
        if not given:
            ray.shutdown()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Libraries of processes that are started meanwhile use one thread each."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
