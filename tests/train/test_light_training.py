"""Training from shards needs no renderer: neither worlds nor Warp are loaded for it."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from vlm3.data.record import Record
from vlm3.data.shards import write_shards
from vlm3.geometry.camera import Camera

SCRIPT = """
import sys
from vlm3.train.config import PromptConfig
from vlm3.train.datasets import curriculum
from vlm3.train.parts import DataConfig, OwnFolders, Stage

part = OwnFolders(("mine",), ("depth",), weights="size")
data = DataConfig((Stage(8, (part,)),), root=sys.argv[1])
found = curriculum(data, PromptConfig("joint"), seed=0, multiple_px=16)
assert found.sources[0].conversation(0, (0, 0)).turns
loaded = [m for m in sys.modules if m.split(".")[:2] == ["vlm3", "worlds"] or m == "warp"]
assert not loaded, loaded
assert "torch" not in sys.modules, "finding the data is light"
"""


def test_shards_are_trained_on_without_a_renderer(tmp_path: Path) -> None:
    from PIL import Image

    camera = Camera.from_fov(60.0, width_px=64, height_px=48)
    rng = np.random.default_rng(0)
    picture = tmp_path / "one.png"
    Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(picture)
    record = Record(camera, rng.uniform(1, (63, 47), (9, 2)), rng.uniform(1, 5, 9))
    samples = [(f"k{k}", picture.read_bytes(), record.to_json()) for k in range(30)]
    write_shards(tmp_path / "sets" / "mine", samples)
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "sets")], check=True)
