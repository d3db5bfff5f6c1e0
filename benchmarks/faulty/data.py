"""Shards, indices, records, lines of labels and predictions, and the files of published sets."""

import io
import json
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from faulty.mutate import Rng, damaged_array, damaged_bytes, damaged_json, pick
from vlm3.curation.integrity import check
from vlm3.curation.launch import curate
from vlm3.curation.units import Job
from vlm3.data.dataset import ShardDataset
from vlm3.data.decoding import decode
from vlm3.data.pair_rows import pair_row
from vlm3.data.record import Record
from vlm3.data.shards import Shards, write_pairs, write_shards
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.pictures import read_picture
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.question_writer import QuestionWriter
from vlm3.tasks.registry import in_order
from vlm3.tasks.sample import ObjectQuestion
from vlm3.tasks.truth import Length

CAMERA = Camera(100.0, 110.0, 48.0, 32.0, 96, 64)
Files = dict[str, bytes]


def picture(seed: int, kind: str = "JPEG") -> bytes:
    """Coloured noise, 96 x 64."""
    out = io.BytesIO()
    cells = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(cells).resize((96, 64)).save(out, kind)
    return out.getvalue()


def record(seed: int) -> Record:
    """Twelve labelled pixels and a question."""
    rng = np.random.default_rng(seed)
    question = ObjectQuestion("How wide is {0}?", ((1.0, 2.0, 30.0, 40.0),), Length(1.25))
    xy_px = rng.uniform((0, 0), (96, 64), (12, 2)).round(3)
    return Record(CAMERA, xy_px, rng.uniform(0.5, 9, 12).round(3), (question,), source="made")


