"""SpatialRGPT's files: streamed in bounded memory, regions in their order, boxes from masks."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fixtures.truth import write_picture
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.curation.intrinsics import Calibration
from vlm3.curation.launch import curate
from vlm3.curation.units import Job
from vlm3.data.shards import Shards
from vlm3.datasets import get_source, json_array
from vlm3.datasets.base import RawFrame, Skipped
from vlm3.datasets.masks import box_of_mask
from vlm3.datasets.osd import object_question
from vlm3.errors import InputError
from vlm3.tasks.truth import ClockHour, Length, YesNo

BOXES = [[10, 12, 50, 60], [60, 20, 90, 70], [5, 5, 30, 30], [40, 8, 95, 64], [1, 2, 20, 40]]


def entry(name: str, **changed: object) -> dict[str, object]:
    turns = [
        ("<image>\nIs <mask> <depth> to the left of <mask> <depth>?",
         "Correct, you'll find Region [0] to the left of Region [1]."),
        ("What is the width of <mask> <depth>?", "Region [0] is 3 feet wide."),
        ("If you are at <mask><depth>, where will you find <mask> <depth>?",
         "Region [1] will be found at the 10 o'clock position from Region [0]."),
        ("Could Region be reached?", "Hard to say."),
    ]  # fmt: skip
    values = [
        {"from": who, "value": text}
        for turn in turns
        for who, text in zip(("human", "gpt"), turn, strict=True)
    ]
    found = {"filename": name, "conversations": values, "rle": [], "bbox": BOXES}
    return found | changed


def dataset(root: Path, names: list[str], **changed: object) -> Path:
    for name in names:
        write_picture(root / "Openimages/train" / f"{name}.jpg", np.full((72, 96, 3), 90, np.uint8))
    path = root / "result_10_depth_convs.json"
    path.write_text(json.dumps([entry(name, **changed) for name in names]))
    return path


def test_regions_in_their_order(tmp_path: Path) -> None:
    dataset(tmp_path / "raw", ["aa", "bb"])
    curate(
        Job(
            "open-spatial-dataset",
            tmp_path / "raw",
            tmp_path / "out",
            calibration=Calibration(60.0),
        )
    )
    shards = Shards(tmp_path / "out")
    assert len(shards) == 2
    first, second, third = shards.record(0).questions
    assert first.question == "Is {0} to the left of {1}?"
    assert first.sentence == "Correct, you'll find {0} to the left of {1}."
    assert first.truth == YesNo(True)
    assert [list(b) for b in first.boxes_xyxy_px] == BOXES[:2]
    # Counted anew: the third region of the conversation is the first of the question.
    assert second.truth == Length(pytest.approx(3 * 0.3048))
    assert [list(b) for b in second.boxes_xyxy_px] == BOXES[2:3]
    assert third.truth == ClockHour(10) and third.question.endswith("{0}, where will you find {1}?")
    assert [list(b) for b in third.boxes_xyxy_px] == BOXES[3:]


def test_boxes_of_another_size_and_of_masks(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((144, 192), np.uint8, order="F")
    mask[20:50, 30:70] = 1
    rle = coco.encode(mask)
    text = {"size": rle["size"], "counts": rle["counts"].decode()}
    # The first box is empty and outside: its mask stands in. All are of a picture twice as large.
    boxes = [[0, 0, 0, 0], [120, 40, 500, 140], *BOXES[2:]]
    dataset(tmp_path, ["aa"], bbox=boxes, rle=[text] * 5)
    (frame,) = get_source("open-spatial-dataset").reader.frames(tmp_path, "part-00000-of-00001")
    assert isinstance(frame, RawFrame)
    assert frame.questions[0].boxes_xyxy_px == ((15, 10, 35, 25), (60, 20, 96, 70))


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    source = get_source("open-spatial-dataset")
    path = dataset(tmp_path, ["aa", "bb", "cc"], bbox=BOXES[:4])
    found = list(source.reader.frames(tmp_path, "part-00000-of-00001"))
    assert all(isinstance(f, Skipped) and "5 regions are named and 4" in f.reason for f in found)
    path = dataset(tmp_path, ["aa", "bb", "cc"])
    (tmp_path / "Openimages/train/bb.jpg").unlink()
    text = path.read_text()
    path.write_text(text[: len(text) - 300])
    one, two, three = source.reader.frames(tmp_path, "part-00000-of-00001")
    assert isinstance(one, RawFrame) and isinstance(two, Skipped) and isinstance(three, Skipped)
    assert "fetch it from its own set" in two.reason and "cut off" in three.reason
    path.write_text('{"not": "an array"}')
    with pytest.raises(InputError, match="no JSON array of objects"):
        list(source.reader.frames(tmp_path, "part-00000-of-00001"))


def test_reasoning_gets_no_value() -> None:
    boxes = ((0.0, 0.0, 4.0, 4.0), (5.0, 5.0, 9.0, 9.0))
    long = "Region [0] is 1.2 m wide and Region [1] 0.8 m, so it is 0.4 m wider."
    assert object_question("How much wider is {0} than {1}?", long, boxes).truth is None
    plain = object_question(
        "How far is {0} from {1}?", "Region [0] is 5 feet 3 inches away.", boxes
    )
    assert plain.truth == Length(pytest.approx(1.6002))
    two = object_question("Is {0} above {1}?", "Yes. It hangs there.", boxes)
    assert two.truth is None and two.sentence == "Yes. It hangs there."


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet='ab"\\{}[],: \né', max_size=30), min_size=1, max_size=12),
    st.integers(40, 400),
    st.sampled_from([None, 1]),
)
def test_parts_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], part: int, indent: int | None
) -> None:
    whole = [{"filename": t, "n": [{"from": t, "filename x": k}]} for k, t in enumerate(texts)]
    path = tmp_path_factory.mktemp("array") / "a.json"
    path.write_text(json.dumps(whole, indent=indent), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "PART_BYTES", part)
        patch.setattr(json_array, "_BLOCK", 37)
        parts = range(json_array.part_count(path))
        found = [one for p in parts for _, one in json_array.entries(path, p)]
    assert found == whole


def test_memory_is_that_of_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    filler = "x" * 40_000
    with path.open("w") as file:
        for k in range(5000):
            one = json.dumps({"filename": f"{k}", "filler": filler})
            file.write(("[" if k == 0 else ", ") + one)
        file.write("]")
    assert path.stat().st_size > 200e6
    code = (
        "import resource, sys; from pathlib import Path; from vlm3.datasets.json_array import *\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak(); path = Path(sys.argv[1]); count = 0\n"
        "for part in range(part_count(path)):\n"
        "    count += sum(1 for _ in entries(path, part))\n"
        "print(count, peak() - before)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
    count, grown_mb = run.stdout.split()
    assert int(count) == 5000
    assert float(grown_mb) < 40, f"{float(grown_mb):.0f} MB for a file of 200 MB"


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_boxes_of_masks(height: int, width: int, seed: int, share: float) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    mask = np.asfortranarray(np.random.default_rng(seed).random((height, width)) < share, np.uint8)
    rle = coco.encode(mask)
    box = box_of_mask(rle["size"], rle["counts"].decode())
    if not mask.any():
        assert box is None
        return
    x, y, w, h = coco.toBbox(rle)
    rows, columns = np.nonzero(mask)
    assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert box == (x, y, x + w, y + h)


def test_damaged_masks_are_refused() -> None:
    with pytest.raises(InputError, match="cover 7 of 12"):
        box_of_mask((3, 4), [3, 4])
    with pytest.raises(InputError, match="no part of a compressed mask"):
        box_of_mask((3, 4), "~~")


def test_the_benchmark(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"q{k}",
            "image_info": {"file_path": "kitti/a.jpg", "width": 96, "height": 72},
            "text_q": "What is the height of Region [0]?",
            "qa_info": {"type": "quantitative", "category": "height_data"},
            "rle": [],
            "bbox": [[-4, 12, 50, 200]],
            "conversations": [
                {"from": "human", "value": "?"},
                {"from": "gpt", "value": f"Region [0] is {k}.5 meters tall."},
            ],
        }
        for k in (1, 2)
    ]
    write_picture(tmp_path / "raw/omni3d/kitti/a.jpg", np.full((72, 96, 3), 90, np.uint8))
    (tmp_path / "raw/SpatialRGPT-Bench_v1.json").write_text(json.dumps(rows))
    curate(
        Job("spatialrgpt-bench", tmp_path / "raw", tmp_path / "out", calibration=Calibration(60.0))
    )
    record = Shards(tmp_path / "out").record(0)
    assert record.split == "test"
    assert [q.truth for q in record.questions] == [Length(1.5), Length(2.5)]
    assert record.questions[0].boxes_xyxy_px == ((0, 12, 50, 72),)
