"""SIGTERM ends a command as Ctrl-C does, in one line, whatever libraries it has loaded."""

import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from vlm3.signals import (
    interrupt_children,
    keeping_sigterm,
    one_interrupt,
    sigterm_interrupts,
)

# A command that is sent SIGTERM, twice as `timeout` does, when it has loaded what it needs.
COMMAND = """
import os, signal, sys
import click
from vlm3.cli.console import CommandGroup, kept_on_interrupt
from vlm3.datasets.colmap import load_model
from vlm3.errors import InputError

@click.group(cls=CommandGroup)
def main(): pass

@main.command()
def work():
    with kept_on_interrupt(lambda: "12 answers are kept"):
        try:
            load_model(sys.argv[1])
        except InputError as error:
            assert "cannot read the COLMAP model" in str(error)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
        print("still here")

main(["work"])
"""


@pytest.fixture(autouse=True)
def _default() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_command_that_has_loaded_pycolmap_ends_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 143, ended
    assert ended.stdout == ""
    assert ended.stderr.strip() == "vlm3: ended by SIGTERM: 12 answers are kept"


def test_a_repeated_signal_does_not_disturb_the_end() -> None:
    with sigterm_interrupts() as came:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert came == [signal.SIGTERM] * 2
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("mine", [signal.SIG_IGN, lambda number, frame: None])
def test_a_handler_that_is_there_stays(mine: "signal._HANDLER") -> None:
    signal.signal(signal.SIGTERM, mine)
    with sigterm_interrupts() as came:
        assert signal.getsignal(signal.SIGTERM) is mine
        signal.raise_signal(signal.SIGTERM)
    assert came == [] and signal.getsignal(signal.SIGTERM) is mine


def test_what_an_import_does_to_the_handler_is_undone() -> None:
    with pytest.raises(ImportError), keeping_sigterm():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise ImportError
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_outside_of_the_main_thread_nothing_is_done() -> None:
    seen: list[object] = []

    def work() -> None:
        with sigterm_interrupts(), keeping_sigterm():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def work(pipe: Connection) -> None:
    """A worker that is interrupted, again while it ends, and once more after it."""
    try:
        with one_interrupt():
            try:
                pipe.send("working")
                time.sleep(60)
            finally:
                signal.raise_signal(signal.SIGINT)
                pipe.send("tidy")
    except KeyboardInterrupt:
        signal.raise_signal(signal.SIGINT)
        sys.exit(7)


def test_workers_end_once_and_tidily() -> None:
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=work, args=(there,))
    child.start()
    assert here.recv() == "working"
    interrupt_children(but=[child])
    assert child.is_alive() and not here.poll(0.2), "somebody else's"
    interrupt_children()
    interrupt_children()
    child.join(30)
    assert child.exitcode == 7 and here.recv() == "tidy"
