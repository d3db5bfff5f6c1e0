"""Shards -> what other trainers read: conversations and pictures, resized as the protocol says.

    trl            metadata.jsonl, images/: datasets.load_dataset("imagefolder", data_dir=OUT)
    llama-factory  vlm3.json, dataset_info.json, images/; settings.yaml: what to put in a run's own
    ms-swift       train.jsonl, images/: swift sft --dataset OUT/train.jsonl
    depthlm        SOURCE.jsonl, label.txt, images/: see `vlm3.curation.export_depthlm`

A row is one picture or one pair with all its questions as one conversation, pictures first. What
`vlm3 eval shards` asks about is left out, so that a model that was trained elsewhere can be
evaluated here.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from vlm3 import disk
from vlm3.data.dataset import ShardDataset
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.question_writer import QuestionWriter
from vlm3.tasks.registry import in_order

Row = dict[str, Any]
_PLACE = "<image>"


def _trl(conversation: Conversation, images: list[str], out: Path) -> Row:
    """Structured messages; datasets decodes what `file_names` lists into the column `images`."""
    return {"file_names": images, "messages": conversation.messages()}


def _text(conversation: Conversation) -> list[dict[str, str]]:
    """Messages as plain text, a placeholder for each picture before the first question."""
    messages = []
    for message in conversation.messages():
        parts = [_PLACE if p["type"] == "image" else p["text"] for p in message["content"]]
        if any(_PLACE in p for p in parts if p != _PLACE):
            raise InputError(f"a question or an answer holds {_PLACE!r}, which stands for pictures")
        messages.append({"role": message["role"], "content": "".join(parts)})
    return messages


def _llama_factory(conversation: Conversation, images: list[str], out: Path) -> Row:
    """ShareGPT's form with OpenAI's tags; paths are below the folder, its `media_dir`."""
    return {"messages": _text(conversation), "images": images}


def _ms_swift(conversation: Conversation, images: list[str], out: Path) -> Row:
    """Standard messages; paths must be whole, as swift reads them from where it is started."""
    return {"messages": _text(conversation), "images": [str(out.resolve() / i) for i in images]}


@dataclass(frozen=True)
class Layout:
    """How one trainer reads a set.

    Attributes:
        file: of the rows.
        row: makes one of a conversation, its pictures' names and the folder.
        array: whether the file is one JSON array; else a row a line.
        info: file beside it -> its content.
        settings: name and text of a file of settings, with {folder} and {most_px2}, the pixels of
            the largest picture.
    """

    file: str
    row: Callable[[Conversation, list[str], Path], Row]
    array: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)
    settings: tuple[str, str] | None = None


_LLAMA_FACTORY = {
    "file_name": "vlm3.json",
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
    },
}
_LLAMA_FACTORY_SETTINGS = """\
# Lines for the settings of a run of LLaMA-Factory.
dataset_dir: {folder}
media_dir: {folder}
dataset: vlm3
# Its own limit of 589,824 would shrink larger pictures, and with them the focal length.
image_max_pixels: {most_px2}
"""
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "trl": Layout("metadata.jsonl", _trl),
        "llama-factory": Layout(
            "vlm3.json",
            _llama_factory,
            array=True,
            info={"dataset_info.json": {"vlm3": _LLAMA_FACTORY}},
            settings=("settings.yaml", _LLAMA_FACTORY_SETTINGS),
        ),
        "ms-swift": Layout("train.jsonl", _ms_swift),
    }
)


def export(
    folder: Path,
    to: str,
    out: Path,
    *,
    protocol: Protocol,
    multiple_px: int = 32,
    count: int | None = None,
    seed: int = 0,
) -> Generator[int]:
    """Writes the shards of a folder for another trainer; yields the rows so far.

    Args:
        folder: of shards.
        to: one of `LAYOUTS`.
        out: new or empty.
        protocol: whose words and picture size.
        multiple_px: sides are whole multiples of it, so that the trainer resizes nothing.
        count: at most so many rows, drawn with the seed; None for all.
        seed: of the draw and of which labels become questions.

    Raises:
        InputError: `out` is not empty, no such layout, or no row could be made.
    """
    if to not in LAYOUTS:
        raise InputError(f"no trainer is called {to!r}; choose one of {', '.join(LAYOUTS)}")
    layout = LAYOUTS[to]
    empty(out)
    rows = most_px2 = 0
    with disk.whole_folder(out) as partial:
        (partial / "images").mkdir()
        with (partial / layout.file).open("w", encoding="utf-8") as file:
            file.write("[\n" if layout.array else "")
            for conversation, images in _conversations(folder, protocol, multiple_px, count, seed):
                _save_images(conversation, images, partial)
                most_px2 = max(most_px2, *(im.shape[0] * im.shape[1] for im in conversation.images))
                text = json.dumps(
                    layout.row(conversation, images, out), ensure_ascii=False, allow_nan=False
                )
                file.write((",\n" if layout.array and rows else "") + text)
                file.write("" if layout.array else "\n")
                rows += 1
                yield rows
            file.write("\n]\n" if layout.array else "")
        if not rows:
            raise InputError(f"{folder} has no label that protocol {protocol.name} asks about")
        for name, content in layout.info.items():
            disk.write(partial / name, json.dumps(content, indent=1, allow_nan=False) + "\n")
        if layout.settings is not None:
            name, lines = layout.settings
            where = json.dumps(str(out.resolve()), ensure_ascii=False, allow_nan=False)
            disk.write(partial / name, lines.format(folder=where, most_px2=most_px2))


def _conversations(
    folder: Path, protocol: Protocol, multiple_px: int, count: int | None, seed: int
) -> Iterator[tuple[Conversation, list[str]]]:
    """What is trained on, with the names of its pictures."""
    for source, writer, place in _drawn(folder, protocol, multiple_px, count, seed):
        rng = np.random.default_rng((seed, place))
        try:
            conversation = writer.write(source.sample(place, rng), rng)
        except InputError:
            # No label of these tasks, or a damaged picture: as training leaves it out.
            continue
        yield conversation, [f"images/{at:08d}.jpg" for at in source.pictures(place)]


def _save_images(conversation: Conversation, names: list[str], folder: Path) -> None:
    """Writes the pictures that other conversations have not brought already."""
    for name, image in zip(names, conversation.images, strict=True):
        if not (folder / name).exists():
            # 4:4:4 keeps the colours of thin things; 95 is as good as not compressed.
            Image.fromarray(image).save(folder / name, format="JPEG", quality=95, subsampling=0)


def empty(out: Path) -> None:
    """Refuses a folder that is not new or empty.

    Raises:
        InputError: it is not.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out} is not empty; give a new folder")
    disk.check_place(out)


def _drawn(
    folder: Path, protocol: Protocol, multiple_px: int, count: int | None, seed: int
) -> Iterator[tuple[ShardDataset, QuestionWriter, int]]:
    """Samples to train on, in the order of the shards."""
    shards = Shards(folder)
    able = in_order(protocol.tasks)
    sources = []
    for pictures, there in ((1, len(shards)), (2, shards.pairs)):
        tasks = tuple(task for task in able if task.pictures == pictures)
        if tasks and there:
            dataset = ShardDataset(str(folder), shards, pairs=pictures == 2, by_scene=True)
            sources.append((dataset, QuestionWriter(protocol, tasks, multiple_px)))
    places = [(*source, place) for source in sources for place in range(len(source[0]))]
    if count is None or count >= len(places):
        yield from places
        return
    for k in np.sort(np.random.default_rng(seed).permutation(len(places))[:count]):
        yield places[int(k)]
