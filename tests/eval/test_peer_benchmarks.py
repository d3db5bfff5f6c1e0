"""Other people's benchmarks: read in their layout, scored as they score, listed."""

import base64
import json
import random
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from peer_sets import HEIGHT, MAKERS, WIDTH, png, vsibench
from PIL import Image
from publishers import (
    crosspoint_choice,
    crosspoint_point,
    depthvlm_delta1,
    omnispatial_direct,
    threedsr,
    viewspatial,
    vrrpi,
    vsi_choice,
    vsi_number,
)

from vlm3.cli.benchmark_list import WIDTH as LIST_WIDTH
from vlm3.cli.benchmark_list import as_markdown
from vlm3.cli.main import main
from vlm3.errors import InputError
from vlm3.eval.benchmarks import BENCHMARKS, get_benchmark
from vlm3.eval.catalogue import FACTS
from vlm3.eval.items import Item
from vlm3.eval.join import depth_prediction
from vlm3.eval.models import choose
from vlm3.eval.peer_measures import QUESTION_SETS, mra_values
from vlm3.eval.predict import predict
from vlm3.eval.readers import EVERY, Wanted, read_items
from vlm3.eval.readers.crosspoint import inner_point
from vlm3.eval.readers.depthvlm import RANGE_M, depth_map_m
from vlm3.eval.report.published import flags, table
from vlm3.eval.report.table import build
from vlm3.eval.score import Scored, score
from vlm3.eval.solvers import FixedAnswerer, ModelAnswerer, Said
from vlm3.infer.engines.base import Scene
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.free_answers import judged, mask_of, norm_of, read, written
from vlm3.tasks.protocol import get_protocol
from vlm3.view import AssumedCameraWarning

pytestmark = pytest.mark.filterwarnings("ignore::vlm3.view.AssumedCameraWarning")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"


def items_of(name: str, folder: Path, count: int | None = None) -> list[Item]:
    benchmark = get_benchmark(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumedCameraWarning)
        return list(read_items(Wanted(benchmark, folder, count or benchmark.count, benchmark.seed)))


def run(name: str, items: list[Item], model: str, folder: Path) -> Scored:
    benchmark = get_benchmark(name)
    who = choose(model, benchmark, items)
    config = {"benchmark": name, "model": model, **who.config(), "tasks": list(benchmark.tasks)}
    predict(items, who.answerer, folder, config)
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


@pytest.mark.parametrize("dense", [False, True])
def test_depthvlm_is_scored_as_its_script_scores(dense: bool, tmp_path: Path) -> None:
    """400 points of 40 pictures, and every valid pixel of 4 maps, answered about right or not."""
    rng = np.random.default_rng(3)
    name = "depthvlm-ibims1" + "-dense" * dense
    MAKERS[name](tmp_path / "set")
    path = tmp_path / "set" / "annotations" / "ibims1_pixel_depth_test.jsonl"
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    if not dense:
        rows = [row | {"depth": rng.uniform(1, 8, 10).tolist()} for row in rows for _ in range(10)]
        path.write_text("\n".join(map(json.dumps, rows)))
    items = items_of(name, tmp_path / "set", EVERY)
    z_m = {
        q.id: q.truth["label_m"] * float(np.exp(rng.normal(0.1, 0.25)))
        for item in items
        for q in item.queries
    }
    said = {
        q.id: Said(
            prediction=depth_prediction(q, distance_m=z_m[q.id] / q.ask["cosine"], label="z")
        )
        for item in items
        for q in item.queries
    }
    config = {"benchmark": name, "tasks": ["depth"]}
    # Pictures that stand there several times are several pictures to that script.
    items = [Item(f"{k}", item.pictures, item.queries) for k, item in enumerate(items)]
    predict(items, FixedAnswerer(said.get, frozenset({"depth"})), tmp_path / "run", config)
    found = score(tmp_path / "run").tasks[0].scores[0]
    pictures = []
    for item, row in zip(items, rows, strict=True):
        predicted = np.array([z_m[q.id] for q in item.queries])
        if dense:
            truth = depth_map_m(tmp_path / "set", row, RANGE_M["ibims"])
            assert (truth[:4] == 0).all() and (truth[:, :2] == 0).all()
            mapped = np.zeros_like(truth)
            mapped[truth > 0] = predicted
            pictures.append((mapped, truth))
        else:
            pictures.append((predicted, np.array(row["depth"])))
    print(f"{len(z_m)} answers of {len(items)} pictures")
    assert len(z_m) == (4 * 32 * 46 if dense else 400) and 0.2 < found.value < 0.9
    assert found.value == pytest.approx(depthvlm_delta1(pictures), abs=1e-12)


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


