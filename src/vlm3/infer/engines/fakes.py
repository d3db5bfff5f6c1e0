"""Engines without a model: for tests, for the floor and the ceiling of a metric, and for replays.

The oracle answers from labels, so what it scores is what rounding allows; the constant engine gives
the floor; the replay engine repeats recorded answers of a model.
"""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

from vlm3.errors import InputError
from vlm3.infer.engines.base import Scene, UInt8


class OracleEngine:
    """Answers from labels.

    Args:
        answers: question -> answer; or a function of the question.

    A question that a mapping does not hold raises `KeyError`: labels that miss a question are a
    mistake of the caller, not an answer.
    """

    name = "oracle"

    def __init__(self, answers: Mapping[str, str] | Callable[[str], str]) -> None:
        self._answer = answers if callable(answers) else answers.__getitem__

    def open(self, images: Sequence[UInt8]) -> Scene:
        """Keeps the pictures, unseen."""
        return Scene(tuple(images))

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """Looks every question up."""
        return [self._answer(question) for question in questions]


class ConstantEngine(OracleEngine):
    """Gives every question the same answer."""

    name = "constant"

    def __init__(self, text: str) -> None:
        super().__init__(lambda question: text)


class ReplayEngine:
    """Repeats recorded answers.

    Args:
        path: JSON lines, each with `prompt` and `text`. A prompt that stands there several times
            (the pose questions are the same for every pair) is answered in the file's order.

    Raises:
        InputError: no such file, or a line that is no such record; and in `ask`, a prompt that was
            not recorded, or not as often as it is put.
    """

    name = "replay"

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = Path(path)
        self._texts: dict[str, deque[str]] = defaultdict(deque)
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"cannot read the recorded answers {self._path} ({error}): "
                "give a file of JSON lines with the keys prompt and text"
            ) from error
        for number, line in enumerate(lines, start=1):
            if line.strip():
                prompt, text = self._record(line, number)
                self._texts[prompt].append(text)

    def _record(self, line: str, number: int) -> tuple[str, str]:
        try:
            record = json.loads(line)
            prompt, text = record["prompt"], record["text"]
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{self._path}, line {number} is no recorded answer ({error!r}): "
                'each line must look like {"prompt": "...", "text": "..."}'
            ) from error
        if not (isinstance(prompt, str) and isinstance(text, str)):
            raise InputError(f"{self._path}, line {number}: prompt and text must be strings")
        return prompt, text

    def open(self, images: Sequence[UInt8]) -> Scene:
        """Keeps the pictures, unseen."""
        return Scene(tuple(images))

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """Takes the next recorded answer of every question."""
        return [self._next(question) for question in questions]

    def _next(self, question: str) -> str:
        if not self._texts.get(question):
            raise InputError(
                f"{self._path} holds no (further) answer to {question!r}: "
                "record it with the same protocol, points and picture sizes"
            )
        return self._texts[question].popleft()
