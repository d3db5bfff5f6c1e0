"""MAT-files: what scipy writes is read back, and damage is a value or one line."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vlm3.datasets.matlab import mat_numbers, mat_texts
from vlm3.errors import InputError

savemat = pytest.importorskip("scipy.io", reason="no scipy").savemat

numbers = arrays.arrays(
    st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"]),
    arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9),
)
texts = st.lists(st.text(st.characters(codec="latin-1", exclude_characters="\0"), max_size=40))


def cells(values: list[str]) -> Any:
    found = np.empty((len(values), 1), object)
    found[:, 0] = values
    return found


@settings(max_examples=60, deadline=None)
@given(numbers, texts, st.booleans())
def test_what_scipy_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, array: Any, words: list[str], compressed: bool
) -> None:
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    held = {"other": [1, 2], "n": array, "structure": {"a": 1}, "words": cells(words)}
    savemat(path, held, do_compression=compressed)
    np.testing.assert_array_equal(mat_numbers(path, "n"), array.ravel(order="F"))
    assert mat_texts(path, "words") == words


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    held = {"n": np.arange(700.0)[:, None], "words": cells(["SUNRGBD/kv1/a", "b", "", "ccccc"])}
    savemat(tmp_path / "a.mat", held, do_compression=request.param)
    return tmp_path / "a.mat"


@pytest.mark.parametrize(("read", "name"), [(mat_numbers, "n"), (mat_texts, "words")])
def test_damage_is_a_value_or_one_line(
    whole: Path, read: Callable[[Path, str], Any], name: str
) -> None:
    data, refused = whole.read_bytes(), 0
    rng = np.random.default_rng(0)
    for case in range(400):
        damaged = bytearray(data)
        if case % 4 == 0:
            del damaged[int(rng.integers(len(data))) :]
        else:
            # Tags stand at the beginnings of elements, where random places seldom are.
            at = int(rng.integers(126, 240 if case % 2 else len(data)))
            damaged[at : at + 1 + case % 3] = rng.bytes(1 + case % 3)
        whole.write_bytes(damaged)
        try:
            read(whole, name)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 500
    assert refused > 50


@pytest.mark.parametrize(
    ("read", "name", "words"),
    [
        (mat_numbers, "absent", "no 'absent' in it"),
        (mat_numbers, "words", "'words' holds no numbers"),
        (mat_texts, "n", "'n' holds no cells"),
    ],
)
def test_what_is_not_there_is_named(
    whole: Path, read: Callable[[Path, str], Any], name: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read(whole, name)


def test_no_file_and_no_such_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        mat_numbers(tmp_path / "none.mat", "n")
    (tmp_path / "hdf5.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(600))
    with pytest.raises(InputError, match="no head of level 5"):
        mat_numbers(tmp_path / "hdf5.mat", "n")


@pytest.mark.parametrize("order", ["<", ">"])
def test_as_matlab_itself_writes(order: str, tmp_path: Path) -> None:
    """Numbers in the smallest type that holds them, letters of 16 bits, and tags of both kinds."""

    def element(kind: int, data: bytes) -> bytes:
        if 0 < len(data) <= 4 and kind != 14:
            return struct.pack(f"{order}I", len(data) << 16 | kind) + data.ljust(4, b"\0")
        return struct.pack(f"{order}II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    def array(kind: int, sides: tuple[int, int], name: bytes, content: bytes) -> bytes:
        flags = element(6, struct.pack(f"{order}II", kind, 0))
        held = flags + element(5, struct.pack(f"{order}ii", *sides)) + element(1, name)
        return element(14, held + content)

    words = ["é/a", "kv1"]
    letters = [element(4, word.encode("utf-16" + ("-le", "-be")[order == ">"])) for word in words]
    told = b"".join(array(4, (1, 3), b"", one) for one in letters)
    head = b"MATLAB 5.0".ljust(124) + struct.pack(f"{order}HH", 0x0100, 0x4D49)
    numbers = array(6, (3, 1), b"testNdxs", element(2, bytes([1, 2, 200])))
    (tmp_path / "a.mat").write_bytes(head + numbers + array(1, (1, 2), b"alltest", told))
    assert mat_numbers(tmp_path / "a.mat", "testNdxs").tolist() == [1, 2, 200]
    assert mat_texts(tmp_path / "a.mat", "alltest") == words
