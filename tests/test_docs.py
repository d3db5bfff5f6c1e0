"""What the documents say can be typed: commands that exist, options that exist, links that lead."""

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
        assert (path.parent / target.split("#")[0]).exists(), f"{target} is not there"


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


NEEDS = {
    "docs/data.md": "an imagined data set",
    "docs/serving.md": "a running server; tests/app asks one the same way",
}
"""Snippets that are only compiled, and why."""
PYTHON = [
    pytest.param(str(path.relative_to(ROOT)), body, id=str(path.relative_to(ROOT)))
    for path in DOCUMENTS
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
    monkeypatch.chdir(tmp_path)
    # The real one: `vlm3.load` remembers what another test may have put in its place.
    from vlm3.infer.predictor import load

    # Random weights of nano's kind: what the snippets show is how to ask, not what comes back.
    monkeypatch.setattr(vlm3, "load", lambda name="nano", **how: load(str(tiny_folder), **how))
    names = {
        "rng": np.random.default_rng(0),
        "my_model": lambda image, K: np.full(image.shape[:2], 2.0),
    }
    exec(code, names)
