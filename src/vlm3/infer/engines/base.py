"""What an engine is: it opens pictures once and answers many questions about them, in text.

Everything above this line is protocol and geometry, everything below it is a model. An engine knows
neither cameras nor tasks, and their callers know neither tokens nor devices.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from vlm3.errors import InputError
from vlm3.infer.decoding.grammar import Grammar

UInt8 = npt.NDArray[np.uint8]

SYMBOLS = (*"0123456789", ".", "+", "-", " +", " -", " ", ",", ")", "")
"""What numbers are written with and what ends them; "" is the end of an answer.

A sign may be one token with the space before it."""


@dataclass(frozen=True)
class Scene:
    """Pictures that an engine has opened. Leaving the `with` block lets go of what it holds.

    An engine that prepares pictures (encodes them, keeps a prefix) returns a subclass.

    Attributes:
        images: each (H, W, 3), at the size the model reads.
    """

    images: tuple[UInt8, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of what the scene holds; a plain scene holds nothing but the pictures."""


@dataclass(frozen=True, eq=False)
class Reply:
    """An answer and what stood behind it.

    Attributes:
        text: the answer without special tokens.
        pieces: text of every token written, the end token as "".
        symbols: what `logp` speaks of, of `SYMBOLS` those that the model has as one token.
        logp: (len(pieces), len(symbols)) natural log of each symbol's probability at each step,
            among all tokens the model has; None where it was not recorded.
    """

    text: str
    pieces: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    logp: npt.NDArray[np.float32] | None = None


class Engine(Protocol):
    """Answers questions about pictures, each question on its own."""

    @property
    def name(self) -> str:
        """What answers: names the model, or the fake."""

    def open(self, images: Sequence[UInt8]) -> Scene:
        """Opens pictures, in the order the questions number them.

        Args:
            images: each (H, W, 3); both sides multiples of what the model's patches need.
        """

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """Answers every question as if it were the only one.

        Args:
            scene: from this engine's `open`.
            questions: complete prompts, without chat markup.
            max_new_tokens: an answer that is not finished by then is cut off there.

        Returns:
            The answers in the order of the questions, without special tokens.
        """


@runtime_checkable
class RecordingEngine(Engine, Protocol):
    """An engine that also gives the probabilities of other answers."""

    def reply(
        self,
        scene: Scene,
        questions: Sequence[str],
        *,
        max_new_tokens: int,
        grammar: Grammar | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Reply]:
        """Answers as `ask` does, with the distribution of every step.

        Args:
            scene: from this engine's `open`.
            questions: complete prompts, without chat markup.
            max_new_tokens: an answer that is not finished by then is cut off there.
            grammar: a form that answers must have.
            progress: called now and then with how many more answers there are.
        """


@dataclass(frozen=True)
class AnswerOptions:
    """How questions are to be answered.

    Attributes:
        max_new_tokens: an answer that is not finished by then is cut off there.
        grammar: a form that answers must have.
        progress: called now and then with how many more answers there are.
        record: whether the distributions of every step are wanted.
    """

    max_new_tokens: int
    grammar: Grammar | None = None
    progress: Callable[[int], None] | None = None
    record: bool = True


class AnswersByReply(ABC):
    """What recording engines have in common: an answer is a reply without its distributions.

    Attributes:
        name: see `Engine`.
        holds_forms: whether it can hold answers to a form.
    """

    name: str
    holds_forms: ClassVar[bool] = False

    @abstractmethod
    def _replies(
        self, scene: Scene, questions: Sequence[str], options: AnswerOptions
    ) -> list[Reply]:
        """Answers questions, at least one, in their order."""

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """As `Engine.ask`; raises what the engine's class says."""
        options = AnswerOptions(max_new_tokens, record=False)
        return [reply.text for reply in self._checked(scene, questions, options)]

    def reply(
        self,
        scene: Scene,
        questions: Sequence[str],
        *,
        max_new_tokens: int,
        grammar: Grammar | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Reply]:
        """As `RecordingEngine.reply`; raises what the engine's class says.

        Raises:
            InputError: a grammar, where the engine cannot hold answers to a form.
        """
        options = AnswerOptions(max_new_tokens, grammar, progress)
        return self._checked(scene, questions, options)

    def _checked(
        self, scene: Scene, questions: Sequence[str], options: AnswerOptions
    ) -> list[Reply]:
        if options.grammar is not None and not self.holds_forms:
            raise InputError(f"{self.name} cannot be held to a form of answers; leave grammar out")
        return self._replies(scene, questions, options) if questions else []
