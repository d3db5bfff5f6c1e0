"""Makes a furniture pack from Sweet Home 3D libraries (.sh3f): real sizes, decimated, credited.

Each model is brought to our axes, scaled to the catalogue's width, depth and height, reduced to a
few hundred triangles, and its textures and materials become one colour a triangle. The pack is one
.npz whose JSON part names every model, its maker and the licence. Reads only libraries whose
licence file says Creative Commons Zero or Attribution.
"""

import io
import json
import re
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3 import disk
from vlm3.errors import InputError, MissingDependencyError

Floats = NDArray[np.float64]
PACK_LIMIT_BYTES = 20_000_000

# our category: (pattern of the catalogue's name, least and most height in metres)
_CATEGORIES: dict[str, tuple[str, float, float]] = {
    "sofa": (r"\b(sofa|couch)\b", 0.5, 1.3),
    "armchair": (r"\b(armchair|relax chair)\b", 0.5, 1.4),
    "chair": (r"(?<!arm)(?<!wheel)(?<!deck )(?<!beach )(?<!high )chair\b|class seat", 0.6, 1.3),
    "stool": (r"\bstool\b", 0.3, 1.1),
    "bed": (r"^(iron |bunk |captain's |child )?bed$", 0.4, 2.0),
    "nightstand": (r"bedside table", 0.3, 0.8),
    "bookshelf": (r"bookcase|shelves", 0.6, 2.6),
    "wardrobe": (r"wardrobe|high cabinet", 1.5, 2.7),
    "chest of drawers": (r"dresser|drawers cabinet", 0.5, 1.4),
    "cupboard": (r"cupboard|glass door cabinet|^lower cabinet|sink cabinet|^safe$", 0.6, 2.0),
    "filing cabinet": (r"filing cabinet", 0.5, 1.6),
    "tv stand": (r"tv stand|television cabinet", 0.25, 0.8),
    "coffee table": (r"coffee table|small table|low table", 0.2, 0.6),
    "table": (
        r"^(?!.*(tennis|pool|football|bedside|coffee|changing|dressing)).*\btable\b",
        0.6,
        1.0,
    ),
    "desk": (r"\bdesk\b(?! lamp)", 0.6, 1.4),
    "refrigerator": (r"fridge|refrigerator", 0.8, 2.2),
    "washing machine": (r"washing machine|dryer machine|dishwasher", 0.7, 1.1),
    "stove": (r"^(large |propane )?stove$|^cooker|^oven$|double oven", 0.5, 1.2),
    "lamp": (
        r"^(?!.*(street|park|porch|outdoor|wall|ceiling|pendant|hanging)).*\blamp\b",
        1.1,
        2.1,
    ),
    "table lamp": (r"^(?!.*(wall|ceiling|pendant|hanging|park|street)).*\blamp\b", 0.15, 0.8),
    "plant": (
        r"plant\b|ficus|yucca|bamboo|spathiphyllum|orchid|lily|tulips|succulent|cactus|bonsai",
        0.2,
        2.2,
    ),
    "television": (r"^tv$|tv 16:9|^television$|flat tv", 0.3, 1.1),
    "laptop": (r"laptop|ibook|notebook", 0.1, 0.4),
    "monitor": (r"imac|^screen$|monitor", 0.25, 0.7),
    "toilet": (r"toilets unit|^toilet$", 0.4, 1.1),
    "bathtub": (r"^bath$|bathtub|jacuzzi", 0.3, 0.9),
    "mug": (r"\b(cup|mug)\b(?! cake)", 0.04, 0.2),
    "bottle": (r"bottle|flacon|milk", 0.08, 0.45),
    "bowl": (r"^bowl", 0.04, 0.3),
    "vase": (r"vase|pottery|old jar", 0.1, 0.8),
    "kettle": (r"kettle|teapot|coffee (maker|machine|brewer|press)|blender|mixer", 0.12, 0.5),
    "microwave": (r"microwave|small oven|bread box", 0.15, 0.45),
    "keyboard": (r"^keyboard$", 0.005, 0.1),
    "clock": (r"^clock$|^radio$|mp3|telephone|phone$", 0.03, 0.4),
    "printer": (r"printer|stereo|dvd player", 0.04, 0.5),
    "box": (r"^box$|cardboard box|crate|^chest$|trunck|pallet|^barrel$", 0.1, 1.0),
    "bin": (r"dustbin|trash ?can|bin$|clothes basket", 0.2, 1.3),
    "ball": (r"basketball$|soccer ball|puff$|teddy bear|rocking horse|tricycle", 0.15, 1.0),
    "bag": (r"backpack|suitcase|briefcase|handbag|shopping basket", 0.2, 0.8),
    "car": (
        r"sedan|beetle|leon$|ford|peugeot|renault|chevrolet|smart car|^suv$|vintage|mini\b",
        1.2,
        2.0,
    ),
    "van": (r"^van$", 1.7, 3.0),
    "bus": (r"\bbus$", 2.4, 4.5),
    "truck": (r"^truck$", 2.0, 4.5),
    "bicycle": (r"^bicycle$|^bike$|scooter|motorbike", 0.7, 1.4),
    "person": (r"^(female|male|boy|girl|holding)", 1.0, 2.1),
    "bench": (r"\bbench$(?<!piano bench)(?<!abdominal bench)|wood bank", 0.35, 1.1),
    "traffic sign": (r"emergency sign|^sign", 1.5, 3.5),
    "street lamp": (r"street (lamp|light)|lamppost", 2.5, 10.0),
}


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


