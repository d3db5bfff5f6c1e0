"""Every source: raw files -> shards -> records -> the truth of the world they were made from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_sets import WRITERS, Raw, Truth, along

from vlm3.curation.export_depthlm import to_depthlm
from vlm3.curation.launch import curate
from vlm3.curation.prepare import Size
from vlm3.curation.units import Job
from vlm3.data.decoding import decode
from vlm3.data.shards import Shards
from vlm3.datasets import SINGLE, names
from vlm3.geometry.pose import invert


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_raw_files_become_the_truth(name: str, tmp_path: Path) -> None:
    raw = WRITERS[name](tmp_path / "raw")
    source = name.strip()
    job = Job(source, tmp_path / "raw", tmp_path / "out", points=200, per_view=1)
    outcome = curate(job)
    assert outcome.joined is not None and outcome.joined.samples == len(raw.frames)
    shards = Shards(tmp_path / "out")
    found: dict[tuple[str, str], dict[str, object]] = {}
    for place in range(len(shards)):
        notes = shards.notes(place)
        truth = raw.frames[notes["scene"], notes["frame"]]
        check(shards, place, raw, truth)
        found[notes["scene"], notes["frame"]] = notes
    assert found.keys() == raw.frames.keys()
    check_poses(raw, found)


def check(shards: Shards, place: int, raw: Raw, truth: Truth) -> None:
    record, frame = shards.record(place), truth.frame
    assert record.split == truth.split
    assert record.intrinsics == "given"
    # The stored camera is the raw one without its lens, scaled with the picture.
    straight = frame.camera.undistorted().resized(record.camera.width_px, record.camera.height_px)
    assert pytest.approx(straight.K, abs=1e-3) == record.camera.K
    assert len(record.xy_px) > 20
    rays = record.camera.unproject(record.xy_px)
    expected = along(frame, rays, raw.world)
    error = np.abs(record.distance_m - expected)
    good = error <= raw.absolute_m + raw.relative * expected
    assert good.mean() >= raw.share, (error[~good][:9], expected[~good][:9])
    picture = decode(shards.picture(place))
    assert picture.shape[:2] == (record.camera.height_px, record.camera.width_px)
    if frame.camera.model == "pinhole" and picture.shape == frame.image.shape:
        difference = np.abs(picture.astype(int) - frame.image)
        assert difference.mean() < 4, "colours or orientation differ"


def check_poses(raw: Raw, found: dict[tuple[str, str], dict[str, object]]) -> None:
    """Between any two frames of a scene; whole worlds may be turned."""
    poses = {
        key: np.array(n["world_from_cam"]) for key, n in found.items() if "world_from_cam" in n
    }
    for one in poses:
        for two in poses:
            if one[0] == two[0]:
                mine = invert(poses[one]) @ poses[two]
                first, second = (raw.frames[k].frame.world_from_cam for k in (one, two))
                assert mine == pytest.approx(invert(first) @ second, abs=1e-5)


def test_every_source_has_a_fixture() -> None:
    written = {name.strip() for name in WRITERS}
    assert written == set(SINGLE)
    assert set(SINGLE) <= set(names())


@pytest.mark.parametrize("f_px", [0.0, 60.0])
def test_pictures_are_reduced_with_their_labels(f_px: float, tmp_path: Path) -> None:
    raw = WRITERS["folder"](tmp_path / "raw")
    job = Job("folder", tmp_path / "raw", tmp_path / "out", size=Size(f_px, 16))
    curate(job)
    shards = Shards(tmp_path / "out")
    for place in range(len(shards)):
        notes = shards.notes(place)
        check(shards, place, raw, raw.frames[notes["scene"], notes["frame"]])
        camera = shards.record(place).camera
        assert (camera.width_px, camera.height_px) == ((64, 48) if f_px else (160, 120))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("nuscenes-mmdet3d", lambda d, c: d * c),
        ("sunrgbd", lambda d, c: 0.8 * d),
        ("scannetpp  ", lambda d, c: np.sqrt((d * c) ** 2 + 1 / c**2 - 1)),
        ("argoverse2", lambda d, c: d),
    ],
)
def test_depthlm_mode_writes_its_labels(
    name: str, label: Callable[[Any, Any], Any], tmp_path: Path
) -> None:
    raw = WRITERS[name](tmp_path / "raw")
    job = Job(name.strip(), tmp_path / "raw", tmp_path / "out", per_view=0, depthlm=True)
    curate(job)
    assert [*to_depthlm(tmp_path / "out", tmp_path / "jsonl")][-1] == len(raw.frames)
    shards = Shards(tmp_path / "out")
    rows = (tmp_path / "jsonl" / f"{name.strip()}.jsonl").read_text().splitlines()
    for place, line in enumerate(rows):
        row, record = json.loads(line), shards.record(place)
        cosine = record.camera.unproject(record.xy_px)[:, 2]
        expected = label(record.distance_m, cosine)
        assert row["depth"] == pytest.approx(expected.tolist(), abs=1e-4)
        assert row["pixel_coords"] == [[int(x), int(y)] for x, y in record.xy_px]
    # What it writes, vlm3 reads back as the same true distances.
    back = Job("depthlm", tmp_path / "jsonl", tmp_path / "back", size=Size(0))
    curate(back)
    mine, theirs = shards.record(0), Shards(tmp_path / "back").record(0)
    assert sorted(theirs.distance_m) == pytest.approx(sorted(mine.distance_m), rel=0.03)


def test_depthlm_leaves_the_cars_move_out(tmp_path: Path) -> None:
    raw = WRITERS["nuscenes"](tmp_path / "raw")
    found = {}
    for mode in (False, True):
        out = tmp_path / str(mode)
        curate(Job("nuscenes", tmp_path / "raw", out, depthlm=mode))
        record = Shards(out).record(0)
        frame = next(iter(raw.frames.values())).frame
        expected = along(frame, record.camera.unproject(record.xy_px), raw.world)
        found[mode] = float(np.nanmedian(np.abs(record.distance_m - expected)))
    assert found[False] < 2e-3 and found[True] > 100 * found[False]
