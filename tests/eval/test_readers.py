"""Readers: DepthLM's order of samples, label meanings, laser points, pairs, SpatialRGPT-Bench."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from helpers import real
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlm3.curation.stored import surface
from vlm3.datasets.base import LaserPoints
from vlm3.datasets.depthlm import DEPTHLM
from vlm3.errors import InputError
from vlm3.eval.benchmarks import benchmarks, get_benchmark
from vlm3.eval.readers import Wanted, read_items
from vlm3.eval.readers.depthlm import sample_list
from vlm3.eval.readers.spatialrgpt import column, query
from vlm3.geometry.camera import Camera
from vlm3.tasks.depth_labels import distance_from_label, label_from_distance

LABELS = ("distance", "z", "scannetpp", "0.8 distance")


def wanted(name: str, data: Path | None, count: int | None = None) -> Wanted:
    benchmark = get_benchmark(name)
    return Wanted(benchmark, data, count or benchmark.count, benchmark.seed)


@given(st.sampled_from(LABELS), st.floats(0.05, 200), st.floats(0.4, 1.0))
def test_labels_go_there_and_back(label: str, distance: float, cosine: float) -> None:
    found = distance_from_label(label_from_distance(distance, cosine, label), cosine, label)
    assert float(found) == pytest.approx(distance)


def test_labels_by_hand() -> None:
    # A point at (3, 0, 4): z 4, distance 5, cosine 0.8. ScanNet++'s script: sqrt(0.75^2 + 4^2).
    assert label_from_distance(5, 0.8, "z") == pytest.approx(4)
    assert label_from_distance(5, 0.8, "scannetpp") == pytest.approx(np.hypot(0.75, 4))
    assert label_from_distance(5, 0.8, "0.8 distance") == pytest.approx(4)
    assert np.isnan(distance_from_label(0.1, 0.5, "scannetpp"))


def test_samples_come_in_depthlms_order() -> None:
    """Written out a second time, with the global generator as that script has it."""
    random.seed(42)
    drawn = [random.sample(range(100), 1)[0] for _ in range(7 * 100)]
    expected = [(i % 7, drawn[i]) for i in range(256)]
    assert sample_list([100] * 7, count=256, seed=42) == expected
    assert len(sample_list([100] * 7, count=8192, seed=42)) == 700
    # The first draws of seed 42 from a hundred.
    assert [k for _, k in expected[:4]] == [81, 14, 3, 94]
    # A picture with fewer pixels: the next place stands in.
    short = sample_list([100, 1, 100], count=300, seed=42)
    assert len(short) == 300 and all(k < (1 if p == 1 else 100) for p, k in short)


def test_depthlm_items(depthlm: Path) -> None:
    items = list(read_items(wanted("ibims1", depthlm, 20)))
    queries = [q for item in items for q in item.queries]
    assert sorted(q.id for q in queries) == [f"{i:05d}" for i in range(20)]
    view = items[0].pictures[0]()
    assert view.camera.fx_px == 60 and view.image.shape == (48, 64, 3)
    q = queries[0]
    ray = view.camera.unproject(np.array(q.ask["xy_px"]))
    assert q.truth["distance_m"] * ray[2] == pytest.approx(q.truth["label_m"])
    (depthlm / "val.jsonl").write_text('{"image": "a.png"}')
    with pytest.raises(InputError, match="line 1 is no row of DepthLM's"):
        list(read_items(wanted("ibims1", depthlm)))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("image", "../../elsewhere/0.png", "not below its folder"),
        ("image", "/../0.png", "not below its folder"),
        ("image", "rgb/../../0.png", "not below its folder"),
        ("image", "..", "not below its folder"),
        ("image", "", "not below its folder"),
        ("image", "a\0b", "not below its folder"),
        ("depth", [1, 2, 3, 4, float("nan")], "depth holds a number that is not finite"),
        ("depth", [1, 2, 3, 4, float("inf")], "depth holds a number that is not finite"),
        ("depth", [[1], [2], [3], [4], [5]], "5 pixels but"),
        ("depth", [1, 2, 3, 4, 10**400], "is no row of DepthLM's"),
        ("pixel_coords", [[0, float("inf")]] * 5, "pixel_coords holds a number"),
        ("intrinsics", [60, 60, 32, 24, float("inf"), 48], "intrinsics holds a number"),
        ("intrinsics", [float("nan"), 60, 32, 24, 64, 48], "intrinsics holds a number"),
    ],
)
def test_a_depthlm_line_that_cannot_be_is_named(
    depthlm: Path, key: str, value: object, said: str
) -> None:
    """Refused in evaluation; in curation left out under its name, and the rest is read."""
    path = depthlm / "val.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[2][key] = value
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match=rf"line 3.*{said}") as caught:
        list(read_items(wanted("ibims1", depthlm)))
    assert "\n" not in str(caught.value)
    found = list(DEPTHLM.frames(depthlm, "val.jsonl:0"))
    assert [type(one).__name__ for one in found] == ["RawFrame"] * 2 + ["Skipped", "RawFrame"]


def test_a_picture_may_begin_with_a_slash(depthlm: Path) -> None:
    """DepthLM's loader strips it, as here; a name may come back into its folder."""
    plain = [(i.key, i.queries) for i in read_items(wanted("ibims1", depthlm))]
    path = depthlm / "val.jsonl"
    text = path.read_text()
    for start in ("/rgb/", "//rgb/", "rgb/../rgb/", "./rgb/"):
        path.write_text(text.replace('"rgb/', f'"{start}'))
        items = list(read_items(wanted("ibims1", depthlm)))
        assert [(i.key, i.queries) for i in items] == plain
        assert items[0].pictures[0]().image.shape == (48, 64, 3)


