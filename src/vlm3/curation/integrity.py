"""Check shards: hashes, records, pictures, pairs. Whether they leak is `vlm3.curation.leaks`."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from vlm3.curation.label_faults import label_faults
from vlm3.curation.merge import shard_size
from vlm3.curation.units import sha256_of
from vlm3.data.dataset import pair_sample
from vlm3.data.decoding import decode
from vlm3.data.manifests import read_joined, read_unit
from vlm3.data.shard_index import INDEX, NAMES, build_index, table_of
from vlm3.data.shards import PAIRS, Shards
from vlm3.errors import InputError
from vlm3.files import sums
from vlm3.geometry.plausible import check_intrinsics


class Note(str):
    """A line that is no problem: what could not be checked, and what would change that."""


def check(folder: Path, *, workers: int = 1) -> Iterator[str | int]:
    """Problems as lines, and between them how many samples have been looked at since the last.

    Whatever is damaged, the rest is checked. A `Note` among the lines is no problem.

    Raises:
        InputError: the folder holds no shards.
    """
    if not (folder / INDEX).is_file():
        if not folder.is_dir():
            raise InputError(f"no data folder {folder}; check the path")
        build_index(folder)
    yield from sums.problems(folder)
    yield from _hashes(folder)
    try:
        shards = Shards(folder)
    except InputError as error:
        yield str(error)
        return
    yield from _without_sums(folder, shards)
    yield from _pairs(shards)
    yield from label_faults(shards)
    step = 256
    spans = [(a, min(a + step, len(shards))) for a in range(0, len(shards), step)]
    if workers == 1:
        for span in spans:
            yield from _span(folder, span)
            yield span[1] - span[0]
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        found = pool.map(_span, [folder] * len(spans), spans)
        for span, problems in zip(spans, found, strict=True):
            yield from problems
            yield span[1] - span[0]


def _hashes(folder: Path) -> Iterator[str]:
    """Shards of a curation against the manifests of their units, and their ends."""
    try:
        joined = read_joined(folder)
    except InputError as error:
        yield str(error)
        return
    for shard in joined:
        name = shard["name"]
        try:
            yield from _shard_hashes(folder, name, shard["scenes"])
        except InputError as error:
            yield f"{name}: {error}"
        except OSError as error:
            yield f"{name} cannot be read ({error.strerror or type(error).__name__})"


def _shard_hashes(folder: Path, name: str, scenes: Sequence[str]) -> Iterator[str]:
    start = 0
    for scene in scenes:
        unit = read_unit(folder, scene)
        if unit is None:
            yield f"{name}: the manifest of scene {scene} is missing"
            return
        if sha256_of(folder / name, unit.payload, start) != unit.sha256:
            yield f"{name}: scene {scene} is not what was written (hash)"
        start += unit.payload
    with (folder / name).open("rb") as file:
        file.seek(start)
        # One byte more than there should be, so that a file that is too long shows.
        if file.read(shard_size(start) - start + 1) != bytes(shard_size(start) - start):
            yield f"{name} does not end as it was written"


def _without_sums(folder: Path, shards: Shards) -> Iterator[str]:
    """What has no hash: the index follows from the tars, pairs and other tars do not."""
    try:
        named = set(sums.read_sums(folder))
        curated = {shard["name"] for shard in read_joined(folder)}
    except InputError:
        return  # reported already
    if not {INDEX, NAMES} <= named:
        table, damaged = table_of(folder, shards.names)
        yield from damaged
        if not damaged and not np.array_equal(table, shards.index):
            yield f"{INDEX} and {NAMES} do not say what is in the shards; run vlm3 data index"
    bare = [name for name in shards.names if name not in named | curated]
    bare += [PAIRS] if shards.pairs and PAIRS not in named else []
    if bare:
        more = f" and {len(bare) - 3} others" if len(bare) > 3 else ""
        yield Note(
            f"{', '.join(bare[:3])}{more} of {folder} have no hash (another tool or an older "
            "vlm3 wrote them): only impossible values are noticed in them"
        )


def _pairs(shards: Shards) -> Iterator[str]:
    for place in range(shards.pairs):
        try:
            pair_sample(shards, place, f"pair {place}")
        except InputError as error:
            yield f"pair {place}: {error}"


def _span(folder: Path, span: tuple[int, int]) -> list[str]:
    shards = Shards(folder)
    problems = []
    for place in range(*span):
        try:
            record = shards.record(place)
            height, width = decode(shards.picture(place)).shape[:2]
            camera = record.camera
            check_intrinsics(
                camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px, width, height, fisheye=False
            )
            if (turn := _orientation(shards.picture(place))) != 1:
                raise InputError(f"EXIF (orientation {turn}) has viewers turn the stored picture")
            if (camera.width_px, camera.height_px) != (width, height):
                raise InputError(
                    f"the picture is {width}x{height}, its camera "
                    f"{camera.width_px}x{camera.height_px}"
                )
        except InputError as error:
            problems.append(f"{shards.name(place)}: {error}")
    return problems


def _orientation(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as opened:
        return int(opened.getexif().get(0x0112, 1))
