"""SpatialRGPT's questions about regions: Open Spatial Dataset for training, and its benchmark.

    ROOT/result_10_depth_convs.json      an array of 909,419 entries, 32 GB: never loaded whole
        {"filename": ID, "conversations": [{"from": "human", "value": "... <mask> <depth> ..."},
         {"from": "gpt", "value": "... Region [0] ..."}, ...], "rle": [...], "bbox": [...]}
    ROOT/Openimages/train/ID.jpg         or ROOT/train/ID.jpg: Open Images, fetched apart

    ROOT/SpatialRGPT-Bench*.json         questions with "Region [0]" in them
    ROOT/omni3d/...                      the pictures of Omni3D that it names

Regions are used up in the order of `<mask>` through the whole conversation; answers count them
anew in each question (AnjieCheng/SpatialRGPT, llava/data/dataset.py). There are no intrinsics: the
paper estimates them (`--calibrator anycalib`). Sizes in the answers come from predicted depth.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vlm3.datasets.base import Frames, RawFrame, Reader, each, need_folder
from vlm3.datasets.files import one_file, picture_size, read_json
from vlm3.datasets.json_array import entries, part_count
from vlm3.datasets.masks import Box, box_of_mask
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.files.reading import below, short
from vlm3.files.schema import Check, fields, list_of, maybe, number, numbers, text, whole
from vlm3.geometry.camera import Camera
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.object_reading import parse
from vlm3.tasks.sample import ObjectQuestion

_LAYOUT = facts("open-spatial-dataset").layout
_BENCH_LAYOUT = facts("spatialrgpt-bench").layout
_MASK = re.compile(r"<mask> ?<depth>|<mask>")
_REGION = re.compile(r"Region ?\[(\d+)\]", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_BENCH_SCENE = "bench"
_SIDE = number(1, 1e6)


def _runs(value: Any, place: str) -> None:
    """A mask's runs, compressed or not."""
    (text(10_000_000) if isinstance(value, str) else list_of(whole(0, 10**9)))(value, place)


_MASK_ROW = fields({"size": list_of(whole(1, 100_000), least=2, most=2), "counts": _runs})
_BOXES: dict[str, Check] = {
    "rle": maybe(list_of(maybe(_MASK_ROW), most=1000)),
    "bbox": maybe(list_of(numbers(None), most=1000)),
}
_TURN = fields({"from": text(20), "value": text(100_000)})
_ENTRY = fields({"filename": text(1000), "conversations": list_of(_TURN)}, _BOXES)
_BENCH_ROW = fields(
    {
        "text_q": text(10_000),
        "conversations": list_of(fields({}, {"value": text(10_000)}), least=2),
        "image_info": fields(
            {"file_path": text(1024), "width": _SIDE, "height": _SIDE}, {"intrinsics": numbers(4)}
        ),
    },
    _BOXES,
)


def scenes(root: Path) -> list[str]:
    """Parts of the file, 64 MB each."""
    count = part_count(_annotations(root))
    return [f"part-{k:05d}-of-{count:05d}" for k in range(count)]


def frames(root: Path, scene: str) -> Frames:
    """The entries that begin in a part."""
    path = _annotations(root)
    part = int(scene.split("-")[1])

    def make(thing: tuple[str, dict[str, Any] | None]) -> RawFrame:
        _, entry = thing
        if entry is None:
            raise InputError("the entry is no JSON: the file is damaged or cut off here")
        _ENTRY(entry, "the entry")
        picture = _picture(root, f"{entry['filename']}.jpg", ("Openimages/train", "train", "."))
        boxes = _boxes(entry, picture)
        return RawFrame(entry["filename"], picture, None, questions=_conversation(entry, boxes))

    numbered = (
        (f"byte {at}" if entry is None else str(entry.get("filename")), entry)
        for at, entry in entries(path, part)
    )
    return each(numbered, make)


def bench_scenes(root: Path) -> list[str]:
    """The one file."""
    one_file(need_folder(root, _BENCH_LAYOUT), "SpatialRGPT-Bench*.json", "SpatialRGPT-Bench file")
    return [_BENCH_SCENE]