# Answers in words against the publishers' scorers.

OPTIONS = ("front-left", "front-right", "back-left", "back-right")
MANNERS: dict[str, Callable[[str, str, str], str]] = {
    "letter": lambda a, words, b: a,
    "in brackets": lambda a, words, b: f"({a})",
    "full stop": lambda a, words, b: f"{a}.",
    "with its words": lambda a, words, b: f"{a}. {words}",
    "bold": lambda a, words, b: f"**{a}**",
    "sentence": lambda a, words, b: f"The answer is {a}.",
    "colon": lambda a, words, b: f"Answer: {a}",
    "boxed": lambda a, words, b: f"The result is \\boxed{{{a}}}",
    "refusal": lambda a, words, b: "I cannot determine this from the image.",
    "words alone": lambda a, words, b: words,
    "two letters": lambda a, words, b: f"It is {b} or {a}",
    "reasoning": lambda a, words, b: f"Option {b} does not fit. So the answer is {a}.",
    "thinking": lambda a, words, b: f"<think>It may be {b}.</think>\n{a}",
}
CROSS = {
    "question": "Which dot? A.Red dot B.Blue dot C.Green dot D.Yellow dot",
    "options": ("Red dot", "Blue dot", "Green dot", "Yellow dot"),
}
# Who differs from us in which manners, and why: docs/evaluation.md.
CHOICE_SCORERS: dict[str, tuple[Callable[[str, str], bool], tuple[str, ...], set[str]]] = {
    "crosspoint": (
        lambda text, truth: crosspoint_choice(text, CROSS | {"answer": truth}),
        CROSS["options"],  # type: ignore[dict-item]
        {"thinking", "words alone"},
    ),
    "vsibench": (
        vsi_choice,
        OPTIONS,
        {"in brackets", "bold", "sentence", "colon", "boxed", "words alone", "reasoning"}
        | {"thinking"},
    ),
    "3dsrbench": (threedsr, OPTIONS, {"words alone", "two letters", "thinking"}),
    "viewspatial": (viewspatial, OPTIONS, {"words alone", "two letters", "reasoning"}),
    "omnispatial": (
        omnispatial_direct,
        OPTIONS,
        {"in brackets", "bold", "sentence", "colon", "boxed", "words alone", "reasoning"}
        | {"thinking"},
    ),
}


@pytest.mark.parametrize("name", CHOICE_SCORERS)
def test_choices_are_marked_as_the_publisher_marks_them(name: str) -> None:
    """390 answers in 13 manners; where we differ it is in the manners named, and we read more."""
    theirs, options, differing = CHOICE_SCORERS[name]
    rng = random.Random(0)
    form = {"kind": "choice", "labels": list("ABCD"), "options": list(options)}
    apart: Counter[str] = Counter()
    for k in range(390):
        manner = list(MANNERS)[k % len(MANNERS)]
        truth, a = rng.choice("ABCD"), rng.choice("ABCD")
        b = rng.choice([letter for letter in "ABCD" if letter != a])
        text = MANNERS[manner](a, options["ABCD".index(a)], b)
        found = read(form, text)
        ours = not isinstance(found, ParseFailure) and "ABCD"[found["option"]] == truth
        meant = truth == a and manner not in ("refusal", "two letters")
        assert ours == meant, text
        if ours != theirs(text, truth):
            apart[manner] += 1
    print(f"{name}: {390 - apart.total()} of 390 agree; apart: {dict(apart)}")
    assert set(apart) <= differing, apart
    title = {"crosspoint": "CrossPoint, letters", "vsibench": "VSI-Bench, letters"}.get(
        name, get_benchmark(name).title + ", `direct`" * (name == "omnispatial")
    )
    told = f"| {title} | 390 | {390 - apart.total()} |"
    assert told in DOCS.read_text(encoding="utf-8"), told


