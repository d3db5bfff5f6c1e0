"""docs/reference/ is what the program says of itself; `make reference` writes it again."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import vlm3

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "docs" / "build_reference.py"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_reference", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Made in a process of their own: click keeps the help option a command was first run with."""
    code = "import json, runpy, sys; print(json.dumps(runpy.run_path(sys.argv[1])['pages']()))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(SCRIPT)], check=True, capture_output=True, text=True
    )
    made: dict[str, str] = json.loads(done.stdout)
    return made


def pinned(package: str) -> str:
    """The version that constraints.txt names."""
    found = re.search(rf"^{package}==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", ["cli.md", "python.md"])
def test_what_is_committed_is_what_the_program_says(
    build: ModuleType, pages: dict[str, str], name: str
) -> None:
    for package in ("click", "tyro"):
        if version(package) != pinned(package):
            pytest.skip(f"{package} is not the version that the help is written with")
    committed = (build.FOLDER / name).read_text(encoding="utf-8")
    assert committed == pages[name], "run make reference"


def test_every_command_is_in_it(build: ModuleType) -> None:
    titles = set(re.findall(r"^## (.+)$", build.command_page(), re.MULTILINE))
    words = {"vlm3 depth", "vlm3 data curate", "vlm3 train nano", "vlm3 train convert-run"}
    assert words <= titles
    assert len(titles) > 30


def test_every_public_name_and_what_the_predictor_returns_is_in_it(build: ModuleType) -> None:
    titles = set(re.findall(r"^## (?:vlm3\.)?(.+)$", build.python_page(), re.MULTILINE))
    source = ast.parse((build.PACKAGE / "infer" / "predictor.py").read_text(encoding="utf-8"))
    (predictor,) = (n for n in source.body if getattr(n, "name", "") == "Predictor")
    assert isinstance(predictor, ast.ClassDef)
    returned = {
        node.returns.id
        for node in predictor.body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and isinstance(node.returns, ast.Name)
    }
    assert {*returned, *vlm3.__all__} - titles == {"__version__"}


def test_writing_it_loads_no_torch() -> None:
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(SCRIPT)], check=True)
