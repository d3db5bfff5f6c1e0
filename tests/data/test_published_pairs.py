"""Pair sets as their publishers lay them out: read, and damaged in every file."""

import gzip
import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("h5py", reason="no h5py")
pytest.importorskip("OpenEXR", reason="no OpenEXR")
pytest.importorskip("cv2", reason="no OpenCV")

from click.testing import CliRunner
from fixtures import box
from fixtures.published import PUBLISHED, Written, _mvs_synth_frame

from vlm3.cli.main import main
from vlm3.data.dataset import pair_sample
from vlm3.data.shards import Shards
from vlm3.datasets import get_facts, get_source, names
from vlm3.datasets.base import DepthMap, PixelDepths, RawFrame, Skipped
from vlm3.datasets.megadepth import rectified
from vlm3.datasets.tracks import _features, path_depth
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.pictures import read_picture


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    """Each set, written once."""

    @cache
    def write(name: str) -> tuple[Path, Written]:
        root = tmp_path_factory.mktemp("published") / name
        return root, PUBLISHED[name](root)

    return write


def points_of(frame: RawFrame) -> tuple[np.ndarray, float]:
    """What a frame's depth says, (n, 3) in its camera's axes, and the share of pixels known."""
    assert frame.depth is not None and frame.camera is not None
    depth = frame.depth()
    if isinstance(depth, PixelDepths):
        known = np.isfinite(depth.values)
        xy, values = depth.xy_px[known], depth.values[known]
    else:
        assert isinstance(depth, DepthMap) and depth.camera is None
        height, width = depth.values.shape
        known = np.isfinite(depth.values)
        row, column = np.nonzero(known)
        cell = frame.camera.width_px / width, frame.camera.height_px / height
        xy = (np.stack([column, row], 1) + 0.5) * cell
        values = depth.values[known]
    assert depth.kind == "z"
    return frame.camera.unproject_z1(xy) * values[:, None], float(known.mean())


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_both_views_unproject_to_the_room(name: str, written) -> None:
    root, made = written(name)
    source = get_source(name)
    assert source.list_scenes(root) == sorted(made.splits)
    found = {}
    for scene in made.splits:
        frames = [f for f in source.read_frames(root, scene) if isinstance(f, RawFrame)]
        found |= {(scene, f.key): f for f in frames}
        for frame in frames:
            assert frame.split == made.splits[scene] and frame.metric is made.metric
        # Poses are known up to the world's frame, which the first picture's fixes.
        first = frames[0]
        room_from_world = made.poses[scene, first.key] @ np.linalg.inv(rescaled(first, made))
        for frame in frames:
            room_from_cam = room_from_world @ rescaled(frame, made)
            np.testing.assert_allclose(room_from_cam, made.poses[scene, frame.key], atol=1e-5)
            in_cam, share = points_of(frame)
            points = in_cam / made.unit @ room_from_cam[:3, :3].T + room_from_cam[:3, 3]
            off = box.off_walls(points, made.scale) / np.linalg.norm(in_cam / made.unit, axis=1)
            if name == "dl3dv-10k":
                # Features lie where they lie to a fraction of a pixel.
                assert len(off) > 100 and np.median(off) < 5e-3, (len(off), np.median(off))
                assert np.mean(off < made.relative) > 0.9
                continue
            assert off.max() < made.relative, off.max()
            # All that is no sky is known, but for what is dropped as too far.
            true = box.depth_z(made.lens, made.poses[scene, frame.key], made.scale)
            lost = np.isfinite(true).mean() - share
            assert abs(lost - made.dropped) < 0.03, (lost, made.dropped)
    assert found.keys() == made.poses.keys()


