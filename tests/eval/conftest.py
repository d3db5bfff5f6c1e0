"""A small DepthLM set, so that most tests here need no data."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def depthlm(tmp_path: Path) -> Path:
    """Four pictures with five labelled pixels each."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "set"
    (folder / "rgb").mkdir(parents=True)
    rows = []
    for k in range(4):
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(
            folder / "rgb" / f"{k}.png"
        )
        rows.append(
            {
                "image": f"rgb/{k}.png",
                "intrinsics": [60.0, 60.0, 32.0, 24.0, 64, 48],
                "pixel_coords": rng.integers(0, 48, (5, 2)).tolist(),
                "depth": rng.uniform(1, 6, 5).tolist(),
            }
        )
    (folder / "val.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder
