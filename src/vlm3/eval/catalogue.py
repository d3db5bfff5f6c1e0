"""What each benchmark measures, where to get it, its licence, what its reader was checked on.

For people choosing one: `vlm3 eval --list` and docs/evaluation.md are written from this. Licences
are of the questions or labels; pictures keep the licences of their sets. "Not read" means that the
page that says it could not be read by us.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Verified = Literal["real files", "publisher's code", "lmms-eval's code", "documentation", "own"]


@dataclass(frozen=True)
class Facts:
    """About one benchmark.

    Attributes:
        measures: in a few words.
        source: where to get it.
        licence: of its questions or labels.
        verified: what the reader was checked on: the publisher's files, files written as that
            code writes or reads them, or its documentation; "own" is made by vlm3.
        unread: what of it could not be looked up; empty for nothing.
    """

    measures: str
    source: str
    licence: str
    verified: Verified
    unread: str = ""


_DEPTH = "distance at points"
_BY_DEPTHLM = "{}; curated with DepthLM's scripts"
_NC4 = "CC BY-NC-SA 4.0"
_SCANNETPP = "ScanNet++ terms, non-commercial"
_UFM = "{}; UFM's pairs at 560x420 as pairs.jsonl"


def _depthlm(
    source: str, licence: str, verified: Verified = "publisher's code", unread: str = ""
) -> Facts:
    return Facts(_DEPTH, _BY_DEPTHLM.format(source), licence, verified, unread)


_DEPTHVLM_UNREAD = (
    "the annotation files on the hub, so their names are those of configs/eval_datasets.conf; and "
    "how language models were prompted in the published rows"
)


def _depthvlm(*, dense: bool = False, verified: Verified = "publisher's code") -> Facts:
    return Facts(
        "metric depth, whole maps" if dense else "metric depth at points of depth maps",
        "hf JonnyYu828/DepthVLM-Bench; pictures from their sets",
        "Apache-2.0 (code); labels: not read",
        verified,
        _DEPTHVLM_UNREAD,
    )


FACTS: Mapping[str, Facts] = MappingProxyType(
    {
        "argoverse2": _depthlm("argoverse.org", _NC4),
        "ddad": _depthlm("github TRI-ML/DDAD", _NC4),
        "nuscenes": _depthlm("nuscenes.org, v1.0-mini", _NC4),
        "eth3d": _depthlm("eth3d.net", _NC4),
        "scannetpp": _depthlm("the ScanNet++ site", _SCANNETPP),
        "sunrgbd": _depthlm("rgbd.cs.princeton.edu", "research use"),
        "ibims1": _depthlm(
            "github facebookresearch/DepthLM_Official", "research use", "real files"
        ),
        "nyuv2": _depthlm("rgbd.cs.princeton.edu", "research use"),
        "spatialrgpt": Facts(
            "sizes, distances, directions and comparisons of boxes",
            "hf a8cheng/SpatialRGPT-Bench; pictures of Omni3D",
            "not read",
            "publisher's code",
            "the licence",
        ),
        "eth3d-corr": Facts("matching pixels", _UFM.format("eth3d.net"), _NC4, "documentation"),
        "dtu-corr": Facts(
            "matching pixels", _UFM.format("DTU"), "not stated; for research", "documentation"
        ),
        "tawb-corr": Facts(
            "matching pixels", _UFM.format("TartanAir"), "CC BY 4.0", "documentation"
        ),
        "eth3d-pose": Facts("camera motion", "eth3d.net, as pairs.jsonl", _NC4, "documentation"),
        "scannetpp-pose": Facts(
            "camera motion", "the ScanNet++ site, as pairs.jsonl", _SCANNETPP, "documentation"
        ),
        "kitti-object": Facts(_DEPTH, "cvlibs.net", "CC BY-NC-SA 3.0", "real files"),
        "ddad-dgp": Facts(_DEPTH, "github TRI-ML/DDAD", _NC4, "real files"),
        "nuscenes-mmdet3d": Facts(_DEPTH, "github open-mmlab/mmdetection3d", _NC4, "real files"),
        "rgbd-pairs": Facts(
            "matching pixels, camera motion",
            "7-Scenes, or your own frames with depth and poses",
            "7-Scenes: Microsoft, non-commercial",
            "real files",
        ),
        "shards": Facts("all four tasks", "vlm3 data curate", "yours", "own"),
        "worlds": Facts("all four tasks", "nothing to get: rendered", "Apache-2.0", "own"),
        **dict.fromkeys(
            (
                f"depthvlm-{name}"
                for name in ("argoverse2", "waymo", "ddad", "nuscenes", "eth3d", "sunrgbd")
            ),
            _depthvlm(),
        ),
        **dict.fromkeys(("depthvlm-ibims1", "depthvlm-nyuv2"), _depthvlm()),
        "depthvlm-scannetpp": _depthvlm(verified="real files"),
        **dict.fromkeys(
            (
                f"depthvlm-{name}-dense"
                for name in ("waymo", "nuscenes", "eth3d", "sunrgbd", "ibims1")
            ),
            _depthvlm(dense=True),
        ),
        "crosspoint": Facts(
            "points and choices across two pictures",
            "hf WangYipu2002/CrossPoint-Bench",
            "none on its page",
            "publisher's code",
            "its file, and the table of the paper: no published row stands here",
        ),
        "vrrpi": Facts(
            "side and turn of a camera, in words or as a pose",
            "hf kdeng03/VRRPI-Bench",
            "not read; 7-Scenes and ScanNet: non-commercial",
            "publisher's code",
            "its files, its licence, and the table of the paper beyond the abstract's averages; "
            "its question with a trap and VRRPI-Diag are left out",
        ),
        "multispa": Facts(
            "depth, matching pixels, camera movement in words",
            "github facebookresearch/Multi-SpatialMLLM, its data engine over ScanNet",
            "CC BY-NC 4.0; ScanNet: non-commercial",
            "publisher's code",
            "its scorer, which is not published, and the table of the paper: numbers are right "
            "within a quarter here, and no published row stands here; comparisons of depth and "
            "questions about objects are not read",
        ),
        "vsibench": Facts(
            "distances, sizes and directions in videos of rooms",
            "hf nyu-visionx/VSI-Bench",
            "Apache-2.0 (code); questions: not read",
            "publisher's code",
            "its files and their licence",
        ),
        "3dsrbench": Facts(
            "heights, places and orientations in a picture",
            "hf oscarqjh/3DSRBench_lmmseval",
            "not read",
            "lmms-eval's code",
            "its files, its licence, its own scorer and the table of the paper: no published row "
            "stands here",
        ),
        "viewspatial": Facts(
            "directions from a camera's or a person's view",
            "github ZJU-REAL/ViewSpatial-Bench; pictures: hf lidingm/ViewSpatial-Bench",
            "Apache-2.0",
            "real files",
            "its pictures",
        ),
        "omnispatial": Facts(
            "motion, logic, interaction and perspective",
            "hf qizekun/OmniSpatial, OmniSpatial-test.zip",
            "CC BY-NC 4.0",
            "publisher's code",
            "its file",
        ),
    }
)