def test_points_are_marked_as_crosspoint_marks_them() -> None:
    """400 points in 8 manners, half of them in the mask."""
    rng = random.Random(1)
    size = (640, 480)
    manners: list[Callable[[int, int], str]] = [
        lambda x, y: f'```json\n[{{"point_2d": [{x}, {y}], "label": "handle"}}]\n```',
        lambda x, y: f'{{"point_2d": [{x}, {y}]}}',
        lambda x, y: f'{{"x": {x}, "y": {y}}}',
        lambda x, y: f"[{x}, {y}]",
        lambda x, y: f"The point is at ({x}, {y}).",
        lambda x, y: f"x: {x}, y: {y}",
        lambda x, y: f'<point x="{x}" y="{y}" alt="handle">handle</point>',
        lambda x, y: f"{x}, {y}",
    ]
    form = {"kind": "point", "size_px": list(size)}
    agree = hits = 0
    for k in range(400):
        x0, y0 = rng.randrange(500), rng.randrange(350)
        mask = np.zeros((480, 640), np.uint8)
        mask[y0 : y0 + 100, x0 : x0 + 100] = 255
        answer = base64.b64encode(png(mask)).decode()
        x, y = norm_of((x0 + rng.uniform(-20, 120), y0 + rng.uniform(-20, 120)), size)
        text = manners[k % 8](abs(x), abs(y))
        found = read(form, text)
        assert not isinstance(found, ParseFailure), text
        hit = judged(form, {"mask_png": answer}, found)["hit"]
        agree += bool(hit) == crosspoint_point(text, {"answer": answer}, size)
        hits += int(hit)
    print(f"{agree} of 400 agree")
    assert agree == 400 and 100 < hits < 300
    # Two different points: that script takes the first, here there is none.
    assert isinstance(read(form, "(100, 200) or (300, 400)"), ParseFailure)
    assert isinstance(read(form, "[100, 200, 300, 400]"), ParseFailure)


def test_vrrpi_is_marked_as_its_code_marks_it() -> None:
    """300 answers in 6 manners."""
    rng = random.Random(2)
    options = ["Move right while yawing left", "Move left while yawing right"]
    form = {"kind": "choice", "labels": ["0", "1"], "options": options}
    manners: list[Callable[[int], str]] = [
        lambda k: f"<thinking>In the 2 images ...</thinking><ans>{k}</ans>",
        lambda k: f"<thinking>The sofa moves.</thinking>\n<ans> {k}",
        lambda k: f"{k}",
        lambda k: f"<thinking>It moves.</thinking><ans>{k}. {options[k]}</ans>",
        lambda k: f"The answer is {k}",
        lambda k: "<thinking>I do not know.</thinking>",
    ]
    agree = 0
    for n in range(300):
        truth, said = rng.randrange(2), rng.randrange(2)
        text = manners[n % 6](said)
        found = read(form, text)
        ours = not isinstance(found, ParseFailure) and found["option"] == truth
        agree += ours == vrrpi(text, truth)
    print(f"{agree} of 300 agree")
    assert agree == 300
    # In words: that code finds no digit, and marks it wrong.
    assert read(form, options[1]) == {"option": 1} and not vrrpi(options[1], 1)


def test_vsi_numbers_are_marked_as_lmms_eval_marks_them() -> None:
    """400 numbers in 4 manners, and those in another unit, which only we convert."""
    rng = random.Random(4)
    manners = ("{}", "{} meters", "about {} m", "The distance is {} m.")
    form = {"kind": "number", "unit": "m"}
    agree = 0
    for k in range(400):
        truth = round(rng.uniform(0.3, 9), 2)
        said = round(truth * rng.uniform(0.4, 1.7), 2)
        text = manners[k % 4].format(said)
        found = read(form, text)
        assert not isinstance(found, ParseFailure), text
        ours = mra_values(np.array([found["number"]]), np.array([truth]))[0]
        agree += ours == pytest.approx(vsi_number(text, truth), abs=1e-12)
    print(f"{agree} of 400 agree")
    assert agree == 400
    assert read(form, "230 cm") == {"number": pytest.approx(2.3)} and vsi_number("230 cm", 2.3) == 0
    assert mra_values(np.array([np.nan, 2.0]), np.array([2.0, 2.0])).tolist() == [0, 1]


