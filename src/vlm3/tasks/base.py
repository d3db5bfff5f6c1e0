"""Types that every task shares: questions, answers, and the failure to read one.

Knows no model and no picture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TaskName = str
"""What a task is called: a name in `vlm3.tasks.registry.TASKS`."""
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class ParseFailure:
    """A text from which no answer could be read: a value like any other, and falsy.

    Attributes:
        text: what the model wrote, whole.
        reason: why it was not read, in a few words.
    """

    text: str
    reason: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class QA:
    """One question about one or two pictures, with its answer where it is known."""

    task: TaskName
    question: str
    answer: str | None = None
