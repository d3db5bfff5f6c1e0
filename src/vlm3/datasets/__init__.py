"""The data sets that vlm3 reads, one adapter each; foreign conventions end there.

A new one is a module that ends in a `Reader`, an entry of `published.toml` with what is known about
it, and a line here.
"""

import difflib
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from vlm3.datasets.base import PublishedDataset, Reader
from vlm3.datasets.published import SetFacts, facts
from vlm3.errors import InputError

SINGLE = {
    "argoverse2": "argoverse2:ARGOVERSE2",
    "colmap": "colmap:COLMAP",
    "ddad": "ddad:DDAD",
    "depthlm": "depthlm:DEPTHLM",
    "eth3d": "colmap:ETH3D",
    "folder": "folder:FOLDER",
    "hm3d": "omnidata:HM3D",
    "ibims1": "indoor:IBIMS1",
    "kitti-depth": "kitti:KITTI_DEPTH",
    "kitti-object": "kitti:KITTI_OBJECT",
    "matterport3d": "matterport3d:MATTERPORT3D",
    "nuscenes": "nuscenes:NUSCENES",
    "nuscenes-mmdet3d": "nuscenes:NUSCENES_MMDET3D",
    "nyuv2": "indoor:NYUV2",
    "scannetpp": "scannetpp:SCANNETPP",
    "sunrgbd": "indoor:SUNRGBD",
    "taskonomy": "omnidata:TASKONOMY",
    "waymo": "waymo:WAYMO",
}
"""Sources of single pictures; some allow pairs too."""

VIEWS = {
    "7scenes": "rgbd:SEVEN_SCENES",
    "aria-synthetic-environments": "aria:ASE",
    "ase-wai": "wai:ASE",
    "blendedmvs": "blendedmvs:BLENDEDMVS",
    "dl3dv-10k": "dl3dv:DL3DV",
    "dtu": "dtu:DTU",
    "dynamicreplica": "dynamicreplica:DYNAMICREPLICA",
    "eth3d-wai": "wai:ETH3D",
    "gta-sfm": "gta_sfm:GTA_SFM",
    "megadepth": "megadepth:MEGADEPTH",
    "mpsd": "mpsd:MPSD",
    "mvs-synth": "mvs_synth:MVS_SYNTH",
    "open-spatial-dataset": "osd:OSD",
    "realestate10k": "realestate10k:REALESTATE10K",
    "rgbd-log": "rgbd:TRAJECTORY",
    "sail-vos3d": "sail_vos3d:SAIL_VOS3D",
    "scannetpp-wai": "wai:SCANNETPP",
    "spatialrgpt-bench": "osd:BENCH",
    "spring": "spring:SPRING",
    "tartanair-wb": "wai:TARTANAIR_WB",
    "tartanairv2": "tartanair:TARTANAIR",
    "unrealstereo4k": "unrealstereo4k:UNREALSTEREO4K",
    "wai": "wai:WAI",
}
"""Sources of pairs, and of questions about objects."""

_READERS = dict(sorted((SINGLE | VIEWS).items()))


def names() -> tuple[str, ...]:
    """Every source there is."""
    return tuple(_READERS)


def get_facts(name: str) -> SetFacts:
    """What is known about the source of that name; its reader is not imported.

    Raises:
        InputError: there is none.
    """
    if name not in _READERS:
        near = difflib.get_close_matches(name, _READERS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"no source {name!r}: {hint}There are {', '.join(_READERS)}")
    return facts(name)


def get_source(name: str, root: Path | None = None) -> PublishedDataset:
    """The source of that name.

    Args:
        name: of the source.
        root: where it lies. A set that DepthLM curated may lie there as its jsonl, which is what
            `vlm3 eval` reads: the same folder serves both.

    Raises:
        InputError: there is none.
    """
    known = get_facts(name)
    if root is None or known.depthlm is None or len(list(root.glob("*.jsonl"))) != 1:
        return PublishedDataset(known, _reader(name))
    rows = replace(known, tasks=facts("depthlm").tasks, needs=())
    return PublishedDataset(rows, _reader("depthlm"))


def _reader(name: str) -> Reader:
    module, attribute = _READERS[name].split(":")
    found: Reader = getattr(import_module(f"vlm3.datasets.{module}"), attribute)
    return found
