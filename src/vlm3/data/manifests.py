"""What curation wrote beside shards: a manifest a scene, and which scenes each shard holds.

    DIR/units/NAME.json    counts, hash, what was left out and why, of one scene
    DIR/joined.json        name and scenes of each shard, in their order

Written by `vlm3.curation`; read here, because training and evaluation keep whole scenes apart.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm3.errors import InputError
from vlm3.files.reading import below, read_json, why
from vlm3.files.schema import fields, list_of, maybe, table_of, text, whole


@dataclass(frozen=True)
class Unit:
    """A manifest: what became of a scene.

    Attributes:
        scene: its name in the source.
        samples: pictures stored.
        pairs: pairs stored.
        payload: bytes of the tar before its end mark.
        sha256: of those bytes.
        splits: pictures in each split.
        intrinsics: pictures by where their camera came from.
        points: labelled pixels.
        questions: about objects.
        skipped: frames left out, with reasons.
        failed: why the whole scene could not be read; None if it could.
        remarks: what its owner should know.
    """

    scene: str
    samples: int = 0
    pairs: int = 0
    payload: int = 0
    sha256: str = ""
    splits: dict[str, int] = field(default_factory=dict)
    intrinsics: dict[str, int] = field(default_factory=dict)
    points: int = 0
    questions: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    failed: str | None = None
    remarks: tuple[str, ...] = ()


def unit_name(scene: str) -> str:
    """The file name of a scene: readable, and its own."""
    mark = hashlib.blake2b(scene.encode(), digest_size=4).hexdigest()
    readable = clean_name(scene).replace("/", "-")[:80]
    return f"{readable or 'scene'}-{mark}"


def read_unit(out: Path, scene: str) -> Unit | None:
    """The manifest of a scene that was done, else None."""
    path = out / "units" / f"{unit_name(scene)}.json"
    try:
        found = read_json(path, _UNIT)
        found["skipped"] = tuple((k, r) for k, r in found["skipped"])
        found["remarks"] = tuple(found.get("remarks", ()))
        unit = Unit(**found)
    except FileNotFoundError:
        return None
    except (InputError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is damaged ({why(error)}); delete it to curate the scene again"
        ) from error
    if unit.scene != scene:
        raise InputError(f"{path} is damaged: it is about the scene {unit.scene!r:.80}")
    return unit


_COUNTS = table_of(whole())
_UNIT = fields(
    {
        "scene": text(),
        "samples": whole(),
        "pairs": whole(),
        "payload": whole(),
        "sha256": text(64),
        "splits": _COUNTS,
        "intrinsics": _COUNTS,
        "points": whole(),
        "questions": whole(),
        "skipped": list_of(list_of(text(), least=2, most=2)),
        "failed": maybe(text()),
    },
    {"remarks": list_of(text())},
)


_JOINED = list_of(fields({"name": text(255), "scenes": list_of(text())}))


def read_joined(out: Path) -> list[dict[str, Any]]:
    """The shards so far: name and scenes of each.

    Raises:
        InputError: joined.json is damaged.
    """
    path = out / "joined.json"
    try:
        found: list[dict[str, Any]] = read_json(path, _JOINED)
    except FileNotFoundError:
        return []
    for shard in found:
        below(out, shard["name"], str(path))
    return found


def clean_name(name: str) -> str:
    """A name in letters, digits, "_", "-" and "/" alone."""
    return re.sub(r"[^\w/-]+", "-", name, flags=re.ASCII).strip("-/")
