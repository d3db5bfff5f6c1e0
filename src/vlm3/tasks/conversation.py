"""Packing (paper, section 3.1): the pictures once, many questions about them.

Shared by training and inference, so that a prompt cannot differ between the two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vlm3.errors import InputError
from vlm3.tasks.base import QA
from vlm3.view import View


@dataclass(frozen=True, eq=False)
class Conversation:
    """Questions about the same pictures, in the order they are put.

    Attributes:
        views: the pictures, one or two.
        turns: the questions; only the last may lack its answer.

    Raises:
        InputError: no picture, no question, or an unanswered question before the last.
    """

    views: tuple[View, ...]
    turns: tuple[QA, ...]

    def __post_init__(self) -> None:
        if not self.views or not self.turns:
            raise InputError(
                f"a conversation needs a picture and a question; got {len(self.views)} pictures "
                f"and {len(self.turns)} questions"
            )
        for turn in self.turns[:-1]:
            if turn.answer is None:
                raise InputError(
                    f"{turn.question!r} has no answer, but another question follows; "
                    "answer it, or split the conversation"
                )

    def messages(self) -> list[dict[str, Any]]:
        """Chat messages: the pictures once, before the first question.

        Each is {"role": "user" | "assistant", "content": [...]}, whose items are {"type": "image"}
        and {"type": "text", "text": ...}. The pixels are not in it; they are `views`, in order.
        """
        messages: list[dict[str, Any]] = []
        content: list[dict[str, str]] = [{"type": "image"} for _ in self.views]
        for turn in self.turns:
            content.append({"type": "text", "text": turn.question})
            messages.append({"role": "user", "content": content})
            if turn.answer is not None:
                reply = [{"type": "text", "text": turn.answer}]
                messages.append({"role": "assistant", "content": reply})
            content = []
        return messages

    def split(self) -> tuple["Conversation", ...]:
        """One conversation a question: what is asked when each must see only the pictures."""
        return tuple(Conversation(self.views, (turn,)) for turn in self.turns)


def pack(views: Sequence[View], qas: Iterable[QA]) -> Conversation:
    """Many questions about the same pictures as one conversation."""
    return Conversation(tuple(views), tuple(qas))
