"""Thread counts from the cores that are free."""

import os
import sys
from pathlib import Path

import pytest

from vlm3 import threads


@pytest.mark.parametrize(
    ("cores", "files", "allowed"),
    [
        (8, {}, 8),
        (8, {"cpu.max": "max 100000"}, 8),
        (8, {"cpu.max": "200000 100000"}, 2),
        (8, {"cpu.max": "150000 100000"}, 2),
        (8, {"cpu.max": "5000 100000"}, 1),
        (1, {"cpu.max": "400000 100000"}, 1),
        (8, {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        (8, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        (8, {"cpu.max": "not a number"}, 8),
    ],
)
def test_allowed_cores(
    cores: int,
    files: dict[str, str],
    allowed: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert threads.allowed_cores(tmp_path) == allowed


@pytest.mark.parametrize(("load", "free"), [(0.0, 4), (0.4, 4), (1.0, 3), (3.2, 1), (40.0, 1)])
def test_free_cores(
    load: float, free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    assert threads.free_cores(tmp_path) == free


def test_the_user_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(threads, "free_cores", lambda: 3)
    for count, waiting in ((None, None), ("7", None), (None, "active")):
        for name, value in ((threads.COUNT, count), (threads.WAITING, waiting)):
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)
        threads.share_cores()
        assert os.environ[threads.COUNT] == (count or "3")
        assert os.environ[threads.WAITING] == (waiting or "passive")


def test_once_torch_runs_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    monkeypatch.delenv(threads.COUNT, raising=False)
    threads.share_cores()
    assert threads.COUNT not in os.environ