def rescaled(frame: RawFrame, made: Written) -> np.ndarray:
    assert frame.world_from_cam is not None
    pose = frame.world_from_cam.copy()
    pose[:3, 3] /= made.unit
    return pose


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_picture_shows_what_the_camera_sees(name: str, written) -> None:
    root, made = written(name)
    scene = min(made.splits)
    frame = next(f for f in get_source(name).read_frames(root, scene) if isinstance(f, RawFrame))
    assert isinstance(frame.picture, Path) and frame.camera is not None
    image = read_picture(frame.picture).image
    height, width = image.shape[:2]
    assert (width, height) == (frame.camera.width_px, frame.camera.height_px)
    row, column = np.mgrid[:height, :width]
    rays = frame.camera.unproject_z1(np.stack([column, row], -1) + 0.5)
    true = box.rays(made.lens) if made.rays is None else made.rays
    np.testing.assert_allclose(rays, true, atol=1e-6)
    points, _ = box.hits(made.poses[scene, frame.key], rays, made.scale)
    off = np.abs(box.picture(points, made.scale).astype(int) - image).max(-1)
    # Blocks differ by much; a pixel on the edge of two may be of either, JPEG blurs them.
    assert np.mean(off < 40) > (0.9 if frame.picture.suffix != ".jpg" else 0.7)


FILES = ("truncate", "empty", "remove", "bytes", "number", "key")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(PUBLISHED)),
    which=st.floats(0, 0.999),
    how=st.sampled_from(FILES),
    at=st.floats(0, 0.999),
    value=st.sampled_from(["nan", "1e400", "-1", "0", "[]", '"x"', "null", "99999999999"]),
)
def test_a_damaged_file_is_named(
    name: str, which: float, how: str, at: float, value: str, written, tmp_path_factory
) -> None:
    """InputError, or a frame left out with its reason: never another error."""
    good, _ = written(name)
    root = tmp_path_factory.mktemp("damaged") / "set"
    shutil.copytree(good, root)
    files = sorted(p for p in root.rglob("*") if p.is_file())
    damage(files[int(which * len(files))], how, at, value)
    for cached in (path_depth, _features):
        cached.cache_clear()
    source = get_source(name)
    try:
        for scene in source.list_scenes(root):
            for frame in source.read_frames(root, scene):
                if isinstance(frame, Skipped):
                    assert frame.reason and "\n" not in frame.reason
                elif isinstance(frame, RawFrame) and name != "dl3dv-10k":
                    assert frame.depth is not None
                    try:
                        frame.depth()
                    except InputError as error:
                        assert "\n" not in str(error)
    except InputError as error:
        assert "\n" not in str(error)
    shutil.rmtree(root)


def damage(path: Path, how: str, at: float, value: str) -> None:
    data = path.read_bytes()
    packed = path.suffix == ".jgz"
    data = gzip.decompress(data) if packed and how in ("number", "key") else data
    place = int(at * len(data))
    if how == "remove":
        path.unlink()
        return
    if how == "empty":
        data = b""
    elif how == "truncate":
        data = data[:place]
    elif how == "bytes":
        data = data[:place] + b"\xff\x00\x80" + data[place + 3 :]
    elif path.suffix in (".json", ".jgz", ".txt", ".yaml"):
        # A word that is a number becomes something else, or a key another key.
        words = data.decode().replace(",", " , ").replace("]", " ]").split(" ")
        places = [k for k, word in enumerate(words) if word.strip('"[]{}:\n')]
        if places:
            words[places[int(at * len(places))]] = value if how == "number" else "other"
        data = " ".join(words).encode()
    path.write_bytes(gzip.compress(data) if packed and how in ("number", "key") else data)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_curated_from_the_command_line(name: str, written, tmp_path: Path) -> None:
    root, made = written(name)
    command = f"data curate {name} --root {root} -o {tmp_path}/out --f-px 0 --pairs 2"
    done = CliRunner().invoke(main, command.split())
    assert done.exit_code == 0, done.output
    shards = Shards(tmp_path / "out")
    assert len(shards) == len(made.poses) and shards.pairs >= len(made.splits)
    notes = [shards.notes(k) for k in range(len(shards))]
    poses = [made.poses[note["scene"], note["frame"]] for note in notes]
    features = name == "dl3dv-10k"
    for k, (note, pose) in enumerate(zip(notes, poses, strict=True)):
        record = shards.record(k)
        rays = record.camera.unproject(record.xy_px)
        _, true = box.hits(pose, rays, made.scale)
        off = np.abs(record.distance_m / made.unit / true - 1)
        assert len(off) > 50 and np.quantile(off, 0.9 if features else 1.0) < made.relative
        assert record.metric is made.metric and record.split == made.splits[note["scene"]]
    for k in range(shards.pairs):
        first, second = shards.places(k)
        pair = pair_sample(shards, k, "")
        motion = np.linalg.inv(poses[first]) @ poses[second]
        motion[:3, 3] *= made.unit
        np.testing.assert_allclose(pair.motion.cam1_from_cam2, motion, atol=2e-4 * made.scale)
        # A match is one point of the room in both pictures.
        one, two = shards.record(first).camera, shards.record(second).camera
        points, _ = box.hits(poses[first], one.unproject(pair.matches.xy1_px), made.scale)
        in_two = (points - poses[second][:3, 3]) @ poses[second][:3, :3]
        off = np.linalg.norm(two.project(in_two) - pair.matches.xy2_px, axis=1)
        assert len(off) >= 10 and np.median(off) < (1.0 if features else 0.05)
    assert CliRunner().invoke(main, ["data", "check", str(tmp_path / "out")]).exit_code == 0


