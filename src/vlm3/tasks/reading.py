r"""Reading numbers out of model output: the grammar of a number, and what is not an answer.

A model may write anything of any length. Every pattern here runs over a text of bounded length
with bounded repeats, so that reading takes bounded time; and a number is read only where it stands
whole: `1,234`, `2-3`, `1e999` and a digit of another script give none.
"""

import re

from vlm3.tasks.base import ParseFailure

# Longest text that is read at all: a long chain of thought is a fifth of it.
MAX_CHARS = 100_000

# Sign, at most 15 digits a side, a short exponent. The sign U+2212 is made '-' by `answer_part`.
NUMBER = r"[-+]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][-+]?[0-9]{1,2})?"

# Metres beyond these are a slip of the pen: a hair's breadth, and past the horizon.
SMALLEST_M, LARGEST_M = 1e-4, 1e6

_REFUSAL = re.compile(
    r"\b(?:cannot|can ?not|can['’]t|could ?n[o'’]t|un(?:able|clear|known|sure|certain|determined)"
    r"|impossible|not (?:sure|clear|visible|possible|certain|known|enough|able|shown|present|found)"
    r"|no (?:idea|way|answer|match|correspond\w{0,12}|information)|sorry|(?:do|does)(?: not|n['’]t)"
    r" (?:know|see|appear in|exist|have)|hard to|difficult to|insufficient|n/a|maybe|perhaps)\b",
    re.IGNORECASE,
)


def answer_part(text: str) -> str | ParseFailure:
    """The text after its thinking part, trimmed, with typographic minus signs made ASCII.

    A thinking part runs from `<think>` to `</think>`; to the next `<answer>` or the end where it
    is not closed; and from the start where only its end is there (some chat templates open it).
    """
    if len(text) > MAX_CHARS:
        return ParseFailure(text, f"longer than {MAX_CHARS} characters")
    low = text.lower() if text.isascii() else "".join(c.lower()[:1] or c for c in text)
    kept: list[str] = []
    at = 0
    while True:
        start, end = low.find("<think>", at), low.find("</think>", at)
        if end >= 0 and (start < 0 or end < start):
            kept.clear()
            at = end + len("</think>")
        elif start >= 0:
            kept.append(text[at:start])
            if end < 0:
                end_answer = low.find("<answer>", start)
                kept.append(text[end_answer:] if end_answer >= 0 else "")
                break
            at = end + len("</think>")
        else:
            kept.append(text[at:])
            break
    part = "".join(kept).replace("\u2212", "-").strip()
    return part if part else ParseFailure(text, "empty")


def refuses(text: str) -> bool:
    """Whether the text says, in words, that it holds no answer."""
    return _REFUSAL.search(text) is not None


def metres(text: str, number: str) -> float | ParseFailure:
    """A length as written, or a failure when it is not one that could be meant."""
    value = float(number)
    if not SMALLEST_M <= value <= LARGEST_M:
        return ParseFailure(text, f"{number} is not a length between {SMALLEST_M} and 1000000 m")
    return value
