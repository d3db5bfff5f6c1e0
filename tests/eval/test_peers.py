"""Beside the peers' own code: their few lines, written here a second time, on the same numbers.

What differs on purpose stands in docs/evaluation.md, "Beside the peers' own code".
"""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from helpers import real

from vlm3.eval.answer import ModelAnswerer
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.readers import Wanted, read_items
from vlm3.geometry.camera import Camera
from vlm3.infer.engine import Scene
from vlm3.infer.fakes import ConstantEngine
from vlm3.infer.predict import Predictor
from vlm3.tasks.prompting import depth_question
from vlm3.tasks.protocol import get_protocol
from vlm3.view import View


def released_prompt(intrinsics: list[float], size: tuple[int, int], at: list[int]) -> str:
    """DepthLM's utils/datasets.py (normalizing_focal_length, pixel_coords) and VLM3's prompt."""
    fx, fy, cx, cy = intrinsics
    fx, fy = fx or fy, fy or fx
    scale = 1000.0 / fx
    width, height = int(size[0] * scale), int(size[1] * scale)
    new = [fx * scale, fy * scale, cx * scale, cy * scale]
    x = int((at[0] - cx) * (new[0] / fx) + new[2])
    y = int((at[1] - cy) * (new[1] / fy) + new[3])
    return (
        f"Given this image, how far is the point at coordinates ({round(2000 * x / width)}, "
        f"{round(2000 * y / height)}) from the camera? The coordinates are in normalised [0, 2000] "
        "format relative to image width and height. Output the thinking process in <think> "
        "</think> and final answer (the meter number only, without the unit) in <answer> </answer> "
        "tags."
    )


def test_ibims_prompts_are_the_releases_byte_for_byte() -> None:
    folder = real("ibims1_a")
    benchmark = get_benchmark("ibims1")
    rows = {
        row["image"]: row
        for row in map(json.loads, (folder / "ibims1_val.jsonl").read_text().splitlines())
    }
    engine = ConstantEngine("<answer> 2.75 </answer>")
    # The smallest picture there is: only the prompts count.
    answerer = ModelAnswerer(Predictor(engine, get_protocol("release-depth"), 32, max_tokens=4))
    equal = total = 0
    with pytest.warns(UserWarning, match="tokens"):
        for item in read_items(Wanted(benchmark, folder, 500, benchmark.seed)):
            row = rows[item.key]
            wanted = []
            for query in item.queries:
                x, y = (int(v) for v in query.ask["xy_px"])
                assert [x, y] in row["pixel_coords"]
                size = tuple(row["intrinsics"][4:6])
                wanted.append(released_prompt(row["intrinsics"][:4], size, [x, y]))
            found = [said.prompt for said in answerer.answer(item, item.queries)]
            equal += sum(a == b for a, b in zip(found, wanted, strict=True))
            total += len(wanted)
    assert (equal, total) == (500, 500)


def test_released_prompts_of_any_camera() -> None:
    """Sides, focal lengths and principal points of phones, cars and rooms."""
    rng, protocol = np.random.default_rng(0), get_protocol("release-depth")
    for _ in range(2000):
        width, height = rng.integers(100, 2500, 2).tolist()
        fx, fy = (rng.uniform(0.3, 2.5, 2) * width).tolist()
        cx, cy = width * rng.uniform(0.4, 0.6), height * rng.uniform(0.4, 0.6)
        at = [int(rng.integers(width)), int(rng.integers(height))]
        camera = Camera(fx, fy, cx, cy, width, height)
        wanted = released_prompt([fx, fy, cx, cy], (width, height), at)
        # A point anywhere in the pixel is that pixel.
        for inside in (0.0, 0.5, 0.999):
            assert depth_question(protocol, camera, np.array(at) + inside) == wanted


class Heard(ConstantEngine):
    """Keeps questions and the room for their answers."""

    def __init__(self) -> None:
        super().__init__("")
        self.heard: list[tuple[str, int]] = []

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        self.heard += [(question, max_new_tokens) for question in questions]
        return super().ask(scene, questions, max_new_tokens=max_new_tokens)


def heard(name: str) -> list[tuple[str, int]]:
    """Every task of a protocol asked once of a 600x400 picture."""
    engine = Heard()
    predictor = Predictor(engine, get_protocol(name), 32, max_tokens=4)
    view = View(np.zeros((400, 600, 3), np.uint8), Camera.from_fov(60, width_px=600, height_px=400))
    with pytest.warns(UserWarning, match="tokens"):
        if "correspondence" in predictor.protocol.tasks:
            predictor.match(view, view, (264, 24))
        if "depth" in predictor.protocol.tasks:
            predictor.depth(view, (264, 24))
        if "pose" in predictor.protocol.tasks:
            predictor.pose(view, view)
        if "objects" in predictor.protocol.tasks:
            predictor.ask(view, "How wide is {0}?", (1, 2, 30, 40))
    return engine.heard


def test_vlm3_corr_is_asked_as_its_notebook_asks() -> None:
    """USE_THINK is on by default; its prompt, and the tokens it allows either way."""
    plain = (
        "Given these two images, what pixel in the second image corresponds to pixel (440, 60) in "
        "the first image? Report the answer as (x, y)."
    )
    think = (
        ' Please think step by step and follow the format: "<think> [think process] </think>'
        '\n\n[answer]".'
    )
    assert heard("release-corr") == [(plain + think, 2048)]
    assert heard("release-corr-direct") == [(plain, 256)]


@pytest.mark.parametrize(
    ("name", "questions", "tokens"),
    [("release-depth", 1, 256), ("release-object", 1, 512), ("release-pose", 4, 512)],
)
def test_answers_have_the_notebooks_room(name: str, questions: int, tokens: int) -> None:
    asked = heard(name)
    assert len(asked) == questions and {room for _, room in asked} == {tokens}
