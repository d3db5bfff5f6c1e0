"""Two-view sets in their own formats, from files to shards to the truth of what was drawn."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("warp")
pytest.importorskip("h5py", reason="no h5py")

from fixtures import two_view
from fixtures.truth import by_name, compare, path, scene

from vlm3.curation.launch import curate
from vlm3.curation.prepare import Size
from vlm3.curation.units import Job
from vlm3.data.dataset import pair_sample
from vlm3.data.shards import Shards
from vlm3.datasets import get_source
from vlm3.datasets.aria import AriaCamera
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pixels import pixel_centres

# At 160 pixels across, one that is half a thing and half what is behind it is common.
FEW_HIDDEN = 0.06
SQUARE = Camera(80.0, 80.0, 80.0, 80.0, 160, 160)


def curated(source: str, root: Path, out: Path) -> Shards:
    curate(Job(source, root, out, size=Size(0.0)))
    return Shards(out)


def test_gta_sfm(tmp_path: Path) -> None:
    scenes = [("train/a", scene(0, "street")), ("test/b", scene(1))]
    for name, one in scenes:
        two_view.gta_sfm(tmp_path / "raw", name, one)
    shards = curated("gta-sfm", tmp_path / "raw", tmp_path / "out")
    splits = {"train/a": "train", "test/b": "test"}
    off = compare(shards, by_name(scenes, lambda k: f"{k:06d}"), splits=splits)
    assert off.pictures == 8 and off.pairs >= 4, off
    assert off.relative < 1e-4 and off.pose < 1e-5 and off.match_px < 0.1, off
    assert off.hidden < FEW_HIDDEN and not shards.record(0).metric, off


def test_damage_inside_an_hdf5_file_is_one_line(tmp_path: Path) -> None:
    """It opens, and what it holds cannot be listed."""
    two_view.gta_sfm(tmp_path, "s", scene(0))
    file = tmp_path / "s.hdf5"
    whole = file.read_bytes()
    assert b"SNOD" in whole, "a node of the table of names"
    file.write_bytes(whole.replace(b"SNOD", b"sNOD"))
    with pytest.raises(InputError, match=r"s\.hdf5' is damaged .*signature"):
        list(get_source("gta-sfm").read_frames(tmp_path, "s"))


def test_tartanair(tmp_path: Path) -> None:
    train, test = "AbandonedCable/Data_easy/P000", "Sewerage/Data_hard/P001"
    scenes = [(train, scene(0, "street", camera=SQUARE)), (test, scene(1, camera=SQUARE))]
    for name, one in scenes:
        two_view.tartanair(tmp_path / "raw", name, one)
    shards = curated("tartanairv2", tmp_path / "raw", tmp_path / "out")
    splits = {train: "train", test: "test"}
    off = compare(shards, by_name(scenes, lambda k: f"{k:06d}_lcam_front"), splits=splits)
    assert off.pictures == 8 and off.pairs >= 4, off
    assert off.relative < 1e-4 and off.pose < 1e-5 and off.match_px < 0.1, off
    assert off.hidden < FEW_HIDDEN, off


@pytest.mark.parametrize("train_cameras", [False, True])
def test_dtu(tmp_path: Path, train_cameras: bool) -> None:
    # Depth lies on every fourth pixel of the picture: small files, and exact there.
    camera = Camera(360.0, 362.0, 203.0, 148.0, 400, 300)
    one = scene(2, count=2, camera=camera)
    two_view.dtu(tmp_path / "raw", "scan1", one, train_cameras=train_cameras)
    shards = curated("dtu", tmp_path / "raw", tmp_path / "out")
    lookup = by_name([("scan1", one)], lambda k: f"{k:04d}")
    off = compare(shards, lookup, splits={"scan1": "test"}, skip=0.01)
    assert off.pictures == 2 and off.pairs == 1, off
    assert off.relative < 1e-4 and off.pose < 1e-5 and off.match_px < 0.1, off


# A Kinect's two cameras, for small pictures.
COLOUR = Camera(525 / 4, 525 / 4, 80.5, 60.5, 160, 120)
DEPTH = Camera(585 / 4, 585 / 4, 80.5, 60.5, 160, 120)


@pytest.mark.parametrize("source", ["7scenes", "rgbd-log"])
def test_millimetres(tmp_path: Path, source: str) -> None:
    folders = ("chess/seq-01", "chess/seq-03")
    scenes = [(folder, scene(k, camera=COLOUR)) for k, folder in enumerate(folders)]
    for k, (folder, one) in enumerate(scenes):
        if source == "7scenes":
            two_view.seven_scenes(tmp_path / "raw", folder, one, scene(k, camera=DEPTH))
        else:
            two_view.trajectory(tmp_path / "raw", folder, one)
    (tmp_path / "raw/chess/TestSplit.txt").write_text("sequence3\nsequence5\n")
    shards = curated(source, tmp_path / "raw", tmp_path / "out")
    tested = "test" if source == "7scenes" else "train"
    splits = {"chess/seq-01": "train", "chess/seq-03": tested}
    nearest = min(float(f.depth_z_m.min()) for _, s in scenes for f in s.frames)
    digits = 5e-4 / nearest
    name = "frame-{:06d}" if source == "7scenes" else "{:05d}"
    # Where depth and picture have other pixels, one on an edge may be of the other side.
    skip = 0.01 if source == "7scenes" else 0.0
    lookup = by_name(scenes, name.format)
    off = compare(shards, lookup, splits=splits, digits=digits, skip=skip)
    assert off.pictures == 8 and off.pairs >= 4, off
    assert off.relative < digits + 1e-4 and off.pose < 1e-5 and off.match_px < 0.1, off
    assert off.hidden < FEW_HIDDEN, off


def test_aria_lens_is_the_published_one() -> None:
    camera = AriaCamera.of_size(704)
    # Camera coordinates of the stored picture -> its pixels, by projectaria_tools 2.3.0.
    for x, y, z, u, v in (
        (0.1, 0.2, 1, 387.4584931957713, 408.7611503734683),
        (1, -0.5, 1, 619.7882791625148, 218.15850966250184),
        (-0.9, 0.8, 1, 128.77241294861818, 552.7800353568293),
        (0.3, -1.1, 1, 435.9290837557099, 62.9842199158802),
    ):
        # Turned clockwise: up becomes right, left becomes up; then from centres to the corner.
        found = camera.project([-y, x, z])
        np.testing.assert_allclose(found, [704 - (v + 0.5), u + 0.5], atol=1e-9)
    centres = pixel_centres(704, 704)[::7, ::7]
    rays = camera.unproject(centres)
    seen = np.isfinite(rays).all(-1)
    assert 0.7 < seen.mean() < 0.85
    np.testing.assert_allclose(camera.project(rays)[seen], centres[seen], atol=1e-9)
    # The straightened picture has no black corner.
    straight = camera.undistorted()
    corners = np.array([[0.5, 0.5], [703.5, 0.5], [0.5, 703.5], [703.5, 703.5]])
    assert camera.contains(camera.project(straight.unproject(corners))).all()


def test_aria(tmp_path: Path) -> None:
    camera = AriaCamera.of_size(176)
    one = scene(0, camera=camera)
    two_view.aria(tmp_path / "raw", "0", one)
    shards = curated("aria-synthetic-environments", tmp_path / "raw", tmp_path / "out")
    nearest = min(float(np.nanmin(f.distance_m)) for f in one.frames)
    digits = 5e-4 / nearest
    off = compare(shards, by_name([("0", one)], lambda k: f"{k:07d}"), digits=digits)
    assert off.pictures == 4 and off.pairs >= 2, off
    assert off.relative < digits + 1e-4 and off.pose < 1e-5 and off.match_px < 0.1, off
    assert off.hidden < FEW_HIDDEN, off


def test_realestate10k(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="no OpenCV")
    one = path(1, 24, Camera(380.0, 380.0, 240.0, 180.0, 480, 360))
    times = [33_000 * k for k in range(24)]
    two_view.realestate10k(tmp_path / "raw/train", "0a1b", one, times)
    shards = curated("realestate10k", tmp_path / "raw", tmp_path / "out")
    names = {str(at): f.world_from_cam for at, f in zip(times, one.frames, strict=True)}
    # Matches are measured in pictures, not read from files: nine in ten within two pixels.
    splits = {"train/0a1b": "train"}
    off = compare(shards, lambda s, f: (one, names[f]), splits=splits, skip=0.1)
    assert off.pictures == 24 and off.pairs >= 20 and off.matches >= 200, off
    assert off.pose < 1e-5 and off.match_px < 2 and off.hidden < FEW_HIDDEN, off
    middle = compare(shards, lambda s, f: (one, names[f]), skip=0.5)
    assert middle.match_px < 0.5 and not pair_sample(shards, 0, "").metric, middle
