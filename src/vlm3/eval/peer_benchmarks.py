"""The benchmarks that others made for vision language models, as entries.

Formats, splits and scorers are those of the publishers' own code; where to get each, its licence
and what could not be read is in `catalogue`.
"""

from vlm3.eval.benchmark import WHOLE_SET, Benchmark


def _depthvlm(name: str, column: str, file: str, *, dense: bool = False) -> Benchmark:
    return Benchmark(
        name=f"depthvlm-{name}" + ("-dense" if dense else ""),
        title=f"DepthVLM-Bench, {column}" + (", dense" if dense else ""),
        tasks=("depth",),
        reader="depthvlm",
        data_format=f"annotations/{file} and datasets/, as configs/eval_datasets.conf has them",
        split="the pictures of the annotation file",
        sampling="the same number of random valid pixels of each depth map; ours"
        if dense
        else "every labelled point; of depth maps, so their pixels are those of the map",
        count=100_000 if dense else WHOLE_SET,
        metric="delta1, mean over pictures",
        protocol="release-depth",
        label="z",
        column=column,
        published_samples=not dense,
        roads=name in ("argoverse2", "waymo", "ddad", "nuscenes"),
        scoring="depthvlm-dense" if dense else "depthvlm",
    )


_DEPTHVLM = (
    ("argoverse2", "Argoverse2", "argoverse_pixel_depth_test.jsonl"),
    ("waymo", "Waymo", "waymo_pixel_depth_test.jsonl"),
    ("ddad", "DDAD", "ddad_pixel_depth_val.jsonl"),
    ("nuscenes", "NuScenes", "nuscenes_pixel_depth_test.jsonl"),
    ("eth3d", "ETH3D", "eth3d_pixel_depth_all.jsonl"),
    ("scannetpp", "ScanNet++", "scannetpp_pixel_depth_val.jsonl"),
    ("sunrgbd", "sunRGBD", "sunrgbd_pixel_depth_test.jsonl"),
    ("ibims1", "iBims1", "ibims1_pixel_depth_test.jsonl"),
    ("nyuv2", "NYUv2", "nyuv2_pixel_depth_test.jsonl"),
)
_DENSE = ("waymo", "nuscenes", "eth3d", "sunrgbd", "ibims1")
"""Those with published rows over whole depth maps."""

PEER_BENCHMARKS = (
    *(_depthvlm(*row) for row in _DEPTHVLM),
    *(_depthvlm(*row, dense=True) for row in _DEPTHVLM if row[0] in _DENSE),
    Benchmark(
        name="crosspoint",
        title="CrossPoint-Bench",
        tasks=("questions",),
        reader="crosspoint",
        data_format="CrossPoint-Bench.jsonl and image/",
        split="the whole file",
        sampling="every question once",
        count=WHOLE_SET,
        metric="accuracy",
        protocol="paper",
    ),
    Benchmark(
        name="vrrpi",
        title="VRRPI-Bench",
        tasks=("questions", "pose"),
        reader="vrrpi",
        data_format="the .parquet files of its default configuration",
        split="train, the only one",
        sampling="every pair once, its zero-shot question and its motion",
        count=WHOLE_SET,
        metric="accuracy, side and yaw",
        protocol="paper",
        column="Average",
    ),
    Benchmark(
        name="multispa",
        title="MultiSPA",
        tasks=("depth", "correspondence", "questions"),
        reader="multispa",
        data_format="evaluation_data/ as its data engine writes it, and ScanNet's posed_images/",
        split="evaluation_data: depth, correspondence and camera movement",
        sampling="every question once",
        count=WHOLE_SET,
        metric="delta1, EPE, accuracy",
        protocol="paper",
        label="z",
    ),
    Benchmark(
        name="vsibench",
        title="VSI-Bench (distances, sizes, directions)",
        tasks=("questions",),
        reader="vsibench",
        data_format="its .jsonl or .parquet, and DATASET/SCENE.mp4",
        split="test; without counting, route plans and orders of appearance",
        sampling="every such question once, 32 frames of its video",
        count=WHOLE_SET,
        metric="accuracy and MRA",
        protocol="paper",
        column="Avg.",
    ),
    Benchmark(
        name="3dsrbench",
        title="3DSRBench",
        tasks=("questions",),
        reader="3dsrbench",
        data_format="the .parquet files of lmms-eval's 3dsr or 3dsr_circular configuration",
        split="test",
        sampling="every question once",
        count=WHOLE_SET,
        metric="accuracy",
        protocol="paper",
    ),
    Benchmark(
        name="viewspatial",
        title="ViewSpatial-Bench",
        tasks=("questions",),
        reader="viewspatial",
        data_format="ViewSpatial-Bench.json and ViewSpatial-Bench/ with its pictures",
        split="the whole file",
        sampling="every question once",
        count=WHOLE_SET,
        metric="accuracy",
        protocol="paper",
        column="Overall",
    ),
    Benchmark(
        name="omnispatial",
        title="OmniSpatial",
        tasks=("questions",),
        reader="omnispatial",
        data_format="data.json and TASK/NUMBER.png, from OmniSpatial-test.zip",
        split="test",
        sampling="every question once",
        count=WHOLE_SET,
        metric="accuracy",
        protocol="paper",
        column="Overall",
    ),
)
