"""Reading model output: what is left after the thinking, what a number is, what a refusal.

A model may write anything, of any length. The text that is searched is bounded and its spaces are
single, and every pattern repeats a bounded number of times, so that reading takes bounded time. A
number is read only where it stands whole: `1,234`, `2-3`, `1e999`, or a digit of another script
give none.
"""

import re

from vlm3.tasks.base import ParseFailure

# Longest text that is read at all: several times the longest chain of thought.
MAX_CHARS = 100_000

# Sign, at most 15 digits a side, a short exponent; longer ones are not numbers anybody meant.
# Atomic, so that `6.e999` is not read as its beginning, 6.
NUMBER = r"(?>[-+]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][-+]?[0-9]{1,2})?)"

# Lengths beyond these are slips: less than a hair, or past the horizon.
SMALLEST_M, LARGEST_M = 1e-4, 1e6

CUT_OFF = " [cut off]"
"""Ends a text that a token limit ended: a number at its end may be half of one."""

_TAG = re.compile(r"<(think|/think|answer)>", re.IGNORECASE)

_REFUSAL = re.compile(
    r"\b(?:cannot|can not|can['’]?t|could ?n['’]?t|could not|un(?:able|clear|known|sure|certain)"
    r"|undetermined|impossible|insufficient|ambiguous|sorry|refuse|none|neither"
    r"|not (?:\w{1,12} )?(?:sure|clear|visible|possible|certain|known|enough|able|shown|present"
    r"|found|seen|determined|there|given|available)"
    r"|no (?:idea|way|answer|match|matching|correspond\w{0,12}|information|such)"
    r"|(?:do|does|did)(?: not|n['’]?t) (?:know|see|exist|find|move"
    r"|appear (?:in the (?:second|other|image|picture|view)|anywhere))"
    r"|hard to|difficult to|out of view|n/a)(?!\w)"
)


def answer_part(text: str) -> str | ParseFailure:
    """The answer without its thinking: spaces single, typographic minus signs made ASCII.

    Thinking runs from `<think>` to `</think>`; where it is not closed, to the next `<answer>` or to
    the end; where it was not opened (some chat templates open it in the prompt), from the start.
    """
    if len(text) > MAX_CHARS:
        return ParseFailure(text, f"longer than {MAX_CHARS} characters")
    if text.endswith(CUT_OFF):
        return ParseFailure(text, "cut off by the limit of tokens")
    spoken = _without_thinking(text) if "<" in text else text
    part = " ".join(spoken.replace("\u2212", "-").split())
    return part if part else ParseFailure(text, "empty")


def in_form(form: re.Pattern[str], text: str, what: str) -> re.Match[str] | ParseFailure:
    """Where an answer, without its thinking, has the form of a protocol; `what` stands in it."""
    part = answer_part(text)
    if isinstance(part, ParseFailure):
        return part
    return form.search(part) or ParseFailure(text, f"no {what} in the expected form")


def _without_thinking(text: str) -> str:
    return spoken_between(
        text, [(tag[1].lower(), tag.start(), tag.end()) for tag in _TAG.finditer(text)]
    )


def spoken_between(text: str, tags: list[tuple[str, int, int]]) -> str:
    """The text outside its thinking.

    Args:
        text: the whole text.
        tags: "think", "/think" or "answer", start and end of each tag in the text, in order.
    """
    last_close = max((start for kind, start, _ in tags if kind == "/think"), default=-1)
    kept: list[str] = []
    at = 0
    thinking = False
    for kind, start, end in tags:
        if kind == "think" and not thinking:
            kept.append(text[at:start])
            thinking = True
        elif kind == "/think":
            if not thinking:
                kept.clear()
            thinking, at = False, end
        elif kind == "answer" and thinking and start > last_close:
            thinking, at = False, start
    if not thinking:
        kept.append(text[at:])
    return "".join(kept)


def refuses(part: str) -> bool:
    """Whether the answer says in words that there is none."""
    return _REFUSAL.search(part.lower()) is not None


def length_in_metres(text: str, value_m: float) -> float | ParseFailure:
    """The length itself, or a failure when nobody could mean it (0, negative, absurd)."""
    if not SMALLEST_M <= value_m <= LARGEST_M:
        return ParseFailure(
            text, f"{value_m:g} m is not a length between {SMALLEST_M:g} and {LARGEST_M:g} m"
        )
    return value_m
