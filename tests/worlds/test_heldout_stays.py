"""The held-out split never changes: figures of years ago stay comparable. The train split may."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("warp")

from vlm3.tasks.depth import DEPTH
from vlm3.tasks.objects import OBJECTS
from vlm3.tasks.protocol import get_protocol
from vlm3.worlds.labels import frame_sample
from vlm3.worlds.world import World

GOLDEN = Path(__file__).parent / "heldout.json"
WORLDS = [(0, 0, "room"), (0, 1, "room"), (3, 2, "room"), (0, 5, "room"), (0, 0, "street")]


def described(seed: int, index: int, kind: str) -> dict[str, object]:
    """Hashes of what is drawn from the seed, and of questions; coarse numbers of the picture.

    Numbers come from arithmetic that may differ in its last bit between processors, so they are
    rounded before they are hashed; the picture is compared by its mean colours.
    """
    world = World(seed, index, split="heldout", kind=kind)
    frame = world.view(width_px=80, height_px=64, f_px=70.0)
    mesh, protocol = world.scene.mesh, get_protocol("joint")
    scene = hashlib.sha256()
    for values in (mesh.vertices, mesh.tint):
        scene.update((np.round(np.asarray(values, np.float64) * 1000) + 0.0).tobytes())
    for numbers in (mesh.faces, mesh.material, mesh.instance):
        scene.update(np.asarray(numbers, np.int64).tobytes())
    rng = np.random.default_rng(0)
    sample = frame_sample(frame, "one")
    qas = [qa for task in (DEPTH, OBJECTS) for qa in task.examples(sample, protocol, rng, 8)]
    words = hashlib.sha256("\n".join(f"{qa.question} {qa.answer}" for qa in qas).encode())
    solid = frame.distance_m[np.isfinite(frame.distance_m)]
    return {
        "scene": scene.hexdigest()[:16],
        "questions": words.hexdigest()[:16],
        "things": len(frame.objects),
        "distance_m": [round(float(q), 4) for q in np.quantile(solid, [0.05, 0.5, 0.95])],
        "colour": [round(float(c), 2) for c in frame.image.mean((0, 1))],
    }


@pytest.mark.parametrize("address", WORLDS, ids=str)
def test_heldout_worlds_are_those_of_before(address: tuple[int, int, str]) -> None:
    golden = json.loads(GOLDEN.read_text())[" ".join(map(str, address))]
    now = described(*address)
    for name in ("scene", "questions", "things"):
        assert now[name] == golden[name], name
    assert now["distance_m"] == pytest.approx(golden["distance_m"], rel=1e-4)
    assert now["colour"] == pytest.approx(golden["colour"], abs=0.5)