def test_the_nearest_laser_point_of_a_pixel_wins() -> None:
    camera = Camera(10, 10, 8, 8, 16, 16)
    points = np.array([[0.0, 0, 9], [0, 0, 4], [0, 0, 0.5], [0, 0, -3], [2, 0, 4], [99, 0, 4]])
    rng = np.random.default_rng(0)
    xy, found = surface(LaserPoints(points, nearest=1), camera, camera, 10, rng)
    assert sorted(np.linalg.norm(found, axis=1)) == pytest.approx([4, np.hypot(2, 4)])
    assert len(xy) == 2


def test_pairs_file(tmp_path: Path) -> None:
    for name in "ab":
        Image.new("RGB", (56, 42)).save(tmp_path / f"{name}.png")
    K = [50, 50, 28, 21, 56, 42]
    row = {
        "image_a": "a.png",
        "image_b": "b.png",
        "intrinsics_a": K,
        "intrinsics_b": K,
        "matches": [[1, 2, 3, 4], [5, 6, 7, 8]],
        "cam1_from_cam2": np.eye(4).tolist(),
        "metric": False,
    }
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row))
    (item,) = read_items(wanted("eth3d-corr", tmp_path))
    assert [q.truth["xy_px"] for q in item.queries] == [[3, 4], [7, 8]]
    (item,) = read_items(wanted("eth3d-pose", tmp_path))
    assert item.queries[0].ask == {"metric": False}
    (tmp_path / "pairs.jsonl").write_text('{"image_a": "a.png"}')
    with pytest.raises(InputError, match="line 1 is no pair"):
        list(read_items(wanted("eth3d-pose", tmp_path)))


def test_spatialrgpt_entries() -> None:
    entry = {
        "id": "quantitative_1",
        "text_q": "How far is Region [0] from Region [1]?",
        "qa_info": {"type": "quantitative", "category": "distance_data"},
        "image_info": {"file_path": "a.jpg", "width": 100, "height": 80},
        "bbox": [[-3, 0, 50, 40], [20, 20, 120, 70]],
        "conversations": [
            {"from": "human", "value": "..."},
            {"from": "gpt", "value": "Region [0] and Region [1] are 24.5 inches apart."},
        ],
    }
    found = query(entry)
    assert found.ask["question"] == "How far is {0} from {1}?"
    assert found.ask["category"] == "direct_distance"
    assert found.ask["boxes_xyxy_px"] == [[0, 0, 50, 40], [20, 20, 100, 70]]
    assert found.truth == {"value_m": pytest.approx(24.5 * 0.0254)}
    assert column("left_choice") == "left_right" and column("taller_predicate") == "tall_short"
    entry["conversations"][1]["value"] = "Hard to say."  # type: ignore[index]
    with pytest.raises(InputError, match="the truth of quantitative_1 cannot be read"):
        query(entry)


def test_benchmarks_are_complete() -> None:
    from vlm3.eval.peer_measures import QUESTION_SETS
    from vlm3.eval.readers import _HOME
    from vlm3.eval.report.published import table

    for benchmark in benchmarks().values():
        assert benchmark.reader in _HOME
        task = benchmark.tasks[0]
        if benchmark.column:
            peer = QUESTION_SETS.get(benchmark.name)
            name = benchmark.scoring or (peer and peer.table)
            name = name or ("qualitative" if task == "objects" else task)
            assert benchmark.column in table(name).columns
    with pytest.raises(InputError, match="choose one of"):
        get_benchmark("imagenet")


@pytest.mark.parametrize(
    ("name", "folder", "pictures", "queries"),
    [
        ("ibims1", "ibims1_a", 50, 5000),
        ("kitti-object", "kitti_object_a", 7, 700),
        ("ddad-dgp", "ddad_dgp", 27, 2700),
        ("nuscenes-mmdet3d", "nuscenes_sunrgbd_mmdet3d/nuscenes", 6, 600),
    ],
)
def test_real_depth_sets(name: str, folder: str, pictures: int, queries: int) -> None:
    items = list(read_items(wanted(name, real(folder))))
    assert len(items) == pictures and sum(len(i.queries) for i in items) == queries
    view = items[0].pictures[0]()
    for q in items[0].queries:
        assert view.camera.contains(np.array(q.ask["xy_px"]))
        assert 0.3 < q.truth["distance_m"] < 250
        assert q.truth["label_m"] <= q.truth["distance_m"] + 1e-9
    again = list(read_items(wanted(name, real(folder))))
    assert [i.queries for i in again] == [i.queries for i in items]
