"""Documents, public docstrings, help and errors use the field's words, and go on doing so."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "vlm3"

WORDS = {
    r"said": "predicted, written, reported, stated",
    r"asked": "queried, prompted, requested; a question, a query",
    r"asking": "inference, a question, a query",
    r"found *=": "the name of what it is: answer, matches",
    r"told": "given, named, reported",
    r"tells": "gives, shows, reports",
    r"whoever": "the caller, the user, any tool",
    r"doors?": "input, entry, reader, middleware",
    r"the house(?:'s)?|house's": "the package, vlm3's own",
    r"(?<!data )books": "the mixture report",
    r"schools?|lessons?": "curriculum, sample, conversation",
    r"twins?": "match cells",
    r"spots?": "positions",
    r"trainees?": "loss module",
    r"journals?": "metrics log",
    r"(?<!--)pointing": "colour grounding",
}
"""Pattern of a word -> what to write instead."""

ALLOWED = {
    "CHANGELOG.md": "names of releases past",
    "docs/reference/cli.md": "generated from docstrings and help, which are checked themselves",
    "docs/reference/python.md": "generated from docstrings, which are checked themselves",
}
"""Files that are not checked, and why."""

THINGS = {
    "src/vlm3/worlds/": {r"doors?", r"the house(?:'s)?|house's", r"(?<!data )books", r"spots?"},
    "docs/worlds.md": {r"doors?"},
    "docs/photos.md": {r"doors?"},
    "docs/stories.md": {r"doors?"},
    "docs/index.md": {r"doors?"},
    "docs/tour.md": {r"trainees?"},
    "src/vlm3/train/flat_settings.py": {r"(?<!--)pointing"},
    "src/vlm3/train/part_settings.py": {r"(?<!--)pointing"},
    "src/vlm3/eval/readers/crosspoint.py": {r"(?<!--)pointing"},
}
"""Where a word names what a picture shows, an option, an attribute or a type of question."""


def _names_stripped(text: str) -> str:
    """Without code spans and without the names of arguments and fields before their colon."""
    return re.sub(r"^ *\w+:", "", re.sub(r"`[^`\n]*`", "", text), flags=re.MULTILINE)


def _documents() -> Iterator[tuple[str, str]]:
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def _is_public(node: ast.AST) -> bool:
    return not getattr(node, "name", "").startswith("_")


def _texts_of(module: ast.Module) -> Iterator[str]:
    waiting: list[ast.AST] = [module]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if not _is_public(node):
                continue
            yield ast.get_docstring(node) or ""
        waiting.extend(ast.iter_child_nodes(node))
    for node in ast.walk(module):
        if isinstance(node, ast.keyword) and node.arg in ("help", "description"):
            yield _constants(node.value)
        elif isinstance(node, ast.Raise) and node.exc is not None:
            yield _constants(node.exc)


def _constants(node: ast.AST) -> str:
    parts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return " ".join(part for part in parts if isinstance(part, str))


def _sources() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        yield str(path.relative_to(ROOT)), "\n\n".join(_texts_of(module))


def private_words(name: str, text: str) -> list[str]:
    """Each private word of a text with its place and what to write instead."""
    allowed = {word for place, words in THINGS.items() if name.startswith(place) for word in words}
    return [
        f"{name}: ...{text[max(0, at.start() - 30) : at.end() + 30]!r}...: write {instead}"
        for text in [_names_stripped(text)]
        for word, instead in WORDS.items()
        if word not in allowed
        for at in re.finditer(rf"(?<![\w-])(?:{word})(?![\w])", text, re.IGNORECASE)
    ]


@pytest.mark.parametrize(
    "texts", [_documents, _sources], ids=["documents", "docstrings, help and errors"]
)
def test_private_words_do_not_come_back(texts: type[Iterator[tuple[str, str]]]) -> None:
    found = [
        line for name, text in texts() if name not in ALLOWED for line in private_words(name, text)
    ]
    assert not found, "\n".join(found)


def test_the_check_sees_every_word_and_what_is_exempt_exists() -> None:
    words = ["said", "asked", "asking", "told", "tells", "whoever", "door", "the house", "books"]
    words += ["lesson", "twins", "spot", "trainee", "journal", "pointing"]
    for word in words:
        assert private_words("docs/x.md", f"What the {word} is."), word
    assert private_words("docs/x.md", "found = predictor.depth(view, xy_px)")
    assert not private_words(
        "docs/x.md", "`vlm3 data books`, `asked` and vlm3 data books --pointing 3"
    )
    assert not private_words("src/vlm3/worlds/rooms.py", "A door of the house.")
    for name in [*ALLOWED, *THINGS]:
        assert (ROOT / name).exists(), name


def test_docstrings_help_and_errors_are_read() -> None:
    module = ast.parse(
        '"""A."""\nclass B:\n    """C."""\n    def _d(self): "E"\nf(help="G")\nraise H("I")'
    )
    assert list(_texts_of(module)) == ["A.", "C.", "I", "G"]