def test_every_set_of_both_layouts_is_written() -> None:
    both = {name for name in names() if get_facts(name).layout.endswith("MapAnything's WAI")}
    assert set(PUBLISHED) == both and len(both) == 9


def test_a_folder_is_of_one_kind(written, tmp_path: Path) -> None:
    root, _ = written("spring")
    shutil.copytree(root, tmp_path / "mixed")
    (tmp_path / "mixed" / "0001").mkdir()
    meta = {"frames": [], "skipped_reason": "none"}
    (tmp_path / "mixed" / "0001" / "scene_meta.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match="0001 in WAI and train/0001 as downloaded"):
        get_source("spring").list_scenes(tmp_path / "mixed")
    shutil.rmtree(tmp_path / "mixed" / "train")
    assert get_source("spring").list_scenes(tmp_path / "mixed") == ["0001"]
    (tmp_path / "none").mkdir()
    for name in PUBLISHED:
        with pytest.raises(InputError, match="expected"):
            get_source(name).list_scenes(tmp_path / "none")


def test_poses_that_do_not_mirror_are_refused_where_they_must(written, tmp_path: Path) -> None:
    root, _ = written("unrealstereo4k")
    shutil.copytree(root, tmp_path / "set")
    path = tmp_path / "set" / "00000" / "Extrinsics0" / "00000.txt"
    K, pose = path.read_text().splitlines()
    turned = np.array(pose.split(), float).reshape(3, 4) * [1, -1, 1, 1]
    path.write_text(f"{K}\n{' '.join(map(repr, turned.ravel().tolist()))}\n")
    first = next(iter(get_source("unrealstereo4k").read_frames(tmp_path / "set", "00000")))
    assert isinstance(first, Skipped) and "does not mirror" in first.reason


def test_squeezed_pictures_of_mvs_synth(tmp_path: Path) -> None:
    """810x540 of a game in 16:9, whose f_x was left as it was."""
    lens = box.Lens(80.0 * 0.84375, 80.0, 40.5, 27.0, 81, 54)
    here = tmp_path / "0000"
    _mvs_synth_frame(here, 0, box.poses(1)[0], lens, 80.0)
    frame = next(iter(get_source("mvs-synth").read_frames(tmp_path, "0000")))
    assert isinstance(frame, RawFrame) and frame.camera is not None
    assert frame.camera.fx_px == pytest.approx(lens.fx) and frame.camera.fy_px == lens.fy


@pytest.mark.parametrize("k", [-0.2, -0.05, 0.0, 0.08])
def test_rectified_as_opencv_does(k: float) -> None:
    import cv2

    bent = Camera(1300, 1300, 800, 600, 1600, 1200, (k, 0, 0, 0), "brown_conrady")
    K, lens = bent.K, np.array([k, 0.0, 0.0, 0.0])
    theirs, _ = cv2.getOptimalNewCameraMatrix(
        K, lens, (1600, 1200), 0, (1066, 799), centerPrincipalPoint=True
    )
    ours = rectified(bent, 1066, 799)
    # OpenCV measures between pixel centres there, so it is off by one in 1066.
    assert ours.fx_px == ours.fy_px == pytest.approx(theirs[0, 0], rel=1e-3)
    if k == 0:
        assert ours.fx_px == pytest.approx(1300 * 1066 / 1600, rel=1e-9)


WRONG = [
    ("blendedmvs", "*/cams/00000001_cam.txt", "extrinsic", "extrinsics", "no camera of MVSNet's"),
    ("blendedmvs", "*/cams/00000001_cam.txt", "intrinsic\n80", "intrinsic\nnan", "not finite"),
    ("mvs-synth", "*/*/poses/0001.json", '"f_x": 80.0', '"f_x": -80.0', "a number from 1 to"),
    ("mvs-synth", "*/*/poses/0001.json", '"extrinsic"', '"extrinsics"', "has no 'extrinsic'"),
    ("unrealstereo4k", "*/Extrinsics1/00001.txt", "80 ", "", "9 numbers"),
    ("sail-vos3d", "*/camera/*1.yaml", "Rt:", "RT:", "no Rt of 3 rows"),
    ("mpsd", "*/geoeven_4/*/reconstruction.json", '"rotation"', '"turn"', "has no 'rotation'"),
    ("mpsd", "train.json", '"focal": ', '"focal": 1000', "a number from 0.05 to 20"),
    ("megadepth", "**/cameras.txt", "SIMPLE_RADIAL", "OPENCV", "no SIMPLE_RADIAL camera"),
    ("megadepth", "**/images.txt", " 3 5978", " x 5978", "is no picture"),
    ("spring", "train/*/cam_data/intrinsics.txt", " 27", "", "line 1 has 3 numbers; expected 4"),
    ("spring", "train/*/cam_data/extrinsics.txt", "1", "x", "line 1 is no row of numbers"),
    ("dl3dv-10k", "1K/*/transforms.json", '"OPENCV"', '"PINHOLE"', "DL3DV's is OPENCV"),
    ("dl3dv-10k", "1K/*/transforms.json", '"w": 1920', '"w": 1200', "of another shape"),
    ("dl3dv-10k", "1K/*/transforms.json", "images/frame_00001", "../frame_00001", "give a name"),
]


@pytest.mark.parametrize(("name", "files", "old", "new", "reason"), WRONG)
def test_what_is_wrong_is_said(
    name: str, files: str, old: str, new: str, reason: str, written, tmp_path: Path
) -> None:
    root, _ = written(name)
    shutil.copytree(root, tmp_path / "set")
    for path in (tmp_path / "set").glob(files):
        content = path.read_text()
        assert old in content, content[:400]
        path.write_text(content.replace(old, new, 1))
    said = []
    source = get_source(name)
    for scene in source.list_scenes(tmp_path / "set"):
        try:
            said += [
                f.reason
                for f in source.read_frames(tmp_path / "set", scene)
                if isinstance(f, Skipped)
            ]
        except InputError as error:
            said.append(str(error))
    assert any(reason in line for line in said), said
    assert not any("\n" in line for line in said)


def test_order_is_no_depth(written) -> None:
    root, _ = written("megadepth")
    frames = list(get_source("megadepth").read_frames(root, "0000/dense1"))
    assert [f.key for f in frames if isinstance(f, Skipped)] == ["order"]
    from vlm3.datasets.megadepth import _depth

    with pytest.raises(InputError, match="the order of things"):
        _depth(root / "MegaDepth_v1/0000/dense1/depths/order.h5", 96, 54)
