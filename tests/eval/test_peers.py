"""Beside the peers' own code: their few lines, written here a second time, on the same numbers.

What differs on purpose stands in docs/evaluation.md, "Beside the peers' own code".
"""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from helpers import real
from scipy.spatial.transform import Rotation

from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.predictions import Rows
from vlm3.eval.readers import Wanted, read_items
from vlm3.eval.score import _scores
from vlm3.eval.solvers import ModelSolver
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import relative_pose
from vlm3.infer.engines.base import Scene
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.metrics import pose_auc, pose_errors_deg
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.registry import TASKS
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
    solver = ModelSolver(Predictor(engine, get_protocol("release-depth"), 32, max_tokens=4))
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
            found = [said.prompt for said in solver.solve(item, item.queries)]
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
            assert DEPTH.question(protocol, camera, np.array(at) + inside) == wanted


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
            # The released pixel (264, 24), by whole numbers.
            predictor.match(view, view, (264.5, 24.5))
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


def da3_errors(poses: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth Anything 3's bench/utils.py for two frames: (n, 2, 4, 4) extrinsics, degrees."""

    def relative(extrinsics: np.ndarray) -> np.ndarray:
        aligned = extrinsics @ np.linalg.inv(extrinsics[:, :1])
        return np.linalg.inv(aligned[:, 0]) @ aligned[:, 1]

    ours, true = relative(poses), relative(truths)
    q, true_q = (Rotation.from_matrix(m[:, :3, :3]).as_quat() for m in (ours, true))
    turned = np.degrees(np.arccos(1 - 2 * np.clip(1 - (q * true_q).sum(1) ** 2, 1e-15, None)))
    t, true_t = (m[:, :3, 3] / np.linalg.norm(m[:, :3, 3], axis=1)[:, None] for m in (ours, true))
    moved = np.degrees(np.arccos(np.sqrt(1 - np.clip(1 - (t * true_t).sum(1) ** 2, 1e-15, None))))
    return turned, np.minimum(moved, np.abs(180 - moved))


def da3_auc(turned: np.ndarray, moved: np.ndarray, top: int) -> float:
    """Its calculate_auc_np."""
    histogram, _ = np.histogram(np.maximum(turned, moved), bins=np.arange(top + 1))
    return float(np.mean(np.cumsum(histogram / len(turned))))


@pytest.mark.parametrize(
    ("noise_deg", "ours", "theirs"),
    [(1.0, 0.979, 0.974), (5.0, 0.863, 0.857), (15.0, 0.553, 0.550)],
)
def test_auc_da3_is_depth_anything_3s_and_auc_is_not(
    noise_deg: float, ours: float, theirs: float
) -> None:
    """On own poses: pairs of extrinsics, truths and estimates with turned and moved cameras."""
    rng = np.random.default_rng(5)
    n = 400

    def cameras() -> np.ndarray:
        made = np.tile(np.eye(4), (n, 2, 1, 1))
        made[..., :3, :3] = Rotation.random(2 * n, random_state=3).as_matrix().reshape(n, 2, 3, 3)
        made[..., :3, 3] = rng.normal(0, 1, (n, 2, 3))
        return made

    truths = cameras()
    poses = truths.copy()
    turn = Rotation.from_rotvec(np.radians(rng.normal(0, noise_deg / 3**0.5, (n, 3)))).as_matrix()
    centres = -np.swapaxes(truths[:, 1, :3, :3], 1, 2) @ truths[:, 1, :3, 3:]
    poses[:, 1, :3, :3] = turn @ truths[:, 1, :3, :3]
    # The camera turns where it stands, so its centre seen from camera 1 hardly changes.
    poses[:, 1, :3, 3:] = -poses[:, 1, :3, :3] @ (centres + rng.normal(0, 0.02, (n, 3, 1)))

    found = [relative_pose(np.linalg.inv(e[:, 0]), np.linalg.inv(e[:, 1])) for e in (poses, truths)]
    parts = [part for m in found for part in (m[:, :3, :3], m[:, :3, 3])]
    turned, moved = da3_errors(poses, truths)
    errors = pose_errors_deg(*parts, frame="camera 2")
    np.testing.assert_allclose(errors, np.maximum(turned, moved), atol=2e-5)
    for top in (5, 30):
        assert pose_auc(errors, max_deg=top) == pytest.approx(da3_auc(turned, moved, top))
    # The same poses, two numbers: one may not be called the other.
    assert pose_auc(pose_errors_deg(*parts)) == pytest.approx(ours, abs=0.001)
    assert pose_auc(errors) == pytest.approx(theirs, abs=0.001)


def test_spatialrgpts_errors_are_of_the_answers_alone() -> None:
    """Its evaluate_spatial_with_gpt4.py: failures leave the errors, and stay in success."""
    rng = np.random.default_rng(0)
    truth_m, hour = rng.uniform(0.2, 4, 40), rng.integers(1, 13, 20)
    said_m = np.where(rng.random(40) < 0.3, np.nan, truth_m * rng.uniform(0.7, 1.5, 40))
    said_hour = np.where(rng.random(20) < 0.3, np.nan, rng.integers(1, 13, 20))
    kinds = ["width"] * 20 + ["height"] * 20
    rows = object_rows(said_m, truth_m, said_hour, hour, [*kinds, *["direction"] * 20])
    scores = {score.name: score for score in _scores(TASKS[rows.task].measures(rows))}

    read = np.isfinite(said_m)
    relative = np.abs(truth_m - said_m) / truth_m
    theirs = np.mean([relative[part][read[part]].mean() for part in (slice(20), slice(20, 40))])
    assert scores["relative error"].value == pytest.approx(theirs)
    assert scores["relative error"].table == "relative_error"
    ours = scores["relative error, failures as 1"]
    assert ours.value == pytest.approx(np.where(read, relative, 1.0).mean()) and ours.table is None

    off = np.abs(hour - said_hour)
    off = np.minimum(off, 12 - off) * 30
    assert scores["clock error"].value == pytest.approx(np.nanmean(off))
    assert scores["clock error"].table == "clock_error"
    ours = scores["clock error, failures as 180"]
    assert ours.value == pytest.approx(np.nan_to_num(off, nan=180.0).mean()) and ours.table is None
    for name in ("relative error", "clock error"):
        assert scores[name].failures and scores[name].valid_only is None


def test_errors_of_no_answers_are_a_gap_not_a_number() -> None:
    nothing = np.full(40, np.nan)
    kinds = ["width"] * 40 + ["direction"] * 20
    rows = object_rows(nothing, np.ones(40), nothing[:20], np.full(20, 3), kinds)
    names = [score.name for score in _scores(TASKS[rows.task].measures(rows))]
    assert "relative error" not in names and "clock error" not in names
    assert "relative error, failures as 1" in names and "success" in names


def object_rows(
    said_m: np.ndarray,
    truth_m: np.ndarray,
    said_hour: np.ndarray,
    hour: np.ndarray,
    kinds: list[str],
) -> Rows:
    """Lengths, then directions, as a run holds them: columns are `vlm3.tasks.truth.FIELDS`."""
    n, lengths = len(kinds), len(truth_m)
    predicted, truth = np.full((2, n, 4), np.nan)
    predicted[:lengths, 0], truth[:lengths, 0] = said_m, truth_m
    predicted[lengths:, 1], truth[lengths:, 1] = said_hour, hour
    blank = np.full(n, np.nan)
    ids = tuple(map(str, range(n)))
    places = np.arange(n) % 7
    ask = np.zeros((n, 0))
    return Rows("objects", ids, places, tuple(kinds), predicted, truth, ask, blank, blank)
