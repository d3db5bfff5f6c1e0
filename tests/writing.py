"""Every command that writes, on inputs as small as can be, with an engine that answers at once.

A word of a command that names something made here (A, RUN, SHARDS, ...) stands for its path, and
OUT for where the command is to write.
"""

import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from joint_answers import answering
from PIL import Image

from vlm3.cli.main import main
from vlm3.data.pair_rows import pair_row
from vlm3.data.record import Record
from vlm3.data.shards import write_pairs, write_shards
from vlm3.geometry.camera import Camera
from vlm3.infer import loading
from vlm3.infer import predictor as predict
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.multiview.oracle import SceneOracle
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.sample import ObjectQuestion
from vlm3.tasks.truth import Length
from vlm3.view import View

_AT = ("--at", "20,20")
_GRID = ("--grid", "24x18")
_SCENE = ("scene", "A", "B", "--grid", "6x5", "--fov-deg", "60")
_EXPORT = ("data", "export", "SHARDS", "-o", "OUT", "--to")
COMMANDS: dict[str, tuple[str, ...]] = {
    "points html": ("depth", "A", *_AT, "-o", "OUT/x.html"),
    "figure png": ("depth", "A", *_AT, "--figure", "OUT/x.png"),
    "figure svg": ("depth", "A", *_AT, "--figure", "OUT/x.svg"),
    "figure pdf": ("depth", "A", *_AT, "--figure", "OUT/x.pdf"),
    **{f"map {form}": ("depth", "A", *_GRID, "-o", f"OUT/x.{form}") for form in ("npz", "png")},
    "map rrd": ("depth", "A", *_GRID, "-o", "OUT/x.rrd"),
    "map exr": ("depth", "A", *_GRID, "--full-size", "-o", "OUT/x.exr"),
    "many": ("depth", "PHOTOS", "--grid", "4x3", "-o", "OUT"),
    **{f"cloud {form}": ("cloud", "A", *_GRID, "-o", f"OUT/x.{form}") for form in ("ply", "glb")},
    "cloud html": ("cloud", "A", *_GRID, "-o", "OUT/x.html"),
    "match npz": ("match", "A", "B", *_GRID, "-o", "OUT/x.npz"),
    "pose html": ("pose", "A", "B", "-o", "OUT/x.html"),
    "pose rrd": ("pose", "A", "B", "-o", "OUT/x.rrd"),
    "pose colmap": ("pose", "A", "B", "-o", "OUT/x"),
    "ask html": ("ask", "A", "How wide is {0}?", "--box", "9,9,50,50", "-o", "OUT/x.html"),
    **{
        f"scene {form}": (*_SCENE, "-o", f"OUT/x.{form}")
        for form in ("ply", "glb", "npz", "html", "rrd")
    },
    "scene colmap": (*_SCENE, "-o", "OUT/x"),
    "demo": ("demo", "-o", "OUT"),
    "worlds render": ("worlds", "render", "-o", "OUT", "--count", "1", "--size", "32x24"),
    "worlds look": ("worlds", "look", "-o", "OUT/x.png", "--count", "1", "--size", "32x24"),
    "worlds assets": ("worlds", "assets", "--from", "LIBRARY", "-o", "OUT/x.npz"),
    "eval": ("eval", "worlds", "--count", "1", "--model", "constant", "-o", "OUT"),
    "queries": ("eval", "worlds", "--count", "1", "--queries", "OUT/x.jsonl"),
    "lmms": ("eval", "worlds", "--count", "1", "--lmms", "OUT"),
    "score": ("score", "RUN"),
    **{
        f"report {form}": ("report", "RUN", "-o", f"OUT/x.{form}") for form in ("html", "md", "tex")
    },
    "figures": ("figure", "RUN", "--count", "1", "-o", "OUT"),
    "curate": ("data", "curate", "depthlm", "--root", "RAW", "-o", "OUT", "--points", "4"),
    "index": ("data", "index", "TARS"),
    "inspect": ("data", "inspect", "SHARDS", "-o", "OUT"),
    "export trl": (*_EXPORT, "trl"),
    "export llama-factory": (*_EXPORT, "llama-factory"),
    "export depthlm": (*_EXPORT, "depthlm"),
}
IN_PLACE = ("score", "index")
"""What is written by these lies where they read."""
_CC0 = "This file is under the Creative Commons Zero (Public Domain)"

Answer = Callable[[str], str]


