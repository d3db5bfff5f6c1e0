"""Our marks against the publishers' scorers, on the same answers."""

import base64
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from peer_sets import MAKERS, items_of, png
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

from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.items import Item
from vlm3.eval.peer_measures import mra_values
from vlm3.eval.predict import predict
from vlm3.eval.readers import EVERY
from vlm3.eval.readers.depthvlm import RANGE_M, depth_map_m
from vlm3.eval.score import score
from vlm3.eval.solvers import FixedSolver, Prediction
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.free_questions import judged, norm_of, read

pytestmark = pytest.mark.filterwarnings("ignore::vlm3.view.AssumedCameraWarning")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"


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
        q.id: Prediction(
            prediction=DEPTH.prediction(q.ask, distance_m=z_m[q.id] / q.ask["cosine"], label="z")
        )
        for item in items
        for q in item.queries
    }
    config = {"benchmark": name, "tasks": ["depth"]}
    # Pictures that stand there several times are several pictures to that script.
    items = [Item(f"{k}", item.pictures, item.queries) for k, item in enumerate(items)]
    predict(items, FixedSolver(said.get, frozenset({"depth"})), tmp_path / "run", config)
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


# Answers in words.

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
    answers = {
        qid: Prediction(prediction={"option": 0 if right else 1}) for qid, right in said.items()
    }
    config = {"benchmark": "3dsrbench", "tasks": ["questions"]}
    predict(items, FixedSolver(answers.get, frozenset({"questions"})), tmp_path / "run", config)
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
