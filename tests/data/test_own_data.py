"""A right folder with one fault planted at a time: each is refused or remarked on by its cause.

The folder is a room corner with a box in it, seen by four cameras, by formulas of this file: three
planes and a nearer one, pictures painted from the points, so that depth, poses and K are exact.
"""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.spatial.transform import Rotation

from vlm3.cli.main import main
from vlm3.data.shards import Shards, write_shards
from vlm3.geometry.pose import rotation_from_ypr_deg
from vlm3.pictures import read_picture

NAMES = ("a", "b", "c", "d")
W, H, F = 96, 72, 80.0
K = np.array([[F, 0, W / 2 - 0.5], [0, F, H / 2 - 0.5], [0, 0, 1]])
# Normals and offsets: n . X = d; the last is a board before the wall.
PLANES = [((0.2, 0.1, -1.0), -4.0), ((0.0, 1.0, -0.1), 1.1), ((1.0, 0.0, -0.2), 1.4)]
BOARD_Z_M, BOARD = 2.6, (-0.7, 0.1, -0.5, 0.4)


def pose(k: int) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = rotation_from_ypr_deg([5.0 * k - 8, 2.0 * k - 3, 3.0 * k])
    T[:3, 3] = [0.2 * k - 0.3, 0.05 * k, 0.1 * k]
    return T


