"""The arrows between packages point one way (docs/architecture.md)."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "vlm3"

# What each room may import of the others; itself and the small tools at the root always.
TOOLS = {
    "disk",
    "errors",
    "files",
    "lock",
    "partials",
    "signals",
    "strict_json",
    "threads",
    "__version__",
}
ALLOWED: dict[str, set[str]] = {
    **{tool: set() for tool in TOOLS},
    "geometry": set(),
    "exif": set(),
    "pictures": {"exif"},
    "view": {"geometry", "pictures"},
    "tasks": {"geometry", "view"},
    "model": {"geometry", "view", "tasks"},
    "assets": {"geometry", "view", "tasks"},
    "data": {"geometry", "pictures", "view", "tasks"},
    "datasets": {"geometry", "pictures", "view", "tasks", "data"},
    "curation": {"geometry", "pictures", "view", "tasks", "data", "datasets"},
    "worlds": {"geometry", "view", "tasks", "data"},
    "train": {"geometry", "view", "tasks", "data", "model", "worlds"},
    "nano": {"geometry", "view", "tasks", "data", "model", "worlds", "train"},
    "infer": {"geometry", "view", "tasks", "model", "assets"},
    "multiview": {"geometry", "view", "tasks", "infer"},
    "viz": {"geometry", "view", "tasks", "assets"},
    "output": {"geometry", "view", "tasks", "infer", "multiview", "viz"},
    "eval": {
        "geometry",
        "view",
        "tasks",
        "data",
        "datasets",
        "curation",
        "worlds",
        "infer",
        "viz",
    },
    "ablations": {"geometry", "tasks", "data", "worlds", "train", "eval"},
}
# The outside: they see everything; the public names and `python -m vlm3` are in these two files.
FREE = {"cli", "server"}
DOORS = {"__init__", "__main__"}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names += [f"{module}.{a.name}" if module == "vlm3" else module for a in node.names]
    return {name.split(".")[1] for name in names if name.startswith("vlm3.")}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_arrows(path: Path) -> None:
    here = room(path)
    if here in FREE | DOORS:
        return
    assert here in ALLOWED, f"{here} is a new room: say in tests/test_arrows.py what it may import"
    wrong = imported_rooms(path) - ALLOWED[here] - TOOLS - {here}
    assert not wrong, f"{here} may not import {sorted(wrong)}"


def test_the_documents_say_the_same() -> None:
    text = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|.*\| ([\w, ]+) \|$", text, re.MULTILINE)
    said = {name: set(may.split(", ")) - {"nothing"} for name, may in rows}
    kept = {name: may for name, may in ALLOWED.items() if name not in TOOLS}
    assert said == kept | {name: {"everything"} for name in FREE}
    assert all(f"`{tool}" in text for tool in TOOLS - {"__version__"})


def test_geometry_needs_numpy_alone() -> None:
    for path in (PACKAGE / "geometry").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                top = (node.module or "").split(".")[0]
            elif isinstance(node, ast.Import):
                top = node.names[0].name.split(".")[0]
            else:
                continue
            assert top in {"vlm3", "numpy", *sys.stdlib_module_names}, f"{path} imports {top}"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import vlm3", "numpy"),
        ("import vlm3.cli.main", "torch"),
        ("import vlm3.view", "torch"),
        ("import vlm3.train.recipes, vlm3.train.flat_settings", "torch"),
    ],
)
def test_light_imports_stay_light(statement: str, absent: str) -> None:
    code = f"{statement}; import sys; assert {absent!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
