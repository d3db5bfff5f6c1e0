"""Other people's benchmarks: read in their layout; the oracle is perfect, a constant is not."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from peer_sets import HEIGHT, MAKERS, WIDTH, items_of, vsibench
from PIL import Image

from vlm3.cli.main import main
from vlm3.errors import InputError
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.items import Item
from vlm3.eval.models import choose
from vlm3.eval.peer_measures import QUESTION_SETS
from vlm3.eval.predict import predict
from vlm3.eval.readers.crosspoint import inner_point
from vlm3.eval.report.table import build
from vlm3.eval.score import Scored, score
from vlm3.eval.solvers import ModelSolver
from vlm3.infer.engines.base import Scene
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.free_questions import judged, mask_of, read, written
from vlm3.tasks.protocol import get_protocol

pytestmark = pytest.mark.filterwarnings("ignore::vlm3.view.AssumedCameraWarning")


def run(name: str, items: list[Item], model: str, folder: Path) -> Scored:
    benchmark = get_benchmark(name)
    who = choose(model, benchmark, items)
    config = {"benchmark": name, "model": model, **who.config(), "tasks": list(benchmark.tasks)}
    predict(items, who.solver, folder, config)
    return score(folder)


@pytest.mark.parametrize("name", MAKERS)
def test_the_oracle_is_perfect_and_a_constant_is_not(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path / "set")
    items = items_of(name, tmp_path / "set", 80 if name.endswith("dense") else None)
    queries = [q for item in items for q in item.queries]
    assert len({q.id for q in queries}) == len(queries)
    assert {q.task for q in queries} == set(get_benchmark(name).tasks)
    runs = {
        model: run(name, items, model, tmp_path / model.partition(":")[0])
        for model in ("oracle", "constant", "says:?")
    }
    for part in runs["oracle"].tasks:
        for one in part.scores:
            if one.name != "AUC@30 exact" and part.task != "correspondence":
                perfect = 0.01 if one.better == "lower" else 1.0
                assert one.value == pytest.approx(perfect, abs=0.01), one
        assert part.scores[0].failures == 0
    for part in runs["constant"].tasks:
        low = part.scores[0].value
        assert low > 100 if part.task == "correspondence" else low < 0.7, part.scores[0]
    for part in runs["says:?"].tasks:
        assert part.scores[0].failures == part.scores[0].samples
    # Its published rows stand beside, where there are any.
    report = build(list(runs.values()))
    published = [r for s in report.sections for r in s.rows if r.kind in ("published", "expert")]
    benchmark = get_benchmark(name)
    questions = QUESTION_SETS.get(name)
    assert bool(published) == bool(benchmark.scoring or (questions and questions.table))
    if published:
        notes = " ".join(note for s in report.sections for note in s.notes)
        assert "Published rows: " in notes and "arXiv" in notes


def test_depthvlm_points_are_of_the_depth_map(tmp_path: Path) -> None:
    MAKERS["depthvlm-ibims1"](tmp_path)
    line = (tmp_path / "annotations" / "ibims1_pixel_depth_test.jsonl").read_text().splitlines()[0]
    row = json.loads(line)
    item = items_of("depthvlm-ibims1", tmp_path)[0]
    camera = item.pictures[0]().camera
    assert (camera.fx_px, camera.cx_px, camera.cy_px) == (61.37, WIDTH / 2, HEIGHT / 2)
    (x, y), z_m = row["pixel_coords"][3], row["depth"][3]
    query = item.queries[3]
    # The picture is twice as wide as the depth map.
    assert query.ask["xy_px"] == pytest.approx([2 * x + 1, 2 * y + 1])
    assert query.truth["label_m"] == z_m
    ray = camera.unproject(np.array(query.ask["xy_px"]))
    assert query.truth["distance_m"] * ray[2] == pytest.approx(z_m)
    first = items_of("depthvlm-ibims1", tmp_path, 13)
    assert [len(item.queries) for item in first] == [10, 3]


def test_depthvlm_lines_that_cannot_be(tmp_path: Path) -> None:
    MAKERS["depthvlm-ibims1"](tmp_path)
    path = tmp_path / "annotations" / "ibims1_pixel_depth_test.jsonl"
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    for change, said in (
        ({"pixel_coords": [[48, 0]] * 10}, "outside its depth map"),
        ({"depth": [1.0]}, "10 pixel_coords but 1 depths"),
        ({"image": "../../secret.png"}, "give a name below"),
        ({"image": "ibims1/nothing.png"}, "is not below"),
        ({"original_rgb_size": [96]}, "original_rgb_size"),
    ):
        path.write_text(json.dumps(rows[0] | change))
        with pytest.raises(InputError, match=said) as caught:
            items_of("depthvlm-ibims1", tmp_path)
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(InputError, match="must hold one annotation file of ibims"):
        items_of("depthvlm-ibims1", tmp_path)


def test_vrrpi_signs_are_those_of_its_poses(tmp_path: Path) -> None:
    """cv_eval, written again: the signs of arcsin(-R[2, 0]) and of the first of t."""
    MAKERS["vrrpi"](tmp_path)
    items = items_of("vrrpi", tmp_path)
    for item in items:
        T = np.array(item.queries[1].truth["cam1_from_cam2"])
        side = "right" if T[0, 3] > 0 else "left"
        turn = "right" if np.degrees(np.arcsin(-T[2, 0])) > 0 else "left"
        form, truth = item.queries[0].ask["form"], item.queries[0].truth
        words = form["options"][truth["option"]]
        assert words == f"Move {side} while yawing {turn}" and side != turn
        assert item.pictures[0]().camera.fx_px == 80


def test_multispa_asks_what_its_engine_wrote(tmp_path: Path) -> None:
    MAKERS["multispa"](tmp_path)
    queries = {q.id: q for item in items_of("multispa", tmp_path) for q in item.queries}
    depth = queries["depth_estimation_coor/00002"]
    assert depth.ask["xy_px"] == pytest.approx([101 / 1000 * WIDTH, 201 / 1000 * HEIGHT])
    assert depth.truth["label_m"] == 1.6
    match = queries["val_visual_correspondence_coor_2_coor/00002"]
    assert match.truth["xy_px"] == pytest.approx([0.59 * WIDTH, 0.1 * HEIGHT])
    vector = queries["displacement_vector_val/00001"]
    assert vector.truth["vector"] == [100, -200, 500]
    form = vector.ask["form"]
    for text, hit in (
        ("It is `[ 110 , -190 , 520 ]` mm.", 1),
        ("[0.1, -0.2, 0.5] m", 1),
        ("[ 300 , 0 , 500 ] mm", 0),
    ):
        found = read(form, text)
        assert not isinstance(found, ParseFailure)
        assert judged(form, vector.truth, found)["hit"] == hit, text
    assert "<image>" not in vector.ask["question"]
    assert not any("comparison" in name for name in queries)


def test_the_frames_of_a_video_are_spread_over_it(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    vsibench(tmp_path, 40)
    item = items_of("vsibench", tmp_path)[0]
    grey = [float(open_view().image.mean()) for open_view in item.pictures]
    expected = 5 * np.linspace(0, 39, 32, dtype=int)
    assert len(grey) == 32 and np.allclose(grey, expected, atol=6)
    assert item.queries[0].ask["question"].startswith("These are frames of a video.\nHow far")
    (tmp_path / "scannet" / "scene0011_00.mp4").unlink()
    with pytest.raises(InputError, match=r"scene0011_00\.mp4 is not below"):
        items_of("vsibench", tmp_path)


def test_a_truth_that_is_no_option_is_named(tmp_path: Path) -> None:
    MAKERS["viewspatial"](tmp_path)
    path = tmp_path / "eval" / "ViewSpatial-Bench.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([rows[0], rows[1] | {"answer": "E. up"}]))
    with pytest.raises(InputError, match=r"entry 00001: the answer 'E\. up' is none of its"):
        items_of("viewspatial", tmp_path)
    (tmp_path / "c" / "image").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "c" / "image" / "a.png")
    row = {"type": "Fine-grained Grounding", "images": ["a.png"], "question": "?", "answer": "AA"}
    (tmp_path / "c" / "CrossPoint-Bench.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match="no picture in base64"):
        items_of("crosspoint", tmp_path / "c")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("depthvlm-ibims1", "annotations/ibims1_pixel_depth_test.jsonl"),
        ("depthvlm-ibims1-dense", "annotations/ibims1_pixel_depth_test.jsonl"),
        ("crosspoint", "CrossPoint-Bench.jsonl"),
        ("multispa", "evaluation_data/depth_estimation_coor/v1_0/depth_estimation_coor.jsonl"),
        ("multispa", "evaluation_data/camera_movement/v1_0/displacement_vector_val.jsonl"),
        ("multispa", "evaluation_data/camera_movement/v1_0/x_movement_val.jsonl"),
        ("vsibench", "test.jsonl"),
        ("viewspatial", "eval/ViewSpatial-Bench.json"),
        ("omnispatial", "data.json"),
    ],
)
def test_a_field_that_cannot_be_is_one_line(name: str, file: str, tmp_path: Path) -> None:
    """Every field of a row, absent and with values of other kinds."""
    MAKERS[name](tmp_path)
    path = tmp_path / file
    whole = path.read_text()
    rows = json.loads(whole) if path.suffix == ".json" else [*map(json.loads, whole.splitlines())]
    for key in rows[0]:
        without = {k: v for k, v in rows[0].items() if k != key}
        junk = (None, -1, "x", [], {}, [[1]], "../../x", 1e300)
        for row in (without, *(rows[0] | {key: value} for value in junk)):
            alone = [row] if path.suffix == ".json" else row
            path.write_text(json.dumps(alone))
            try:
                items_of(name, tmp_path)
            except InputError as error:
                assert "\n" not in str(error) and len(str(error)) < 600


def test_a_cut_table_and_a_picture_that_is_none_are_one_line(tmp_path: Path) -> None:
    from pyarrow import Table, parquet

    MAKERS["3dsrbench"](tmp_path)
    path = next(tmp_path.glob("*.parquet"))
    rows = parquet.read_table(path).to_pylist()
    for image in ({"bytes": None, "path": None}, {"bytes": b"no picture", "path": None}):
        parquet.write_table(Table.from_pylist([rows[0] | {"image": image}]), path)
        (item,) = items_of("3dsrbench", tmp_path)
        with pytest.raises(InputError) as caught:
            item.pictures[0]()
        assert "\n" not in str(caught.value)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="as Parquet"):
        items_of("3dsrbench", tmp_path)


def test_answers_made_elsewhere_join(tmp_path: Path) -> None:
    """As texts or as values, about points too."""
    MAKERS["crosspoint"](tmp_path / "set")
    items = items_of("crosspoint", tmp_path / "set")
    lines = []
    for item in items:
        (query,) = item.queries
        form, truth = query.ask["form"], query.truth
        value = {"xy_px": truth["xy_px"]} if form["kind"] == "point" else dict(truth)
        text = {"text": written(form, truth)}
        lines.append({"id": query.id} | (text if len(lines) % 2 else value))
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    given = ["eval", "crosspoint", "--data", str(tmp_path / "set")]
    done = CliRunner().invoke(
        main,
        [*given, "--predictions", str(tmp_path / "mine.jsonl"), "-o", str(tmp_path / "run")],
    )
    assert done.exit_code == 0, done.output
    (part,) = score(tmp_path / "run").tasks
    assert part.scores[0].value == 1 and part.scores[0].failures == 0


def test_an_inner_point_is_in_its_mask(tmp_path: Path) -> None:
    MAKERS["crosspoint"](tmp_path)
    for item in items_of("crosspoint", tmp_path):
        form, truth = item.queries[0].ask["form"], item.queries[0].truth
        if form["kind"] == "point":
            found = read(form, written(form, truth))
            assert not isinstance(found, ParseFailure)
            assert judged(form, truth, found)["hit"] == 1
            assert truth["hit"] == pytest.approx(mask_of(truth["mask_png"]).mean())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 3000), st.integers(20, 3000))
def test_the_point_of_any_mask_reads_back_into_it(seed: int, width: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), dtype=bool)
    x, y = rng.integers(0, (width - 8, height - 8))
    mask[y : y + rng.integers(4, 8), x : x + rng.integers(4, 8)] = True
    form = {"kind": "point", "size_px": [width, height]}
    truth = {"xy_px": inner_point(mask, (width, height))}
    found = read(form, written(form, truth))
    assert not isinstance(found, ParseFailure)
    column, row = (int(v) for v in found["xy_px"])
    assert mask[row, column]


def test_a_model_is_shown_all_pictures_and_asked_in_the_publishers_words(tmp_path: Path) -> None:
    MAKERS["crosspoint"](tmp_path)
    seen: list[int] = []

    class Watching(ConstantEngine):
        def open(self, images: Sequence[NDArray[np.uint8]]) -> Scene:
            seen.append(len(images))
            return super().open(images)

    predictor = Predictor(Watching("B"), get_protocol("paper"), multiple_px=32)
    for item in items_of("crosspoint", tmp_path)[:3]:
        (said,) = ModelSolver(predictor).solve(item, item.queries)
        assert said.prompt == item.queries[0].ask["question"] and said.raw_text == "B"
    assert seen == [2, 2, 2]
    views = [open_view() for open_view in item.pictures]
    assert (
        predictor.texts("questions", [*views, *views], ["Which?", "Where?"]) == ["B", "B"]
        and seen[-1] == 4
    )
    with pytest.raises(InputError, match="has no prompt for objects"):
        Predictor(Watching("B"), get_protocol("release-depth"), multiple_px=32).texts(
            "questions", views, ["?"]
        )
