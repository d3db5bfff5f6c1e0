"""Conversations: pictures once, then questions about them, and the only writer of chat messages.

QA packing (paper, section 3.1) is many questions in one conversation. Training, the engines of
this process, servers and exports all take their messages from here, so that a prompt cannot differ
between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.tasks.base import QA

Message = dict[str, Any]
"""{"role": "user" | "assistant", "content": [{"type": "image"} or {"type": "text", "text": ...}]};
pictures stand beside the messages, in their order."""


def messages(pictures: int, turns: Sequence[QA]) -> list[Message]:
    """Chat messages: so many pictures before the first question, then questions and answers."""
    made: list[Message] = []
    content: list[dict[str, str]] = [{"type": "image"} for _ in range(pictures)]
    for turn in turns:
        content.append({"type": "text", "text": turn.question})
        made.append({"role": "user", "content": content})
        if turn.answer is not None:
            reply = [{"type": "text", "text": turn.answer}]
            made.append({"role": "assistant", "content": reply})
        content = []
    return made


def question_messages(pictures: int, question: str) -> list[Message]:
    """One question about so many pictures, to be answered."""
    return messages(pictures, [QA("", question)])


def openai_messages(urls: Sequence[str], question: str) -> list[Message]:
    """The same for OpenAI's API: pictures are URLs; without one, the question is a plain text."""
    if not urls:
        # Servers of models that see no pictures take nothing else.
        return [{**message, "content": question} for message in question_messages(0, question)]
    shown = iter(urls)
    return [
        {
            **message,
            "content": [
                {"type": "image_url", "image_url": {"url": next(shown)}}
                if part["type"] == "image"
                else part
                for part in message["content"]
            ],
        }
        for message in question_messages(len(urls), question)
    ]


@dataclass(frozen=True, eq=False)
class Conversation:
    """Questions about the same pictures, in the order they are put.

    Attributes:
        images: the pictures at their final size, (H, W, 3) each.
        turns: the questions; only the last may lack its answer.

    Raises:
        InputError: no question, or an unanswered question before the last.
    """

    images: tuple[NDArray[np.uint8], ...]
    turns: tuple[QA, ...]

    def __post_init__(self) -> None:
        if not self.turns:
            raise InputError("a conversation needs a question")
        for turn in self.turns[:-1]:
            if turn.answer is None:
                raise InputError(
                    f"{turn.question!r} has no answer, but another question follows; "
                    "answer it, or split the conversation"
                )

    def messages(self) -> list[Message]:
        """Chat messages; see `messages`."""
        return messages(len(self.images), self.turns)
