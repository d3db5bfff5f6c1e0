"""Damaged inputs by the thousand, and what came of each: a value, a named skip, or one clear line.

python benchmarks/faults.py --seed 1 --count 2000 [--only shards,indices]

Every reader is called in a process of its own with a limit of time (its own, so that other work on
the machine does not count) and memory. `--count` is shared
out over the doors: half to what is cheap (answers that are parsed), a few to what is dear (kills).
A case is a seed, a door and a number; `--only DOOR --first K --count 1` with the same seed is that
case again.
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from faulty import data, kills, parsers, serving

from vlm3.errors import Vlm3Error

Setup = Callable[[Path], Any]
Case = Callable[[Any, np.random.Generator, Path], str]

MEMORY = 2 << 30
"""Bytes beyond what a door's process holds before its first case."""
LONGEST_LINE = 900
_WAITS = 6
"""Times its limit that a case may take by the clock."""


@dataclass(frozen=True)
class Door:
    """A way in: what prepares it, one damaged input, its share of the count, its limit of time."""

    setup: Setup
    case: Case
    share: float
    seconds: float = 10.0
    limited: bool = True


DOORS: dict[str, Door] = {
    "parsers": Door(parsers.setup, parsers.case, 0.45, 2.0),
    "pictures": Door(data.pictures_setup, data.pictures_case, 0.1),
    "records": Door(data.records_setup, data.records_case, 0.1),
    "shards": Door(data.made_shards, data.tars_case, 0.08),
    "indices": Door(data.made_shards, data.indices_case, 0.1),
    "label lines": Door(data.lines_setup, data.lines_case, 0.05),
    "set files": Door(data.sources_setup, data.sources_case, 0.03),
    "predictions": Door(data.predictions_setup, data.predictions_case, 0.05),
    "checkpoints": Door(serving.checkpoints_setup, serving.checkpoints_case, 0.01, 60.0, False),
    "server": Door(serving.server_setup, serving.server_case, 0.02, 10.0, False),
    "kills: curate": Door(lambda f: kills.writers(f, ("curate",)), kills.case, 0.004, 120, False),
    "kills: worlds": Door(lambda f: kills.writers(f, ("worlds",)), kills.case, 0.002, 240, False),
    "kills: eval": Door(lambda f: kills.writers(f, ("eval",)), kills.case, 0.002, 240, False),
    "kills: train": Door(lambda f: kills.writers(f, ("train",)), kills.case, 0.001, 600, False),
}
COLUMNS = ("value", "skip", "line", "trace-back", "hang", "crash", "wrong")


class HangError(BaseException):
    """A case that took longer than its limit; not caught by what catches errors."""


