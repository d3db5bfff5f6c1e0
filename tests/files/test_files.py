"""Files from outside: what is in bounds is read, anything else is one line that names its place."""

import contextlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.files import schema
from vlm3.files.arrays import read_array, read_arrays
from vlm3.files.reading import below, depth_of, parse_json, read_bytes, read_json, short
from vlm3.files.sums import add_sums, problems, read_sums, sha256_of_file
from vlm3.files.tars import members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('[]{}"\\a'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("[{a"), inner, max_size=3),
    max_leaves=12,
)


def deep(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (isinstance(value, dict | list)) + max(map(deep, inner), default=0)


@given(JSON)
def test_depth_is_counted_before_parsing(value: object) -> None:
    text = json.dumps(value).encode()
    assert depth_of(text, enough=-1) == deep(value)
    limit = max(1, deep(value))
    assert parse_json(text, "it", deepest=limit) == value
    if deep(value) > 1:
        with pytest.raises(InputError, match="deeper than"):
            parse_json(text, "it", deepest=deep(value) - 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[" * 100_000, "deeper than 32"),
        (b'{"a":' * 500, "deeper than 32"),
        (b"[1, 2", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b"1" * 5000, "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_texts_that_are_no_json(text: bytes, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        parse_json(text, "F.json")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_schema_names_the_place_and_what_is_allowed() -> None:
    check = schema.fields(
        {"name": schema.text(5), "rows": schema.list_of(schema.numbers(2, None), least=1)},
        {"kind": schema.maybe(schema.whole(1, 3)), "on": schema.flag, "f": schema.number(0, 1)},
    )
    good = {"name": "a", "rows": [[[1], [2.5]]], "kind": None, "on": True, "f": 0.5, "more": []}
    check(good, "F")
    table = schema.table_of(schema.number())
    for change, why in (
        ({"name": 7}, r"F\.name is 7; give a text of at most 5"),
        ({"name": "x" * 9000}, r"F\.name is 'xx.*\.\.\..*give a text"),
        ({"rows": []}, r"F\.rows is \[\]; give a list of at least 1"),
        ({"rows": [[[1], [True]]]}, r"F\.rows\[0\] is .*give 2 x n finite numbers"),
        ({"rows": [[[1], [float("nan")]]]}, "finite"),
        ({"rows": [[[10**400], [1]]]}, "finite"),
        ({"kind": 4}, r"F\.kind is 4; give a whole number from 1 to 3"),
        ({"kind": True}, r"F\.kind is True"),
        ({"on": 1}, r"F\.on is 1; give true or false"),
        ({"f": float("nan")}, r"F\.f is nan; give a number from 0 to 1"),
    ):
        with pytest.raises(InputError, match=why) as caught:
            check(good | change, "F")
        assert len(str(caught.value)) < 400
    with pytest.raises(InputError, match="F has no 'name'"):
        check({"rows": [[1]]}, "F")
    with pytest.raises(InputError, match=r"F\.b is 'c'"):
        table({"a": 1, "b": "c"}, "F")


def test_names_stay_below_their_folder(tmp_path: Path) -> None:
    for name in ("a.tar", "rgb/a b.png", "ä/..b.jpg", ".hidden"):
        assert below(tmp_path, name, "it") == tmp_path / name
    for name in ("../a", "a/../../b", "/etc/passwd", "a\\b", "a\0b", "", ".", "..", 7, "\ud800"):
        with pytest.raises(InputError, match="it names the file"):
            below(tmp_path, name, "it")


def test_only_plain_files_of_a_sane_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_bytes(b"x" * 100)
    for name, why in (("pipe", "no plain file"), (".", "no plain file"), ("big", "at most 99")):
        with pytest.raises(InputError, match=why):
            read_bytes(tmp_path / name, 99)
    assert read_bytes(tmp_path / "big", 100) == b"x" * 100
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none")


def npy(array: object) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("mapped", [False, True])
def test_arrays_of_another_kind_are_refused(tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "a.npy"
    good = np.arange(10).reshape(2, 5)
    whole = npy(good)

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return read_array(path, np.dtype(np.int64), (None, 5), mapped=mapped)

    assert np.array_equal(read(whole), good)  # type: ignore[arg-type]
    assert np.array_equal(read(npy(good[:0])), good[:0])  # type: ignore[arg-type]
    assert np.array_equal(read(npy(np.asfortranarray(good))), good)  # type: ignore[arg-type]
    for data, why in (
        (b"", "no .npy array"),
        (whole[:-1], "bytes, but an array"),
        (whole + b"\0", "bytes, but an array"),
        (npy(good.astype("f8")), "holds float64"),
        (npy(good.ravel()), r"of shape \(10,\)"),
        (npy(np.array([{"a": 1}], object)), "holds object"),
        (whole.replace(b"(2, 5)", b"(9999999, 5)"), "no .npy array|bytes, but"),
        (whole.replace(b"(2, 5)", b"(-2,5)"), "expected"),
        (b"PK\3\4" + whole, "no .npy array"),
    ):
        with pytest.raises(InputError, match=why):
            read(data)
    with pytest.raises(InputError, match="cannot read"):
        read_array(tmp_path / "none.npy", "f", (None,))


def test_arrays_in_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, rows=np.zeros((3, 4), np.int64), other=np.array([None], object))
    wanted = {"rows": (np.dtype(np.int64), (None, 4))}
    assert read_arrays(path, wanted)["rows"].shape == (3, 4)
    with pytest.raises(InputError, match=r"rows holds int64"):
        read_arrays(path, {"rows": ("f", (None, 4))})
    with pytest.raises(InputError, match=r"no \.npz file with pairs"):
        read_arrays(path, {"pairs": ("f", (None,))})
    data = path.read_bytes()
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with contextlib.suppress(InputError):
            assert not read_arrays(path, wanted)["rows"].any()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("rows.npy", npy(good := np.zeros((3, 4), np.int64)) + bytes(50_000_000))
    with pytest.raises(InputError, match="bytes, but an array"):
        read_arrays(path, wanted)
    assert not good.any()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_tar_ends_early_and_says_so(data: st.DataObject) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for k in range(4):
            entry = tarfile.TarInfo(f"{'long/' * 30}s{k}.jpg")
            entry.size = 700
            tar.addfile(entry, io.BytesIO(b"x" * 700))
    whole = bytearray(out.getvalue())
    at = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.sampled_from(["flip", "cut", "size"]))
    if change == "flip":
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
    elif change == "cut":
        whole = whole[:at]
    else:
        # A size in base 256 may be negative, which leads a reader back to where it was.
        block = at // 512 * 512
        whole[block + 124 : block + 136] = data.draw(st.binary(min_size=12, max_size=12))
        whole[block + 148 : block + 156] = b" " * 8
        total = sum(whole[block : block + 512])
        whole[block + 148 : block + 156] = b"%06o\0 " % total
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(whole)
        file.flush()
        problems: list[str] = []
        found = list(members(Path(file.name), problems))
    assert len(found) <= 30 and all("\n" not in p for p in problems)
    assert len(found) == 4 or problems


def test_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "units").mkdir()
    for name in ("a.npy", "units/b c.json"):
        (tmp_path / name).write_bytes(name.encode())
    add_sums(tmp_path, {"a.npy": sha256_of_file(tmp_path / "a.npy")})
    add_sums(tmp_path, {"units/b c.json": sha256_of_file(tmp_path / "units/b c.json")})
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True)
    assert not list(problems(tmp_path)) and len(read_sums(tmp_path)) == 2
    whole = (tmp_path / "SHA256SUMS").read_bytes()
    for at in range(len(whole)):
        for bit in (1, 32, 128):
            changed = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
            (tmp_path / "SHA256SUMS").write_bytes(changed)
            assert list(problems(tmp_path)), (at, bit)
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  ../../etc/passwd\n")
    with pytest.raises(InputError, match="names the file"):
        read_sums(tmp_path)


def test_quotes_are_short() -> None:
    for value in ("x" * 10**6, list(range(10**5)), {"a" * 999: ["b" * 999] * 99}, 10**4000, b"\n"):
        assert len(short(value)) <= 120 and "\n" not in short(value)
