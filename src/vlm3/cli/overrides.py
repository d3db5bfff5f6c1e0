"""The words behind a recipe's name to the run they ask for: `--rate 1e-4 --folders A,B`.

Prints nothing and trains nothing.
"""

from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from os.path import commonpath
from pathlib import Path
from typing import TYPE_CHECKING

from vlm3.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from vlm3.train.config import RunConfig


def overridden(name: str, changes: Sequence[str]) -> "RunConfig":
    """A recipe with its settings changed, as `--rate 1e-4 --batch 64`.

    Raises:
        InputError: no such recipe or setting, or a value of the wrong kind.
        MissingDependencyError: changes without tyro installed.
    """
    from vlm3.train.recipes import recipe

    run = recipe(name)
    if not changes:
        return run
    try:
        import tyro
    except ImportError as error:
        raise MissingDependencyError("overrides need tyro: pip install 'vlm3[train]'") from error
    from vlm3.train.flat_settings import as_arguments, from_arguments

    given, changes = as_arguments(run), _with_values(changes)
    said = StringIO()
    try:
        # Asked for help, it prints that and leaves with 0; anything else is one line of ours.
        if set(changes) & {"-h", "--help"}:
            tyro.cli(type(given), default=given, prog=f"vlm3 train {name}", args=list(changes))
        with redirect_stderr(said), redirect_stdout(said):
            given = tyro.cli(type(given), default=given, args=list(changes))
    except SystemExit as error:
        if error.code == 0:
            raise
        words = " ".join(w for w in said.getvalue().split() if not set(w) <= set("─│╭╮╰╯-"))
        raise InputError(
            f"{' '.join(changes)}: {words[:300]} (vlm3 train {name} --help lists the fields)"
        ) from None
    return from_arguments(given, run)


def _with_values(changes: Sequence[str]) -> list[str]:
    """A setting that was a switch before it was a choice is one still: `--compile` alone is on."""
    out = []
    for word, after in zip(changes, [*changes[1:], "-"], strict=True):
        if word == "--no-compile":
            out += ["--compile", "off"]
        elif word == "--compile" and after.startswith("-"):
            out += ["--compile", "on"]
        else:
            out.append(word)
    return out


def with_folders(name: str, changes: Sequence[str]) -> list[str]:
    """Changes with `--folders A,B` written out for the recipe `name`: its parts of those folders.

    Without `--data`, the folders are paths from here.

    Raises:
        InputError: no folder is named, or the recipe renders its data.
    """
    from vlm3.train.parts import RENDERED
    from vlm3.train.recipes import recipe

    changes = [part for one in changes for part in _split_off("--folders", one)]
    if "--folders" not in changes:
        return changes
    at = changes.index("--folders")
    names = [n for n in "".join(changes[at + 1 : at + 2]).split(",") if n]
    if not names or names[0].startswith("--"):
        raise InputError("--folders names no folder; give --folders A,B")
    parts = recipe(name).data.parts
    places = [k for k, part in enumerate(parts) if not isinstance(part, RENDERED)]
    if not places:
        raise InputError(
            f"recipe {name} renders its data and reads no folders; choose depth_4b, objects_4b, "
            "correspondence_4b, pose_4b or joint_4b, and change it (--model nano, --rate, ...)"
        )
    rest = changes[:at] + changes[at + 2 :]
    if not any(one == "--data" or one.startswith("--data=") for one in rest):
        # Below one folder, as `--data` wants them.
        roots = [Path(n).resolve() for n in names]
        above = Path(commonpath([root.parent for root in roots]))
        names = [root.relative_to(above).as_posix() for root in roots]
        rest += ["--data", str(above)]
    for k in places:
        rest += [f"--parts.{k}.kind", "folders", f"--parts.{k}.weights", "size"]
        rest += [f"--parts.{k}.folders", *names]
    return rest


def _split_off(option: str, one: str) -> list[str]:
    """`--option=value` as two words; anything else as it is."""
    head, equals, value = one.partition("=")
    return [head, value] if equals and head == option else [one]


def as_field(word: str) -> str:
    """The recipe's field `out` is -o or --output to everyone else."""
    if word in ("-o", "--output"):
        return "--out"
    return word.replace("--output=", "--out=", 1) if word.startswith("--output=") else word