@dataclass
class Tally:
    """What came of the inputs of one door, and the first cases of each kind of failure."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def add(self, number: int, outcome: str, detail: str, seconds: float = 0.0) -> None:
        """Counts one case."""
        self.counts[outcome] += 1
        self.slowest_s = max(self.slowest_s, seconds)
        if outcome in COLUMNS[3:]:
            self.failures.append(f"{number}: {outcome}: {detail}")


def be_alarmed() -> None:
    """Ends a case that takes too long with a HangError, in this process."""
    signal.signal(signal.SIGALRM, _alarm)
    signal.signal(signal.SIGPROF, _alarm)


def _alarm(number: int, frame: FrameType | None) -> None:
    raise HangError


def one(door: Door, state: Any, rng: np.random.Generator, folder: Path) -> tuple[str, str]:
    """One case: its outcome, and what there is to say about it."""
    # Of its own time, since a busy machine makes everybody wait; and of the clock, for who waits.
    signal.setitimer(signal.ITIMER_PROF, door.seconds)
    signal.setitimer(signal.ITIMER_REAL, _WAITS * door.seconds)
    try:
        found = door.case(state, rng, folder)
        outcome, detail = found.partition(": ")[::2]
        return outcome, detail
    except HangError:
        return "hang", f"more than {door.seconds:g} s"
    except Vlm3Error as error:
        text = str(error)
        if "\n" in text or len(text) > LONGEST_LINE:
            return "trace-back", f"a message of {len(text)} characters: {text[:80]!r}"
        return "line", text
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "vlm3" in f.filename]
        place = ours[-1] if ours else where
        name = f"{Path(place.filename).name}:{place.lineno}"
        return "trace-back", f"{type(error).__name__} in {name}: {str(error)[:100]!r}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _child(door: Door, name: str, seed: int, numbers: range, pipe: Connection) -> None:
    be_alarmed()
    # Native crashes and warnings would write over the table.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "base").mkdir()
        try:
            state = door.setup(Path(folder) / "base")
        except Exception as error:
            pipe.send(("setup", 0, f"{type(error).__name__}: {error}", 0.0))
            return
        if door.limited:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        door_mark = int.from_bytes(name.encode(), "little") % 2**63
        for number in numbers:
            begun = time.perf_counter()
            rng = np.random.default_rng([seed, door_mark, number])
            work = Path(folder) / "case"
            work.mkdir(exist_ok=True)
            pipe.send(("begin", number, "", 0.0))
            try:
                outcome, detail = one(door, state, rng, work)
            except HangError:
                # It came just as the case had ended otherwise.
                outcome, detail = "hang", f"more than {door.seconds:g} s"
            pipe.send((outcome, number, detail, time.perf_counter() - begun))
        pipe.send(("end", 0, "", 0.0))


def through(name: str, seed: int, first: int, count: int) -> Tally:
    """Takes `count` cases through a door, in a child that is replaced when it dies."""
    door, tally, number = DOORS[name], Tally(), first
    while number < first + count:
        ours, theirs = Pipe(duplex=False)
        child = os.fork()
        if not child:
            try:
                _child(door, name, seed, range(number, first + count), theirs)
            finally:
                os._exit(0)
        theirs.close()
        # The first word comes after the setup, which may render and compile.
        patience, lost = 600.0, "crash"
        while True:
            try:
                if not ours.poll(patience):
                    lost = "hang"
                    break
                kind, at, detail, seconds = ours.recv()
            except EOFError:
                break
            patience = (_WAITS + 2) * door.seconds + 30
            if kind == "end":
                number = first + count
                break
            if kind == "setup":
                tally.failures.append(f"not run: {detail}")
                number = first + count
                break
            if kind == "begin":
                number = at
                continue
            number = at + 1
            tally.add(at, kind, detail, seconds)
        if number < first + count:
            os.kill(child, signal.SIGKILL)
            tally.add(number, lost, "the process died" if lost == "crash" else "it never ended")
            number += 1
        os.waitpid(child, 0)
        ours.close()
    return tally


def table(tallies: dict[str, Tally]) -> str:
    """The outcome of a campaign in Markdown."""
    heads = ("door", "inputs", "value", "named skip", "one clear line", "trace-backs", "hangs",
             "crashes", "silently wrong", "slowest")  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, tally in tallies.items():
        cells = [str(tally.counts[column]) for column in COLUMNS]
        inputs = sum(tally.counts.values())
        lines.append(f"| {name} | {inputs} | {' | '.join(cells)} | {tally.slowest_s:.2f} s |")
    return "\n".join(lines)


def campaign(seed: int, count: int, only: Sequence[str] = (), first: int = 0) -> dict[str, Tally]:
    """Runs the doors one after the other, each with its share of the count."""
    found = {}
    for name in only or DOORS:
        share = count if len(only) == 1 else max(1, round(count * DOORS[name].share))
        found[name] = through(name, seed, first, share)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="", help=f"of {', '.join(DOORS)}; several with commas")
    given = parser.parse_args()
    only = [name for name in given.only.split(",") if name]
    if unknown := set(only) - set(DOORS):
        parser.error(f"no door {', '.join(unknown)}; there are {', '.join(DOORS)}")
    sys.path.insert(1, str(Path(__file__).parents[1] / "tests" / "data"))
    found = campaign(given.seed, given.count, only, given.first)
    print(table(found))
    for name, tally in found.items():
        for line in tally.failures[:8]:
            print(f"{name} {line}")
    if any(tally.failures for tally in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
