"""The law of readers: of a damaged file comes its value, a named skip, or an InputError."""

import sys
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from faulty.data import RAW_SETS, RawSet, damaged_set, raw_set

from vlm3.errors import InputError

TEXTS = (".json", ".jsonl", ".txt", ".csv", ".log", ".feather", ".parquet", ".npy")
"""What Python or Arrow reads. Other libraries may end the process on damaged bytes, so files of
theirs are damaged in processes of their own: benchmarks/faults.py --only "set files"."""


@lru_cache
def written(name: str) -> RawSet:
    with tempfile.TemporaryDirectory() as folder:
        return raw_set(name, Path(folder))


@pytest.mark.parametrize("name", [n for n in RAW_SETS if n not in ("colmap", "eth3d")])
def test_a_damaged_file_is_a_value_a_named_skip_or_one_line(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for package in ("h5py", "pycolmap", "pyarrow", "OpenEXR", "scipy"):
        pytest.importorskip(package)
    whole, folder = written(name), tmp_path_factory.mktemp("set")
    if not any(file.endswith(TEXTS) for file in whole.files):
        pytest.skip("no such file beside the pictures")
    seen = set()

    @settings(max_examples=15, deadline=None, database=None)
    @given(st.integers(0, 2**32))
    def law(seed: int) -> None:
        try:
            seen.add(damaged_set(whole, np.random.default_rng(seed), folder, kinds=TEXTS))
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 900
            seen.add("line")

    law()
    assert seen <= {"value", "skip", "line"} and seen & {"skip", "line"}, seen
