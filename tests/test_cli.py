"""The command line: one line for what is wrong, stable keys for programs, tidy lines for people."""

import json
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from joint_answers import answering
from PIL import Image

from vlm3.cli.loading_options import PROTOCOL_NAMES
from vlm3.cli.main import main
from vlm3.errors import InputError
from vlm3.infer import loading
from vlm3.infer import predictor as predict
from vlm3.infer.engines.fakes import ConstantEngine, OracleEngine
from vlm3.tasks.protocol import PROTOCOLS, get_protocol

COMMON = {"task", "protocol", "intrinsics", "model", "images", "cameras", "lenses"}
COMMON |= {"raw_text", "prompt"}
KEYS = {
    "depth": COMMON | {"xy_px", "distance_m", "depth_z_m", "xyz_m", "parsed", "spread", "readout"},
    "match": COMMON | {"xy_a_px", "xy_px", "parsed", "spread", "readout"},
    "pose": COMMON
    | {"yaw_pitch_roll_deg", "direction", "distance_m", "cam1_from_cam2", "parsed", "spread"}
    | {"readout", "direction_cone_deg", "check"},
    "ask": COMMON | {"text", "value_m", "clock_hour", "yes", "region", "parsed", "boxes_xyxy_px"},
}


@pytest.fixture
def photo(tmp_path: Path) -> str:
    return save(tmp_path / "a.png", np.full((120, 160, 3), 90, np.uint8))


@pytest.fixture
def second(tmp_path: Path) -> str:
    return save(tmp_path / "b.png", np.full((240, 320, 3), 90, np.uint8))


