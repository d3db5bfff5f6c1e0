"""Packing keeps every prompt as it would be alone, and shows the pictures once."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vlm3
from vlm3.errors import InputError
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation, openai_messages, question_messages

PACKAGE = Path(vlm3.__file__).parent
IMAGE = np.zeros((48, 64, 3), np.uint8)
TASKS = ("depth", "objects", "correspondence", "pose")
qas = st.builds(QA, st.sampled_from(TASKS), st.text(min_size=1), st.text())


def texts(messages: list[dict[str, Any]], role: str) -> list[str]:
    return [
        part["text"]
        for message in messages
        if message["role"] == role
        for part in message["content"]
        if part["type"] == "text"
    ]


def pictures(messages: list[dict[str, Any]]) -> list[int]:
    return [sum(part["type"] == "image" for part in m["content"]) for m in messages]


@given(turns=st.lists(qas, min_size=1, max_size=10), pictures_shown=st.integers(1, 2))
def test_packed_prompts_equal_single_prompts(turns: list[QA], pictures_shown: int) -> None:
    images = (IMAGE,) * pictures_shown
    packed = Conversation(images, tuple(turns))
    singles = [Conversation(images, (turn,)).messages() for turn in turns]
    for role in ("user", "assistant"):
        assert texts(packed.messages(), role) == [t for s in singles for t in texts(s, role)]
    assert pictures(packed.messages()) == [pictures_shown] + [0] * (2 * len(turns) - 1)
    assert all(pictures(single) == [pictures_shown, 0] for single in singles)
    roles = [message["role"] for message in packed.messages()]
    assert roles == ["user", "assistant"] * len(turns)


def test_chat_format() -> None:
    packed = Conversation((IMAGE, IMAGE), (QA("pose", "Where?", "There."), QA("pose", "How far?")))
    assert packed.messages() == [
        {
            "role": "user",
            "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Where?"}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "There."}]},
        {"role": "user", "content": [{"type": "text", "text": "How far?"}]},
    ]


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(InputError, match="needs a question"):
        Conversation((IMAGE,), ())
    with pytest.raises(InputError, match="another question follows"):
        Conversation((IMAGE,), (QA("depth", "How far?"), QA("depth", "And there?")))


def test_openai_form() -> None:
    assert openai_messages(["data:a", "data:b"], "Where?") == [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:a"}},
                {"type": "image_url", "image_url": {"url": "data:b"}},
                {"type": "text", "text": "Where?"},
            ],
        }
    ]
    assert openai_messages([], "Where?") == [{"role": "user", "content": "Where?"}]


@given(urls=st.lists(st.text(), min_size=1, max_size=3), question=st.text())
def test_openai_form_says_the_same(urls: list[str], question: str) -> None:
    (plain,), (made,) = question_messages(len(urls), question), openai_messages(urls, question)
    assert made["role"] == plain["role"]
    back = [{"type": "image"} if part["type"] == "image_url" else part for part in made["content"]]
    assert back == plain["content"]
    assert [p["image_url"]["url"] for p in made["content"] if p["type"] == "image_url"] == urls


def written_messages(tree: ast.AST) -> list[int]:
    """Lines with a dict that is a user's message, or a picture's place in one."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            fields = {
                key.value: value.value if isinstance(value, ast.Constant) else None
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            }
            picture = fields.get("type") in ("image", "image_url")
            message = fields.get("role") in ("user", "system") and "content" in fields
            found += [node.lineno] * (picture or message)
    return found


def test_only_one_module_writes_messages() -> None:
    own = PACKAGE / "tasks" / "conversation.py"
    assert written_messages(ast.parse(own.read_text(encoding="utf-8")))
    others = {
        str(path.relative_to(PACKAGE)): lines
        for path in PACKAGE.rglob("*.py")
        if path != own and (lines := written_messages(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert not others
