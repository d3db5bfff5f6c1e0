"""Small sets in the layouts of other people's benchmarks, as their code writes and reads them."""

import base64
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.items import Item
from vlm3.eval.readers import Wanted, read_items
from vlm3.view import AssumedCameraWarning

Json = dict[str, Any]
WIDTH, HEIGHT = 96, 72


def picture(path: Path, seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, size)).save(path)
    return path


def pixels(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)


def png(image: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    return data.getvalue()


def json_lines(path: Path, rows: list[Json]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def depthvlm(folder: Path) -> None:
    """Depth maps of another size than their pictures, as ScanNet++'s and ETH3D's are there."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(4):
        name = f"ibims1/ibims1_core_raw/{{}}/{k}.png"
        picture(folder / "datasets" / name.format("rgb"), k)
        z_m = rng.uniform(1, 8, (36, 48))
        z_m[:4] = 0
        raw = np.round(z_m * 1310.7).astype(np.uint16)
        depth = folder / "datasets" / name.format("depth")
        depth.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(raw).save(depth)
        valid = np.full((36, 48), 255, np.uint8)
        valid[:, :2] = 0
        for mask in ("mask_invalid", "mask_transp"):
            path = folder / "datasets" / name.format(mask)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(valid).save(path)
        points = [[int(x), int(y)] for x, y in rng.integers((2, 4), (48, 36), (10, 2))]
        rows.append(
            {
                "image": name.format("rgb"),
                "depth_path": name.format("depth"),
                "mask_valid_path": name.format("mask_invalid"),
                "mask_transp_path": name.format("mask_transp"),
                "depth_scale": 1310.7,
                "original_rgb_size": [WIDTH, HEIGHT],
                "original_depth_size": [48, 36],
                "original_fx": 61.37,
                "canonical_fx": 1000.0,
                "canonical_size": [1564, 1173],
                "prompt": "Given this image, estimate the metric depth ...",
                "solution": "OK, I will estimate the depth map of this image.",
                "pixel_coords": points,
                "depth": [round(raw[y, x] / 1310.7, 4) for x, y in points],
                "depth_type": "z_depth",
            }
        )
    json_lines(folder / "annotations" / "ibims1_pixel_depth_test.jsonl", rows)


def crosspoint(folder: Path) -> None:
    rows: list[Json] = []
    for k in range(12):
        names = [f"origin_image/{k}_{side}.jpg" for side in "ab"]
        for n, name in enumerate(names):
            picture(folder / "image" / name, 10 * k + n)
        kind = (
            "Fine-grained Grounding",
            "Visibility Reasoning",
            "Correspondence-Judgement",
            "Correspondence-Pointing",
        )[k % 4]
        row = {"idx": k, "type": kind, "level": ("object", "part")[k % 2], "images": names}
        if k % 4 in (0, 3):
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[10 + k : 18 + k, 20 + k : 32 + k] = 255
            row["question"] = "Where is the handle?"
            row["answer"] = base64.b64encode(png(mask)).decode()
        elif k % 4 == 1:
            row["question"] = "Is the point visible in the second image? A.Yes B.No"
            row["answer"] = "AB"[k // 4 % 2]
        else:
            row["question"] = "Which dot? A.Red dot B.Blue dot C.Green dot D.Yellow dot"
            row["answer"] = "ABC"[k // 4 % 3]
        rows.append(row)
    json_lines(folder / "CrossPoint-Bench.jsonl", rows)


VRRPI_PROMPT = """<input>
You are given two consecutive frames from a scene.
</input>

<ans-candidates>
{options}
</ans-candidates>

<output-format>
Please stricly follow the format ... inside <ans></ans> XML tags
</output-format>"""


def vrrpi(folder: Path) -> None:
    from pyarrow import Table, parquet

    from vlm3.geometry.pose import rotation_from_ypr_deg

    left, right = "Move left while yawing right", "Move right while yawing left"
    rng = np.random.default_rng(1)
    rows = []
    for k in range(8):
        side = 1 if k % 2 else -1
        source, motion = np.eye(4), np.eye(4)
        source[:3, :3] = rotation_from_ypr_deg(rng.uniform(-40, 40, 3))
        source[:3, 3] = rng.uniform(-2, 2, 3)
        motion[:3, :3] = rotation_from_ypr_deg([-side * (15 + k), 3, -2])
        motion[:3, 3] = [side * 0.6, 0.1, 0.3]
        options = [left, right] if k % 3 else [right, left]
        listed = "\n".join(f"{n}. {option}" for n, option in enumerate(options))
        truth = right if side > 0 else left
        rows.append(
            {
                "id": k,
                "level": ("15-20", "30-35", "45-50", "60-65")[k % 4],
                "dataset": "7 Scenes",
                "images": [{"bytes": png(pixels(2 * k + n)), "path": None} for n in (0, 1)],
                "qa": {
                    "zero-shot": {
                        "prompt": VRRPI_PROMPT.format(options=listed),
                        "gt_idx": options.index(truth),
                        "gt_text": truth,
                    }
                },
                "poses": [source.tolist(), (source @ motion).tolist()],
                "intrinsic": [[80.0, 0, 48.0], [0, 80.0, 36.0], [0, 0, 1]],
                "tau": 15.0,
            }
        )
    (folder / "data").mkdir(parents=True, exist_ok=True)
    parquet.write_table(Table.from_pylist(rows), folder / "data" / "train-00000-of-00001.parquet")


def multispa(folder: Path) -> None:
    names = [f"scene0011_00/{k:05d}.jpg" for k in range(2)]
    for k, name in enumerate(names):
        picture(folder / "posed_images" / name, k)
    pair = {"width_list": [WIDTH] * 2, "height_list": [HEIGHT] * 2, "image": names}
    one = {"width_list": [WIDTH], "height_list": [HEIGHT], "image": names[:1]}
    about = "<image>\nCoordinates [ x , y ] are from [ 0 , 0 ] at the top-left.\n"
    asked: dict[str, list[Json]] = {
        "depth_estimation_coor/v1_0/depth_estimation_coor": [
            one
            | {
                "id": k,
                "question_type": "depth_estimation_coor",
                "text": f"{about}What is the depth at point [ {100 + k} , {200 + k} ] (in mm)?",
                "gt_value": 900 + 700 * k,
                "ori_coordinates": [9, 14],
            }
            for k in range(4)
        ],
        "visual_correspondence_coor_2_coor/v1_0/val_visual_correspondence_coor_2_coor": [
            pair
            | {
                "id": k,
                "question_type": "visual_correspondence_coor_2_coor",
                "text": f"Image-1: {about}Where is [ {300 + k} , {400 + k} ] in Image-2?",
                "p1_list": [[300 + k, 400 + k]],
                "p2_list": [[500 + 90 * k, 100 * k]],
                "gt_value": [500 + 90 * k, 100 * k],
            }
            for k in range(4)
        ],
    }
    camera: dict[str, list[Any]] = {
        "x_movement": ["left", "right", "right"],
        "yaw_movement": ["right", "left", "left"],
        "total_distance": [400, 900, 2000],
        "yaw_angle": [0, 20, 45],
        "displacement_vector": [[0.1, -0.2, 0.5], [1.0, 0.0, -0.4], [-0.3, 0.2, 0.1]],
    }
    for kind, truths in camera.items():
        asked[f"camera_movement/v1_0/{kind}_val"] = [
            pair
            | {
                "id": k,
                "question_type": kind,
                "text": "Image-1: <image>\nImage-2: <image>\nHow did it move?",
                "gt_value": truth,
                "answer_values": {},
            }
            for k, truth in enumerate(truths)
        ]
    asked["depth_comparison_coor/v1_0/depth_comparison_coor"] = [
        one | {"id": 0, "question_type": "depth_comparison_coordinate", "text": "", "gt_value": []}
    ]
    for name, rows in asked.items():
        json_lines(folder / "evaluation_data" / f"{name}.jsonl", rows)


def vsibench(folder: Path, frames: int = 5) -> None:
    import cv2

    path = folder / "scannet" / "scene0011_00.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (WIDTH, HEIGHT))  # type: ignore[attr-defined]
    for k in range(frames):
        video.write(np.full((HEIGHT, WIDTH, 3), 5 * k, np.uint8))
    video.release()
    kinds: list[tuple[str, str, list[str] | None]] = [
        ("object_abs_distance", "2.3", None),
        ("object_abs_distance", "0.9", None),
        ("object_size_estimation", "120", None),
        ("object_size_estimation", "35", None),
        ("room_size_estimation", "24.5", None),
        ("room_size_estimation", "8.1", None),
        ("object_counting", "3", None),
        ("object_rel_distance", "B", ["A. sofa", "B. lamp", "C. table", "D. door"]),
        ("object_rel_distance", "D", ["A. bed", "B. chair", "C. table", "D. door"]),
        ("object_rel_direction_easy", "A", ["A. left", "B. right"]),
        (
            "object_rel_direction_hard",
            "C",
            [f"{a}. {w}" for a, w in zip("ABCD", _BACK, strict=True)],
        ),
        ("route_planning", "A", ["A. Turn Left", "B. Turn Right"]),
    ]
    rows = [
        {
            "id": k,
            "dataset": "scannet",
            "scene_name": "scene0011_00",
            "question_type": kind,
            "question": "How far, how large, where?",
            "options": options,
            "ground_truth": truth,
        }
        for k, (kind, truth, options) in enumerate(kinds)
    ]
    json_lines(folder / "test.jsonl", rows)


_BACK = ("front-left", "front-right", "back-left", "back-right")


def threedsr(folder: Path) -> None:
    from pyarrow import Table, parquet

    kinds = ("height_higher", "location_next_to", "orientation_viewpoint", "multi_object_facing")
    rows = [
        {
            "index": f"VIN{k}",
            "question": "Which object is higher?",
            "A": "the cup",
            "B": "the vase",
            "C": "nan" if k % 2 else "the lamp",
            "D": None if k % 2 else "the clock",
            "answer": "AB"[k // 4 % 2],
            "category": kinds[k % 4],
            "image": {"bytes": png(pixels(k)), "path": f"{k}.png"},
        }
        for k in range(12)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(Table.from_pylist(rows), folder / "test-00000-of-00001.parquet")


def viewspatial(folder: Path) -> None:
    from vlm3.eval.peer_measures import QUESTION_SETS

    kinds = [c.categories[0] for c in QUESTION_SETS["viewspatial"].columns]
    rows = []
    for k in range(15):
        name = f"ViewSpatial-Bench/scannetv2_val/scene0011_00/original_images/{k}.jpg"
        picture(folder / name, k)
        choices = [f"{a}. {w}" for a, w in zip("ABCD", _BACK, strict=True)]
        rows.append(
            {
                "question_type": kinds[k % 5],
                "image_path": [name],
                "question": "How is the cabinet positioned with respect to the table?",
                "answer": choices[k // 5],
                "choices": "\n".join(choices),
            }
        )
    (folder / "eval").mkdir(parents=True, exist_ok=True)
    (folder / "eval" / "ViewSpatial-Bench.json").write_text(json.dumps(rows))


def omnispatial(folder: Path) -> None:
    kinds = (
        ("Dynamic_Reasoning", "Motion_Analysis"),
        ("Spatial_Interaction", "Localization"),
        ("Complex_Logic", "Pattern_Recognition"),
        ("Perspective_Taking", "Egocentric"),
    )
    rows = []
    for k in range(12):
        task, sub = kinds[k % 4]
        picture(folder / task / f"{k}.png", k)
        rows.append(
            {
                "id": f"{k}_0",
                "question": "How long will it take?",
                "options": ["2.7s", "14.7s", "25.7s", "3.9s"],
                "answer": k // 4,
                "task_type": task,
                "sub_task_type": sub,
            }
        )
    (folder / "data.json").write_text(json.dumps(rows))


MAKERS: dict[str, Callable[[Path], None]] = {
    "depthvlm-ibims1": depthvlm,
    "depthvlm-ibims1-dense": depthvlm,
    "crosspoint": crosspoint,
    "vrrpi": vrrpi,
    "multispa": multispa,
    "vsibench": vsibench,
    "3dsrbench": threedsr,
    "viewspatial": viewspatial,
    "omnispatial": omnispatial,
}
"""Benchmark -> what makes a small set of it in a folder."""


def items_of(name: str, folder: Path, count: int | None = None) -> list[Item]:
    benchmark = get_benchmark(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumedCameraWarning)
        return list(read_items(Wanted(benchmark, folder, count or benchmark.count, benchmark.seed)))