def make_pack(source: Path, out: Path, *, triangles: int = 900, cc0_only: bool = False) -> str:
    """Write a pack from all .sh3f below `source`; returns a report of a few lines.

    Raises:
        InputError: no library there, or the pack would exceed 20 MB.
        MissingDependencyError: trimesh, scipy or fast-simplification is not installed.
    """
    libraries = sorted(source.rglob("*.sh3f"))
    if not libraries:
        raise InputError(f"no .sh3f library in {source}; Debian's sweethome3d-furniture has five")
    entries: list[PackEntry] = []
    vertices: list[NDArray[np.float32]] = []
    faces: list[NDArray[np.uint16]] = []
    colours: list[NDArray[np.uint8]] = []
    licences: dict[str, str] = {}
    skipped: list[str] = []
    for path in libraries:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            text = archive.read("LICENSE.TXT").decode("utf-8", "replace")
            licence = _licence(text)
            if licence is None or (cc0_only and licence != "CC0-1.0"):
                skipped.append(f"{path.name} (licence)")
                continue
            licences[path.name] = text
            with disk.naming(folder, then="make room there, or name another folder by TMPDIR"):
                archive.extractall(folder)
            for item in _catalogue(archive):
                category = _category(item)
                if category is None:
                    continue
                try:
                    mesh = _model(Path(folder), item, triangles)
                except (ValueError, IndexError, KeyError, OSError) as error:
                    skipped.append(f"{item['name']} ({type(error).__name__})")
                    continue
                entries.append(
                    PackEntry(
                        category,
                        item["name"].lower(),
                        _size_m(item),
                        item.get("creator", "unknown"),
                        path.name,
                        licence,
                        sum(map(len, vertices)),
                        len(mesh[0]),
                        sum(map(len, faces)),
                        len(mesh[1]),
                    )
                )
                vertices.append(mesh[0].astype(np.float32))
                faces.append(mesh[1].astype(np.uint16))
                colours.append(mesh[2])
    if not entries:
        raise InputError(
            f"nothing usable in {source}: {', '.join(skipped) or 'no known furniture'}"
        )
    meta = {"version": 1, "licences": licences, "models": [asdict(e) for e in entries]}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        vertices=np.concatenate(vertices).astype(np.float16),
        faces=np.concatenate(faces),
        colours=np.concatenate(colours),
        meta=np.frombuffer(json.dumps(meta, allow_nan=False).encode(), np.uint8),
    )
    size = buffer.getbuffer().nbytes
    if size > PACK_LIMIT_BYTES:
        raise InputError(f"the pack would have {size / 1e6:.1f} MB; lower --triangles")
    disk.write(out, buffer.getvalue())
    kinds = sorted({e.category for e in entries})
    report = [
        f"{len(entries)} models of {len(kinds)} categories, {sum(map(len, faces))} triangles, "
        f"{size / 1e6:.1f} MB in {out}",
        "licences: "
        + ", ".join(
            f"{n} {sum(e.licence == n for e in entries)}"
            for n in sorted({e.licence for e in entries})
        ),
    ]
    if skipped:
        report.append(f"left out: {', '.join(skipped[:20])}")
    return "\n".join(report)


def _licence(text: str) -> str | None:
    if "Creative Commons Zero" in text:
        return "CC0-1.0"
    return "CC-BY-3.0" if "Creative Commons Attribution 3.0" in text else None


def _catalogue(archive: zipfile.ZipFile) -> list[dict[str, str]]:
    """The items of PluginFurnitureCatalog.properties as plain mappings."""
    items: dict[int, dict[str, str]] = {}
    text = archive.read("PluginFurnitureCatalog.properties").decode("iso-8859-1")
    for line in text.splitlines():
        found = re.match(r"(\w+)#(\d+)=(.*)", line)
        if found:
            items.setdefault(int(found[2]), {})[found[1]] = found[3].strip()
    return [items[k] for k in sorted(items) if {"name", "model", "width"} <= set(items[k])]


def _size_m(item: dict[str, str]) -> tuple[float, float, float]:
    w, d, h = (float(item[k]) / 100 for k in ("width", "depth", "height"))
    return (w, d, h)


