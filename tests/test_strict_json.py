"""Every JSON that the project writes is one that every parser reads."""

import ast
import json
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import vlm3
from vlm3.strict_json import dumps

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def refused(token: str) -> None:
    raise AssertionError(f"{token} is no JSON")


@given(VALUES)
def test_no_value_is_written_that_is_no_json(value: object) -> None:
    json.loads(dumps(value), parse_constant=refused)


def test_what_is_finite_stays() -> None:
    assert json.loads(
        dumps({"a": [1.5, float("nan"), (2, -float("inf"))], "b": np.float64(3)})
    ) == {
        "a": [1.5, None, [2, None]],
        "b": 3.0,
    }


def test_nothing_writes_json_otherwise() -> None:
    root = Path(vlm3.__file__).parent
    loose = []
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("dump", "dumps")
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "json"
                and not any(
                    k.arg == "allow_nan" and getattr(k.value, "value", True) is False
                    for k in node.keywords
                )
            ):
                loose.append(f"{path.relative_to(root)}:{node.lineno}")
    assert not loose
