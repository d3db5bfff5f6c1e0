"""Console of the command line: errors and warnings in one line, numbers read from options.

Loads nothing but click, so that `--help` is quick. Knows no command.
"""

import difflib
import math
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

import click

from vlm3 import disk
from vlm3.errors import Vlm3Error
from vlm3.signals import sigterm_interrupts


class CommandGroup(click.Group):
    """A click group whose every foreseen failure is one line on stderr and exit code 2.

    Failures that nobody foresaw keep their traceback: it is what a report needs.
    """

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> NoReturn:
        """Runs a command line and exits."""
        options["standalone_mode"] = False
        try:
            with one_line_warnings(), sigterm_interrupts() as came:
                code = super().main(args, *rest, **options)
                with disk.naming("the output"):
                    # Here and not at the interpreter's end, where nobody could say what failed.
                    sys.stdout.flush()
        except click.Abort as stop:
            if isinstance(stop.__cause__, EOFError):
                # A file that is too short, which click takes for the end of what is typed.
                raise stop.__cause__ from None
            # Nothing went wrong: what is kept is printed where something is.
            kept = str(stop.__cause__ or "")
            what = "ended by SIGTERM" if came else "interrupted"
            click.echo(f"vlm3: {what}{': ' if kept else ''}{kept}", err=True)
            # As shells have it.
            sys.exit(128 + (came[0] if came else signal.SIGINT))
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "vlm3"
            message = error.format_message().rstrip(".")
            _complain(f"{message} (see '{command} --help')")
        except (click.ClickException, Vlm3Error) as error:
            _complain(error.message if isinstance(error, click.ClickException) else str(error))
        except OSError as error:
            # Where the place is known, the writer reports it; what is left is stdout, mostly.
            if not disk.is_full(error):
                raise
            _complain(disk.explain(error.filename or "the output", error))
        sys.exit(code if isinstance(code, int) else 0)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command, or names those there are."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            ctx.fail(f"no command {args[0]!r}: {hint}There are {', '.join(known)}")
        return super().resolve_command(ctx, args)


# Messages are written once, for callers in Python; who types commands has options instead.
_TYPED = (
    (re.compile(r"\bcamera, f_px or fov_deg\b"), "--f-px, --fov-deg or --intrinsics"),
    (re.compile(r"\bf_px or fov_deg\b"), "--f-px or --fov-deg"),
    (re.compile(r"\b(?:camera )?fov_deg is\b"), "--fov-deg is"),
    (re.compile(r"\bcamera f[xy]_px is\b"), "the focal length is"),
    (re.compile(r"\bf_px is\b"), "--f-px is"),
    (re.compile(r"\bgive fov_deg\b"), "give --fov-deg"),
    (re.compile(r"\bleave readout out\b"), "leave --readout out"),
    (re.compile(r"\breadout='(\w+)'"), r"--readout \1"),
    (re.compile(r"\bbase_url goes\b"), "--base-url goes"),
    (re.compile(r"\bname a protocol to change that\b"), "--protocol changes that"),
)


def as_typed(message: str) -> str:
    """A message in one line, with options where it names arguments of Python."""
    line = " ".join(message.split())
    for python, option in _TYPED:
        line = python.sub(option, line)
    return line


def _complain(message: str, *, code: int = 2) -> NoReturn:
    click.echo(f"vlm3: error: {as_typed(message)}", err=True)
    sys.exit(code)


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """vlm3's own warnings in one line each; those that libraries address to programmers, not."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if category.__module__.startswith("vlm3."):
            click.echo(f"vlm3: warning: {as_typed(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield


@contextmanager
def held_warnings() -> Iterator[None]:
    """Keeps warnings back until the block has passed; a block that fails says only why."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        warnings.showwarning(one.message, one.category, one.filename, one.lineno)


def numbers(form: str) -> Callable[..., tuple[tuple[float, ...], ...]]:
    """A callback for an option that may be repeated, each time with numbers such as X,Y.

    Args:
        form: what stands in the help, one name a number.
    """
    count = len(form.split(","))

    def read(
        context: click.Context, option: click.Parameter, values: tuple[str, ...]
    ) -> tuple[tuple[float, ...], ...]:
        return tuple(_read_numbers(value, form, count) for value in values)

    return read


def _read_numbers(value: str, form: str, count: int) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in value.split(","))
    except ValueError:
        found = ()
    if len(found) != count or not all(map(math.isfinite, found)):
        raise click.BadParameter(f"{value!r} is not {form}, {count} numbers with commas between")
    return found


@contextmanager
def kept_on_interrupt(kept: Callable[[], str]) -> Iterator[None]:
    """Prints, when Ctrl-C ends the block, what is kept and how to go on.

    What an inner block has printed stays.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if stop.args:
            raise
        raise KeyboardInterrupt(kept()) from stop


@contextmanager
def progress_line(total: int, *, at_most: bool = False) -> Iterator[Callable[[int], None]]:
    """A line on stderr that counts answers and says what is left; on a terminal only.

    Yields a function that takes how many more there are.

    Args:
        total: questions there will be.
        at_most: there may be fewer.
    """
    began, count = time.perf_counter(), 0
    shown, width = sys.stderr.isatty(), 0
    limit = "at most " if at_most else ""

    def tell(more: int) -> None:
        nonlocal count, width
        count += more
        if shown:
            each = max(time.perf_counter() - began, 1e-6) / max(count, 1)
            line = f"{count} of {limit}{total} questions, {1 / each:.0f} a second"
            if count < total:
                line += f", {limit}{duration(each * (total - count))} left"
            click.echo(f"\r{line:<{width}}", err=True, nl=False)
            width = len(line)

    try:
        yield tell
    finally:
        if shown and count:
            click.echo("", err=True)


class Countdown:
    """How far a list has come, and the time it will take, on stderr.

    On a terminal one line that changes; elsewhere, as in a log, a line every half minute.

    Args:
        total: how many there are.
        what: their name in the plural.
    """

    _QUIET_S = 30.0

    def __init__(self, total: int, what: str) -> None:
        self._total, self._what = total, what
        self._live = sys.stderr.isatty()
        self._began = self._told = time.perf_counter()
        self._done = self._width = 0

    def skip(self) -> None:
        """One that need not be done: it takes no time."""
        self._total -= 1

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        now = time.perf_counter()
        if not self._live and now - self._told < self._QUIET_S:
            return
        self._told = now
        each = (now - self._began) / self._done
        left = round(each * (self._total - self._done))
        line = (
            f"{self._done} of {self._total} {self._what}, {each:.1f} s each, "
            f"about {left // 60}:{left % 60:02d} left"
        )
        start = "\r" if self._live else ""
        click.echo(f"{start}{line.ljust(self._width)}", err=True, nl=not self._live)
        self._width = len(line)

    def clear(self) -> None:
        """Ends the line, so that something else can be written."""
        if self._live and self._width:
            click.echo("", err=True)
            self._width = 0


def duration(seconds: float) -> str:
    """A time in the unit that fits, such as 40 s or 3 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
