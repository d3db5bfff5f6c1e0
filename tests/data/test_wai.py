"""Scenes in MapAnything's layout, from files to shards to the truth of the worlds they show."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("warp")
pytest.importorskip("OpenEXR", reason="no OpenEXR")

from fixtures.truth import by_name, compare, scene
from fixtures.wai import name_of, write_scene

from vlm3.data.curate import curate
from vlm3.data.prepare import Size
from vlm3.data.shards import Shards
from vlm3.data.sources.splits import SCANNETPP_TEST
from vlm3.data.units import Job

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
    assert shards.pair(0)[2].metric is metric
