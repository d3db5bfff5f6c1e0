"""How many threads a process of the command line computes with, so that several do not fight.

torch takes every core and its threads spin while they wait: two evaluations side by side on two
cores were ten times slower than one after the other. Here a process takes the cores that are free
when it starts, and its threads sleep while they wait. A user who sets OMP_NUM_THREADS or
OMP_WAIT_POLICY decides. Imports nothing that costs time.
"""

import math
import os
import sys
from pathlib import Path

COUNT = "OMP_NUM_THREADS"
WAITING = "OMP_WAIT_POLICY"

_CGROUP = Path("/sys/fs/cgroup")


def allowed_cores(cgroup: Path = _CGROUP) -> int:
    """Cores that this process may use: by its affinity, and by the quota of its container.

    Args:
        cgroup: where the kernel says the quota, in either of its two versions.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _quota(cgroup)
    return cores if quota >= cores else max(1, math.ceil(quota))


def _quota(cgroup: Path) -> float:
    """Cores of the container's quota, infinite without one."""
    try:
        if (cgroup / "cpu.max").is_file():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        cores = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
    return cores if cores > 0 else math.inf


def free_cores(cgroup: Path = _CGROUP) -> int:
    """Allowed cores that nobody used over the last minute; 1 at least."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        load = 0.0
    return max(1, round(allowed_cores(cgroup) - load))


def share_cores() -> None:
    """Sets the two variables that torch reads as it starts, where the user has not set them."""
    if "torch" in sys.modules:
        return
    os.environ.setdefault(WAITING, "passive")
    os.environ.setdefault(COUNT, str(free_cores()))