def save(path: Path, pixels: Any, **options: Any) -> str:
    Image.fromarray(pixels).save(path, **options)
    return str(path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command line against an engine that knows the joint protocol's answers."""

    def load(model: str, *, protocol: str | None, device: str | None) -> predict.Predictor:
        knows = answering(rotation="+089.6 +002.6 -000.0")
        engine = ConstantEngine("gibberish") if model == "dumb" else OracleEngine(knows)
        return predict.Predictor(engine, get_protocol(protocol or "joint"), multiple_px=16)

    monkeypatch.setattr(loading, "load", load)
    return lambda *args: CliRunner().invoke(main, args, prog_name="vlm3")


def refused(result: Result) -> str:
    """The one line of a refusal."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("vlm3: error: ")
    return line.removeprefix("vlm3: error: ")


def command_lines(photo: str, second: str) -> dict[str, list[str]]:
    return {
        "depth": ["depth", photo, "--at", "80,60", "--at", "1,1", "--f-px", "150"],
        "match": ["match", photo, second, "--at", "80,60", "--at", "0,0", "--fov-deg", "60"],
        "pose": ["pose", photo, second, "--f-px", "150", "--f-px", "300"],
        "ask": ["ask", photo, "How wide is {0}?", "--box", "1,2,30,40", "--f-px", "150"],
    }


class TestJson:
    """--json: one object a line, the same keys whatever the answer, nothing else on stdout."""

    @pytest.mark.parametrize("command", list(KEYS))
    @pytest.mark.parametrize("model", ["nano", "dumb"])
    def test_keys(
        self, run: Callable[..., Result], photo: str, second: str, command: str, model: str
    ) -> None:
        result = run(*command_lines(photo, second)[command], "--json", "--model", model)
        assert (result.exit_code, result.stderr) == (0, "")
        records = [json.loads(line) for line in result.stdout.splitlines()]
        assert len(records) == (2 if command in ("depth", "match") else 1)
        for record in records:
            assert set(record) == KEYS[command]
            assert len(record["images"]) == len(record["cameras"]) == len(record["intrinsics"])

    def test_values(self, run: Callable[..., Result], photo: str, second: str) -> None:
        lines = command_lines(photo, second)

        def first(command: str) -> dict[str, Any]:
            return json.loads(run(*lines[command], "--json").stdout.splitlines()[0])

        depth = first("depth")
        assert (depth["distance_m"], depth["depth_z_m"]) == (2.75, pytest.approx(2.75))
        assert depth["cameras"][0]["fx_px"] == 150
        assert depth["intrinsics"] == ["given"]
        match = first("match")
        assert match["xy_px"] == [160, 60]
        assert match["intrinsics"] == ["fov", "fov"]
        pose = first("pose")
        assert pose["yaw_pitch_roll_deg"] == [89.6, 2.6, 0]
        assert [camera["fx_px"] for camera in pose["cameras"]] == [150, 300]
        assert np.array(pose["cam1_from_cam2"]).shape == (4, 4)
        assert first("ask")["value_m"] == 1.25

    def test_what_was_not_understood_is_null(
        self, run: Callable[..., Result], photo: str, second: str
    ) -> None:
        for command, line in command_lines(photo, second).items():
            record = json.loads(run(*line, "--json", "--model", "dumb").stdout.splitlines()[0])
            flags = record["parsed"]
            assert not (any(flags.values()) if command == "pose" else flags)
            numbers = {"distance_m", "depth_z_m", "direction", "cam1_from_cam2", "value_m"}
            assert all(record[key] is None for key in numbers & set(record))

    def test_warnings_go_to_stderr(self, run: Callable[..., Result], photo: str) -> None:
        result = run("depth", photo, "--at", "1,1", "--json")
        (line,) = result.stderr.splitlines()
        assert line.startswith("vlm3: warning: ")
        assert "60 degrees" in line
        assert json.loads(result.stdout)["intrinsics"] == ["assumed"]


class TestLines:
    """Without --json: units, and the unread said as such."""

    def test_depth(self, run: Callable[..., Result], photo: str) -> None:
        out = run("depth", photo, "--at", "80,60", "--f-px", "150").stdout
        assert out.splitlines() == [
            f"{photo}: 160x120 px, focal length 150 px (given)",
            "model oracle, protocol joint, numbers: as written",
            "       x        y    distance     depth z",
            "    80.0     60.0      2.75 m      2.75 m",
        ]

    def test_pose(self, run: Callable[..., Result], photo: str, second: str) -> None:
        out = run("pose", photo, second, "--fov-deg", "60").stdout.splitlines()
        assert out[3:] == [
            "rotation       yaw +89.6, pitch +2.6, roll +0.0 degrees",
            "direction      left, forward (-0.69, +0.02, +0.72)",
            "distance       1.98 m",
            # The reverse question has the same answer, another motion; its matches are one point.
            "confidence     0.00 of 1 (do not trust this motion): 0% of what should be seen again "
            "is matched there; reverse question: 179 degrees of rotation apart, 90 degrees of "
            "direction",
            "               the matches agree as well with a camera that did not move (4%): the "
            "direction means little",
        ]

    def test_match_and_ask(self, run: Callable[..., Result], photo: str, second: str) -> None:
        lines = command_lines(photo, second)
        assert run(*lines["match"]).stdout.splitlines()[-2].split() == [
            *("80.0", "60.0", "160.0", "60.0")
        ]
        assert run(*lines["ask"]).stdout.splitlines()[-2:] == ["01.25 m", "= 1.25 m"]

    def test_an_assumed_lens_is_cautioned_against(
        self, run: Callable[..., Result], photo: str
    ) -> None:
        *_, last = run("depth", photo, "--at", "80,60").stdout.splitlines()
        assert last.startswith("note: nothing says what camera") and "--fov-deg" in last

    @pytest.mark.parametrize("command", ["depth", "match", "pose"])
    def test_a_readout_that_needs_probabilities_is_refused(
        self, run: Callable[..., Result], photo: str, second: str, command: str
    ) -> None:
        line = command_lines(photo, second)[command]
        assert "--readout median needs" in refused(run(*line, "--readout", "median"))
        assert (
            json.loads(run(*line, "--readout", "digits", "--json").stdout.splitlines()[0])[
                "readout"
            ]
            == "digits"
        )

    @pytest.mark.parametrize("command", ["depth", "match", "pose"])
    def test_unread(
        self, run: Callable[..., Result], photo: str, second: str, command: str
    ) -> None:
        result = run(*command_lines(photo, second)[command], "--model", "dumb")
        assert result.exit_code == 0
        assert "not understood: 'gibberish'" in result.stdout
        assert "nan" not in result.stdout


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


class TestPictures:
    """Pictures that cannot be used are refused in one line, those that can be converted are."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda p: None,
            lambda p: p.mkdir(),
            lambda p: p.write_bytes(b""),
            lambda p: p.write_text("not a picture"),
            lambda p: p.write_bytes(png(60_000, 60_000)),
            lambda p: p.write_bytes(png(100, 100)),
            lambda p: save(p, np.zeros((1, 1, 3), np.uint8)),
            lambda p: Image.new("RGB", (64, 64)).save(
                p, save_all=True, append_images=[Image.new("RGB", (64, 64), "red")]
            ),
        ],
        ids=["missing", "folder", "empty", "text", "bomb", "truncated", "1x1", "animated"],
    )
    def test_refused(
        self, run: Callable[..., Result], tmp_path: Path, make: Callable[[Path], object]
    ) -> None:
        path = tmp_path / "bad.png"
        make(path)
        assert "bad.png" in refused(run("depth", str(path), "--at", "1,1", "--f-px", "9"))

    @pytest.mark.parametrize("mode", ["CMYK", "I;16", "L", "RGBA", "P", "1"])
    def test_converted(self, run: Callable[..., Result], tmp_path: Path, mode: str) -> None:
        path = tmp_path / "odd.tiff"
        Image.new(mode, (64, 48)).save(path)
        assert run("depth", str(path), "--at", "1,1", "--f-px", "60").exit_code == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("depth A --at 160,1", "outside the picture"),
        ("depth A --at -1,1", "outside the picture"),
        ("depth A --at nan,1", "is not X,Y"),
        ("depth A --at 1", "is not X,Y"),
        ("depth A --at 1,2,3", "is not X,Y"),
        ("depth A --at a,b", "is not X,Y"),
        ("depth A", "--at"),
        ("depth", "IMAGE"),
        ("depth A --at 1,1 --f-px 0", "must be positive"),
        ("depth A --at 1,1 --f-px -5", "must be positive"),
        ("depth A --at 1,1 --f-px inf", "finite"),
        ("depth A --at 1,1 --f-px wide", "'wide'"),
        ("depth A --at 1,1 --fov-deg 180", "less than 180"),
        ("depth A --at 1,1 --fov-deg 60 --f-px 150", "give only one of them"),
        ("depth A --at 1,1 --f-px 150 --f-px 150", "given 2 times; give it once"),
        ("depth A --at 1,1 --intrinsics 150,150,80", "is not fx,fy,cx,cy"),
        ("depth A --at 1,1 --intrinsics 150,-150,80,60", "must be positive"),
        ("depth A --at 1,1 --intrinsics 900,900,960,540", "160x120"),
        ("match A B --at 200,1", "outside the picture of 160x120"),
        ("match A --at 1,1", "B"),
        ("pose A B --f-px 1 --f-px 2 --f-px 3", "twice: A, then B"),
        ("pose A missing.png", "missing.png"),
        ("ask A Wide? --box 30,1,10,40", "inverted"),
        ("ask A Colour?{0} --box 1,1,10,40", "How wide is {0}?"),
        ("ask A Colour?", "of no kind"),
        ("ask A Wide?{0} --box 30,1,10,40", "inverted"),
        ("depth A --at 9,9 --f-px -3", "the focal length is -3; a focal length must be positive"),
        ("depth A --at 9,9 --fov-deg nan", "--fov-deg is nan; give a finite number"),
        ("measure A --from 9,9 --to 9,9", "give two different pixels"),
        ("ask A Wide?{0} --box 1,1,161,40", "160x120"),
        ("ask A Wide?{0} --box 1,1,10", "is not x1,y1,x2,y2"),
        ("ask A Wide?{0}", "{0}"),
        ("ask A Wide? --box 1,1,10,10", "{0}"),
        ("ask A", "QUESTION"),
        ("depth A --at 1,1 --protocol papr", "release-depth"),
        ("depth A --at 1,1 --protocol release-pose", "has no prompt for depth"),
        ("pose A B --protocol release-depth", "pose needs protocol paper or release-pose or joint"),
        ("dept A --at 1,1", "did you mean depth"),
        ("frobnicate", "There are app, ask, cloud, d"),
        ("depth A --at 1,1 --protocl paper", "--protocol"),
        ("--protocol paper", "--protocol"),
        ("depth A --at 1,1 extra", "--at is for one picture"),
    ],
)
def test_bad_input_is_one_line_that_says_what_is_allowed(
    run: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    photo: str,
    second: str,
    args: str,
    says: str,
) -> None:
    """And no model is loaded for it."""

    def load(*args: object, **options: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(loading, "load", load)
    words = [{"A": photo, "B": second}.get(word, word) for word in args.split()]
    assert says in refused(run(*words))


class TestModels:
    """Checkpoints that cannot be used, through the real loader."""

    @pytest.fixture
    def ask(self, photo: str) -> Callable[[Path | str], Result]:
        line = ["depth", photo, "--at", "1,1", "--f-px", "99", "--model"]
        return lambda model: CliRunner().invoke(main, [*line, str(model)])

    def test_unknown(self, ask: Callable[[Path | str], Result]) -> None:
        assert "nano" in refused(ask("nanno"))

    def test_pickled(self, ask: Callable[[Path | str], Result], tiny_folder: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
        self.copy(tiny_folder, tmp_path, without="model.safetensors")
        (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
        assert "pickled" in refused(ask(tmp_path))

    @pytest.mark.parametrize(
        "without", ["config.json", "model.safetensors", "preprocessor_config.json"]
    )
    def test_incomplete(
        self, ask: Callable[[Path | str], Result], tiny_folder: Path, tmp_path: Path, without: str
    ) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        self.copy(tiny_folder, folder, without=without)
        assert without in refused(ask(folder))

    def test_not_a_vlm(
        self, ask: Callable[[Path | str], Result], tiny_folder: Path, tmp_path: Path
    ) -> None:
        self.copy(tiny_folder, tmp_path)
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        assert "bert" in refused(ask(tmp_path))

    @staticmethod
    def copy(source: Path, target: Path, without: str = "") -> None:
        for file in source.iterdir():
            if file.name != without:
                (target / file.name).write_bytes(file.read_bytes())

    def test_a_whole_one_answers(
        self, ask: Callable[[Path | str], Result], tiny_folder: Path
    ) -> None:
        result = ask(tiny_folder)
        assert (result.exit_code, result.stderr) == (0, "")
        assert str(tiny_folder) in result.stdout


def test_an_unforeseen_failure_keeps_its_traceback(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, photo: str
) -> None:
    def load(*args: object, **options: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(loading, "load", load)
    result = run("depth", photo, "--at", "1,1")
    assert isinstance(result.exception, RuntimeError)


class TestDemo:
    """The command passes on what it was given and prints what was written."""

    @pytest.fixture
    def called(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def fake(out_dir: str, *, echo: Callable[[str], object], **options: Any) -> dict[str, Path]:
            seen.update(options, out_dir=out_dir)
            echo("a line")
            answers = Path(out_dir) / "answers.jsonl"
            answers.write_text('{"task": "depth"}\n{"task": "pose"}\n')
            return {"answers": answers}

        pytest.importorskip("matplotlib")
        demo_run = pytest.importorskip("vlm3.cli.demo_run")
        monkeypatch.setattr(demo_run, "run", fake)
        return seen

    def test_lines(
        self, run: Callable[..., Result], called: dict[str, Any], tmp_path: Path
    ) -> None:
        assert run("demo", "-o", str(tmp_path), "--model", "m").stdout == "a line\n"
        given = {"out_dir": str(tmp_path), "model": "m", "protocol": None, "device": None}
        assert called == given

    def test_json(self, run: Callable[..., Result], called: dict[str, Any], tmp_path: Path) -> None:
        out = run("demo", "-o", str(tmp_path), "--json").stdout
        assert [json.loads(line)["task"] for line in out.splitlines()] == ["depth", "pose"]


class TestHelp:
    """Help names what it must, and is there at once."""

    def test_every_command_has_an_example_and_json(self, run: Callable[..., Result]) -> None:
        for name in ("ask", "demo", "depth", "doctor", "match", "pose"):
            assert name in main.commands
            text = run(name, "--help").stdout
            assert "--json" in text
            assert name == "doctor" or f"Examples:\n    vlm3 {name}" in text, text

    def test_no_arguments_print_help(self, run: Callable[..., Result]) -> None:
        assert run().stdout == run("--help").stdout

    def test_protocols_named_in_the_help_are_those_there_are(self) -> None:
        assert re.split(", | or ", PROTOCOL_NAMES) == list(PROTOCOLS)

    @pytest.mark.parametrize("statement", ["import vlm3", "import vlm3.cli.main"])
    def test_nothing_heavy_is_loaded(self, statement: str) -> None:
        heavy = ("torch", "transformers", "numpy", "PIL", "tokenizers", "matplotlib")
        program = f"{statement}; import sys; print([m for m in {heavy} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.stdout == "[]\n"

    def test_module_entry(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "vlm3", "dept"], capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("vlm3: error: ")


def test_errors_never_span_lines(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, photo: str
) -> None:
    def load(*args: object, **options: object) -> None:
        raise InputError("one\n  two")

    monkeypatch.setattr(loading, "load", load)
    assert refused(run("depth", photo, "--at", "1,1", "--f-px", "150")) == "one two"


class TestMaps:
    """--grid and -o: a whole grid into one file."""

    @pytest.mark.parametrize("ending", ["npz", "png", "ply", "glb"])
    def test_depth(
        self, run: Callable[..., Result], photo: str, tmp_path: Path, ending: str
    ) -> None:
        out = tmp_path / f"map.{ending}"
        result = run("depth", photo, "--grid", "8x6", "-o", str(out), "--f-px", "150", "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        record = json.loads(result.stdout)
        assert (record["questions"], record["unread"], record["output"]) == (48, 0, str(out))
        assert out.stat().st_size > 100

    def test_cloud_and_matches(
        self, run: Callable[..., Result], photo: str, second: str, tmp_path: Path
    ) -> None:
        cloud = run("cloud", photo, "--grid", "8x6", "-o", str(tmp_path / "c.ply"), "--f-px", "150")
        assert (cloud.exit_code, cloud.stderr) == (0, "")
        assert "points 48" in cloud.stdout
        pair = ["match", photo, second, "--grid", "4x3", "-o", str(tmp_path / "m.npz")]
        matches = run(*pair, "--fov-deg", "60", "--json")
        assert (matches.exit_code, json.loads(matches.stdout)["questions"]) == (0, 12)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ([], "give points with --at"),
            (["--at", "1,1", "--grid", "2x2", "-o", "x.npz"], "give points with --at"),
            (["--grid", "2x2"], "need a file"),
            (["--at", "1,1", "-o", "x.npz"], "ends in .html"),
            (["--at", "1,1", "--figure", "x.jpg"], ".png, .svg, .pdf"),
            (["--grid", "2by2", "-o", "x.npz"], "not COLUMNSxROWS"),
            (["--grid", "2x2", "-o", "x.jpg"], "ends in .npz"),
            (["--grid", "999x2", "-o", "x.npz"], "does not fit"),
        ],
    )
    def test_refusals_come_before_a_model(
        self, run: Callable[..., Result], photo: str, options: list[str], said: str
    ) -> None:
        line = refused(run("depth", photo, "--f-px", "150", *options, "--model", "no such model"))
        assert said in line
