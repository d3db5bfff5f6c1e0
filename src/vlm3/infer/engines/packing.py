"""Several questions in one request, for servers that share no prefix: numbered lines, both ways."""

import re
from collections.abc import Sequence

_LINE = re.compile(r"\s*([0-9]{1,3})[.):]\s*(.*)")


def numbered(questions: Sequence[str]) -> str:
    """The questions as one prompt."""
    lines = [f"{number}. {question}" for number, question in enumerate(questions, start=1)]
    return "\n".join(
        [
            f"Answer these {len(questions)} questions, each on its own. Write {len(questions)} "
            "lines, each with the number of its question and nothing but the answer.",
            *lines,
        ]
    )


def split(text: str, count: int) -> list[str] | None:
    """The answers of numbered lines; None unless there is exactly one for each question."""
    found = [_LINE.fullmatch(line) for line in text.splitlines() if line.strip()]
    if [m and int(m[1]) for m in found] != list(range(1, count + 1)):
        return None
    return [m[2].strip() for m in found if m]
