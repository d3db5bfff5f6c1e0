"""The benchmarks, as data: what each is, which samples, which metric, what was published.

A benchmark names a reader, and the reader gives items; nothing here opens a file. The published
sample lists that exist are followed (DepthLM's, with its seed); where none was published, ours is
stated in `sampling` and drawn from `seed`, and a report says that it is ours.
"""

from collections.abc import Mapping
from types import MappingProxyType

from vlm3.errors import InputError
from vlm3.eval.benchmark import Benchmark, Label
from vlm3.eval.peer_benchmarks import PEER_BENCHMARKS
from vlm3.tasks.base import TaskName
from vlm3.tasks.registry import LABELLED

__all__ = ["BENCHMARKS", "Benchmark", "Label", "get_benchmark"]

_DEPTHLM = (
    "DepthLM's: sample i is picture i mod N; its pixel is drawn with Python's random, seed 42"
)
_PIXELS = "100 random points of each picture, the nearest at each pixel"
_MATCHES = "the same number of random covisible points from each pair"
_WHOLE = "every question once"


_ROADS = frozenset(
    {"argoverse2", "ddad", "nuscenes", "kitti-object", "ddad-dgp", "nuscenes-mmdet3d"}
)


def _depth_set(name: str, column: str, split: str, label: Label) -> Benchmark:
    return Benchmark(
        name=name,
        title=column,
        tasks=("depth",),
        reader="depthlm",
        data_format="a .jsonl curated with DepthLM's scripts, and its pictures",
        split=split,
        sampling=_DEPTHLM,
        count=8192,
        label=label,
        column=column,
        roads=name in _ROADS,
    )


def _lidar_set(name: str, title: str, data_format: str, column: str | None) -> Benchmark:
    return Benchmark(
        name=name,
        title=title,
        tasks=("depth",),
        reader=name,
        data_format=data_format,
        split="every picture in the folder",
        sampling=_PIXELS,
        count=8192,
        label="z" if column else "distance",
        column=column,
        published_samples=False,
        roads=name in _ROADS,
    )


def _pair_set(
    name: str,
    title: str,
    kind: tuple[TaskName, str, str],
    split: str,
    count: int,
    seed: int,
    sampling: str,
) -> Benchmark:
    task, metric, protocol = kind
    return Benchmark(
        name=name,
        title=title,
        tasks=(task,),
        reader="pairs",
        data_format="pairs.jsonl and its pictures, see docs/evaluation.md",
        split=split,
        sampling=sampling,
        count=count,
        seed=seed,
        metric=metric,
        protocol=protocol,
        column=title,
        published_samples=False,
    )


_MATCHING = ("correspondence", "EPE", "release-corr")
_MOTION = ("pose", "AUC@30", "release-pose")
"""Task of a set of pairs, its metric and the protocol that it is asked by."""
_UFM = "the UFM benchmark's pairs at 560x420; the paper's 8192 queries were not published"
_POSE = "MapAnything's two-view recipe: 10 pairs a scene, covisibility above {least}; ours"

_ALL = (
    _depth_set("argoverse2", "Argoverse2", "val, 7 ring cameras, two logs", "distance"),
    _depth_set("ddad", "DDAD", "val, 6 cameras", "z"),
    _depth_set("nuscenes", "NuScenes", "the last 5 % of the samples of v1.0-mini", "z"),
    _depth_set("eth3d", "ETH3D", "training scenes, height at most 1280", "distance"),
    _depth_set("scannetpp", "ScanNet++", "the last 2 % of the rows, shuffled", "scannetpp"),
    _depth_set("sunrgbd", "sunRGBD", "all but the NYU folders", "0.8 distance"),
    _depth_set("ibims1", "iBims1", "all 100 pictures", "z"),
    _depth_set("nyuv2", "NYUv2", "SUN RGB-D's copy, raw depth", "0.8 distance"),
    Benchmark(
        name="spatialrgpt",
        title="SpatialRGPT-Bench",
        tasks=("objects",),
        reader="spatialrgpt",
        data_format="SpatialRGPT-Bench_v1.json and the pictures of Omni3D it names",
        split="all 1406 questions",
        sampling=_WHOLE,
        count=1406,
        metric="accuracy and success",
        protocol="release-object",
        column="Overall",
        published_samples=False,
    ),
    _pair_set("eth3d-corr", "ETH3D", _MATCHING, "every 3rd valid pair", 8192, 42, _UFM),
    _pair_set("dtu-corr", "DTU", _MATCHING, "every 50th valid pair", 8192, 42, _UFM),
    _pair_set("tawb-corr", "TA-WB", _MATCHING, "the first 1500 pairs", 8192, 42, _UFM),
    _pair_set("eth3d-pose", "ETH3D", _MOTION, "13 scenes", 130, 777, _POSE.format(least="0.025")),
    _pair_set(
        "scannetpp-pose",
        "ScanNet++",
        _MOTION,
        "30 test scenes of MapAnything's split, DSLR",
        300,
        777,
        _POSE.format(least="0.25"),
    ),
    _lidar_set("kitti-object", "KITTI object", "KITTI's folders image_2, velodyne and calib", None),
    _lidar_set("ddad-dgp", "DDAD (dgp scenes)", "dgp scene folders", "DDAD"),
    _lidar_set(
        "nuscenes-mmdet3d",
        "nuScenes (mmdet3d samples)",
        "mmdet3d info as .json, with its pictures and LIDAR_TOP file",
        "NuScenes",
    ),
    Benchmark(
        name="rgbd-pairs",
        title="RGB-D pairs",
        tasks=("correspondence", "pose"),
        reader="rgbd-pairs",
        data_format="frames as 7-Scenes has them, or images, depth, K.txt and poses.txt",
        split="every frame in the folder",
        sampling=f"random pairs, covisibility above 0.25, 5 cm apart or more; {_MATCHES}",
        count=40,
        seed=777,
        metric="EPE and AUC@30",
        protocol="joint",
    ),
    Benchmark(
        name="shards",
        title="Own shards",
        tasks=LABELLED,
        reader="shards",
        data_format="shards as vlm3 data curate writes them",
        split="the scenes that training keeps out; --split all for every picture",
        sampling="at most as many random pictures and as many random pairs; of a picture 32 points "
        "and 12 questions, of a pair every match kept in it",
        count=256,
        seed=0,
        metric="delta1, accuracy and success, EPE and AUC@30",
        protocol="joint",
    ),
    Benchmark(
        name="worlds",
        title="Held-out worlds",
        tasks=LABELLED,
        reader="worlds",
        data_format="nothing: the worlds are rendered",
        split="heldout",
        sampling="one view a world and, in every second world, one pair",
        count=64,
        seed=0,
        metric="delta1, accuracy, EPE and AUC@30",
        protocol="joint",
    ),
)

BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {b.name: b for b in (*_ALL, *PEER_BENCHMARKS)}
)


def get_benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        InputError: there is none; names those there are.
    """
    if name not in BENCHMARKS:
        raise InputError(f"there is no benchmark {name!r}; choose one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