def bench_frames(root: Path, scene: str) -> Frames:
    """Every picture with all the questions about it."""
    path = one_file(root, "SpatialRGPT-Bench*.json", "SpatialRGPT-Bench file")
    rows = read_json(path, list_of(_BENCH_ROW))
    by_picture: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_picture.setdefault(row["image_info"]["file_path"], []).append(row)

    def make(thing: tuple[str, list[dict[str, Any]]]) -> RawFrame:
        name, asked = thing
        info = asked[0]["image_info"]
        picture = _picture(root, name, (".", "omni3d", "images"))
        camera = None
        if "intrinsics" in info:
            fx, fy, cx, cy = info["intrinsics"]
            camera = Camera(fx, fy, cx, cy, int(info["width"]), int(info["height"]))
        questions = []
        for row in asked:
            boxes = _boxes(row, picture)
            text = _REGION.sub(lambda found: "{" + found[1] + "}", row["text_q"])
            questions.append(object_question(text, row["conversations"][1]["value"], boxes))
        return RawFrame(name, picture, camera, questions=tuple(questions), split="test")

    return each(by_picture.items(), make)


def object_question(question: str, answer: str, boxes: Sequence[Box]) -> ObjectQuestion:
    """One question with {k} for its boxes; its answer also as a value, where it is plainly one.

    Args:
        question: with {0}, {1} where regions are meant.
        answer: with "Region [0]", as the set writes it.
        boxes: the question's own.
    """
    spoken = re.sub(r"\{(\d+)\}", r"Region [\1]", question)
    value = parse(spoken, answer, len(boxes)) if _is_plain(answer) else None
    return ObjectQuestion(
        question,
        tuple(boxes),
        truth=None if isinstance(value, ParseFailure) else value,
        sentence=_REGION.sub(lambda found: "{" + found[1] + "}", answer),
    )


def _conversation(entry: dict[str, Any], boxes: Sequence[Box]) -> tuple[ObjectQuestion, ...]:
    """The questions of an entry; those that name no region are left out."""
    turns = entry["conversations"]
    wanted = sum(len(_MASK.findall(turn["value"])) for turn in turns)
    if wanted != len(boxes):
        raise InputError(f"{wanted} regions are named and {len(boxes)} boxes given")
    found, used = [], 0
    for human, reply in zip(turns[::2], turns[1::2], strict=True):
        if human["from"] != "human" or reply["from"] != "gpt":
            raise InputError("the conversation is not human and gpt in turn")
        text = human["value"].replace("<image>", "").strip()
        count = len(_MASK.findall(text))
        for k in range(count):
            text = _MASK.sub(f"{{{k}}}", text, count=1)
        own = boxes[used : used + count]
        used += count
        if count:
            found.append(object_question(text, reply["value"].strip(), own))
    return tuple(found)


def _is_plain(answer: str) -> bool:
    """One sentence with one number at most: written by template, not reasoned at length."""
    without = _REGION.sub("", answer)
    feet_and_inches = re.search(r"\d+ f(?:ee|oo)t,? (?:and )?\d+ inch", without)
    numbers = len(_NUMBER.findall(without)) - bool(feet_and_inches)
    return numbers <= 1 and not re.search(r"[.;!?]\s+[A-Z]", without.strip().rstrip("."))


def _boxes(entry: dict[str, Any], picture: Path) -> tuple[Box, ...]:
    """The boxes in pixels of the picture on disk, cut at its border; a mask's where none is."""
    width, height = picture_size(picture)
    masks = entry.get("rle") or []
    given = entry.get("bbox") or []
    found = []
    for k in range(max(len(masks), len(given))):
        mask = masks[k] if k < len(masks) else None
        box = tuple(float(v) for v in given[k]) if k < len(given) else ()
        if len(box) != 4 or not (box[0] < box[2] and box[1] < box[3]):
            box = (mask and box_of_mask(mask["size"], mask["counts"])) or ()
        if len(box) != 4:
            raise InputError(f"region {k} has neither a box nor a mask with a pixel in it")
        # Masks say of which size the boxes are.
        high, wide = mask["size"] if mask else (height, width)
        scale = (width / wide, height / high) * 2
        limit = (width, height) * 2
        x1, y1, x2, y2 = (
            min(max(v * s, 0.0), float(m)) for v, s, m in zip(box, scale, limit, strict=True)
        )
        found.append((x1, y1, x2, y2))
    return tuple(found)


def _annotations(root: Path) -> Path:
    need_folder(root, _LAYOUT)
    return one_file(root, "*convs*.json", "annotation file of the Open Spatial Dataset")


def _picture(root: Path, name: str, places: Iterable[str]) -> Path:
    below(root, name, "an entry")
    for place in places:
        if (root / place / name).is_file():
            return root / place / name
    raise InputError(f"the picture {short(name)} is not there; fetch it from its own set")


OSD = Reader(scenes, frames)
BENCH = Reader(bench_scenes, bench_frames)
