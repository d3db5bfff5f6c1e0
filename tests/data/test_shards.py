"""Records and shards: what is written is read, by us and by anything that reads tars."""

import io
import os
import pickle
import tarfile
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlm3.data.dataset import ShardDataset, pair_sample
from vlm3.data.pair_rows import pair_row
from vlm3.data.record import Intrinsics, Record
from vlm3.data.shard_index import ShardWarning, build_index
from vlm3.data.shards import Shards, write_pairs, write_shards
from vlm3.data.store import Store
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.tasks import correspondence, depth
from vlm3.tasks.base import TaskName
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.question_writer import QuestionWriter
from vlm3.tasks.registry import in_order
from vlm3.tasks.sample import ObjectQuestion
from vlm3.tasks.truth import Length

CAMERA = Camera(100.0, 110.0, 48.0, 32.0, 96, 64)


def jpeg(seed: int) -> bytes:
    out = io.BytesIO()
    low = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(low).resize((96, 64)).save(out, "JPEG", quality=90)
    return out.getvalue()


def record(seed: int) -> Record:
    rng = np.random.default_rng(seed)
    xy_px = rng.uniform((0, 0), (96, 64), (12, 2))
    question = ObjectQuestion("How wide is {0}?", ((1.0, 2.0, 30.0, 40.0),), Length(1.25))
    return Record(CAMERA, xy_px, rng.uniform(0.5, 9, 12), (question,))


def write(folder: Path, count: int = 10) -> Shards:
    made = [(f"s{k:04d}", jpeg(k), record(k).to_json()) for k in range(count)]
    assert write_shards(folder, made, per_shard=4) == count
    return Shards(folder)


def conversation(dataset: ShardDataset, place: int, seed: int, *tasks: TaskName) -> Conversation:
    protocol, rng = get_protocol("joint").with_focal(100.0), np.random.default_rng((seed,))
    return QuestionWriter(protocol, in_order(tasks), 16).write(dataset.sample(place, rng), rng)


def test_round_trip_and_stock_tools(tmp_path: Path) -> None:
    shards = write(tmp_path)
    assert len(shards) == 10 and len(shards.names) == 3
    for place in range(10):
        assert shards.picture(place) == jpeg(place)
        assert np.array_equal(shards.record(place).xy_px, record(place).xy_px)
    with tarfile.open(tmp_path / "00001.tar") as tar:
        assert tar.getnames()[:2] == ["s0004.jpg", "s0004.json"]
    again = pickle.loads(pickle.dumps(shards))
    assert again.record(7).questions == record(7).questions
    assert len(pickle.dumps(shards)) < 500


def test_remote_reads_the_same(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    here = write(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path), "/vlm3-test", recursive=True)
    there = Shards("memory://vlm3-test")
    assert there.picture(5) == here.picture(5)
    assert np.array_equal(there.record(9).distance_m, here.record(9).distance_m)


def test_pairs_are_two_places(tmp_path: Path) -> None:
    write(tmp_path)
    motion = RelativePose.from_ypr_direction((10.0, -3.0, 2.0), (0.6, 0.0, 0.8), 1.5)
    xy = np.array([[10.0, 20.0], [90.0, 60.0]])
    row = pair_row(2, 7, motion.cam1_from_cam2, xy, xy + 2, covisibility=0.5)
    write_pairs(tmp_path, [row] * 3)
    assert Shards(tmp_path).places(1) == (2, 7)
    pair = pair_sample(Shards(tmp_path), 1, "")
    assert pair.motion is not None
    assert np.abs(pair.motion.cam1_from_cam2 - motion.cam1_from_cam2).max() < 1e-6
    source = ShardDataset("pairs", Shards(tmp_path), pairs=True)
    turns = conversation(source, 0, 0, "correspondence", "pose").turns
    assert [t.task for t in turns].count("pose") == 3
    found = correspondence.parse(
        get_protocol("joint"), turns[0].answer or "", width_px=96, height_px=64
    )
    assert any(np.abs(found - want).max() < 0.2 for want in (xy + 2) * (1, 64 / 64))


def test_asked_where_the_label_lies_after_the_resize(tmp_path: Path) -> None:
    source = ShardDataset("rooms", write(tmp_path))
    made, truth = conversation(source, 3, 1, "depth", "objects"), record(3)
    assert made.images[0].shape == (64, 96, 3)
    protocol = get_protocol("joint")
    asked = {t.question: t.answer for t in made.turns if t.task == "depth"}
    assert len(asked) == 10
    height = made.images[0].shape[0]
    for xy_px, metres in zip(truth.xy_px, truth.distance_m, strict=True):
        at = xy_px * (1, height / 64)
        text = depth.ask(protocol, at, width_px=96, height_px=height)
        assert asked.get(text, depth.answer(protocol, metres)) == depth.answer(protocol, metres)


