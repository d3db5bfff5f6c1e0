"""What the documents say can be typed: commands that exist, options that exist, links that lead."""

import ast
import contextlib
import io
import itertools
import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest

import vlm3
from vlm3.assets import EXAMPLES_DIR
from vlm3.cli.main import main

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "vlm3"
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda p: str(p.relative_to(ROOT))
)
FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def fenced(text: str, *languages: str) -> list[str]:
    return [body for language, body in FENCED.findall(text) if language in languages]


def commands_of(text: str) -> list[str]:
    """Lines that run vlm3, joined where a backslash continues them; without the prompt."""
    found = []
    for body in fenced(text, "", "console", "bash", "sh", "text"):
        for line in body.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s&&\s|\s\|\s|;\s", line.strip().removeprefix("$ ")):
                if part.startswith("vlm3 ") and "..." not in part:
                    found.append(part)
    return found


COMMANDS = [
    pytest.param(command, id=f"{path.relative_to(ROOT)}: {command[:60]}")
    for path in DOCUMENTS
    for command in dict.fromkeys(commands_of(path.read_text(encoding="utf-8")))
]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_documents_has_only_options_that_exist(command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    at: click.Command = main
    context = click.Context(main, info_name="vlm3")
    while isinstance(at, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        found = at.get_command(context, name)
        assert found is not None, f"there is no command {name!r}"
        at, context = found, click.Context(found, info_name=name, parent=context)
    # Where unknown options are let through, they are fields of a recipe.
    if not at.context_settings.get("ignore_unknown_options"):
        at.make_parser(context).parse_args(words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_the_documents_lead_somewhere(path: Path) -> None:
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        led = (path.parent / target.split("#")[0]).resolve()
        assert led.exists(), f"{target} is not there"
        # The site holds docs/ alone, and its build ends at a link that leaves it.
        if path.is_relative_to(ROOT / "docs"):
            assert led.is_relative_to(ROOT / "docs"), f"{target} leaves docs/"


def test_every_page_is_in_the_site() -> None:
    listed = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    pages = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert pages == listed


def test_the_newest_release_is_this_version() -> None:
    releases = re.findall(
        r"^## \[(\d[^\]]*)\] - \d{4}-\d{2}-\d{2}$",
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    assert project is not None
    assert releases[0] == vlm3.__version__ == project[1]


CONTINUED = {"docs/tour.md"}
"""Documents whose snippets go on where the last one ended, and show what they print."""
NEEDS = {
    "docs/data.md": "an imagined data set",
    "docs/serving.md": "a running server; tests/app asks one the same way",
}
"""Snippets that are only compiled, and why."""
PYTHON = [
    pytest.param(str(path.relative_to(ROOT)), body, id=str(path.relative_to(ROOT)))
    for path in DOCUMENTS
    if str(path.relative_to(ROOT)) not in CONTINUED
    for body in fenced(path.read_text(encoding="utf-8"), "python")
]


@pytest.mark.parametrize(("document", "snippet"), PYTHON)
def test_python_of_the_documents_runs(
    document: str,
    snippet: str,
    tmp_path: Path,
    tiny_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = compile(snippet, document, "exec")
    if document in NEEDS:
        return
    real = ROOT.parent / "shared" / "data" / "ibims1_a"
    if "ibims1" in snippet:
        if not real.is_dir():
            pytest.skip("needs ../shared/data/ibims1_a")
        (tmp_path / "ibims1").symlink_to(real)
    shutil.copy(EXAMPLES_DIR / "lounge_1.jpg", tmp_path / "photo.jpg")
    shutil.copy(EXAMPLES_DIR / "lounge_2.jpg", tmp_path / "photo_2.jpg")
    monkeypatch.chdir(tmp_path)
    # The real one: `vlm3.load` remembers what another test may have put in its place.
    from vlm3.infer.loading import load

    # Random weights of nano's kind: what the snippets show is how to ask, not what comes back.
    monkeypatch.setattr(vlm3, "load", lambda name="nano", **how: load(str(tiny_folder), **how))
    names = {
        "rng": np.random.default_rng(0),
        "my_model": lambda image, K: np.full(image.shape[:2], 2.0),
    }
    exec(code, names)


@pytest.mark.parametrize("document", sorted(CONTINUED))
def test_snippets_print_what_stands_below_them(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = FENCED.findall((ROOT / document).read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    steps = 0
    for (language, code), (other, shown) in itertools.pairwise(blocks):
        if language != "python":
            continue
        assert other == "text", f"what this prints is not shown: {code}"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, document, "exec"), names)
        assert printed.getvalue() == shown
        steps += 1
    assert steps > 6


def test_the_tour_says_of_a_file_what_the_file_says_of_itself() -> None:
    text = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^## \d\. `(.+)`\n\n> (.+)\n", text, re.MULTILINE)
    assert len(quoted) == 7
    for name, sentence in quoted:
        docstring = ast.get_docstring(ast.parse((PACKAGE / name).read_text(encoding="utf-8")))
        assert docstring is not None
        assert docstring.splitlines()[0] == sentence, name


# Code spans that name a file or folder: from the root, or from src/vlm3.
_ROOMS = {p.name for p in PACKAGE.iterdir() if p.is_dir()}
_TOP = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")}


def files_named(text: str) -> set[str]:
    """Paths in code spans: those that begin with a folder of ours, and all of Python files."""
    spans = re.findall(r"`([\w./:-]+)`", FENCED.sub("", text))
    return {
        span
        for span in spans
        if re.search(r"\.py(::\w+)?$", span)
        or ("/" in span and span.split("/")[0] in _ROOMS | _TOP)
    }


def modules_named(text: str) -> set[str]:
    """Dotted names of ours in code spans."""
    named = set(re.findall(r"`(vlm3(?:\.\w+)+)`", FENCED.sub("", text)))
    for snippet in fenced(text, "python"):
        for node in ast.walk(ast.parse(snippet)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vlm3."):
                named |= {f"{node.module}.{alias.name}" for alias in node.names}
    return named - {"vlm3.json"}


WRITTEN = {"benchmarks/results/"}
"""Folders that a command makes."""


def is_there(name: str) -> bool:
    """Whether a path names a file or folder of this repository, `::` a test in it."""
    name, _, test = name.partition("::")
    if test:
        found = next((ROOT / "tests").rglob(Path(name).name), None)
        return found is not None and f"def {test}(" in found.read_text(encoding="utf-8")
    if name in WRITTEN or (ROOT / name).exists() or (PACKAGE / name).exists():
        return True
    return "/" not in name and any(
        next((ROOT / top).rglob(name), None) for top in ("src", "tests", "benchmarks", "examples")
    )


def is_defined(dotted: str) -> bool:
    """Whether a dotted name is a module, or a name at the top of one."""
    parts = dotted.split(".")[1:]
    if parts[0] in vlm3.__all__:
        return True
    path = PACKAGE
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    if parts and (path / f"{parts[0]}.py").exists():
        path /= f"{parts.pop(0)}.py"
    elif parts:
        path /= "__init__.py"
    return not parts or (
        path.is_file()
        and re.search(rf"\b{parts[0]}\b", path.read_text(encoding="utf-8")) is not None
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_modules_that_a_document_names_are_there(path: Path) -> None:
    # The changelog tells of what was.
    text = path.read_text(encoding="utf-8")
    if path.name == "CHANGELOG.md":
        text = text.split("\n## ")[1]
    assert not sorted(name for name in files_named(text) if not is_there(name))
    assert not sorted(name for name in modules_named(text) if not is_defined(name))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_modules_that_a_docstring_names_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    dotted = {
        name
        for name in re.findall(r"`(?:vlm3\.)?(\w+(?:\.\w+)+)`", text)
        if name.split(".")[0] in _ROOMS and not name.endswith((".safetensors", ".py"))
    }
    assert not sorted(name for name in dotted if not is_defined(f"vlm3.{name}"))


def test_there_are_files_named() -> None:
    named = [files_named(path.read_text(encoding="utf-8")) for path in DOCUMENTS]
    assert sum(map(len, named)) > 100
    assert not is_there("train/batch.py")
    assert not is_defined("vlm3.train.batch")
