"""The data sets that vlm3 reads, one adapter each; foreign conventions end there.

A new one is a module with a `Source` in it and a line here.
"""

import difflib
from importlib import import_module

from vlm3.data.sources.base import Source
from vlm3.errors import InputError

_HOMES = {
    "folder": "folder:FOLDER",
    "blendedmvs": "wai:BLENDEDMVS",
    "dynamicreplica": "wai:DYNAMICREPLICA",
    "sail-vos3d": "wai:SAIL_VOS3D",
    "scannetpp-wai": "wai:SCANNETPP",
    "mpsd": "wai:MPSD",
    "dl3dv-10k": "wai:DL3DV",
    "megadepth": "wai:MEGADEPTH",
    "aria-synthetic-environments-wai": "wai:ASE",
    "unrealstereo4k": "wai:UNREALSTEREO4K",
    "mvs-synth": "wai:MVS_SYNTH",
    "spring": "wai:SPRING",
    "tartanair-wb": "wai:TARTANAIR_WB",
    "eth3d-wai": "wai:ETH3D",
    "wai": "wai:WAI",
    "gta-sfm": "gta_sfm:GTA_SFM",
    "tartanairv2": "tartanair:TARTANAIR",
    "dtu": "dtu:DTU",
    "open-spatial-dataset": "osd:OSD",
    "spatialrgpt-bench": "osd:BENCH",
    "aria-synthetic-environments": "aria:ASE",
    "7scenes": "rgbd:SEVEN_SCENES",
    "rgbd-log": "rgbd:TRAJECTORY",
}


def names() -> tuple[str, ...]:
    """Every source there is."""
    return tuple(_HOMES)


def get_source(name: str) -> Source:
    """The source of that name.

    Raises:
        InputError: there is none.
    """
    if name not in _HOMES:
        near = difflib.get_close_matches(name, _HOMES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"no source {name!r}: {hint}There are {', '.join(_HOMES)}")
    module, attribute = _HOMES[name].split(":")
    found: Source = getattr(import_module(f"vlm3.data.sources.{module}"), attribute)
    return found