def test_damage_is_named(tmp_path: Path) -> None:
    shards = write(tmp_path)
    tar = tmp_path / "00002.tar"
    tar.write_bytes(tar.read_bytes()[:1500])
    with pytest.raises(InputError, match=r"00002\.tar is cut off"):
        Shards(tmp_path).picture(9)
    source = ShardDataset("rooms", shards)
    _, offset, size, *_ = shards.index[0].tolist()
    handle = os.open(tmp_path / "00000.tar", os.O_RDWR)
    os.pwrite(handle, b"\0" * (size // 2), offset + size // 3)
    os.pwrite(handle, b"no", offset)
    os.close(handle)
    with pytest.raises(InputError, match="damaged"):
        conversation(source, 0, 0, "depth")
    with pytest.warns(ShardWarning, match=r"00002\.tar is damaged"):
        assert build_index(tmp_path) >= 8


def test_worlds_write_records(tmp_path: Path) -> None:
    pytest.importorskip("warp")
    from vlm3.worlds.shards import render_shards

    list(render_shards(tmp_path, 2, 0, width_px=96, height_px=64))
    shards = Shards(tmp_path)
    assert len(shards) == 2 and len(shards.record(1).xy_px) > 20
    assert conversation(ShardDataset("worlds", shards), 0, 0, "depth", "objects").turns


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["schema", "camera", "points", "questions", "xy_px", "distance_m"]),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_json_is_read_or_refused(value: object) -> None:
    import json

    with pytest.raises(InputError):
        Record.from_json(json.dumps(value))


def test_wrong_records_are_refused() -> None:
    good = record(0).to_json().decode()
    for old, new, why in (
        ('"schema": 1', '"schema": 9', "schema"),
        ('"width_px": 96', '"width_px": 20', r"points\.xy_px\[\d+\] is .*, outside the 20x64"),
        ('"width_px": 96, ', "", "camera .*width_px"),
        ('"camera": {', '"camera": 3, "c": {', "camera is int"),
        ('"distance_m": [', '"distance_m": [-1, ', r"points\.distance_m has 13 values for 12"),
        ('"distance_m": [', '"distance_m": ["far", ', r"points\.distance_m is not a list"),
        ('"value_m": 1.25', '"value_m": null', r"questions\[0\] has no answer"),
        ('"value_m": 1.25', '"value_m": "1.25"', r"questions\[0\]\.value_m is '1.25'"),
        ('"clock_hour": null', '"clock_hour": 13', r"questions\[0\]\.clock_hour is 13"),
        ('"region": null', '"region": 1', r"questions\[0\]\.region is 1; there are 1 boxes"),
        ("wide is {0}", "wide is {1}", r"questions\[0\]\.question names box \{1\} of 1"),
        ("30.0, 40.0]", "30.0]", r"questions\[0\]\.boxes_xyxy_px\[0\]"),
        ('"intrinsics": "given"', '"intrinsics": "guess"', "intrinsics is 'guess'"),
        ('"metric": true, ', '"metric": 1, ', "metric is 1"),
        ('"source": ""', '"source": null', "source is None"),
        ('"metric": true, ', '"metric": true ', "not JSON"),
    ):
        assert old in good
        with pytest.raises(InputError, match=why):
            Record.from_json(good.replace(old, new))


@given(
    seed=st.integers(0, 10_000),
    metric=st.booleans(),
    source=st.text(max_size=8),
    split=st.sampled_from(["train", "heldout"]),
    intrinsics=st.sampled_from(["given", "exif", "fov", "assumed"]),
)
def test_a_record_comes_back_as_it_was(
    seed: int, metric: bool, source: str, split: str, intrinsics: Intrinsics
) -> None:
    made = replace(record(seed), metric=metric, source=source, split=split, intrinsics=intrinsics)
    again = Record.from_json(made.to_json())
    assert again.to_json() == made.to_json()
    assert again.camera == made.camera and again.questions == made.questions
    assert np.array_equal(again.xy_px, made.xy_px)
    assert (again.source, again.split, again.intrinsics) == (source, split, intrinsics)


def test_what_could_not_be_read_is_not_written() -> None:
    fisheye = replace(CAMERA, model="fisheye", distortion=(0.1, 0.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"camera\.model is fisheye"):
        replace(record(0), camera=fisheye).to_json()


def test_a_tar_cut_anywhere_is_named(tmp_path: Path) -> None:
    write(tmp_path, 4)
    tar = tmp_path / "00000.tar"
    whole = tar.read_bytes()
    with tarfile.open(tar) as opened:
        last = opened.getmembers()[-1]
    end = last.offset_data + (last.size + 511) // 512 * 512
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build_index(tmp_path) == 4
    before = 4
    for length in range(end + 512, 3 * 512, -512):
        tar.write_bytes(whole[:length])
        try:
            with pytest.warns(ShardWarning, match=r"00000\.tar is damaged"):
                kept = build_index(tmp_path)
        except InputError:
            kept = 0
        assert kept <= before
        before = kept


def test_a_run_that_is_cut_leaves_only_whole_tars(tmp_path: Path) -> None:
    def samples() -> Iterator[tuple[str, bytes, bytes]]:
        for k in range(6):
            yield f"s{k}", jpeg(k), record(k).to_json()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_shards(tmp_path, samples(), per_shard=4)
    assert [path.name for path in tmp_path.iterdir()] == ["00000.tar"]
    assert len(Shards(tmp_path)) == 4
    with pytest.raises(InputError, match="holds shards already"):
        write_shards(tmp_path, [])
    with pytest.raises(InputError, match="came twice"):
        write_shards(tmp_path / "twice", [("a", jpeg(0), b"{}")] * 2)


def test_pairs_that_point_nowhere_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    at = np.array([[10.0, 20.0]])
    inside = pair_row(2, 3, np.eye(4), at, at, covisibility=1)
    write_pairs(
        tmp_path,
        [
            pair_row(2, 10, np.eye(4), at, at, covisibility=1),
            pair_row(2, 3, np.eye(4), at, at + 90, covisibility=1),
            pair_row(2, 3, 2 * np.eye(4), at, at, covisibility=1),
            inside,
        ],
    )
    shards = Shards(tmp_path)
    for place, why in enumerate(
        [r"pairs\.npy row 0 names pictures 2 and 10 of 10", r"xy2_px\[0\]", "cam1_from_cam2"]
    ):
        with pytest.raises(InputError, match=why):
            pair_sample(shards, place, "")
    assert pair_sample(shards, 3, "").cameras == (CAMERA, CAMERA)


def test_thousands_of_tars_need_few_open_files(tmp_path: Path) -> None:
    for k in range(400):
        (tmp_path / f"{k}.tar").write_bytes(b"%05d" % k)
    store = Store(tmp_path)
    assert all(store.range(f"{k % 400}.tar", 0, 5) == b"%05d" % (k % 400) for k in range(900))
    assert len(list(Path("/proc/self/fd").iterdir())) < 350


def test_a_remote_index_that_changed_is_fetched_again(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    kept = []
    for value in (b"old", b"new"):
        memory.pipe("/vlm3-again/index.npy", value)
        kept.append(Store("memory://vlm3-again").local("index.npy"))
        assert kept[-1].read_bytes() == value
    for path in kept:
        path.unlink()


_MEMBERS = st.tuples(
    st.sampled_from(("a", "b", "c/a")), st.sampled_from(("jpg", "png", "json", "x"))
)


@given(st.lists(_MEMBERS, max_size=14))
@settings(max_examples=60, deadline=None)
def test_an_index_is_of_whole_samples_in_their_order(names: list[tuple[str, str]]) -> None:
    """Whoever wrote the tar, in whatever order, and names that come again: the last one counts."""
    data = [str(k).encode() * (k + 1) for k in range(len(names))]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with tarfile.open(folder / "0.tar", "w") as tar:
            for (key, ending), content in zip(names, data, strict=True):
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        last: dict[str, dict[str, bytes]] = {}
        for (key, ending), content in zip(names, data, strict=True):
            if ending != "x":
                last.setdefault(key, {})[ending.replace("png", "jpg")] = content
        wanted = [(p["jpg"], p["json"]) for p in last.values() if len(p) == 2]
        if not wanted:
            with pytest.raises(InputError, match="has no tar with"):
                build_index(folder)
            return
        assert build_index(folder) == len(wanted)
        shards = Shards(folder)
        found = [(shards.picture(k), shards._json(k)) for k in range(len(shards))]
    assert sorted(found) == sorted(wanted)
    if len(names) == len(set(names)) and not {"jpg", "png"} <= {ending for _, ending in names}:
        assert found == wanted
