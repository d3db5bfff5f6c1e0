"""What is trained on is not evaluated on: the split by scene, own shards, exports."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlm3.cli.data import export as export_command
from vlm3.cli.overrides import overridden, with_folders
from vlm3.curation.export import LAYOUTS, export
from vlm3.data.dataset import ShardDataset, lacking_labels
from vlm3.data.heldout import (
    held_out_pairs,
    held_out_pictures,
    held_out_scenes,
    kept_line,
    scenes_of,
)
from vlm3.data.pair_rows import pair_row
from vlm3.data.record import Record
from vlm3.data.shards import Shards, write_pairs, write_shards
from vlm3.errors import InputError
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.items import Item
from vlm3.eval.predict import predict
from vlm3.eval.readers import EVERY, Wanted, read_items
from vlm3.eval.readers.shards import truth_of
from vlm3.eval.score import score
from vlm3.eval.solvers import OracleSolver
from vlm3.geometry.camera import Camera
from vlm3.tasks.base import TaskName
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.sample import ObjectQuestion
from vlm3.tasks.truth import Length, YesNo
from vlm3.train.datasets import curriculum, kept_lines

CAMERA = Camera(100.0, 100.0, 48.0, 32.0, 96, 64)
SCENES = ("attic", "barn", "cellar", "den")


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((64, 96, 3), shade * 5 % 256, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def record(scene: str, k: int) -> bytes:
    rng = np.random.default_rng(k)
    xy = rng.uniform(0, 1, (12, 2)) * (96, 64)
    asked = (
        ObjectQuestion("How wide is {0}?", ((1, 2, 30, 40),), Length(1.25)),
        ObjectQuestion("Is {0} wider than {1}?", ((1, 2, 30, 40), (5, 6, 9, 20)), YesNo(True)),
    )
    made = Record(CAMERA, xy, rng.uniform(0.5, 9, 12), asked, source="folder")
    return made.to_json({"scene": scene, "frame": str(k)})


def write(folder: Path, scenes: tuple[str, ...] = SCENES, each: int = 6) -> Shards:
    names = [scene for scene in scenes for _ in range(each)]
    write_shards(folder, ((f"p{k:03d}", jpeg(k), record(s, k)) for k, s in enumerate(names)))
    motion = np.eye(4)
    motion[:3, 3] = (0.3, 0.1, 0.4)
    rows = [
        pair_row(k, k + 1, motion, [[5, 6], [40, 30]], [[8, 6], [44, 30]], covisibility=0.5)
        for k in range(len(names) - 1)
        if names[k] == names[k + 1]
    ]
    write_pairs(folder, np.array(rows))
    return Shards(folder)


def wanted(folder: Path, split: str = "heldout", count: int = EVERY) -> Wanted:
    return Wanted(get_benchmark("shards"), folder, count, 0, split=split)  # type: ignore[arg-type]


@settings(max_examples=60)
@given(st.lists(st.text(max_size=6), max_size=60, unique=True), st.randoms())
def test_scenes_are_kept_by_name_alone(names: list[str], chance: object) -> None:
    kept = held_out_scenes(names)
    assert kept <= set(names)
    if len(names) < 2:
        assert not kept
    else:
        assert 1 <= len(kept) < len(names)
    # Order and repetition say nothing.
    assert held_out_scenes([*names[::-1], *names]) == kept


def test_one_scene_in_twenty_in_the_long_run() -> None:
    names = [f"scene-{k}" for k in range(4000)]
    assert 150 < len(held_out_scenes(names)) < 250
    # A scene stays on its side when others come.
    assert held_out_scenes(names[:2000]) == held_out_scenes(names) & set(names[:2000])


@pytest.mark.parametrize("tasks", [("depth",), ("correspondence", "pose")])
def test_training_and_evaluation_share_nothing(tmp_path: Path, tasks: tuple[TaskName, ...]) -> None:
    shards = write(tmp_path)
    source = ShardDataset("mine", shards, pairs="pose" in tasks, by_scene=True)
    trained = {p for place in range(len(source)) for p in source.pictures(place)}
    checked = {p for place in range(len(source), source.count) for p in source.pictures(place)}
    kept = set(np.flatnonzero(held_out_pictures(shards)).tolist())
    assert not trained & kept and checked == kept
    scenes = scenes_of(shards)
    assert {scenes[p] for p in kept} == held_out_scenes(SCENES)
    assert held_out_pairs(shards).sum() == 5


def test_one_scene_keeps_its_end(tmp_path: Path) -> None:
    shards = write(tmp_path, ("one",), 45)
    assert np.flatnonzero(held_out_pictures(shards)).tolist() == [43, 44]
    source = ShardDataset("mine", shards, by_scene=True)
    assert [source.pictures(k) for k in range(len(source))] == [(k,) for k in range(43)]
    few = tmp_path / "few"
    write(few, ("one",), 5)
    with pytest.raises(InputError, match=r"keeps nothing .* 5 pictures of 1 scene; .* --split all"):
        list(read_items(wanted(few)))


def test_own_shards_ask_all_four_tasks(tmp_path: Path) -> None:
    write(tmp_path / "shards")
    items = list(read_items(wanted(tmp_path / "shards")))
    assert len(items) == 6 + 5
    assert len(list(read_items(wanted(tmp_path / "shards", "all")))) == 24 + 20
    assert len(list(read_items(wanted(tmp_path / "shards", "all", 3)))) == 3 + 3
    tasks = {q.task for item in items for q in item.queries}
    assert tasks == {"depth", "objects", "correspondence", "pose", "fov"}
    first = items[0].pictures[0]()
    assert first.camera == CAMERA and first.image.shape == (64, 96, 3)
    scores = oracle(items, tmp_path / "run")
    assert scores["delta1"] == scores["accuracy"] == scores["success"] == 1
    assert scores["Length"] == scores["Yes or No"] == 1
    # Points are written in 2000ths of 96 pixels, turns in whole degrees or finer.
    assert scores["EPE"] < 0.5 and scores["AUC@30"] > 0.9


def oracle(items: list[Item], folder: Path) -> dict[str, float]:
    tasks = ["depth", "objects", "correspondence", "pose"]
    config = {"benchmark": "shards", "name": "oracle", "protocol": "joint", "tasks": tasks}
    predict(items, OracleSolver(get_protocol("joint")), folder, config)
    return {one.name: one.value for task in score(folder).tasks for one in task.scores}


def test_a_truth_in_words_is_read_or_left_out() -> None:
    box = ((1.0, 2.0, 30.0, 40.0),)
    told = ObjectQuestion("How wide is {0}?", box, sentence="{0} is 1.2 meters wide.")
    found = truth_of(told)
    assert found is not None and found.value == pytest.approx(1.2)
    assert truth_of(ObjectQuestion("How wide is {0}?", box, sentence="Hard to say.")) is None


def test_exports_have_the_layout_their_reader_wants(tmp_path: Path) -> None:
    shards = write(tmp_path / "shards")
    kept = set(np.flatnonzero(held_out_pictures(shards)).tolist())
    for to, layout in LAYOUTS.items():
        out = tmp_path / to
        protocol = get_protocol("joint")
        made = export(tmp_path / "shards", to, out, protocol=protocol)
        assert max(made) == 18 + 15
        text = (out / layout.file).read_text("utf-8")
        rows = json.loads(text) if layout.array else [json.loads(x) for x in text.splitlines()]
        assert len(rows) == 33
        for row in rows:
            images = row["file_names" if to == "trl" else "images"]
            assert not {int(Path(name).stem) for name in images} & kept
            sizes = {Image.open(out / name).size for name in images}
            assert all(side % 32 == 0 for size in sizes for side in size)
            roles = [m["role"] for m in row["messages"]]
            assert roles == ["user", "assistant"] * (len(roles) // 2)
            first, *others = (m["content"] for m in row["messages"])
            if to == "trl":
                kinds = [part["type"] for part in first]
                assert kinds == ["image"] * len(images) + ["text"]
                assert all(part["type"] == "text" for content in others for part in content)
            else:
                assert first.startswith("<image>" * len(images))
                assert first.count("<image>") == len(images)
                assert not any("<image>" in content for content in others)
    info = json.loads((tmp_path / "llama-factory" / "dataset_info.json").read_text())["vlm3"]
    assert info["formatting"] == "sharegpt" and info["columns"]["images"] == "images"
    lines = (tmp_path / "llama-factory" / "settings.yaml").read_text().splitlines()
    pictures = (tmp_path / "llama-factory" / "images").iterdir()
    largest = max(w * h for w, h in (Image.open(path).size for path in pictures))
    assert f"image_max_pixels: {largest}" in lines
    assert f'dataset_dir: "{(tmp_path / "llama-factory").resolve()}"' in lines
    assert Path(rows[0]["images"][0]).is_absolute()


def test_export_draws_and_refuses(tmp_path: Path) -> None:
    write(tmp_path / "shards")
    run = CliRunner().invoke
    given = [str(tmp_path / "shards"), "-o", str(tmp_path / "out")]
    done = run(export_command, [*given, "--to", "trl", "--count", "4"], catch_exceptions=False)
    assert done.exit_code == 0 and done.output.startswith("4 rows in ")
    with pytest.raises(InputError, match="is not empty; give a new folder"):
        run(export_command, [*given, "--to", "trl"], catch_exceptions=False)
    given[-1] = str(tmp_path / "depthlm")
    with pytest.raises(InputError, match="depthlm has no words"):
        run(export_command, [*given, "--to", "depthlm", "--count", "1"], catch_exceptions=False)
    run(export_command, [*given, "--to", "depthlm"], catch_exceptions=False)
    rows = (tmp_path / "depthlm" / "folder.jsonl").read_text().splitlines()
    assert len(rows) == 24 and (tmp_path / "depthlm" / "label.txt").read_text() == "distance"


def test_folders_are_written_out() -> None:
    assert with_folders("depth_4b", ["--rate", "1"]) == ["--rate", "1"]
    made = with_folders("depth_4b", ["--data", "d", "--folders", "a,b", "--rate", "1"])
    words = "--data d --rate 1 --parts.0.kind folders --parts.0.weights size --parts.0.folders a b"
    assert made == words.split()
    assert with_folders("depth_4b", ["--folders=x/a,x/b"])[:2] == [
        "--data",
        str(Path("x").resolve()),
    ]
    assert made.count("--parts.0.kind") == 1
    four = with_folders("joint_4b", ["--folders", "a"])
    assert [w for w in four if w.endswith(".kind")] == [f"--parts.{k}.kind" for k in range(4)]
    for changes in (["--folders"], ["--folders", "--rate", "1"], ["--folders", ","]):
        with pytest.raises(InputError, match="names no folder"):
            with_folders("depth_4b", changes)
    with pytest.raises(InputError, match="renders its data and reads no folders"):
        with_folders("debug_cpu", ["--folders", "a"])


def test_a_folder_without_labels_for_a_task_is_left_out_once(tmp_path: Path) -> None:
    """Of pictures, depth and poses there are no questions about objects; of others no pairs."""

    def bare(scene: str, k: int) -> bytes:
        made = json.loads(record(scene, k))
        return json.dumps(made | {"questions": []}).encode()

    write(tmp_path / "full")
    names = [scene for scene in SCENES for _ in range(6)]
    write_shards(
        tmp_path / "bare", ((f"p{k:03d}", jpeg(k), bare(s, k)) for k, s in enumerate(names))
    )
    full, single = Shards(tmp_path / "full"), Shards(tmp_path / "bare")
    for tasks in (("depth",), ("objects",), ("correspondence", "pose")):
        assert lacking_labels(full, tasks) is None
    assert lacking_labels(single, ("depth", "objects")) is None
    assert lacking_labels(single, ("objects",)) == "no labels for objects there"
    assert "no pairs" in str(lacking_labels(single, ("pose",)))

    def planned(recipe: str, folders: str) -> list[str]:
        changes = ["--folders", folders, "--data", str(tmp_path), "--protocol", "joint"]
        run = overridden(recipe, with_folders(recipe, changes))
        found = curriculum(run.data, run.prompt, seed=0, multiple_px=16)
        assert all(one.absent for one in found.absent)
        for name in folders.split(","):
            line = f"{name}: {kept_line(Shards(tmp_path / name))}"
            assert kept_lines(found).count(line) == 1, "a folder is told once, not once a task"
        return sorted([source.name for source in found.sources])

    assert planned("joint_4b", "bare") == ["bare depth"]
    both = planned("joint_4b", "full,bare")
    assert "full objects" in both and "bare objects" not in both and "bare depth" in both
    with pytest.raises(InputError, match="nothing is left to train on: bare objects: no labels"):
        planned("objects_4b", "bare")


def test_the_kept_scenes_are_named(tmp_path: Path) -> None:
    assert kept_line(write(tmp_path / "many")).startswith("kept from training: scene ")
    assert kept_line(write(tmp_path / "one", ("attic",), 20)) == (
        "kept from training: the last 1 of 20 pictures, all of one scene"
    )
