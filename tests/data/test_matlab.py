"""MAT-files: what scipy writes is read back, and damage is a value or one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlm3.datasets.matlab import mat_numbers, mat_texts
from vlm3.errors import InputError

savemat = pytest.importorskip("scipy.io", reason="no scipy").savemat

WORDS = ["SUNRGBD/kv1/a", "b", "", "é"]
NUMBERS = np.arange(6, dtype=np.uint16).reshape(3, 2)


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    cells = np.empty((len(WORDS), 1), object)
    cells[:, 0] = WORDS
    held = {"n": NUMBERS, "other": {"a": 1}, "words": cells}
    savemat(tmp_path / "a.mat", held, do_compression=request.param)
    return tmp_path / "a.mat"


def test_what_scipy_writes_is_read(whole: Path) -> None:
    assert mat_numbers(whole, "n") == NUMBERS.ravel(order="F").tolist()
    assert mat_texts(whole, "words") == WORDS


def test_damage_is_a_value_or_one_line(whole: Path) -> None:
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="no MATLAB file with 'words'") as refused:
        mat_texts(whole, "words")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500


def test_a_reader_that_dies_takes_nothing_with_it(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As scipy's does on some bytes."""
    dying = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr("vlm3.datasets.matlab._PROGRAM", dying)
    with pytest.raises(InputError, match=r"can be read \(exit -11\)"):
        mat_numbers(whole, "n")


@pytest.mark.parametrize(
    ("read", "name", "words"),
    [
        (mat_numbers, "absent", "KeyError: 'absent'"),
        (mat_numbers, "words", "holds no numbers"),
        (mat_texts, "n", "holds no cells of text"),
    ],
)
def test_what_is_not_there_is_named(
    whole: Path, read: Callable[[Path, str], Any], name: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read(whole, name)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        mat_numbers(tmp_path / "none.mat", "n")
