"""Curation that is cut off, fed with rubbish, run by many: nothing lost, nothing half written."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlm3 import disk
from vlm3.cli.main import main
from vlm3.curation import merge as join
from vlm3.curation import units
from vlm3.curation.integrity import check
from vlm3.curation.launch import Share, curate
from vlm3.curation.leaks import NEAR_BITS, leaks
from vlm3.curation.prepare import Size, fingerprint_of
from vlm3.curation.units import Job, frame_key, make_unit
from vlm3.data.manifests import unit_name
from vlm3.data.record import Record
from vlm3.data.shard_index import build_index
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.lock import NAME as LOCK
from vlm3.lock import writing


def scene(root: Path, name: str, pictures: int = 3, seed: int = 0) -> Path:
    """A folder of noise with depth: nothing here looks at what is on the pictures."""
    rng = np.random.default_rng([seed, *name.encode()])
    folder = root / name
    (folder / "images").mkdir(parents=True)
    (folder / "depth").mkdir()
    for k in range(pictures):
        cells = rng.integers(0, 255, (6, 8, 3), np.uint8)
        picture = Image.fromarray(cells).resize((64, 48), Image.Resampling.BICUBIC)
        picture.save(folder / "images" / f"{k}.jpg", quality=95)
        depth = rng.integers(500, 5000, (48, 64)).astype(np.uint16)
        Image.fromarray(depth).save(folder / "depth" / f"{k}.png")
    np.savetxt(folder / "K.txt", [[50, 0, 32], [0, 50, 24], [0, 0, 1]])
    return folder


def sets(root: Path, count: int = 3) -> Path:
    for k in range(count):
        scene(root, f"room{k}")
    return root


def contents(out: Path) -> dict[str, bytes]:
    """What training reads."""
    names = [*(p.name for p in out.glob("*.tar")), "index.npy", "shards.json"]
    return {name: (out / name).read_bytes() for name in sorted(names)}


def job(root: Path, out: Path, **fields: object) -> Job:
    return Job("folder", root, out, **fields)  # type: ignore[arg-type]


def test_pictures_that_need_nothing_are_stored_to_the_byte(tmp_path: Path) -> None:
    curate(job(sets(tmp_path / "raw"), tmp_path / "out"))
    shards = Shards(tmp_path / "out")
    assert shards.picture(0) == (tmp_path / "raw" / "room0" / "images" / "0.jpg").read_bytes()


def test_the_index_is_the_one_of_the_tars(tmp_path: Path) -> None:
    curate(job(sets(tmp_path / "raw"), tmp_path / "out"))
    made = np.load(tmp_path / "out" / "index.npy")
    assert build_index(tmp_path / "out") == len(made) == 9
    assert (np.load(tmp_path / "out" / "index.npy") == made).all()


def test_again_changes_nothing_and_reads_nothing(tmp_path: Path) -> None:
    raw, out = sets(tmp_path / "raw"), tmp_path / "out"
    first = curate(job(raw, out))
    before = contents(out)
    # Only the scenes' names are looked at: the pictures may be gone.
    for path in raw.glob("*/images/*.jpg"):
        path.unlink()
    assert curate(job(raw, out)) == first
    assert contents(out) == before


def test_new_scenes_are_added_and_old_shards_left_alone(tmp_path: Path) -> None:
    raw, out = sets(tmp_path / "raw", 2), tmp_path / "out"
    curate(job(raw, out))
    before = (out / "00000.tar").read_bytes()
    scene(raw, "room2")
    outcome = curate(job(raw, out))
    assert outcome.joined == join.Joined(2, 9, 0)
    assert (out / "00000.tar").read_bytes() == before
    assert not list(check_lines(out))


def check_lines(out: Path) -> list[str]:
    return [line for line in check(out) if isinstance(line, str)]


@pytest.mark.parametrize("how", ["two workers", "ranks", "one scene at a time"])
def test_all_ways_give_the_same_bytes(how: str, tmp_path: Path) -> None:
    raw = sets(tmp_path / "raw", 4)
    curate(job(raw, tmp_path / "a"))
    if how == "two workers":
        curate(job(raw, tmp_path / "b"), workers=2)
    elif how == "ranks":
        for rank in (2, 0, 1):
            outcome = curate(job(raw, tmp_path / "b"), share=Share(rank, 3))
        assert outcome.joined is not None
    else:
        one = job(raw, tmp_path / "b")
        for name in reversed(["room0", "room1", "room2", "room3"]):
            make_unit(one, name)
        (tmp_path / "b" / "curation.json").write_text(json.dumps(one.settings()))
        curate(one)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.slow
def test_ray_gives_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install ray")
    raw = sets(tmp_path / "raw", 4)
    curate(job(raw, tmp_path / "a"))
    curate(job(raw, tmp_path / "b"), launcher="ray", workers=2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_slurm_tells_rank_and_world(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SLURM_"):
            monkeypatch.delenv(name)
    with pytest.raises(InputError, match="no Slurm here"):
        Share.of_slurm()
    for key, value in {"PROCID": 3, "NTASKS": 8}.items():
        monkeypatch.setenv(f"SLURM_{key}", str(value))
    assert Share.of_slurm() == Share(3, 8)
    for key, value in {"ID": 7, "MIN": 5, "MAX": 9, "COUNT": 5}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{key}", str(value))
    assert Share.of_slurm() == Share(2, 5)
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
    with pytest.raises(InputError, match="gaps"):
        Share.of_slurm()


def test_one_curation_a_folder_but_for_the_ranks_of_one(tmp_path: Path) -> None:
    raw, out = sets(tmp_path / "raw"), tmp_path / "out"
    with writing(out), pytest.raises(InputError, match="being written by process"):
        curate(job(raw, out))
    with writing(out, shared=True):
        with pytest.raises(InputError, match="being written"):
            curate(job(raw, out))
        curate(job(raw, out), share=Share(0, 2))
    assert curate(job(raw, out), share=Share(1, 2)).joined is not None
    assert not (out / LOCK).exists()


@given(st.integers(0, 40), st.integers(1, 9))
def test_every_scene_has_one_rank(scenes: int, world: int) -> None:
    names = list(range(scenes))
    shares = [Share(rank, world) for rank in range(world)]
    assert sorted(n for s in shares for n in names[s.rank :: s.world]) == names


def test_whole_scenes_fill_shards_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = sets(tmp_path / "raw", 5), tmp_path / "out"
    size = make_unit(job(raw, tmp_path / "probe"), "room0").payload
    monkeypatch.setattr(join, "SHARD_BYTES", round(2.5 * size))
    outcome = curate(job(raw, out))
    assert outcome.joined == join.Joined(3, 15, 0)
    assert [len(s["scenes"]) for s in join.read_joined(out)] == [2, 2, 1]
    assert not check_lines(out)


def test_what_cannot_be_used_is_named_and_left_out(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    scene(raw, "good", 2)
    bad = scene(raw, "bad", 6)
    whole = (bad / "images" / "0.jpg").read_bytes()
    (bad / "images" / "0.jpg").write_bytes(whole[: len(whole) // 2])
    (bad / "images" / "1.jpg").write_bytes(b"")
    (bad / "images" / "2.jpg").write_bytes(b"not a picture at all")
    (bad / "depth" / "3.png").write_bytes(b"\x89PNG broken")
    Image.fromarray(np.zeros((48, 64), np.uint16)).save(bad / "depth" / "4.png")
    (bad / "poses.txt").write_text("5.jpg " + "nan " * 16)
    scene(raw, "no-calibration", 2)
    (raw / "no-calibration" / "K.txt").unlink()
    scene(raw, "broken-calibration", 2)
    (raw / "broken-calibration" / "K.txt").write_text("1 2 three")
    (raw / "empty" / "images").mkdir(parents=True)
    outcome = curate(job(raw, out))
    assert outcome.joined is not None and outcome.joined.samples == 2
    found = {unit.scene: unit for unit in outcome.units}
    reasons = dict(found["bad"].skipped)
    assert sorted(reasons) == ["0", "1", "2", "3", "4", "5"]
    assert "damaged" in reasons["0"] and "cannot read the depth picture" in reasons["3"]
    assert "no label" in reasons["4"] and "not finite" in reasons["5"]
    assert "no intrinsics" in dict(found["no-calibration"].skipped)["0"]
    assert "3 x 3 numbers" in str(found["broken-calibration"].failed)
    assert found["empty"].samples == 0
    assert not check_lines(out)
    result = CliRunner().invoke(
        main, ["data", "curate", "folder", "--root", str(raw), "-o", str(out)]
    )
    assert result.exit_code == 0
    assert "scene broken-calibration: " in result.output and "bad/0: " in result.output


def test_a_scene_that_was_repaired_is_read_again(tmp_path: Path) -> None:
    raw, out = sets(tmp_path / "raw", 2), tmp_path / "out"
    K = (raw / "room1" / "K.txt").read_text()
    (raw / "room1" / "K.txt").write_text("?")
    assert curate(job(raw, out)).joined == join.Joined(1, 3, 0)
    (raw / "room1" / "K.txt").write_text(K)
    assert curate(job(raw, out)).joined == join.Joined(2, 6, 0)


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    raw = sets(tmp_path / "raw", 1)
    (raw / "room0" / "K.txt").unlink()
    with pytest.raises(InputError, match=r"no picture.*no intrinsics"):
        curate(job(raw, tmp_path / "out"))


def test_names_that_come_out_the_same_stay_apart(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    for name in ("a b", "a-b", "a+b"):
        scene(raw, name, 1)
    twice = raw / "a b" / "images"
    shutil.copy(twice / "0.jpg", twice / "x y.jpg")
    shutil.copy(twice / "0.jpg", twice / "x-y.jpg")
    for name in ("x y", "x-y"):
        shutil.copy(raw / "a b" / "depth" / "0.png", raw / "a b" / "depth" / f"{name}.png")
    outcome = curate(job(raw, out))
    # Three scenes of one picture each; of the two that share a key, the first.
    assert outcome.joined is not None
    skipped = [entry for unit in outcome.units for entry in unit.skipped]
    assert any("came twice" in reason for _, reason in skipped)
    assert outcome.joined.samples == 4
    assert len({unit_name(n) for n in ("a b", "a-b", "a+b")}) == 3
    assert not check_lines(out)


@given(st.text(min_size=1, max_size=150), st.text(min_size=1, max_size=150))
def test_any_name_makes_a_key_that_a_tar_holds(scene_name: str, key: str) -> None:
    from vlm3.data.shards import check_key

    check_key(frame_key("s" + scene_name, "f" + key), set())
    assert len(unit_name(scene_name)) < 100


def test_a_full_disk_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, out = sets(tmp_path / "raw"), tmp_path / "out"
    real, calls = units.add_sample, [0]

    def full(*args: object) -> tuple[int, ...]:
        calls[0] += 1
        if calls[0] == 5:
            raise OSError(28, "No space left on device")
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(units, "add_sample", full)
    with pytest.raises(InputError, match=r"cannot write.*room1.*the disk is full"):
        curate(job(raw, out))
    assert sorted(p.suffix for p in (out / "units").iterdir()) == [".json", ".npz", ".tar"]
    assert not list(out.glob("*.tar"))
    monkeypatch.setattr(units, "add_sample", real)
    curate(job(raw, out))
    curate(job(raw, tmp_path / "clean"))
    assert contents(out) == contents(tmp_path / "clean")


def test_a_real_full_disk(tmp_path: Path) -> None:
    """The same with a limit that the kernel keeps: no file may grow past 8 KiB."""
    raw, out = sets(tmp_path / "raw"), tmp_path / "out"
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192));"
        "from vlm3.cli.main import main; main(sys.argv[1:])"
    )
    command = ["data", "curate", "folder", "--root", str(raw), "-o", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr and "Traceback" not in done.stderr
    assert not list(out.glob("**/*.tar")) and not list(out.glob("**/*.partial"))
    curate(job(raw, out))
    assert not check_lines(out)


@pytest.mark.parametrize("after_s", [0.35, 0.8])
def test_killed_anywhere_the_same_command_goes_on(after_s: float, tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    for k in range(12):
        scene(raw, f"room{k:02d}", 12)
    command = [sys.executable, "-m", "vlm3", "data", "curate", "folder"]
    running = subprocess.Popen(
        [*command, "--root", str(raw), "-o", str(out)], stderr=subprocess.DEVNULL
    )
    while not (out / "units").is_dir() and running.poll() is None:
        time.sleep(0.01)
    time.sleep(after_s)
    running.send_signal(signal.SIGKILL)
    running.wait()
    # Whatever bears a final name is whole.
    for tar in out.glob("**/*.tar"):
        assert not _tar_problems(tar), tar
    curate(job(raw, out))
    curate(job(raw, tmp_path / "clean"))
    assert contents(out) == contents(tmp_path / "clean")
    assert not list(out.glob("**/*.partial"))
    assert len(list((raw / "room00" / "images").iterdir())) == 12


def _tar_problems(path: Path) -> list[str]:
    import tarfile

    with tarfile.open(path) as tar:
        return [m.name for m in tar if len(tar.extractfile(m).read()) != m.size]  # type: ignore[union-attr]


def test_a_kill_between_shard_and_note_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = sets(tmp_path / "raw"), tmp_path / "out"
    real = disk.write

    def killed(path: Path, data: str | bytes, *, then: str = "") -> Path:
        if path.name == "joined.json":
            raise KeyboardInterrupt
        return real(path, data, then=then)

    monkeypatch.setattr(disk, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        curate(job(raw, out))
    assert (out / "00000.tar").exists() and len(list((out / "units").glob("*.tar"))) == 3
    monkeypatch.setattr(disk, "write", real)
    curate(job(raw, out))
    curate(job(raw, tmp_path / "clean"))
    assert contents(out) == contents(tmp_path / "clean")


def test_rot_is_found(tmp_path: Path) -> None:
    raw, out = sets(tmp_path / "raw"), tmp_path / "out"
    make_unit(job(raw, out), "room0")
    tar = next((out / "units").glob("*.tar"))
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    (out / "curation.json").write_text(json.dumps(job(raw, out).settings()))
    tar.write_bytes(bytes(data))
    with pytest.raises(InputError, match="not what was written"):
        curate(job(raw, out))
    (out / "units" / f"{unit_name('room0')}.json").unlink()
    curate(job(raw, out))
    assert not check_lines(out)
    shards = Shards(out)
    _, offset, size, _, _ = shards.index[4].tolist()
    with (out / "00000.tar").open("r+b") as file:
        file.seek(offset + size // 2)
        file.write(bytes(64))
    lines = check_lines(out)
    assert any("hash" in line for line in lines)
    result = CliRunner().invoke(main, ["data", "check", str(out)])
    assert result.exit_code == 1 and "problems" in result.output


def test_other_peoples_folders_are_refused(tmp_path: Path) -> None:
    raw = sets(tmp_path / "raw", 1)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not empty"):
        curate(job(raw, mine))
    assert (mine / "thesis.tex").read_text() == "years of work"
    curate(job(raw, tmp_path / "out"))
    with pytest.raises(InputError, match="another points"):
        curate(job(raw, tmp_path / "out", points=7))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nuscene", "--root", "."], "did you mean nuscenes?"),
        (["folder", "--root", "absent"], "no folder 'absent'"),
        (["folder", "--root", "."], "has no images/"),
        (["folder", "--root", ".", "--rank", "1"], "go together"),
        (["ddad", "--root", "."], "has no scene_*.json"),
        (["waymo", "--root", "."], "has no camera_image"),
        (["folder", "--root", ".", "--launcher", "slurm"], "has no images/"),
    ],
)
def test_wrong_words_get_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["data", "curate", *arguments, "-o", "out"])
    assert result.exit_code == 2 and said in result.output
    assert len(result.output.strip().splitlines()) == 1


class Fifty:
    """A calibrator that always says 50 px."""

    def name(self) -> str:
        return "fifty"

    def camera(self, image: np.ndarray) -> Camera:  # type: ignore[type-arg]
        height, width = image.shape[:2]
        return Camera(50, 50, width / 2, height / 2, width, height)


@pytest.mark.parametrize("how", ["exif", "fov", "calibrator", "given"])
def test_where_the_camera_comes_from_is_recorded(how: str, tmp_path: Path) -> None:
    from vlm3.curation.intrinsics import Calibration

    raw = scene(tmp_path / "raw", "room", 1).parent
    if how != "given":
        (raw / "room" / "K.txt").unlink()
    if how == "exif":
        path = raw / "room" / "images" / "0.jpg"
        image = Image.open(path)
        image.load()
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA405] = 50
        image.save(path, exif=exif)
    calibration = {
        "fov": Calibration(fov_deg=70.0),
        "calibrator": Calibration(calibrator=f"{__name__}:Fifty"),
    }.get(how, Calibration())
    curate(job(raw, tmp_path / "out", calibration=calibration))
    record = Shards(tmp_path / "out").record(0)
    assert record.intrinsics == how
    expected = {
        "exif": 50 / np.hypot(36, 24) * np.hypot(64, 48),
        "fov": 32 / np.tan(np.radians(35)),
        "calibrator": 50.0,
        "given": 50.0,
    }
    assert record.camera.fx_px == pytest.approx(expected[how])


def test_calibrators_that_are_none(tmp_path: Path) -> None:
    from vlm3.curation.intrinsics import load_calibrator

    for name, said in (
        ("fifty", "package.module:factory"),
        ("nowhere.at:all", "no calibrator"),
        ("json:dumps", "no calibrator"),
    ):
        load_calibrator.cache_clear()
        with pytest.raises((InputError, TypeError), match=said if name != "json:dumps" else None):
            load_calibrator(name)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(40, 95), st.floats(0.3, 1.5))
def test_fingerprints_outlive_sizes_and_qualities(seed: int, quality: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 255, (9, 12, 3), np.uint8)
    picture = Image.fromarray(cells).resize((400, 300), Image.Resampling.BICUBIC)
    other = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).resize((400, 300))
    out = io.BytesIO()
    picture.resize((round(400 * scale), round(300 * scale))).save(out, "JPEG", quality=quality)
    again = Image.open(out).convert("RGB")
    assert differ(picture, again) <= NEAR_BITS
    assert differ(picture, other) > 2 * NEAR_BITS


def differ(a: Image.Image, b: Image.Image) -> int:
    one, two = (int(fingerprint_of(np.asarray(image)), 16) for image in (a, b))
    return (one ^ two).bit_count()


def test_leaks_are_found_by_scene_split_and_looks(tmp_path: Path) -> None:
    raw = sets(tmp_path / "raw", 3)
    curate(job(raw, tmp_path / "train"))
    clean = scene(tmp_path / "clean", "hall", 3, seed=9).parent
    curate(job(clean, tmp_path / "eval"))
    found = leaks([tmp_path / "train"], [tmp_path / "eval"])
    assert not found.found and found.compared == (9, 3)
    # The same scene name with other pictures.
    scene(tmp_path / "same-scene", "room1", 2, seed=4)
    curate(job(tmp_path / "same-scene", tmp_path / "eval2"))
    assert leaks([tmp_path / "train"], [tmp_path / "eval2"]).scenes == ("folder/room1",)
    # A picture of a benchmark, smaller and in another format, in no shards.
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.open(raw / "room2" / "images" / "1.jpg").resize((48, 36)).save(photos / "x.png")
    ((ours, theirs, _),) = leaks([tmp_path / "train"], [photos]).near
    assert (ours, theirs) == ("train/1", "x.png")
    (clean / "hall" / "format.json").write_text('{"split": "test"}')
    curate(job(clean, tmp_path / "test"))
    assert leaks([tmp_path / "test"], [photos]).found
    result = CliRunner().invoke(
        main, ["data", "leaks", str(tmp_path / "test"), "--eval", str(photos)]
    )
    assert result.exit_code == 1 and "3 pictures to train on are of split test" in result.output


def test_inspect_draws_and_counts(tmp_path: Path) -> None:
    raw = sets(tmp_path / "raw", 2)
    (raw / "room1" / "images" / "1.jpg").write_bytes(b"\xff\xd8")
    curate(job(raw, tmp_path / "out"))
    result = CliRunner().invoke(
        main, ["data", "inspect", str(tmp_path / "out"), "-o", str(tmp_path / "look")]
    )
    assert result.exit_code == 0, result.output
    assert "| pictures | 5 |" in result.output and "| frames left out | 1 |" in result.output
    with Image.open(tmp_path / "look" / "sheet.jpg") as drawn:
        colours = np.asarray(drawn).reshape(-1, 3)
    # Discs are of full colours, which noise between them is not.
    assert ((colours.max(1) > 240) & (colours.min(1) < 15)).mean() > 0.005


def test_list_says_what_there_is() -> None:
    result = CliRunner().invoke(main, ["data", "list", "--json"])
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert {"ddad", "waymo", "folder"} <= {row["name"] for row in rows}
    assert all(row["licence"] and row["url"] and row["layout"] for row in rows)


def test_reduced_pictures_need_no_second_resize(tmp_path: Path) -> None:
    from vlm3.geometry.focal import plan_focal

    raw = sets(tmp_path / "raw", 1)
    curate(job(raw, tmp_path / "out", size=Size(30, 8)))
    record: Record = Shards(tmp_path / "out").record(0)
    assert (record.camera.width_px, record.camera.height_px) == (40, 32)
    plan = plan_focal(record.camera, f_px=30, multiple_px=8)
    assert (plan.scale_x, plan.scale_y) == (1, 1)