def rendered(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture (H, W, 3) uint8 and depth along the axis (H, W), metres."""
    T = pose(k)
    rows, columns = np.mgrid[:H, :W]
    rays = np.stack([(columns - K[0, 2]) / F, (rows - K[1, 2]) / F, np.ones((H, W))], -1)
    world = rays @ T[:3, :3].T
    depth = np.full((H, W), np.inf)
    for n, d in PLANES:
        with np.errstate(divide="ignore"):
            z = (d - np.dot(n, T[:3, 3])) / (world @ np.array(n))
        depth = np.where((z > 0) & (z < depth), z, depth)
    z = (BOARD_Z_M - T[2, 3]) / world[..., 2]
    at = world * z[..., None] + T[:3, 3]
    x0, x1, y0, y1 = BOARD
    on = (at[..., 0] > x0) & (at[..., 0] < x1) & (at[..., 1] > y0) & (at[..., 1] < y1)
    depth = np.where(on & (z < depth), z, depth)
    X = world * depth[..., None] + T[:3, 3]
    waves = [np.sin(X[..., 0] * 7 + X[..., 2] * 3), np.sin(X[..., 1] * 9), np.sin(X[..., 2] * 5)]
    return ((np.stack(waves, -1) + 1) * 120).astype(np.uint8), depth


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder without a fault."""
    root = tmp_path_factory.mktemp("right") / "mine"
    for name in ("images", "depth"):
        (root / name).mkdir(parents=True)
    for k, name in enumerate(NAMES):
        image, depth = rendered(k)
        Image.fromarray(image).save(root / "images" / f"{name}.png")
        Image.fromarray(np.round(depth * 1000).astype(np.uint16)).save(
            root / "depth" / f"{name}.png"
        )
    np.savetxt(root / "K.txt", K)
    write_poses(root, pose)
    return root


def write_poses(root: Path, of: Callable[[int], np.ndarray]) -> None:
    lines = [
        f"{name}.png " + " ".join(repr(float(v)) for v in of(k).ravel())
        for k, name in enumerate(NAMES)
    ]
    (root / "poses.txt").write_text("\n".join(lines) + "\n")


def depths(root: Path) -> dict[str, np.ndarray]:
    return {
        p.stem: np.asarray(Image.open(p)).astype(np.float64) / 1000
        for p in sorted((root / "depth").glob("*.png"))
    }


def as_arrays(root: Path, make: Callable[[np.ndarray], np.ndarray], ending: str = ".npy") -> None:
    """Depth files as arrays in place of the pictures."""
    for name, z in depths(root).items():
        (root / "depth" / f"{name}.png").unlink()
        path = root / "depth" / f"{name}{ending}"
        np.savez(path, make(z)) if ending == ".npz" else np.save(path, make(z))


def as_pictures(root: Path, make: Callable[[np.ndarray], np.ndarray], ending: str = ".png") -> None:
    for name, z in depths(root).items():
        (root / "depth" / f"{name}.png").unlink()
        Image.fromarray(make(z)).save(root / "depth" / f"{name}{ending}")


def say(root: Path, **settings: Any) -> None:
    (root / "format.json").write_text(json.dumps(settings))


def scale_k(root: Path, scale: Any) -> None:
    np.savetxt(root / "K.txt", np.asarray(scale) * K)


def mm(z: np.ndarray) -> np.ndarray:
    return np.round(z * 1000).astype(np.uint16)


def grey(z: np.ndarray) -> np.ndarray:
    return (z / z.max() * 255).astype(np.uint8)


def with_sky(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def make(z: np.ndarray) -> np.ndarray:
        z = z.astype(np.float32)
        z[:10] = value
        return z

    return make


def sky_in_16_bits(value: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda z: np.where(np.arange(H)[:, None] < 9, value, mm(z)).astype(np.uint16)


def moved(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda root: write_poses(root, lambda k: change(pose(k)))


def part(T: np.ndarray, rotation: float | None = None, shift: float | None = None) -> np.ndarray:
    T = T.copy()
    if rotation is not None:
        T[:3, :3] = T[:3, :3] * rotation
    if shift is not None:
        T[:3, 3] = T[:3, 3] * shift
    return T


def turned_rotation(T: np.ndarray) -> np.ndarray:
    T = T.copy()
    T[:3, :3] = T[:3, :3].T
    return T


def drop(root: Path, *names: str) -> None:
    for name in names:
        (root / name).unlink()


def rename_depth(root: Path, to: str) -> None:
    for name in NAMES:
        path = root / "depth" / f"{name}.png"
        path.rename(path.with_name(to.format(name)))


def palette(root: Path) -> None:
    for path in (root / "depth").iterdir():
        Image.fromarray(grey(np.asarray(Image.open(path)))).convert("P").save(path)


def roll_depth(root: Path) -> None:
    every = depths(root)
    for k, name in enumerate(NAMES):
        Image.fromarray(mm(every[NAMES[(k + 2) % 4]])).save(root / "depth" / f"{name}.png")


def crop_pictures(root: Path) -> None:
    for path in (root / "images").iterdir():
        Image.open(path).crop((0, 9, W, H - 9)).save(path)
    moved_K = K.copy()
    moved_K[1, 2] -= 9
    np.savetxt(root / "K.txt", moved_K)


GL = np.diag([1.0, -1, -1, 1])

# What is planted, and words that the one line about it has. Refused: nothing becomes a label.
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "8 bits": (lambda r: as_pictures(r, grey), "8 bits"),
    "8 bits with a palette": (palette, "8 bits"),
    "8 bits in an array": (lambda r: as_arrays(r, grey), "whole numbers"),
    "8 bits widened": (
        lambda r: as_pictures(r, lambda z: grey(z).astype(np.uint16) * 257),
        "256 levels",
    ),
    "8 bits in 16": (lambda r: as_pictures(r, lambda z: grey(z).astype(np.uint16)), "256 levels"),
    "colours": (
        lambda r: as_pictures(r, lambda z: np.repeat(grey(z)[..., None], 3, -1)),
        "3 channels",
    ),
    "stretched to 16 bits": (
        lambda r: as_pictures(r, lambda z: np.round(z / z.max() * 65535).astype(np.uint16)),
        "stretched",
    ),
    "normalised": (lambda r: as_arrays(r, lambda z: z / z.max()), "normalised"),
    "whole numbers, no unit": (lambda r: as_arrays(r, mm), "nothing says their unit"),
    "whole numbers in .npz": (lambda r: as_arrays(r, mm, ".npz"), "nothing says their unit"),
    "millimetres as floats": (
        lambda r: as_arrays(r, lambda z: (z * 1000).astype(np.float32)),
        "is it in millimetres",
    ),
    "centimetres as floats": (
        lambda r: as_arrays(r, lambda z: (z * 100).astype(np.float32)),
        "or centimetres (3.7 m)?",
    ),
    "metres in 16 bits": (
        lambda r: as_pictures(r, lambda z: np.round(z).astype(np.uint16)),
        "is it in metres",
    ),
    "unit_m of another file": (lambda r: say(r, unit_m=1.0), "is it in millimetres"),
    "TUM's 1/5000 m": (lambda r: as_pictures(r, lambda z: np.round(z * 5000).astype(np.uint16)),
                       "when multiplied by about 5"),
    "KITTI's 1/256 m": (lambda r: as_pictures(r, lambda z: np.round(z * 256).astype(np.uint16)),
                        "when multiplied by about 0.25"),
    "no such name": (lambda r: rename_depth(r, "depth_{}.png"), "no depth file has the name"),
    "K of the full size": (lambda r: scale_k(r, [[4], [4], [1]]), "about 381x285"),
    "K of half the size": (lambda r: scale_k(r, [[0.5], [0.5], [1]]), "about 48x36"),
    "K of another shape": (lambda r: scale_k(r, [[1], [1.4], [1]]), "another shape"),
    "K turned": (
        lambda r: np.savetxt(r / "K.txt", [[F, 0, 35.5], [0, F, 47.5], [0, 0, 1]]),
        "before it was turned",
    ),
    "K normalised": (lambda r: scale_k(r, [[1 / W], [1 / H], [1]]), "units of the picture's size"),
    "K in millimetres": (
        lambda r: np.savetxt(r / "K.txt", [[4.2, 0, 47.5], [0, 4.2, 35.5], [0, 0, 1]]),
        "millimetres",
    ),
    "K transposed": (lambda r: np.savetxt(r / "K.txt", K.T), "transpose it"),
    "another shape": (crop_pictures, "another shape"),
    "depth turned": (lambda r: as_pictures(r, lambda z: mm(z.T)), "turned by a quarter"),
    "transposed": (moved(np.transpose), "it is transposed"),
    "rotation transposed": (moved(turned_rotation), "rotations are transposed"),
    "mirrored": (moved(lambda T: T @ np.diag([1.0, 1, -1, 1])), "determinant -1"),
    "scaled": (moved(lambda T: part(T, rotation=1.009)), "scaled by 1.009"),
    "world to camera": (moved(np.linalg.inv), "world to camera"),
    "OpenGL": (moved(lambda T: T @ GL), "OpenGL"),
    "OpenGL, world to camera": (moved(lambda T: np.linalg.inv(T @ GL)), "with OpenGL's axes"),
    "moves in millimetres": (moved(lambda T: part(T, shift=1000.0)), "translations are in milli"),
    "a robot's axes": (
        moved(lambda T: T @ np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])),
        "a robot's",
    ),
    "depth upside down": (lambda r: as_pictures(r, lambda z: mm(z[::-1])), "upside down"),
    "depth mirrored": (lambda r: as_pictures(r, lambda z: mm(z[:, ::-1])), "mirrored, left"),
    "poses of other pictures": (
        lambda r: (r / "poses.txt").write_text((r / "poses.txt").read_text().replace(".png", "0")),
        "names no picture",
    ),
    "unit in words": (lambda r: say(r, unit_m="mm"), "give metres"),
    "an unknown setting": (lambda r: say(r, scale=1000), "may hold unit_m"),
    "an unknown kind": (lambda r: say(r, kind="depth"), "one of z, distance"),
}  # fmt: skip

# Labels are made, and the owner is told.
REMARKED: dict[str, tuple[Callable[[Path], None], str]] = {
    "1e10": (lambda r: as_arrays(r, with_sky(1e10)), "1e+10 stands in 13.9 %"),
    "1000 m": (lambda r: as_arrays(r, with_sky(1000.0)), "1000 stands in"),
    "65.535 m": (lambda r: as_arrays(r, with_sky(65.535)), "65.535 stands in"),
    "infinite": (lambda r: as_arrays(r, with_sky(np.inf)), "negative or infinite"),
    "negative": (lambda r: as_arrays(r, with_sky(-1.0)), "negative or infinite"),
    "65535": (lambda r: as_pictures(r, sky_in_16_bits(65535)), "largest number of its format"),
    "9999": (lambda r: as_pictures(r, sky_in_16_bits(9999)), "9.999 stands in"),
    "pictures without depth": (lambda r: drop(r, "depth/b.png"), "1 of 4 pictures have no depth"),
    "depth without pictures": (lambda r: drop(r, "images/b.png"), "1 depth files have no picture"),
    "another format": (
        lambda r: (r / "depth" / "b.png").rename(r / "depth" / "b.jp2"),
        "1 depth files with ending .jp2",
    ),
    "depths/": (lambda r: (r / "depth").rename(r / "depths"), "call it depth"),
    "poses without pictures": (lambda r: drop(r, "images/b.png"), "1 poses have no picture"),
    "pictures without poses": (
        lambda r: (r / "poses.txt").write_text((r / "poses.txt").read_text().split("c.png")[0]),
        "2 of 4 pictures have no pose",
    ),
    "depth of other pictures": (roll_depth, "fit badly"),
    "all poses alike": (moved(lambda T: np.eye(4)), "all poses are the same"),
}  # fmt: skip


def curated(root: Path, out: Path, source: str = "folder", *more: str) -> tuple[int, str]:
    result = CliRunner().invoke(
        main, ["data", "curate", source, "--root", str(root), "-o", str(out), "--f-px", "0", *more]
    )
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def planted(right: Path, tmp_path: Path, fault: Callable[[Path], Any]) -> Path:
    root = tmp_path / "mine"
    shutil.copytree(right, root)
    fault(root)
    return root


@pytest.mark.parametrize("name", REFUSED)
def test_faults_are_refused_with_their_cause(name: str, right: Path, tmp_path: Path) -> None:
    fault, says = REFUSED[name]
    code, text = curated(planted(right, tmp_path, fault), tmp_path / "out")
    assert code == 2 and says in text, text
    assert len(text.strip().splitlines()) == 1


@pytest.mark.parametrize("name", REMARKED)
def test_faults_are_remarked_upon(name: str, right: Path, tmp_path: Path) -> None:
    fault, says = REMARKED[name]
    code, text = curated(planted(right, tmp_path, fault), tmp_path / "out")
    assert code == 0 and any(says in line for line in text.splitlines() if "warning" in line), text
    if "fit badly" not in says:
        assert labels_off(tmp_path / "out") < 0.03


def labels_off(out: Path) -> float:
    """How far labels are from the formulas at most, relative."""
    shards = Shards(out)
    off = [0.0]
    for place in range(len(shards)):
        record = shards.record(place)
        if not len(record.xy_px):
            continue
        _, depth = rendered(NAMES.index(shards.notes(place)["frame"]))
        column, row = record.xy_px.astype(int).T
        rays = np.stack([(column - K[0, 2]) / F, (row - K[1, 2]) / F, np.ones(len(row))], -1)
        truth = depth[row, column] * np.linalg.norm(rays, axis=1)
        off.append(float(np.abs(record.distance_m / truth - 1).max()))
    return max(off)


RIGHT: dict[str, Callable[[Path], Any]] = {
    "as it is": lambda r: None,
    "unit_m of arrays": lambda r: (as_arrays(r, mm), say(r, unit_m=0.001)),
    "unit_m of .npz": lambda r: (as_arrays(r, mm, ".npz"), say(r, unit_m=0.001)),
    "floats": lambda r: as_arrays(r, lambda z: z.astype(np.float32)),
    "floats in centimetres": lambda r: (as_arrays(r, lambda z: 100 * z), say(r, unit_m=0.01)),
    "one more axis": lambda r: as_arrays(r, lambda z: z[None]),
    "half precision": lambda r: as_arrays(r, lambda z: z.astype(np.float16)),
    ".PNG": lambda r: rename_depth(r, "{}.PNG"),
    ".tiff": lambda r: as_pictures(r, mm, ".tiff"),
    ".TIF of floats": lambda r: as_pictures(r, lambda z: z.astype(np.float32), ".TIF"),
    "tenths of millimetres": lambda r: (
        as_pictures(r, lambda z: np.round(z * 10000).astype(np.uint16)),
        say(r, unit_m=1e-4),
    ),
    "unknown cells": lambda r: as_arrays(r, with_sky(np.nan)),
    "four cells a pixel": lambda r: as_pictures(
        r, lambda z: mm(np.repeat(np.repeat(z, 2, 0), 2, 1))
    ),
    "no poses": lambda r: drop(r, "poses.txt"),
    "names with spaces": lambda r: (
        [
            (r / f).rename((r / f).with_name(f"my {(r / f).name}"))
            for f in [f"{d}/{n}.png" for d in ("images", "depth") for n in NAMES]
        ],
        (r / "poses.txt").write_text(
            "".join(f"my {line}\r\n" for line in (r / "poses.txt").read_text().splitlines())
        ),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_folders_are_not_refused(name: str, right: Path, tmp_path: Path) -> None:
    code, text = curated(planted(right, tmp_path, RIGHT[name]), tmp_path / "out")
    assert code == 0 and "warning" not in text, text
    if "spaces" not in name:
        assert labels_off(tmp_path / "out") < 0.003


@pytest.mark.parametrize("orientation", range(2, 9))
def test_pictures_stay_with_their_depth(orientation: int, right: Path, tmp_path: Path) -> None:
    def turn(root: Path) -> None:
        for path in sorted((root / "images").iterdir()):
            exif = Image.Exif()
            exif[0x0112] = orientation
            Image.open(path).save(path.with_suffix(".jpg"), exif=exif, quality=98)
            path.unlink()

    code, text = curated(planted(right, tmp_path, turn), tmp_path / "out")
    assert code == 0, text
    assert labels_off(tmp_path / "out") < 0.003
    shards = Shards(tmp_path / "out")
    for place in range(len(shards)):
        stored = read_picture(shards.picture(place))
        assert stored.orientation == 1
        image = rendered(place)[0].astype(int)
        off = [np.abs(stored.image - t).mean() for t in (image, image[::-1], image[:, ::-1])]
        assert off[0] < 0.2 * min(off[1:])


def test_what_is_right_all_the_same_can_be_said(right: Path, tmp_path: Path) -> None:
    for check, name in [
        ("centre", "K of another shape"),
        ("poses", "OpenGL"),
        ("range", "normalised"),
        ("aspect", "another shape"),
    ]:
        root = planted(right, tmp_path / check, REFUSED[name][0])
        if check == "range":
            drop(root, "poses.txt")
        say(root, accept=[check])
        code, text = curated(root, tmp_path / check / "out")
        assert code == 0, text


def test_a_summary_and_a_sheet(right: Path, tmp_path: Path) -> None:
    code, text = curated(right, tmp_path / "out")
    every = np.concatenate([Shards(tmp_path / "out").record(k).distance_m for k in range(4)])
    assert code == 0
    assert f"distances: median {np.median(every):.3g} m" in text
    assert f"95 % below {np.quantile(every, 0.95):.3g}" in text
    with Image.open(tmp_path / "out" / "sheet.jpg") as drawn:
        assert min(drawn.size) > 400
    drop_one = planted(right, tmp_path, lambda r: (r / "images" / "c.png").write_bytes(b"no"))
    _, text = curated(drop_one, tmp_path / "less")
    assert "left out: 1 pictures" in text


# --- shards made elsewhere, or before anything was asked ---------------------------------------

ACCEPTED = {
    "millimetres as floats": (["range", "poses"], "another unit"),
    "K of the full size": (["centre", "poses"], "far from the middle"),
    "OpenGL": (["poses"], "OpenGL"),
    "world to camera": (["poses"], "world to camera"),
    "moves in millimetres": (["poses"], "translations are in millimetres"),
}


def problems(out: Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["data", "check", str(out)])
    return result.exit_code, result.output


@pytest.mark.parametrize("name", ACCEPTED)
def test_check_finds_them_in_labels(name: str, right: Path, tmp_path: Path) -> None:
    accept, says = ACCEPTED[name]
    root = planted(right, tmp_path, REFUSED[name][0])
    say(root, accept=accept)
    assert curated(root, tmp_path / "out")[0] == 0
    code, text = problems(tmp_path / "out")
    assert code == 1 and says in text, text


def relabelled(right: Path, out: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Shards of the right folder, each record changed."""
    curated(right, out / "first")
    shards = Shards(out / "first")
    samples = []
    for place in range(len(shards)):
        notes = shards.notes(place)
        change(notes)
        samples.append((f"s{place}", shards.picture(place), json.dumps(notes).encode()))
    write_shards(out / "second", samples)
    return out / "second"


def test_check_finds_marks_and_mirrors(right: Path, tmp_path: Path) -> None:
    def sky(notes: dict[str, Any]) -> None:
        points = notes["points"]
        for k, (x, y) in enumerate(points["xy_px"][:9]):
            ray = np.array([(x - W / 2) / F, (y - H / 2) / F, 1])
            points["distance_m"][k] = round(65.535 * float(np.linalg.norm(ray)), 4)

    code, text = problems(relabelled(right, tmp_path / "sky", sky))
    assert code == 1 and "have the depth 65.535 m" in text

    def mirror(notes: dict[str, Any]) -> None:
        T = np.array(notes["world_from_cam"]) @ np.diag([1.0, 1, -1, 1])
        notes["world_from_cam"] = T.tolist()

    code, text = problems(relabelled(right, tmp_path / "mirror", mirror))
    assert code == 1 and "determinant -1" in text
    code, text = problems(relabelled(right, tmp_path / "same", lambda notes: None))
    assert code == 0, text


def test_check_finds_pictures_that_viewers_turn(right: Path, tmp_path: Path) -> None:
    curated(right, tmp_path / "out")
    shards = Shards(tmp_path / "out")
    exif, data = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.fromarray(rendered(0)[0]).save(data, "JPEG", exif=exif)
    record = json.dumps(shards.notes(0)).encode()
    write_shards(tmp_path / "turned", [("a", data.getvalue(), record)])
    code, text = problems(tmp_path / "turned")
    assert code == 1 and "orientation 6" in text


# --- trajectories ------------------------------------------------------------------------------


def as_log(right: Path, root: Path, names: list[str], numbers: list[int]) -> Path:
    """The folder in Open3D's layout, its pictures called `names`, its poses numbered."""
    for name in ("color", "depth"):
        (root / name).mkdir(parents=True)
    for k, (old, new) in enumerate(zip(NAMES, names, strict=True)):
        shutil.copy(right / "images" / f"{old}.png", root / "color" / f"{new}.png")
        shutil.copy(right / "depth" / f"{old}.png", root / "depth" / f"{new}.png")
        rows = "\n".join(" ".join(map(repr, row)) for row in pose(k).tolist())
        with (root / "trajectory.log").open("a") as log:
            log.write(f"{numbers[k]} {numbers[k]} {numbers[k] + 1}\n{rows}\n")
    (root / "camera_primesense.json").write_text(
        json.dumps({"width": W, "height": H, "intrinsic_matrix": K.T.ravel().tolist()})
    )
    return root


def poses_of(out: Path) -> dict[str, np.ndarray]:
    shards = Shards(out)
    every = [shards.notes(k) for k in range(len(shards))]
    return {notes["frame"]: np.array(notes["world_from_cam"]) for notes in every}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("missing", [None, 1, 3])
def test_a_missing_picture_shifts_no_pose(
    first: int, missing: int | None, right: Path, tmp_path: Path
) -> None:
    names = [f"{k + first:05d}" for k in range(4)]
    root = as_log(right, tmp_path / "log", names, [0, 1, 2, 3])
    if missing is not None:
        (root / "color" / f"{names[missing]}.png").unlink()
    code, text = curated(root, tmp_path / "out", "rgbd-log")
    assert code == 0, text
    found = poses_of(tmp_path / "out")
    assert len(found) == 4 - (missing is not None)
    for name, T in found.items():
        np.testing.assert_allclose(T, pose(names.index(name)))


def test_a_missing_end_is_asked_about(right: Path, tmp_path: Path) -> None:
    root = as_log(right, tmp_path / "log", ["1", "2", "3", "4"], [0, 1, 2, 3])
    for folder in ("color", "depth"):
        (root / folder / "4.png").unlink()
    code, text = curated(root, tmp_path / "out", "rgbd-log")
    assert code == 2 and "count from 1" in text


def test_numbers_that_do_not_agree(right: Path, tmp_path: Path) -> None:
    names = ["10", "20", "30", "40"]
    root = as_log(right, tmp_path / "log", names, [0, 1, 2, 3])
    assert curated(root, tmp_path / "out", "rgbd-log")[0] == 0, "as many of both, in one order"
    (root / "color" / "20.png").unlink()
    code, text = curated(root, tmp_path / "less", "rgbd-log")
    assert code == 2 and "3 pictures and 4 poses" in text


def test_a_log_with_faults(right: Path, tmp_path: Path) -> None:
    root = as_log(right, tmp_path / "log", ["0", "1", "2", "3"], [0, 1, 2, 3])
    K_of_double = {"width": 2 * W, "height": 2 * H}
    doubled = (K * [[2], [2], [1]]).T.ravel().tolist()
    own = root / "camera_primesense.json"
    own.write_text(json.dumps({**K_of_double, "intrinsic_matrix": doubled}))
    code, text = curated(root, tmp_path / "resized", "rgbd-log")
    assert code == 0 and "warning" not in text, "its size stands beside it"
    own.write_text(json.dumps({"intrinsic_matrix": doubled}))
    code, text = curated(root, tmp_path / "b", "rgbd-log")
    assert code == 2 and "far from the middle" in text
    own.unlink()
    code, text = curated(root, tmp_path / "c", "rgbd-log")
    assert code == 2 and "640x480" in text, "the usual K is of 640x480"


# --- COLMAP --------------------------------------------------------------------------------------


def as_colmap(right: Path, root: Path) -> Path:
    """A model in text, with points that each picture shows, and dense depth in its unit."""
    shutil.copytree(right / "images", root / "images")
    shutil.copytree(right / "depth", root / "depth")
    (root / "format.json").write_text('{"unit_m": 0.001}')
    model = root / "sparse" / "0"
    model.mkdir(parents=True)
    cx, cy = K[0, 2] + 0.5, K[1, 2] + 0.5
    (model / "cameras.txt").write_text(f"1 PINHOLE {W} {H} {F} {F} {cx} {cy}\n")
    images, points = [], []
    for k, name in enumerate(NAMES):
        T = np.linalg.inv(pose(k))
        x, y, z, w = Rotation.from_matrix(T[:3, :3]).as_quat()
        images.append(f"{k + 1} {w} {x} {y} {z} {T[0, 3]} {T[1, 3]} {T[2, 3]} 1 {name}.png")
        _, depth = rendered(k)
        seen = []
        for row in range(4, H, 12):
            for column in range(4, W, 12):
                ray = np.array([(column - K[0, 2]) / F, (row - K[1, 2]) / F, 1])
                at = pose(k) @ np.append(ray * depth[row, column], 1)
                number = len(points) + 1
                track = f"{k + 1} {len(seen)}"
                points.append(f"{number} {at[0]} {at[1]} {at[2]} 9 9 9 0.1 {track} {track}")
                seen.append(f"{column + 0.5} {row + 0.5} {number}")
        images.append(" ".join(seen))
    (model / "images.txt").write_text("\n".join(images) + "\n")
    (model / "points3D.txt").write_text("\n".join(points) + "\n")
    return root


def test_colmap(right: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    root = as_colmap(right, tmp_path / "model")
    code, text = curated(root, tmp_path / "out", "colmap")
    assert code == 0 and "warning" not in text, text
    assert labels_off(tmp_path / "out") < 0.003
    # Dense depth that nobody gave a unit is millimetres by default; the model's is not metres.
    (root / "format.json").write_text('{"unit_m": 1}')
    code, text = curated(root, tmp_path / "b", "colmap")
    assert code == 2 and "1e+03 times the depth" in text, text
    (root / "format.json").write_text('{"unit_m": 0.001}')
    for path in (root / "images").iterdir():
        with Image.open(path) as picture:
            half = picture.resize((W // 2, H // 2))
        half.save(path)
    code, text = curated(root, tmp_path / "c", "colmap")
    assert code == 2 and "pictures that COLMAP was run on" in text, text


# --- subfolders --------------------------------------------------------------------------------


def nest(root: Path, where: Callable[[str], str]) -> None:
    """Moves the picture and the depth called NAME to where(NAME)."""
    for kind in ("images", "depth"):
        for name in NAMES:
            to = root / kind / f"{where(name)}.png"
            to.parent.mkdir(parents=True, exist_ok=True)
            (root / kind / f"{name}.png").rename(to)


def posed(root: Path, name: Callable[[str], str]) -> None:
    lines = (root / "poses.txt").read_text().splitlines()
    (root / "poses.txt").write_text(
        "".join(f"{name(line[0])}{line[len('a.png') :]}\n" for line in lines)
    )


# Trips whose pictures share their names, and one picture that lies in images/ itself.
TRIPS = {"a": "trip 1/x", "b": "trip2/x", "c": "trip2/deep/er/x", "d": "x"}


@pytest.mark.parametrize("prefix", ["", "images/", "./images/"])
def test_pictures_in_subfolders_are_those_of_one_scene(
    right: Path, tmp_path: Path, prefix: str
) -> None:
    root = tmp_path / "mine"
    shutil.copytree(right, root)
    nest(root, TRIPS.__getitem__)
    posed(root, lambda name: f"{prefix}{TRIPS[name]}.png")
    # Thumbnails and the like.
    (root / "images" / ".thumbs").mkdir()
    (root / "images" / ".thumbs" / "x.png").write_bytes(b"no picture")
    code, said = curated(root, tmp_path / "out")
    assert code == 0 and "warning" not in said, said
    shards = Shards(tmp_path / "out")
    notes = [shards.notes(place) for place in range(len(shards))]
    assert {note["frame"] for note in notes} == set(TRIPS.values())
    assert {note["scene"] for note in notes} == {"."} and shards.pairs
    for note in notes:
        k = next(k for k, name in enumerate(NAMES) if TRIPS[name] == note["frame"])
        np.testing.assert_allclose(note["world_from_cam"], pose(k), atol=1e-9)
        z = rendered(k)[1]
        place = next(p for p in range(len(shards)) if shards.notes(p)["frame"] == note["frame"])
        record = shards.record(place)
        column, row = record.xy_px.astype(int).T
        depth = record.distance_m * record.camera.unproject(record.xy_px)[:, 2]
        np.testing.assert_allclose(depth, z[row, column], atol=1e-3)


def test_links_to_folders_are_followed_but_not_in_circles(right: Path, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    shutil.copytree(right, root)
    nest(root, TRIPS.__getitem__)
    posed(root, lambda name: f"{TRIPS[name]}.png")
    for kind in ("images", "depth"):
        (root / kind / "trip2").rename(tmp_path / f"{kind} elsewhere")
        (root / kind / "trip2").symlink_to(tmp_path / f"{kind} elsewhere")
        (tmp_path / f"{kind} elsewhere" / "back").symlink_to(root / kind)
    code, said = curated(root, tmp_path / "out")
    assert code == 0 and "warning" not in said, said
    notes = [Shards(tmp_path / "out").notes(place) for place in range(4)]
    assert {note["frame"] for note in notes} == set(TRIPS.values())


def test_a_pose_of_another_subfolder_is_nobodys(right: Path, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    shutil.copytree(right, root)
    nest(root, TRIPS.__getitem__)
    # d's pose has its name, in a folder that has no such picture.
    posed(root, lambda name: "trip3/x.png" if name == "d" else f"{TRIPS[name]}.png")
    code, said = curated(root, tmp_path / "out")
    assert code == 0 and "1 of 4 pictures have no pose" in said and "1 poses have no" in said, said
    shards = Shards(tmp_path / "out")
    (bare,) = (n for k in range(len(shards)) if "world_from_cam" not in (n := shards.notes(k)))
    assert bare["frame"] == "x"


def test_folders_in_names_of_poses_are_passed_over_where_images_has_none(
    right: Path, tmp_path: Path
) -> None:
    root = tmp_path / "mine"
    shutil.copytree(right, root)
    posed(root, lambda name: f"/home/me/rgb/{name}.jpg")
    code, said = curated(root, tmp_path / "out")
    assert code == 0 and "warning" not in said, said
    assert all("world_from_cam" in Shards(tmp_path / "out").notes(k) for k in range(4))


def test_a_picture_with_two_endings_is_read_once(right: Path, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    shutil.copytree(right, root)
    Image.open(root / "images" / "a.png").save(root / "images" / "a.webp")
    code, said = curated(root, tmp_path / "out")
    assert code == 0 and "1 pictures are there with two endings, as 'a'" in said, said
    assert len(Shards(tmp_path / "out")) == 4


def test_pictures_without_images_are_told_where_to_lie(right: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copytree(right / "images", tmp_path / "photos" / "trip1")
    code, said = curated(tmp_path / "photos", tmp_path / "out")
    assert code == 2 and "has no images/" in said and "images/ may have subfolders" in said, said


# --- real folders ------------------------------------------------------------------------------

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("ddad", "ddad_dgp"),
        ("kitti-object", "kitti_object_a"),
        ("nuscenes-mmdet3d", "nuscenes_sunrgbd_mmdet3d/nuscenes"),
        ("ibims1", "ibims1_a"),
        ("rgbd-log", "rgbd_open3d"),
        ("folder", "rgbd_hololens_a"),
        ("7scenes", "rgbd_7scenes_redkitchen"),
    ],
)
def test_real_folders_are_not_refused(source: str, folder: str, tmp_path: Path) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip(f"needs {folder} in shared/data")
    code, text = curated(DATA / folder, tmp_path / "out", source, "--pairs", "0", "--points", "40")
    assert code == 0 and "warning" not in text, text
    code, text = problems(tmp_path / "out")
    assert code == 0, text


def test_check_of_a_folder_without_shards_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["data", "check", str(tmp_path)])
    assert result.exit_code == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and "has no tar" in result.stderr