def test_forms_of_a_question_join_as_lmms_eval_joins_them(tmp_path: Path) -> None:
    """40 questions of 3DSRBench in four forms each, answered about right."""
    from pyarrow import Table, parquet

    rng = random.Random(5)
    image = {"bytes": png(np.zeros((8, 8, 3), np.uint8)), "path": None}
    rows, said = [], {}
    for k in range(40):
        for form in ("", "-1", "-flip", "-flip-1"):
            qid = f"VIN{k:05d}{form}"
            words = {"question": "Which is higher?", "A": "cup", "B": "vase", "image": image}
            rows.append(
                words | {"index": len(rows), "qid": qid, "answer": "A", "category": "height_higher"}
            )
            said[qid] = rng.random() < 0.8
    parquet.write_table(Table.from_pylist(rows), tmp_path / "test.parquet")
    items = items_of("3dsrbench", tmp_path)
    answers = {qid: Said(prediction={"option": 0 if right else 1}) for qid, right in said.items()}
    config = {"benchmark": "3dsrbench", "tasks": ["objects"]}
    predict(items, FixedAnswerer(answers.get, frozenset({"objects"})), tmp_path / "run", config)
    found = {s.name: s.value for s in score(tmp_path / "run").tasks[0].scores}
    assert found["accuracy"] == pytest.approx(sum(said.values()) / 160)
    for name, key in (
        ("flip", lambda qid: qid.replace("-flip", "")),
        ("circular", lambda qid: qid[:13] if "-flip" in qid else qid[:8]),
        ("flip and circular", lambda qid: qid[:8]),
    ):
        groups: dict[str, bool] = {}
        for qid, right in said.items():
            groups[key(qid)] = groups.get(key(qid), True) and right
        assert found[name] == pytest.approx(sum(groups.values()) / len(groups)), name


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


# The list.


def test_the_list_fits_and_names_all() -> None:
    done = CliRunner().invoke(main, ["eval", "--list"])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert LIST_WIDTH == 100 and max(map(len, lines)) <= 100
    assert {line.split()[0] for line in lines if line[0] != " "} >= set(BENCHMARKS)
    told = json.loads(CliRunner().invoke(main, ["eval", "--list", "--json"]).output)
    assert [one["name"] for one in told] == list(BENCHMARKS)
    for one in told:
        assert one["measures"] and one["source"] and one["licence"] and one["split"]
    for wrong, said in (
        (["eval"], "which benchmark"),
        (["eval", "ibims1", "--json"], "--json goes with --list"),
        (["eval", "ibims1", "--list"], "shows all benchmarks"),
    ):
        found = CliRunner().invoke(main, wrong)
        assert found.exit_code == 2 and said in found.output


def test_the_documentation_has_the_list() -> None:
    assert as_markdown() in DOCS.read_text(encoding="utf-8")
    assert set(FACTS) == set(BENCHMARKS)


def test_published_rows_of_others_add_up_but_for_the_flags() -> None:
    nine = [c for c in table("depthvlm").columns if not c.startswith("Average")]
    five = table("depthvlm-dense").columns[:5]
    off = []
    for name, columns, mean, by in (
        ("depthvlm", nine, "Average", 6e-4),
        ("depthvlm", five, "Average of five", 6e-4),
        ("depthvlm-dense", five, "Average of five", 6e-4),
        ("vsibench", table("vsibench").columns[1:], "Avg.", 0.06),
    ):
        for row in table(name).rows:
            if mean in row.values:
                real = sum(row.values[c] for c in columns) / len(columns)
                off += [(name, row.name)] * (abs(real - row.values[mean]) > by)
    assert off == [("depthvlm", "UniDepthV2"), ("vsibench", "Chance (frequency)")]
    assert any("0.8222" in text for text in flags("depthvlm", ["UniDepthV2"], ["Average of five"]))
    # Every cell of ViewSpatial's is a whole number of right answers, and its means are theirs.
    counts = dict(zip(table("viewspatial").columns, (1773, 996, 0, 996, 842, 1105), strict=False))
    kinds = [c for c, n in counts.items() if n]
    for row in table("viewspatial").rows:
        for column in kinds:
            right = row.values[column] * counts[column] / 100
            assert abs(right - round(right)) < 0.1
        total = sum(row.values[c] * counts[c] for c in kinds) / sum(counts.values())
        assert total == pytest.approx(row.values["Overall"], abs=0.006)
    for name in ("depthvlm", "depthvlm-dense", "vsibench", "viewspatial", "omnispatial", "vrrpi"):
        assert "arXiv" in table(name).source and table(name).source != table("depth").source


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
        (said,) = ModelAnswerer(predictor).answer(item, item.queries)
        assert said.prompt == item.queries[0].ask["question"] and said.raw_text == "B"
    assert seen == [2, 2, 2]
    views = [open_view() for open_view in item.pictures]
    assert predictor.reply([*views, *views], ["Which?", "Where?"]) == ["B", "B"] and seen[-1] == 4
    with pytest.raises(InputError, match="cannot be asked for objects"):
        Predictor(Watching("B"), get_protocol("release-depth"), multiple_px=32).reply(views, ["?"])