def make_inputs(folder: Path) -> Path:
    """Writes what the commands read: once, since it takes a second."""
    for k, name in enumerate(("A.png", "B.png", "PHOTOS/one.png", "PHOTOS/two.png")):
        noise = np.random.default_rng(k).integers(0, 255, (120, 160, 3), np.uint8)
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(noise).save(folder / name)
    _make_sets(folder / "RAW", folder / "SHARDS")
    (folder / "TARS").mkdir()
    shutil.copy(folder / "SHARDS" / "00000.tar", folder / "TARS")
    _make_library(folder / "LIBRARY")
    command = ["eval", "worlds", "--count", "1", "--model", "constant", "-o", str(folder / "RUN")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    (folder / "RUN" / "scores.json").unlink()
    return folder


def _make_sets(raw: Path, shards: Path) -> None:
    (raw / "rgb").mkdir(parents=True)
    camera = Camera(100.0, 110.0, 80.0, 60.0, 160, 120)
    rng = np.random.default_rng(1)
    rows, samples = [], []
    for k in range(3):
        path = raw / "rgb" / f"{k}.jpg"
        Image.fromarray(rng.integers(0, 255, (120, 160, 3), np.uint8)).save(path)
        xy_px, distance_m = rng.integers(0, 100, (9, 2)), rng.uniform(0.5, 9, 9).round(3)
        rows.append(
            {
                "image": f"rgb/{k}.jpg",
                "intrinsics": [100.0, 110.0, 80.0, 60.0, 160, 120],
                "pixel_coords": xy_px.tolist(),
                "depth": distance_m.tolist(),
            }
        )
        question = ObjectQuestion("How wide is {0}?", ((1.0, 2.0, 30.0, 40.0),), Length(1.25))
        record = Record(camera, xy_px + 0.5, distance_m, (question,), source=f"scene{k}")
        samples.append((f"s{k:04d}", path.read_bytes(), record.to_json()))
    (raw / "made_val.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    write_shards(shards, samples)
    xy = np.array([[10.0, 20.0], [90.0, 60.0]])
    write_pairs(shards, [pair_row(0, 1, np.eye(4), xy, xy + 2, covisibility=0.5)])


def _make_library(folder: Path) -> None:
    """A library of one chair in Sweet Home 3D's format."""
    about = ["name=Test", "id#1=t#1", "name#1=Chair", "category#1=Living room",
             "model#1=/m/thing.obj", "width#1=50", "depth#1=55", "height#1=90"]  # fmt: skip
    corners = [f"v {x} {y} {z}" for x in (-1, 1) for y in (-2, 2) for z in (-1, 1)]
    faces = ["1 2 4 3", "5 6 8 7", "1 2 6 5", "3 4 8 7", "1 3 7 5", "2 4 8 6"]
    folder.mkdir()
    with zipfile.ZipFile(folder / "test.sh3f", "w") as archive:
        archive.writestr("LICENSE.TXT", _CC0)
        archive.writestr("PluginFurnitureCatalog.properties", "\n".join(about))
        archive.writestr("m/thing.obj", "\n".join(corners + [f"f {face}" for face in faces]))


@dataclass(frozen=True)
class Place:
    """A folder with inputs of its own and, below it, what a command writes.

    Attributes:
        folder: of both.
    """

    folder: Path

    @classmethod
    def made(cls, folder: Path, inputs: Path) -> "Place":
        """Copies what commands write into; links the rest."""
        folder.mkdir(parents=True)
        for path in inputs.iterdir():
            if path.name in ("RUN", "SHARDS", "TARS"):
                shutil.copytree(path, folder / path.name)
            else:
                (folder / path.name).symlink_to(path)
        return cls(folder)

    @property
    def out(self) -> Path:
        """Where OUT is."""
        return self.folder / "OUT"

    def run(
        self, name: str, monkeypatch: pytest.MonkeyPatch, answer: Answer | None = None
    ) -> Result:
        """Runs a command of COMMANDS."""

        def load(model: str = "", **more: Any) -> predict.Predictor:
            engine: Any = OracleEngine(answer or answering())
            if name.startswith("scene") and answer is None:
                engine = self._scene()
            return predict.Predictor(engine, get_protocol("joint"), multiple_px=16)

        monkeypatch.setattr(loading, "load", load)
        monkeypatch.setattr("vlm3.load", load)
        # git would refresh the index of this checkout, and leave its lock behind on a full disk.
        monkeypatch.setattr("vlm3.eval.predict._commit", lambda: None)
        args = [self._path(word) for word in COMMANDS[name]]
        with warnings.catch_warnings():
            return CliRunner().invoke(main, args, prog_name="vlm3")

    def _scene(self) -> SceneOracle:
        """Motions that do not contradict each other: a step aside before a wall."""
        views = [View.open(self.folder / f"{x}.png", fov_deg=60) for x in "AB"]
        poses = np.stack([np.eye(4), np.eye(4)])
        poses[1, 0, 3] = 0.2
        wall = [np.full((120, 160), 2.0)] * 2
        return SceneOracle(views, poses, wall, get_protocol("joint"))

    def _path(self, word: str) -> str:
        head = word.partition("/")[0]
        names = {"A": "A.png", "B": "B.png"}
        known = ("A", "B", "RUN", "SHARDS", "TARS", "RAW", "PHOTOS", "LIBRARY", "OUT")
        return str(self.folder / names.get(word, word)) if head in known else word


def new_files(place: Place, inputs: Path) -> set[Path]:
    """What lies below a place and is not as it was given."""
    found = set()
    for path in place.folder.rglob("*"):
        own = inputs / path.relative_to(place.folder)
        if path.is_symlink() or path.is_dir():
            continue
        if not own.is_file() or own.read_bytes() != path.read_bytes():
            found.add(path)
    return found