def _category(item: dict[str, str]) -> str | None:
    if item.get("doorOrWindow") == "true" or float(item.get("elevation", 0) or 0) > 5:
        return None
    name, height = item["name"].lower(), _size_m(item)[2]
    if re.search(r"sitting|lying|under snow", name):
        return None
    for category, (pattern, low, high) in _CATEGORIES.items():
        if low <= height <= high and re.search(pattern, name):
            return category
    return None


def _model(
    folder: Path, item: dict[str, str], triangles: int
) -> tuple[Floats, NDArray[np.int64], NDArray[np.uint8]]:
    """Vertices (V, 3) in [-0.5, 0.5], z up, front -y; faces (F, 3); sRGB colours (F, 3) uint8."""
    try:
        import trimesh
        from fast_simplification import simplify  # type: ignore[import-untyped,unused-ignore]
        from scipy.spatial import cKDTree
    except ImportError as error:
        raise MissingDependencyError(
            f"{error.name} is needed to make a pack: pip install trimesh scipy fast-simplification"
        ) from None
    path = folder / item["model"].lstrip("/")
    loaded: Any = trimesh.load(path, process=False, force="scene")
    points: list[Floats] = []
    corners: list[NDArray[np.int64]] = []
    shades: list[NDArray[np.uint8]] = []
    for part in loaded.geometry.values():
        start = sum(map(len, points))
        points.append(np.asarray(part.vertices, float))
        corners.append(np.asarray(part.faces) + start)
        shades.append(_face_colours(part))
    vertices, faces = np.concatenate(points), np.concatenate(corners)
    colour = np.concatenate(shades)
    if "modelRotation" in item:
        turn = np.array([float(v) for v in item["modelRotation"].split()]).reshape(3, 3)
        vertices = vertices @ turn.T
    vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], -1)
    low, high = vertices.min(0), vertices.max(0)
    vertices = (vertices - (low + high) / 2) / np.maximum(high - low, 1e-9)
    # one vertex a place, so that edges can be followed
    size = np.array(_size_m(item))
    _, first, inverse = np.unique(
        np.round(vertices * size / 5e-4).astype(np.int64),
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    vertices, faces = vertices[first], inverse.reshape(-1)[faces]
    good = (
        (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])
    )
    faces, colour = faces[good], colour[good]
    if len(faces) > triangles:
        tree = cKDTree((vertices[faces].mean(1)) * size)
        metric = (vertices * size).astype(np.float32)
        fewer, faces = simplify(metric, faces.astype(np.int32), target_count=triangles, agg=9)
        fewer, faces = _clustered(np.asarray(fewer, float), faces, 2 * triangles)
        vertices = np.asarray(fewer, float) / np.maximum(size, 1e-9)
        _, nearest = tree.query((vertices[faces].mean(1)) * size)
        colour = colour[nearest]
        low, high = vertices.min(0), vertices.max(0)
        vertices = (vertices - (low + high) / 2) / np.maximum(high - low, 1e-9)
    if not len(faces) or len(vertices) > 65535:
        raise ValueError("empty or too large")
    return vertices, np.asarray(faces, np.int64), colour


def _clustered(vertices: Floats, faces: NDArray[Any], most: int) -> tuple[Floats, NDArray[Any]]:
    """Vertices merged on an ever coarser grid until at most `most` faces are left.

    Edge collapse stops early at models of many loose parts; this does not.
    """
    cell = float(np.ptp(vertices, axis=0).max()) / 160
    points, corners = vertices, faces
    while len(corners) > most:
        keys = np.round(vertices / cell).astype(np.int64)
        _, inverse = np.unique(keys, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        count = np.bincount(inverse)
        points = np.stack([np.bincount(inverse, vertices[:, k]) / count for k in range(3)], -1)
        corners = inverse[faces]
        a, b, c = corners.T
        corners = corners[(a != b) & (b != c) & (a != c)]
        _, first = np.unique(np.sort(corners, axis=1), axis=0, return_index=True)
        corners = corners[np.sort(first)]
        cell *= 1.25
    return points, corners


def _face_colours(part: Any) -> NDArray[np.uint8]:
    """(F, 3) sRGB: the texture at the middle of each face, or the material's colour."""
    count = len(part.faces)
    material = getattr(part.visual, "material", None)
    base = np.full(3, 180, np.uint8)
    if material is not None and getattr(material, "diffuse", None) is not None:
        base = np.asarray(material.diffuse, np.uint8)[:3]
    image = getattr(material, "image", None)
    uv = getattr(part.visual, "uv", None)
    if image is None or uv is None or len(uv) != len(part.vertices):
        return np.tile(base, (count, 1))
    picture = np.asarray(image.convert("RGB").resize((64, 64)))
    middle = np.asarray(uv, float)[part.faces].mean(1) % 1.0
    columns = np.clip((middle[:, 0] * 64).astype(int), 0, 63)
    rows = np.clip(((1 - middle[:, 1]) * 64).astype(int), 0, 63)
    return np.asarray(picture[rows, columns], np.uint8)
