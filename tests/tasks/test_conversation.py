"""Packing keeps every prompt as it would be alone, and shows the pictures once."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation

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
