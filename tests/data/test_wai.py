"""Scenes in MapAnything's layout, from files to shards to the truth of the worlds they show."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("warp")
pytest.importorskip("OpenEXR", reason="no OpenEXR")

from fixtures.truth import by_name, compare, scene
from fixtures.wai import name_of, write_scene

from vlm3.curation.launch import curate
from vlm3.curation.prepare import Size
from vlm3.curation.units import Job
from vlm3.data.dataset import pair_sample
from vlm3.data.shards import Shards
from vlm3.datasets import get_source
from vlm3.datasets.base import RawFrame, Skipped
from vlm3.datasets.splits import SCANNETPP_TEST, SCANNETPP_VAL
from vlm3.errors import InputError

HALF = 2.0**-11
"""Half of the last digit of a half float."""


def curated(source: str, root: Path, out: Path) -> Shards:
    curate(Job(source, root, out, size=Size(0.0)))
    return Shards(out)


@pytest.mark.parametrize(
    ("source", "kind", "how"),
    [
        ("blendedmvs", "room", {"scale": 40.0, "metric": False}),
        ("scannetpp-wai", "room", {"depth": "rendered_depth", "shared": True}),
        (
            "dl3dv-10k",
            "room",
            {"depth": "pred_depth/mvsanywhere", "confidence": True, "metric": False, "small": 3},
        ),
        ("spring", "street", {"sky": True, "half": False}),
        ("unrealstereo4k", "room", {"rgba": True}),
        ("eth3d-wai", "street", {}),
        ("wai", "room", {"depth": "depth", "half": False}),
    ],
)
def test_from_files_to_the_truth(
    tmp_path: Path, source: str, kind: str, how: dict[str, Any]
) -> None:
    names = {
        "blendedmvs": ("5a2a95f032a1c655cfe3de62", "00000000000000000000000a"),
        "scannetpp-wai": ("0a5c013435", SCANNETPP_TEST[0]),
        "spring": ("0001", "0013"),
        "unrealstereo4k": ("00000", "00008"),
    }.get(source, ("first", "second"))
    held = {
        "blendedmvs": "val",
        "scannetpp-wai": "test",
        "spring": "val",
        "unrealstereo4k": "test",
        "eth3d-wai": "test",
    }.get(source, "train")
    splits = {names[0]: "test" if source == "eth3d-wai" else "train", names[1]: held}
    scenes = [(name, scene(k, kind)) for k, name in enumerate(names)]
    for name, one in scenes:
        write_scene(tmp_path / "raw", name, one, **how)
    shards = curated(source, tmp_path / "raw", tmp_path / "out")
    scale = how.get("scale", 1.0)
    digits = HALF if how.get("half", True) else 0.0
    lookup = by_name(scenes, name_of)
    off = compare(shards, lookup, scale=scale, splits=splits, digits=digits)
    # Where a mask hides half of the depth, few pairs are left; where it is coarse, more is hidden.
    coarse = "small" in how
    assert off.pictures == 8 and off.points > 300 and off.pairs >= (2 if coarse else 4), off
    assert off.relative < digits + 1e-4, off
    assert off.pose < 1e-5 and off.match_px < 0.1 and off.hidden < (0.1 if coarse else 0.02), off
    metric = how.get("metric", True)
    assert all(shards.record(k).metric is metric for k in range(8))
    assert pair_sample(shards, 0, "").metric is metric


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    """One scene, damaged in one way after another; nothing is guessed."""
    source, folder = get_source("scannetpp-wai"), tmp_path / "s"

    def changed(**fields: Any) -> list[Any]:
        write_scene(tmp_path, "s", scene(0), depth="rendered_depth")
        meta = json.loads((folder / "scene_meta.json").read_text())
        for name, value in fields.items():
            if name.startswith("frame0_"):
                meta["frames"][0][name.removeprefix("frame0_")] = value
            else:
                meta[name] = value
        (folder / "scene_meta.json").write_text(json.dumps(meta))
        return list(source.reader.frames(tmp_path, "s"))

    assert all(isinstance(f, RawFrame) for f in changed())
    for fields, reason in (
        ({"frame0_is_bad": True}, "marked as bad"),
        ({"frame0_camera_model": "SIMPLE_RADIAL"}, "WAI has PINHOLE"),
        ({"frame0_k1": 0.1}, "undistort the scene first"),
        ({"frame0_fl_x": -3.0}, "a focal length must be positive"),
        ({"frame0_w": None}, "frame_00000.w is None; give a number"),
        ({"frame0_transform_matrix": [1, 2, 3]}, "give 4 x 4 finite numbers"),
    ):
        first, *rest = changed(**fields)
        assert isinstance(first, Skipped) and reason in first.reason, first
        assert all(isinstance(f, RawFrame) for f in rest)
    for fields, reason in (
        ({"camera_convention": "opengl"}, "WAI's are opencv"),
        ({"frames": [], "skipped_reason": "too few"}, "too few"),
    ):
        with pytest.raises(InputError, match=reason):
            changed(**fields)
    changed()
    log = {"render_mesh": {"state": "running"}}
    (folder / "_process_log.json").write_text(json.dumps(log))
    with pytest.raises(InputError, match="'render_mesh' is running; finish it first"):
        list(source.reader.frames(tmp_path, "s"))


def test_damaged_depth_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scene(tmp_path, "s", scene(0))
    frame = next(iter(get_source("wai").reader.frames(tmp_path, "s")))
    assert isinstance(frame, RawFrame) and frame.depth is not None
    file = sorted((tmp_path / "s/depth").glob("*.exr"))[0]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"no EXR file that can be read \(.*scanline"):
        frame.depth()
    assert capsys.readouterr().out == "", "the library prints what is wrong with pixels"
    file.write_bytes(whole[:200])
    with pytest.raises(InputError, match="no EXR file that can be read"):
        frame.depth()
    file.unlink()
    with pytest.raises(InputError, match="no depth file"):
        frame.depth()


def test_held_out_scenes_are_scenes() -> None:
    assert len(set(SCANNETPP_TEST)) == len(set(SCANNETPP_VAL)) == 30
    assert not set(SCANNETPP_TEST) & set(SCANNETPP_VAL)
