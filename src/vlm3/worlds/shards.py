"""Worlds on disk: tars that any webdataset tool reads, with exact truth beside each picture.

A sample has KEY.jpg, KEY.npz (distance_m float32, instance uint16, normal int8) and
KEY.json (camera, pose, objects, points, questions), which is a training record (`data.record`) with
more in it. Shards are written whole or not at all, so a run that was cut off goes on where it
stopped.
"""

import io
import json
import tarfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlm3 import disk
from vlm3.data.record import question_fields
from vlm3.errors import InputError
from vlm3.files.reading import read_json
from vlm3.files.schema import anything, table_of
from vlm3.files.sums import add_sums, read_sums, sha256_of_file
from vlm3.files.tars import members
from vlm3.worlds.frame import Frame
from vlm3.worlds.questions import FORM_OF, object_questions
from vlm3.worlds.world import Kind, Split, World

SHARD_SIZE = 256
_THEN = "make room; the same command goes on from the shards that are whole"
POINTS = 64
"""Labelled pixels in a record; KEY.npz has them all."""


def shard_paths(folder: Path, count: int) -> list[Path]:
    """Where `count` worlds go."""
    return [folder / f"worlds-{k:05d}.tar" for k in range((count + SHARD_SIZE - 1) // SHARD_SIZE)]


def frame_record(frame: Frame, seed: int, index: int, split: str) -> dict[str, Any]:
    """What KEY.json holds: every length in metres, boxes in pixels, poses as nested lists."""
    camera = frame.camera
    rng = np.random.default_rng([99, index, seed])
    rows, columns = np.nonzero(np.isfinite(frame.distance_m))
    chosen = rng.permutation(len(rows))[:POINTS]
    rows, columns = rows[chosen], columns[chosen]
    return {
        "schema": 1,
        "metric": True,
        "source": "worlds",
        "intrinsics": "given",
        "points": {
            "xy_px": np.stack([columns + 0.5, rows + 0.5], -1).tolist(),
            "distance_m": frame.distance_m[rows, columns].astype(float).round(4).tolist(),
        },
        "seed": seed,
        "index": index,
        "split": split,
        "kind": frame.kind,
        "camera": {
            "fx_px": camera.fx_px,
            "fy_px": camera.fy_px,
            "cx_px": camera.cx_px,
            "cy_px": camera.cy_px,
            "width_px": camera.width_px,
            "height_px": camera.height_px,
            "distortion": list(camera.distortion),
            "model": camera.model,
        },
        "world_from_cam": frame.world_from_cam.tolist(),
        "objects": [
            {
                "category": o.category,
                "name": o.name,
                "instance": o.instance,
                "size_wdh_m": list(o.size_wdh_m),
                "center_m": o.center_m.tolist(),
                "world_from_object": o.world_from_object.tolist(),
                "box_xyxy_px": list(o.box_xyxy_px),
                "visible_share": round(o.visible_share, 4),
            }
            for o in frame.objects
        ],
        "questions": [
            {"category": q.category, "form": FORM_OF[type(q.truth)], **question_fields(q)}
            for q in object_questions(frame, rng, 12)
        ],
    }


def sample_files(frame: Frame, record: dict[str, Any]) -> dict[str, bytes]:
    """The three files of one sample, by extension."""
    picture, truth = io.BytesIO(), io.BytesIO()
    Image.fromarray(frame.image).save(picture, "JPEG", quality=95)
    np.savez_compressed(
        truth,
        distance_m=frame.distance_m,
        instance=frame.instance.astype(np.uint16),
        normal=np.round(frame.normal * 127).astype(np.int8),
    )
    return {
        "jpg": picture.getvalue(),
        "json": json.dumps(record, allow_nan=False).encode(),
        "npz": truth.getvalue(),
    }


def render_shards(
    folder: Path,
    count: int,
    seed: int,
    *,
    width_px: int,
    height_px: int,
    f_px: float | None = None,
    split: Split = "train",
    kind: Kind | None = None,
    device: str = "cpu",
    pack: str | None = None,
) -> Generator[int]:
    """Write worlds 0..count-1; yields the number that is done after each one.

    Raises:
        InputError: the folder holds worlds of other settings or cannot be written to, or `count`
            is not positive.
    """
    if count < 1:
        raise InputError(f"count is {count}; give at least 1")
    disk.make_folder(folder)
    settings = {
        "seed": seed,
        "width_px": width_px,
        "height_px": height_px,
        "f_px": f_px,
        "split": split,
        "kind": kind,
        "shard_size": SHARD_SIZE,
        "pack": Path(pack).name if pack else None,
    }
    note = folder / "worlds.json"
    if note.exists() and read_json(note, table_of(anything)) != settings:
        raise InputError(
            f"{folder} holds worlds of other settings; give the same or another folder"
        )
    disk.write(note, json.dumps(settings, allow_nan=False), then=_THEN)
    sums = read_sums(folder)
    for number, path in enumerate(shard_paths(folder, count)):
        first, last = number * SHARD_SIZE, min((number + 1) * SHARD_SIZE, count)
        if path.exists() and _members(path) == 3 * (last - first):
            if path.name not in sums:
                # Stopped between the tar and its hash.
                add_sums(folder, {path.name: sha256_of_file(path)})
            yield last
            continue
        with disk.whole(path, then=_THEN) as partial, tarfile.open(partial, "w") as tar:
            for index in range(first, last):
                world = World(seed, index, split=split, kind=kind, device=device, pack=pack)
                frame = world.view(width_px=width_px, height_px=height_px, f_px=f_px)
                record = frame_record(frame, seed, index, split)
                for extension, data in sample_files(frame, record).items():
                    entry = tarfile.TarInfo(f"{split}-{seed}-{index:08d}.{extension}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
                yield index + 1
        add_sums(folder, {path.name: sha256_of_file(path)})


def _members(path: Path) -> int:
    """How many members a tar has; of a damaged one, those before the damage."""
    return sum(1 for _ in members(path, []))
