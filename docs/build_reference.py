"""Writes docs/reference/: the command line from its own help, the Python API from its docstrings.

    python docs/build_reference.py       or: make reference

tests/test_reference.py fails where what is committed is not what this writes. The command line is
asked for its help; of the Python API the source is read, so neither torch nor a model is loaded.
"""

import ast
import inspect
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock

import click

import vlm3
from vlm3.cli.main import main as command_line
from vlm3.cli.overrides import overridden

FOLDER = Path(__file__).parent / "reference"
PACKAGE = Path(vlm3.__file__).parent
WIDTH = 88
RECIPE = "depth_4b"
"""Whose settings stand for those of all recipes."""

API: dict[str, tuple[str, ...]] = {
    "infer/loading.py": ("load",),
    "infer/predictor.py": ("Predictor",),
    "view.py": ("View",),
    "geometry/camera.py": ("Camera",),
    "tasks/answers.py": (
        "DepthAnswer",
        "MatchAnswer",
        "PoseAnswer",
        "MotionCheck",
        "ObjectAnswer",
        "TextAnswer",
        "FovAnswer",
        "Spread",
    ),
    "infer/maps.py": ("DepthMap", "FullDepth", "MatchMap", "PointCloud"),
    "infer/measure.py": ("Measurement", "MeasuredLength", "MeasuredRegion", "Span"),
    "errors.py": ("Vlm3Error", "InputError"),
}
"""The public names and what their methods return, in reading order."""

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Warns|Yields):$")
_ENTRY = re.compile(r"^ {4}(\S[^:]*): (.*)$")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def pages() -> dict[str, str]:
    """File name below docs/reference -> its text."""
    return {"cli.md": command_page(), "python.md": python_page()}


def command_page() -> str:
    """Every command with its help, and the settings of a recipe."""
    parts = [
        "# The command line",
        "What every command says about itself with `--help`. Written by `make reference`.",
    ]
    root = click.Context(
        command_line,
        info_name="vlm3",
        terminal_width=WIDTH,
        # As when it runs: click keeps the help option that it makes first.
        **command_line.context_settings,
    )
    for context in _commands(root):
        parts += [f"## {context.command_path}", _fence(context.get_help())]
    parts += [
        f"## vlm3 train {RECIPE}",
        "A recipe's settings, each with the recipe's own value. All recipes have these; `parts`, "
        "what is trained on, differ.",
        _fence(_settings_of(RECIPE)),
    ]
    return "\n\n".join(parts) + "\n"


def _commands(context: click.Context) -> Iterator[click.Context]:
    """A command and, if it is a group, all commands below it."""
    yield context
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield from _commands(
                click.Context(command, info_name=name, parent=context, terminal_width=WIDTH)
            )


def _settings_of(recipe: str) -> str:
    said = StringIO()
    with mock.patch.dict(os.environ, {"COLUMNS": str(WIDTH)}), redirect_stdout(said):
        try:
            overridden(recipe, ["--help"])
        except SystemExit as end:
            assert not end.code, said.getvalue()
    return said.getvalue()


def _fence(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return f"```text\n{lines}\n```"


def python_page() -> str:
    """The public names with signatures and docstrings."""
    parts = [
        "# The Python API",
        "`vlm3.load`, `View`, `Camera`, `Predictor`, `InputError` and `Vlm3Error` are the names to "
        "import; the other classes are what their methods return. Pixels are continuous, the "
        "centre of the top left one at (0.5, 0.5); see [Conventions](../conventions.md). Written "
        "from the docstrings by `make reference`.",
    ]
    for module, names in API.items():
        text = (PACKAGE / module).read_text(encoding="utf-8")
        defined = {
            node.name: node
            for node in ast.parse(text).body
            if isinstance(node, ast.ClassDef | Function)
        }
        for name in names:
            parts += _documented(defined[name], name, module)
    return "\n\n".join(parts) + "\n"


def _documented(node: ast.ClassDef | Function, name: str, module: str) -> Iterator[str]:
    public = f"vlm3.{name}" if name in vlm3.__all__ else name
    yield f"## {public}"
    yield f"In `{module}`."
    if not isinstance(node, ast.ClassDef):
        yield _python(_signature(node))
        yield _prose(node)
        return
    bases = [ast.unparse(base) for base in node.bases if not ast.unparse(base).startswith("_")]
    head = f"class {node.name}({', '.join(bases)})" if bases else f"class {node.name}"
    fields = [f"    {ast.unparse(f)}" for f in node.body if isinstance(f, ast.AnnAssign)]
    yield _python("\n".join([f"{head}:" if fields else head, *fields]))
    yield _prose(node)
    for method in node.body:
        if isinstance(method, Function) and not method.name.startswith("_"):
            yield f"### {name}.{method.name}"
            yield _python(_signature(method))
            yield _prose(method)


def _signature(node: Function) -> str:
    """`def name(...)` without its body, a line an argument where one line is too long."""
    decorators = [f"@{ast.unparse(d)}\n" for d in node.decorator_list]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = list(_arguments(node.args))
    line = f"def {node.name}({', '.join(arguments)}){returns}"
    if len(line) > WIDTH:
        line = f"def {node.name}(\n" + "".join(f"    {a},\n" for a in arguments) + f"){returns}"
    return "".join(decorators) + line


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    plain, named = arguments.args, arguments.kwonlyargs
    nothing = [None] * (len(plain) - len(arguments.defaults))
    yield from map(_argument, plain, [*nothing, *arguments.defaults])
    if named:
        yield "*"
    yield from map(_argument, named, arguments.kw_defaults)


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = ast.unparse(argument)
    if default is None:
        return text
    return f"{text} = {ast.unparse(default)}" if argument.annotation else f"{text}={default}"


def _python(text: str) -> str:
    # Not marked as Python: test_docs.py runs what is. Quotes as the formatter wants them.
    assert '"' not in text
    return "```py\n{}\n```".format(text.replace("'", '"'))


def _prose(node: ast.ClassDef | Function) -> str:
    """A Google docstring as Markdown: sections as lists."""
    docstring = ast.get_docstring(node, clean=False)
    assert docstring, f"{node.name} has no docstring"
    made: list[str] = []
    section = ""
    # A shape such as (*n, 2) is no emphasis.
    for line in inspect.cleandoc(docstring).replace("*", r"\*").splitlines():
        title, entry = _SECTION.match(line), _ENTRY.match(line)
        if title:
            section = title[1]
            made += [f"**{section}**", ""]
        elif section and entry and section not in ("Returns", "Yields"):
            made.append(f"- `{entry[1]}`: {entry[2]}")
        elif section and line.startswith("    "):
            made.append(f"  {line.strip()}" if made[-1].startswith(("-", "  ")) else line.strip())
        else:
            section = section if line else ""
            made.append(line)
    return "\n".join(made).strip()


def main() -> None:
    """Writes the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER / name)


if __name__ == "__main__":
    main()
