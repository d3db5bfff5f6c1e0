"""An answer out of the shapes that servers give it: text, likeliest tokens, thoughts, the limit.

Knows no network.
"""

from dataclasses import dataclass
from typing import Any

from vlm3.infer.engines.top_logprobs import Step, step
from vlm3.tasks.reading import CUT_OFF


@dataclass(frozen=True)
class Answer:
    """One answer as it came.

    Attributes:
        text: what was written; None where the message has none.
        steps: likeliest tokens, where they were listed.
        cut: whether the limit ended it.
        thought: whether thinking is in the message.
        fingerprint: of what answered, where the server gives one.
    """

    text: str | None
    steps: tuple[Step, ...] = ()
    cut: bool = False
    thought: bool = False
    fingerprint: str | None = None

    @property
    def wants_room(self) -> bool:
        """Whether thinking took all tokens that were allowed."""
        return self.cut and (self.text is None or self.thought)

    @property
    def words(self) -> str:
        """The text for a parser; one that was cut off says so, and cannot be read."""
        return (self.text or "") + (CUT_OFF if self.cut else "")


def read_answer(choice: Any, fingerprint: Any) -> Answer:
    """Reads an answer.

    Args:
        choice: of the completion, as the openai package gives it.
        fingerprint: what answered, as the server says, if it does.

    Raises:
        ValueError: it is none.
    """
    message = choice.message
    text: Any = message.content
    if isinstance(text, list):
        # Parts, of which some may be thoughts.
        text = "".join(
            part["text"]
            for part in text
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    if text is None:
        text = getattr(message, "refusal", None)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"an answer without text: {str(text)[:80]!r}")
    thought = any(getattr(message, name, None) for name in ("reasoning_content", "reasoning"))
    open_thought = text is not None and "<think>" in text and "</think>" not in text
    cut = choice.finish_reason == "length"
    return Answer(
        # An empty text beside thoughts is no answer; by itself it is one, though nothing is in it.
        text=None if text is None or (not text.strip() and (thought or cut)) else _whole(text),
        steps=_steps(choice),
        cut=cut,
        thought=thought or open_thought,
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
    )


def _whole(text: str) -> str:
    """Without half characters, which JSON can carry and no file can."""
    return text.strip().encode("utf-8", "replace").decode()


def _steps(choice: Any) -> tuple[Step, ...]:
    """What the server says of each token; nothing from one that lists none."""
    listed = getattr(getattr(choice, "logprobs", None), "content", None) or ()
    return tuple(
        step(
            one.token,
            one.logprob,
            [(other.token, other.logprob) for other in one.top_logprobs or ()],
        )
        for one in listed
    )
