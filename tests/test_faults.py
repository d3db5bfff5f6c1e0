"""The campaign of benchmarks/faults.py, small: every door, and that it can fail."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vlm3.cli.main import main
from vlm3.curation.integrity import Note, check
from vlm3.data.shards import Shards
from vlm3.errors import InputError

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def campaign() -> Iterator[None]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, bytes]]:
    from faulty.data import made_shards

    return made_shards(tmp_path_factory.mktemp("made"))


@pytest.mark.parametrize(
    ("door", "count"),
    [("parsers", 150), ("pictures", 100), ("records", 250), ("label lines", 80)],
)
def test_a_damaged_input_is_a_value_a_skip_or_one_line(
    door: str, count: int, tmp_path: Path
) -> None:
    import faults

    (tmp_path / "base").mkdir()
    (tmp_path / "case").mkdir()
    state = faults.DOORS[door].setup(tmp_path / "base")
    found = [
        faults.one(faults.DOORS[door], state, np.random.default_rng([7, k]), tmp_path / "case")
        for k in range(count)
    ]
    bad = [(outcome, detail) for outcome, detail in found if outcome in faults.COLUMNS[3:]]
    assert not bad, bad[:5]
    # Both ways are taken, or the damage is none.
    assert len(Counter(outcome for outcome, _ in found)) > 1


@pytest.mark.parametrize("door", ["shards", "indices"])
def test_damage_to_shards_is_found_and_left_out(
    door: str, made: tuple[dict[str, bytes], dict[str, bytes]], tmp_path: Path
) -> None:
    import faults

    found = [
        faults.one(faults.DOORS[door], made, np.random.default_rng([7, k]), tmp_path / "case")
        for k in range(90)
    ]
    bad = [(outcome, detail) for outcome, detail in found if outcome in faults.COLUMNS[3:]]
    assert not bad, bad[:5]


def test_the_campaign_can_fail(
    made: tuple[dict[str, bytes], dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import faults

    from vlm3.files import sums

    monkeypatch.setattr(sums, "problems", lambda folder: iter(()))
    door = faults.DOORS["indices"]
    found = [
        faults.one(door, made, np.random.default_rng([7, k]), tmp_path / "case") for k in range(60)
    ]
    assert ("wrong") in [outcome for outcome, _ in found]

    def breaks(*args: object) -> str:
        raise IndexError("no such row")

    def hangs(*args: object) -> str:
        while True:
            pass

    for case, outcome in ((breaks, "trace-back"), (hangs, "hang")):
        broken = faults.Door(lambda folder: None, case, 1.0, 0.2)
        faults.be_alarmed()
        assert faults.one(broken, None, np.random.default_rng(0), tmp_path)[0] == outcome


def test_every_planted_byte_is_found(
    made: tuple[dict[str, bytes], dict[str, bytes]], tmp_path: Path
) -> None:
    from faulty.data import put

    rng = np.random.default_rng(3)
    planted = 0
    for files in made:
        put(tmp_path / "set", files)
        assert not [found for found in check(tmp_path / "set") if isinstance(found, str)]
        for name, data in files.items():
            # Locks, and the settings of curation, are not data; the latter is named all the same.
            if name == ".lock":
                continue
            for at in {0, len(data) - 1, *rng.integers(0, len(data), 4).tolist()}:
                changed = bytearray(data)
                changed[at] ^= 1 << int(rng.integers(8))
                (tmp_path / "set" / name).write_bytes(bytes(changed))
                found = [line for line in check(tmp_path / "set") if isinstance(line, str)]
                assert any(not isinstance(line, Note) for line in found), (name, at)
                planted += 1
            (tmp_path / "set" / name).write_bytes(data)
    assert planted > 80


def test_check_says_what_is_damaged_and_goes_on(
    made: tuple[dict[str, bytes], dict[str, bytes]], tmp_path: Path
) -> None:
    from faulty.data import put

    folder = put(tmp_path / "set", made[0])
    run = CliRunner()
    (folder / "index.npy").write_bytes(b"")
    for command in (["data", "check"], ["data", "inspect"]):
        result = run.invoke(main, [*command, str(folder)])
        # An empty file once looked like Ctrl-C.
        assert result.exit_code in (1, 2) and "Traceback" not in result.output
        assert "index.npy" in result.output and "interrupted" not in result.output
    assert run.invoke(main, ["data", "index", str(folder)]).exit_code == 0
    assert run.invoke(main, ["data", "check", str(folder)]).exit_code == 0
    (folder / "shards.json").write_text('["../written/00000.tar", "00001.tar"]')
    with pytest.raises(InputError, match=r"shards\.json names the file '\.\./written"):
        Shards(folder)
    put(folder, made[0])
    (folder / "00000.tar").unlink()
    table = np.load(folder / "index.npy")
    table[5] = (7, -1, 2**60, 3, 4)
    np.save(folder / "index.npy", table)
    lines = [line for line in check(folder) if isinstance(line, str)]
    assert any("00000.tar is named by SHA256SUMS" in line for line in lines)
    assert any("row 5 is damaged: it names shard 7 of 2" in line for line in lines)


def test_shards_without_hashes_are_read_and_said(
    made: tuple[dict[str, bytes], dict[str, bytes]], tmp_path: Path
) -> None:
    from faulty.data import put

    for files in made:
        folder = put(tmp_path / "set", {n: d for n, d in files.items() if n != "SHA256SUMS"})
        lines = [line for line in check(folder) if isinstance(line, str)]
        assert all(isinstance(line, Note) for line in lines)
        assert bool(lines) == ("pairs.npy" in files)
        result = CliRunner().invoke(main, ["data", "check", str(folder)])
        assert result.exit_code == 0 and ("note: " in result.output) == bool(lines)
        # The index is told from the tars all the same.
        table = np.load(folder / "index.npy")
        table[0] = table[1]
        np.save(folder / "index.npy", table)
        assert [line for line in check(folder) if isinstance(line, str)]


def test_killed_writers_go_on_and_leave_nothing(tmp_path: Path) -> None:
    from faulty import kills

    from vlm3.datasets import depthlm

    rows = depthlm._ROWS
    try:
        state = kills.writers(tmp_path, ("curate",))
        for k in range(4):
            assert kills.case(state, np.random.default_rng(k), tmp_path) == "value"
    finally:
        depthlm._ROWS = rows


def test_it_runs_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    import faults

    found = faults.campaign(5, 12, ("records",))
    text = faults.table(found)
    assert sum(found["records"].counts.values()) == 12 and "| records | 12 |" in text
    assert json.dumps(found["records"].failures) == "[]"
