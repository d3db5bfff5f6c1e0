"""Seeded damage to bytes, texts, JSON values and arrays."""

import copy
import json
from typing import Any

import numpy as np
from numpy.lib import format as npy

Rng = np.random.Generator

NAMES = ("../../outside", "/etc/passwd", "a\0b", "..", "", "a\\b", "x" * 5000, "\ud800", "no.jpg")
NUMBERS = (
    0, -1, 1, 2**31, 2**63 - 1, 2**64, 10**400, -(10**30), 1e308, -1e308, 5e-324, 0.5,
    float("nan"), float("inf"), -float("inf"),
)  # fmt: skip


def pick(rng: Rng, things: Any) -> Any:
    return things[int(rng.integers(len(things)))]


def damaged_bytes(rng: Rng, data: bytes) -> bytes:
    """Flipped, cut off, overwritten, repeated, or with something put in between."""
    if not data:
        return rng.bytes(int(rng.integers(1, 64)))
    at = int(rng.integers(len(data)))
    length = int(rng.integers(1, 1 + max(1, min(len(data) - at, 4096))))
    kind = int(rng.integers(7))
    if kind <= 1:
        changed = bytearray(data)
        for _ in range(1 if kind == 0 else int(rng.integers(2, 20))):
            changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        return bytes(changed)
    return (
        data[:at],
        data[:at] + bytes(length) + data[at + length :],
        data[:at] + rng.bytes(length) + data[at + length :],
        data[:at] + rng.bytes(int(rng.integers(1, 64))) + data[at:],
        data[:at] + data[at : at + length] * int(rng.integers(2, 4)) + data[at + length :],
    )[kind - 2]


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else ()
    items = list(enumerate(value))[:50] if isinstance(value, list) else items
    for key, one in items:
        found += _places(one, (*path, key))
    return found


def _nested(depth: int, kind: str = "[") -> str:
    return "[" * depth + "]" * depth if kind == "[" else '{"a":' * depth + "1" + "}" * depth


def damaged_json(rng: Rng, value: Any) -> bytes:
    """A JSON text with one place of another type, out of range, missing, nested or doubled."""
    kind = int(rng.integers(10))
    if kind == 0:
        return damaged_bytes(rng, json.dumps(value).encode())
    if kind == 1:
        depth = int(pick(rng, (40, 900, 5000, 100_000)))
        nest = _nested(depth, pick(rng, "[{"))
        if rng.integers(2) or not _places(value):
            return nest.encode()
        return (
            json.dumps(_with(rng, value, "NEST"), allow_nan=True).replace('"NEST"', nest).encode()
        )
    if kind == 2:
        new: Any = pick(rng, NUMBERS)
    elif kind == 3:
        new = pick(rng, NAMES)
    elif kind == 4:
        new = pick(
            rng, ([], {}, None, True, "7", [1, 2, 3], {"a": 1}, [[]], [None], "long " * 9000)
        )
    else:
        new = pick(rng, (None, pick(rng, NUMBERS), pick(rng, NAMES), [], {}))
    return json.dumps(_with(rng, value, new, drop=kind == 5, double=kind == 6)).encode()


def _with(rng: Rng, value: Any, new: Any, *, drop: bool = False, double: bool = False) -> Any:
    changed = copy.deepcopy(value)
    places = _places(changed)
    if not places:
        return new
    *path, last = pick(rng, places)
    inner = changed
    for key in path:
        inner = inner[key]
    if drop:
        del inner[last]
    elif double and isinstance(inner, list):
        inner.insert(last, copy.deepcopy(inner[last]))
    else:
        inner[last] = new
    return changed


def damaged_array(rng: Rng, data: bytes) -> bytes:
    """A `.npy` file damaged in its bytes, its header, its type, its shape or its values."""
    import io

    kind = int(rng.integers(6))
    if kind == 0:
        return damaged_bytes(rng, data)
    if kind == 1:
        # The header alone, where most of the damage does something.
        size = min(len(data), 128)
        return damaged_bytes(rng, data[:size]) + data[size:]
    if kind == 2:
        shape = pick(
            rng, ("(10**9, 5)", "(-1, 5)", "(99999999999999, 5)", "()", "(0, 5)", "(" * 200)
        )
        descr = pick(rng, ("'<i8'", "'|O'", "'<f4'", "[('a', '<i8')]", "{}", "__import__('os')"))
        text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
        text = text.ljust(117) + "\n"
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data[128:]
    table = np.load(io.BytesIO(data))
    if kind == 3:
        table = (
            table.astype(pick(rng, ("f8", "i4", "u8")))
            if table.dtype.names is None
            else (table["first"])
        )
    elif kind == 4:
        table = pick(rng, (table[:0], table[None], table.ravel()[:3], table[::-1]))
    else:
        raw = table.view(np.uint8).reshape(-1).copy()
        for _ in range(int(rng.integers(1, 4))):
            at = 4 * int(rng.integers(len(raw) // 4))
            raw[at : at + 4] = np.frombuffer(
                pick(
                    rng,
                    (b"\xff" * 4, b"\0\0\0\x80", b"\xff\xff\xff\x7f", b"\0\0\xc0\x7f", b"\1\0\0\0"),
                ),
                np.uint8,
            )
        table = raw.view(table.dtype).reshape(table.shape)
    out = io.BytesIO()
    npy.write_array(out, np.ascontiguousarray(table))
    return out.getvalue()


def damaged_text(rng: Rng, text: str) -> str:
    """An answer as a model might write it on a bad day."""
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(text) + 1))
        piece = pick(
            rng,
            (
                "-", ".", ",", " ", "e9", "1e999", "nan", "inf", "9" * 400, "(((", "[", "<think>",
                "</think>", "<answer>", "meters", "feet", "°", "\u2212", "\u0663", "\ud800", "\0",
                "not ", "or 7", "\n" * 50, "0" * 30, "{", "region 1", "yes but no", "x=", "/", "%",
                "a" * 3000, "(1, 2) " * 200,
            ),
        )  # fmt: skip
        kind = int(rng.integers(3))
        stop = min(len(text), at + int(rng.integers(1, 9)))
        text = (
            text[:at] + piece + text[at:],
            text[:at] + text[stop:],
            text[:at] + piece + text[stop:],
        )[kind]
    return text
