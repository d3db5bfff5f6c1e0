"""JSON texts of requests, parsed at a cost that does not depend on what was sent.

A body is a little JSON around a few long strings, the pictures. The long strings are put aside
before the JSON is parsed, so that what is parsed is no more than the route can use: parsing holds
Python's global lock, and with it the event loop, as long as it takes. Knows no connection.
"""

import json
import secrets
from typing import Any

from pydantic import BaseModel, ValidationError

from vlm3.server.limits import RefusedError
from vlm3.server.schema.fields import LONG_TEXT_BYTES

_UNKNOWN = "extra_forbidden"
# Pydantic's types of errors whose own words speak of Python.
_WORDS = {
    "model_type": "Input should be an object",
    "model_attributes_type": "Input should be an object",
    "tuple_type": "Input should be a list",
}
_MOST_NAMED = 3
_MOST_QUOTES = 20_000
_MOST_DEPTH = 32
# Longest run of backslashes before a quote: twice the longest text that a route takes.
_MOST_BACKSLASHES = 8192
# What JSON encoders escape although base64 is made of it: PHP the slash, .NET the plus.
_ESCAPES = ((rb"\/", b"/"), (rb"\u002B", b"+"), (rb"\u002b", b"+"), (rb"\u003D", b"="))
# Stands for a string that was put aside; not to be guessed, so that no client can send it.
_MARK = secrets.token_hex(16) + ":"


def parse(body: bytes, model: type[BaseModel], most_beside: int) -> BaseModel:
    """A JSON text as a model.

    Args:
        body: the text, in UTF-8.
        model: what it should be.
        most_beside: bytes that it may have beside its long strings.

    Raises:
        RefusedError: 413, there is more beside them; 400, it is no JSON or not that model.
    """
    small, aside = _put_aside(body, most_beside)
    try:
        tree = json.loads(small.decode("utf-8"))
    # Not JSON, not UTF-8, an integer of thousands of digits; thousands of brackets.
    except (ValueError, RecursionError):
        raise _no_json() from None
    try:
        return model.model_validate(_put_back(tree, aside))
    except ValidationError as error:
        raise RefusedError(400, problem(error.errors(include_url=False)), code="invalid") from None


def _put_aside(body: bytes, most_beside: int) -> tuple[bytes, list[str]]:
    """A JSON text with marks in place of its long strings, and those strings.

    Searches for quotes only, which costs a few milliseconds whatever was sent.
    """
    beside = len(body)
    kept: list[bytes] = []
    aside: list[str] = []
    copied = quotes = 0
    opening = body.find(b'"')
    while opening >= 0:
        closing = body.find(b'"', opening + 1)
        quotes += 2
        while closing >= 0 and _escaped(body, opening + 1, closing):
            closing = body.find(b'"', closing + 1)
            quotes += 1
            if quotes > _MOST_QUOTES:
                break
        if closing < 0:
            raise _no_json()
        if quotes > _MOST_QUOTES:
            raise RefusedError(
                413,
                f"the request has more than {_MOST_QUOTES} quotes; no route can use as many: "
                "the schema is at /openapi.json",
                code="too_large",
            )
        if closing - opening > LONG_TEXT_BYTES:
            kept.append(body[copied : opening + 1])
            kept.append(f"{_MARK}{len(aside)}".encode())
            aside.append(_plain(body, opening + 1, closing))
            copied = closing
            beside -= closing - opening - 1
        opening = body.find(b'"', closing + 1)
    if beside > most_beside:
        raise too_much_beside(beside, most_beside)
    kept.append(body[copied:])
    return b"".join(kept), aside


def _escaped(body: bytes, begin: int, quote: int) -> bool:
    """Whether that quote stands behind an odd number of backslashes."""
    before = body[max(begin, quote - _MOST_BACKSLASHES) : quote]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1


def _plain(body: bytes, begin: int, end: int) -> str:
    """A long string without its escapes."""
    text: bytes | memoryview = memoryview(body)[begin:end]
    if body.find(b"\\", begin, end) >= 0:
        plain = bytes(text)
        for escaped, meant in _ESCAPES:
            plain = plain.replace(escaped, meant)
        text = plain
    try:
        if isinstance(text, bytes) and b"\\" in text:
            raise ValueError
        return str(text, "ascii")
    except ValueError:
        raise RefusedError(
            400,
            f"a text of {end - begin} bytes in the request is no picture in base64; texts have at "
            f"most {LONG_TEXT_BYTES} bytes: the schema is at /openapi.json",
            code="invalid",
        ) from None


def _put_back(tree: Any, aside: list[str]) -> Any:
    """The long strings in their places; looks at every list and dict, so depth is checked here."""

    def back(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(_MARK):
            return aside[int(value.removeprefix(_MARK))]
        if isinstance(value, (list, dict)):
            waiting.append((value, depth + 1))
        return value

    waiting: list[tuple[Any, int]] = []
    depth = 0
    tree = back(tree)
    while waiting:
        node, depth = waiting.pop()
        if depth > _MOST_DEPTH:
            raise RefusedError(
                400,
                f"the request has lists or objects nested more than {_MOST_DEPTH} deep; no route "
                "asks for that: the schema is at /openapi.json",
                code="invalid",
            )
        if isinstance(node, dict):
            for key, value in node.items():
                node[key] = back(value)
        else:
            node[:] = map(back, node)
    return tree


def problem(errors: Any) -> str:
    """The first of pydantic's errors in a line; after it the fields that are not there: typos."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return str(_no_json())
    came = first.get("input")
    shown = (
        ""
        if came is None or isinstance(came, (dict, BaseModel))
        else f" (came: {json.dumps(str(came)[:60], allow_nan=False)})"
    )
    words = _WORDS.get(first["type"], first["msg"])
    unknown = [_place(error) for error in errors[1:] if error["type"] == _UNKNOWN]
    also = f"; there is no field {' and no '.join(unknown[:_MOST_NAMED])}" if unknown else ""
    return f"{_place(first)}: {words}{shown}{also}; the schema is at /openapi.json"


def _place(error: Any) -> str:
    """Where in the body an error is."""
    parts = [part for part in error["loc"] if part != "body"]
    # Names of fields are the client's own words where they are not known.
    names = [ascii(part)[1:-1] if isinstance(part, str) else str(part) for part in parts]
    return ".".join(names)[:100] or "the body"


def _no_json() -> RefusedError:
    return RefusedError(400, "the body is no JSON; the schema is at /openapi.json", code="invalid")


def too_much_beside(size: int, most: int) -> RefusedError:
    """Refuses that many bytes beside the pictures of a request."""
    return RefusedError(
        413,
        f"the request has {size / 2**10:.0f} KiB or more beside its pictures; this route can use "
        f"at most {most / 2**10:g} KiB: ask for less at once",
        code="too_large",
    )
