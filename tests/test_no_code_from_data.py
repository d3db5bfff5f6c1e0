"""Law: nothing that is read can run code. The source says so, and planted pickles prove it.

Model folders and run folders: tests/model/test_side_files.py, tests/train/test_tensor_store.py.
"""

import ast
import contextlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "vlm3"

# Modules that unpickle whatever they are given.
BANNED = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
# torch's distributed checkpoints: their metadata is unpickled. The one reader asks first.
UNPICKLING = (
    "torch.distributed.checkpoint.format_utils",
    "torch.distributed.checkpoint.state_dict_",
)
MAY_UNPICKLE = {"train/convert.py"}


def complaints(source: str, name: str) -> list[str]:
    """What in a module could run code from data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            if module.split(".")[0] in BANNED:
                found.append(f"imports {module}")
            if module.startswith(UNPICKLING) and name not in MAY_UNPICKLE:
                found.append(f"imports {module}")
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if called == "torch.load" and given.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if called in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False":
            found.append("np.load with pickles allowed")
        if given.get("trust_remote_code", "False") != "False":
            found.append("trust_remote_code")
        if called in ("eval", "exec", "yaml.load", "yaml.unsafe_load"):
            found.append(called)
    return found


def test_no_module_reads_what_can_run() -> None:
    wrong = {
        str(path.relative_to(PACKAGE)): found
        for path in PACKAGE.rglob("*.py")
        if (found := complaints(path.read_text(), str(path.relative_to(PACKAGE))))
    }
    assert not wrong


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "eval(text)",
        "from torch.distributed.checkpoint.state_dict_loader import load",
    ],
)
def test_the_law_can_fail(source: str) -> None:
    assert complaints(source, "x.py")


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def _shards(folder: Path, plant: Callable[[Path], None]) -> None:
    from vlm3.data.shards import Shards

    for name in ("index.npy", "pairs.npy", "shards.json"):
        np.save(folder / "index.npy", np.zeros((1, 5), np.int64))
        np.save(folder / "pairs.npy", np.zeros(1, np.int64))
        (folder / "shards.json").write_text(json.dumps(["00000.tar"]))
        plant(folder / name)
        with contextlib.suppress(Exception):
            Shards(folder).record(0)


def _furniture(folder: Path, plant: Callable[[Path], None]) -> None:
    from vlm3.worlds.pack import Pack

    plant(folder / "pack.npz")
    with contextlib.suppress(Exception):
        Pack(folder / "pack.npz")


def _depth(folder: Path, plant: Callable[[Path], None]) -> None:
    from click.testing import CliRunner
    from PIL import Image

    from vlm3.cli.main import main

    for name in ("images", "depth"):
        (folder / name).mkdir()
    Image.new("RGB", (32, 24)).save(folder / "images" / "a.png")
    np.savetxt(folder / "K.txt", np.array([[30, 0, 16], [0, 30, 12], [0, 0, 1]]))
    plant(folder / "depth" / "a.npy")
    out = str(folder.parent / "out")
    CliRunner().invoke(main, ["data", "curate", "folder", "--root", str(folder), "-o", out])


def _answers(folder: Path, plant: Callable[[Path], None]) -> None:
    from vlm3.infer.engines.answer_cache import AnswerCache

    plant(folder / "answers.jsonl")
    with contextlib.suppress(Exception):
        AnswerCache(folder / "answers.jsonl")


DOORS = [_shards, _furniture, _depth, _answers]


@pytest.mark.parametrize("kind", ["pickle", "npy", "npz"])
@pytest.mark.parametrize("door", DOORS, ids=[door.__name__[1:] for door in DOORS])
def test_a_planted_pickle_does_not_run(tmp_path: Path, door: Any, kind: str) -> None:
    mark = tmp_path / "ran"
    one = Planted(mark)
    objects = np.array([one, one], dtype=object)

    def plant(path: Path) -> None:
        with path.open("wb") as file:
            if kind == "pickle":
                pickle.dump(one, file)
            elif kind == "npy":
                np.save(file, objects, allow_pickle=True)
            else:
                np.savez(file, meta=objects, vertices=objects, rows=objects)

    folder = tmp_path / "folder"
    folder.mkdir()
    door(folder, plant)
    assert not mark.exists()
    plant(tmp_path / "payload")
    if kind != "npz":
        with contextlib.suppress(Exception):
            np.load(tmp_path / "payload", allow_pickle=True)
    else:
        np.load(tmp_path / "payload", allow_pickle=True)["meta"]
    assert mark.exists(), "the payload works: only nobody opened it"