def depthlm_rows(folder: Path, count: int = 6) -> list[dict[str, Any]]:
    """A set as DepthLM's scripts write it: pictures beside one jsonl."""
    (folder / "rgb").mkdir(parents=True)
    rows = []
    for k in range(count):
        (folder / "rgb" / f"{k}.jpg").write_bytes(picture(k))
        rng = np.random.default_rng(k)
        rows.append(
            {
                "image": f"rgb/{k}.jpg",
                "intrinsics": [100.0, 110.0, 48.0, 32.0, 96, 64],
                "pixel_coords": rng.integers(0, 60, (9, 2)).tolist(),
                "depth": rng.uniform(0.5, 9, 9).round(3).tolist(),
            }
        )
    (folder / "made_val.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return rows


def files_of(folder: Path) -> Files:
    """Every file below a folder, by its name from there."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def put(folder: Path, files: Files) -> Path:
    """A folder with these files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def made_shards(folder: Path) -> tuple[Files, Files]:
    """A folder that `write_shards` made, with pairs, and one that curation made."""
    written, raw, curated = folder / "written", folder / "raw", folder / "curated"
    samples = [(f"s{k:04d}", picture(k), record(k).to_json()) for k in range(6)]
    write_shards(written, samples, per_shard=4)
    xy = np.array([[10.0, 20.0], [90.0, 60.0]])
    pairs = [pair_row(k, k + 1, np.eye(4), xy, xy + 2, covisibility=0.5) for k in range(3)]
    write_pairs(written, pairs)
    depthlm_rows(raw, 4)
    curate(Job("depthlm", raw, curated, points=8))
    return files_of(written), files_of(curated)


def train_on(folder: Path) -> str:
    """Opens shards and asks about every sample, as training does; damaged ones are left out."""
    protocol = get_protocol("joint").with_focal(100.0)
    shards = Shards(folder)
    asked = [(ShardDataset("made", shards), ("depth", "objects"))]
    if shards.pairs:
        asked.append((ShardDataset("pairs", shards, pairs=True), ("correspondence", "pose")))
    skipped = 0
    for source, tasks in asked:
        writer = QuestionWriter(protocol, in_order(tasks), multiple_px=16)
        for place in range(min(source.count, 12)):
            rng = np.random.default_rng(0)
            try:
                writer.write(source.sample(place, rng), rng)
            except InputError as error:
                clear(error)
                skipped += bool(source.describe(place))
    return "skip" if skipped else "value"


def clear(error: Exception) -> None:
    """Refuses an error that is not one line of a readable length."""
    if "\n" in str(error) or len(str(error)) > 900:
        raise RuntimeError(f"an error of {len(str(error))} characters: {error!s:.80}") from error


def shards_case(state: tuple[Files, Files], rng: Rng, folder: Path, *, tars: bool) -> str:
    """One file of a folder of shards damaged: `check` must say so, training leave it out."""
    files = dict(pick(rng, state))
    name = pick(rng, [n for n in files if n.endswith(".tar") == tars and n != ".lock"])
    before = files[name]
    if name.endswith(".npy"):
        files[name] = damaged_array(rng, before)
    elif name.endswith(".json"):
        files[name] = damaged_json(rng, json.loads(before))
    else:
        files[name] = damaged_bytes(rng, before)
    put(folder, files)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [line for line in check(folder) if isinstance(line, str)]
        for line in found:
            clear(ValueError(line))
        # A `.lock` is nobody's data.
        if not found and files[name] != before and name != ".lock":
            return f"wrong: check passes {name} with other bytes"
        return train_on(folder)


def tars_case(state: tuple[Files, Files], rng: Rng, folder: Path) -> str:
    return shards_case(state, rng, folder, tars=True)


def indices_case(state: tuple[Files, Files], rng: Rng, folder: Path) -> str:
    return shards_case(state, rng, folder, tars=False)


def records_setup(folder: Path) -> Any:
    return json.loads(record(1).to_json())


def records_case(state: Any, rng: Rng, folder: Path) -> str:
    found = Record.from_json(damaged_json(rng, state))
    again = Record.from_json(found.to_json())
    inside = (found.xy_px >= 0).all() and (found.xy_px <= (10**6, 10**6)).all()
    if again.to_json() != found.to_json() or not inside or not (found.distance_m > 0).all():
        return "wrong: a record that is not what it says"
    return "value"


def pictures_setup(folder: Path) -> list[bytes]:
    return [
        picture(k, kind) for k, kind in enumerate(("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"))
    ]


def pictures_case(state: list[bytes], rng: Rng, folder: Path) -> str:
    data = damaged_bytes(rng, pick(rng, state))
    image = read_picture(data).image if rng.integers(2) else decode(data)
    return "value" if image.ndim == 3 and image.shape[2] == 3 else "wrong: no picture"


def lines_setup(folder: Path) -> tuple[Files, list[dict[str, Any]], list[dict[str, Any]]]:
    rows = depthlm_rows(folder / "raw", 3)
    pairs = [
        {
            "image_a": "rgb/0.jpg",
            "image_b": "rgb/1.jpg",
            "intrinsics_a": rows[0]["intrinsics"],
            "intrinsics_b": rows[0]["intrinsics"],
            "matches": [[1.5, 2.5, 3.5, 4.5]] * 3,
            "cam1_from_cam2": [*np.eye(4).tolist()[:3], [0, 0, 0, 1]],
            "metric": True,
        }
    ] * 2
    return files_of(folder / "raw"), rows, pairs


def lines_case(state: tuple[Files, Any, Any], rng: Rng, folder: Path) -> str:
    """A line of a jsonl, read for evaluation and for curation."""
    from vlm3.datasets import get_source
    from vlm3.datasets.base import Skipped
    from vlm3.eval.benchmarks import get_benchmark
    from vlm3.eval.readers import Wanted, read_items

    files, rows, pairs = state
    kind = pick(rng, ("ibims1", "eth3d-corr", "eth3d-pose", "source"))
    good = pairs if kind.startswith("eth3d") else rows
    lines = [json.dumps(row).encode() for row in good]
    lines[int(rng.integers(len(lines)))] = damaged_json(rng, good[0]).replace(b"\n", b" ")
    name = "pairs.jsonl" if kind.startswith("eth3d") else "made_val.jsonl"
    put(
        folder,
        {n: d for n, d in files.items() if not n.endswith("jsonl")} | {name: b"\n".join(lines)},
    )
    if kind == "source":
        source = get_source("depthlm")
        skipped = 0
        for scene in source.list_scenes(folder):
            for frame in source.read_frames(folder, scene):
                skipped += isinstance(frame, Skipped)
        return "skip" if skipped else "value"
    for item in read_items(Wanted(get_benchmark(kind), folder, 20, 0)):
        for view in item.pictures if hasattr(item, "pictures") else ():
            view()
        for query in item.queries:
            json.dumps(query.truth, allow_nan=False)
    return "value"


def predictions_setup(folder: Path) -> list[str]:
    from vlm3.eval.predictions import header_line

    config = {"benchmark": "ibims1", "name": "made", "protocol": "joint", "tasks": ["depth"]}
    lines = [header_line(config, {})]
    for k in range(12):
        lines.append(
            json.dumps(
                {
                    "id": f"{k:05d}", "cluster": f"{k % 3}.png", "task": "depth",
                    "ask": {"xy_px": [1.5, 2.5], "cosine": 0.9},
                    "truth": {"distance_m": 2.0 + k, "label_m": 2.0 + k}, "prompt": "How far?",
                    "raw_text": f"{2.0 + k:05.2f}", "prediction": None, "parsed": True,
                    "seconds": 0.01,
                }
            )
        )  # fmt: skip
    return [*lines, json.dumps({"end": {"queries": 12}})]


def predictions_case(state: list[str], rng: Rng, folder: Path) -> str:
    from vlm3.eval.score import score

    lines = [line.encode() for line in state]
    at = int(rng.integers(len(lines)))
    lines[at] = damaged_json(rng, json.loads(lines[at])).replace(b"\n", b" ")
    put(folder, {"predictions.jsonl": b"\n".join(lines) + b"\n"})
    scored = score(folder)
    json.dumps(scored.to_json(), allow_nan=False)
    return "value"


@dataclass
class RawSet:
    """A published set, tiny, by the name of its source."""

    source: str
    files: Files


def sources_setup(folder: Path) -> list[RawSet]:
    """The sets that tests write, where the tests are there."""
    return [raw_set(name, folder) for name in RAW_SETS]


RAW_SETS = (
    "7scenes", "argoverse2", "aria-synthetic-environments", "colmap", "ddad", "depthlm",
    "dtu", "eth3d", "folder", "gta-sfm", "hm3d", "ibims1", "kitti-depth", "kitti-object",
    "matterport3d", "nuscenes", "nuscenes-mmdet3d", "nyuv2", "open-spatial-dataset", "rgbd-log",
    "scannetpp", "spatialrgpt-bench", "sunrgbd", "tartanair", "taskonomy", "wai", "waymo",
)  # fmt: skip
"""Sets with files beside their pictures."""


def raw_set(name: str, folder: Path) -> RawSet:
    """A published set, written into a folder by the tests' own writers."""
    import raw_sets
    from fixtures import two_view, wai
    from fixtures.truth import scene

    root = folder / name
    root.mkdir(parents=True, exist_ok=True)
    others: dict[str, Callable[[], Any]] = {
        "7scenes": lambda: two_view.seven_scenes(root, "chess/seq-01", scene(0), scene(0)),
        "aria-synthetic-environments": lambda: two_view.aria(root, "0", scene(0)),
        "dtu": lambda: two_view.dtu(root, "scan1", scene(0), train_cameras=False),
        "gta-sfm": lambda: two_view.gta_sfm(root, "s", scene(0)),
        "open-spatial-dataset": lambda: _spatial(root, bench=False),
        "rgbd-log": lambda: two_view.trajectory(root, "s", scene(0)),
        "spatialrgpt-bench": lambda: _spatial(root, bench=True),
        "tartanair": lambda: two_view.tartanair(root, "s", scene(0)),
        "wai": lambda: wai.write_scene(root, "s", scene(0), sky=True),
    }
    # What needs no video and no codec.
    called = {"scannetpp": "scannetpp  "}.get(name, name)
    if name in others:
        others[name]()
    else:
        raw_sets.WRITERS[called](root)
    return RawSet(name, files_of(root))


def _spatial(root: Path, *, bench: bool) -> None:
    """A question about a box, in the layout of SpatialRGPT's bench or of its training set."""
    place = root / ("kitti/a.jpg" if bench else "Openimages/train/a.jpg")
    place.parent.mkdir(parents=True)
    place.write_bytes(picture(0))
    mask = {"size": [4, 3], "counts": [3, 4, 5]}
    row: dict[str, Any] = {"bbox": [[4, 12, 50, 60]], "rle": [mask]}
    if bench:
        said = [{"from": "human", "value": "?"}, {"from": "gpt", "value": "It is 1.5 meters tall."}]
        info = {"file_path": "kitti/a.jpg", "width": 96, "height": 64}
        row |= {"id": "q", "text_q": "How tall is Region [0]?", "conversations": said}
        row |= {"image_info": info, "qa_info": {"category": "height_data"}}
    else:
        asked = {"from": "human", "value": "How tall is <mask> <depth>?"}
        row = {"filename": "a", **row, "conversations": [asked, {"from": "gpt", "value": "1 m."}]}
    name = "SpatialRGPT-Bench_v1.json" if bench else "result_10_depth_convs.json"
    (root / name).write_text(json.dumps([row, row]))


def sources_case(state: list[RawSet], rng: Rng, folder: Path) -> str:
    return damaged_set(pick(rng, state), rng, folder)


def damaged_set(chosen: RawSet, rng: Rng, folder: Path, *, kinds: tuple[str, ...] = ()) -> str:
    """One file of a set damaged, of those with such endings: whatever is read is a value, or named.

    Args:
        chosen: the set, whole.
        rng: decides the file and the damage.
        folder: emptied, and written.
        kinds: endings of names; all that are no pictures where none is given.
    """
    from vlm3.datasets import get_source
    from vlm3.datasets.base import READ_ERRORS, Skipped, reason

    sides = [n for n in chosen.files if not n.endswith((".jpg", ".png", ".JPG", ".mkv"))]
    name = pick(rng, [n for n in sides if not kinds or n.endswith(kinds)])
    before = chosen.files[name]
    change = damaged_json if name.endswith(".json") else damaged_bytes
    data = change(rng, json.loads(before) if name.endswith(".json") else before)  # type: ignore[operator]
    put(folder, chosen.files | {name: data})
    try:
        source = get_source(chosen.source)
        skipped = 0
        for scene in source.list_scenes(folder)[:3]:
            for frame in source.read_frames(folder, scene):
                if isinstance(frame, Skipped):
                    skipped += 1
                    clear(ValueError(frame.reason))
                    continue
                try:
                    if frame.depth is not None:
                        frame.depth()
                except READ_ERRORS as error:
                    # As curation does: the frame is left out by name.
                    clear(ValueError(reason(error)))
                    skipped += 1
    finally:
        for cached in _caches():
            cached()
    return "skip" if skipped else "value"


def _caches() -> list[Callable[[], None]]:
    """What empties the caches of all readers: the same path is another file next time."""
    modules = [m for name, m in sys.modules.items() if name.startswith("vlm3.datasets")]
    found = [vars(module).values() for module in modules]
    return [one.cache_clear for some in found for one in some if hasattr(one, "cache_clear")]
