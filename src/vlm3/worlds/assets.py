"""Makes a furniture pack from Sweet Home 3D libraries (.sh3f): real sizes, decimated, credited.

Each model is brought to our axes, scaled to the catalogue's width, depth and height, reduced to a
few hundred triangles, and its textures and materials become one colour a triangle. The pack is one
.npz whose JSON part names every model, its maker and the licence. Reads only libraries whose
licence file says Creative Commons Zero or Attribution.
"""

import io
import json
import tempfile
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.worlds.asset_models import load_model
from vlm3.worlds.catalogue import Item, category_of, licence_of, read_catalogue, size_m

PACK_LIMIT_BYTES = 20_000_000


@dataclass(frozen=True)
class PackEntry:
    """One model of a pack."""

    category: str
    name: str
    size_wdh_m: tuple[float, float, float]
    maker: str
    library: str
    licence: str
    first_vertex: int
    vertex_count: int
    first_face: int
    face_count: int


@dataclass(frozen=True)
class _Library:
    """A library that may be used, and where its files lie unpacked."""

    name: str
    licence: str
    folder: Path


@dataclass
class _Models:
    """What has been read of the libraries so far, and what was left out and why."""

    entries: list[PackEntry] = field(default_factory=list)
    vertices: list[NDArray[np.float32]] = field(default_factory=list)
    faces: list[NDArray[np.uint16]] = field(default_factory=list)
    colours: list[NDArray[np.uint8]] = field(default_factory=list)
    licences: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @property
    def face_count(self) -> int:
        return sum(map(len, self.faces))


def make_pack(source: Path, out: Path, *, triangles: int = 900, cc0_only: bool = False) -> str:
    """Write a pack from all .sh3f below `source`; returns a report of a few lines.

    Raises:
        InputError: no library there, or the pack would exceed 20 MB.
        MissingDependencyError: trimesh, scipy or fast-simplification is not installed.
    """
    libraries = sorted(source.rglob("*.sh3f"))
    if not libraries:
        raise InputError(f"no .sh3f library in {source}; Debian's sweethome3d-furniture has five")
    models = _Models()
    for path in libraries:
        _read_library(models, path, triangles, cc0_only=cc0_only)
    if not models.entries:
        reason = ", ".join(models.skipped) or "no known furniture"
        raise InputError(f"nothing usable in {source}: {reason}")
    data = _as_npz(models)
    if len(data) > PACK_LIMIT_BYTES:
        raise InputError(f"the pack would have {len(data) / 1e6:.1f} MB; lower --triangles")
    disk.write(out, data)
    return _report(models, len(data), out)


def _read_library(models: _Models, path: Path, triangles: int, *, cc0_only: bool) -> None:
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        text = archive.read("LICENSE.TXT").decode("utf-8", "replace")
        licence = licence_of(text)
        if licence is None or (cc0_only and licence != "CC0-1.0"):
            models.skipped.append(f"{path.name} (licence)")
            return
        models.licences[path.name] = text
        with disk.naming(folder, then="make room there, or name another folder by TMPDIR"):
            archive.extractall(folder)
        library = _Library(path.name, licence, Path(folder))
        for item in read_catalogue(archive):
            category = category_of(item)
            if category is not None:
                _add_model(models, library, item, category, triangles)


def _add_model(
    models: _Models, library: _Library, item: Item, category: str, triangles: int
) -> None:
    """Reads a model and its place in the arrays; one that cannot be read is noted as left out."""
    try:
        vertices, faces, colours = load_model(library.folder, item, triangles)
    except (ValueError, IndexError, KeyError, OSError) as error:
        models.skipped.append(f"{item['name']} ({type(error).__name__})")
        return
    models.entries.append(
        PackEntry(
            category=category,
            name=item["name"].lower(),
            size_wdh_m=size_m(item),
            maker=item.get("creator", "unknown"),
            library=library.name,
            licence=library.licence,
            first_vertex=sum(map(len, models.vertices)),
            vertex_count=len(vertices),
            first_face=models.face_count,
            face_count=len(faces),
        )
    )
    models.vertices.append(vertices.astype(np.float32))
    models.faces.append(faces.astype(np.uint16))
    models.colours.append(colours)


def _as_npz(models: _Models) -> bytes:
    entries = [asdict(e) for e in models.entries]
    meta = {"version": 1, "licences": models.licences, "models": entries}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        vertices=np.concatenate(models.vertices).astype(np.float16),
        faces=np.concatenate(models.faces),
        colours=np.concatenate(models.colours),
        meta=np.frombuffer(json.dumps(meta, allow_nan=False).encode(), np.uint8),
    )
    return buffer.getvalue()


def _report(models: _Models, size_bytes: int, out: Path) -> str:
    entries = models.entries
    kinds, names = {e.category for e in entries}, sorted({e.licence for e in entries})
    licences = ", ".join(f"{n} {sum(e.licence == n for e in entries)}" for n in names)
    report = [
        f"{len(entries)} models of {len(kinds)} categories, {models.face_count} triangles, "
        f"{size_bytes / 1e6:.1f} MB in {out}",
        f"licences: {licences}",
    ]
    if models.skipped:
        report.append(f"left out: {', '.join(models.skipped[:20])}")
    return "\n".join(report)
