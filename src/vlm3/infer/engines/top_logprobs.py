"""Likeliest tokens of every step, as servers and vLLM list them, made into a recorded reply.

A list names some twenty tokens and no others: what is not on it has no probability here, and so
counts as off the grammar. Digits and what ends a number are eleven or twelve, so twenty hold them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vlm3.infer.engines.base import SYMBOLS, Reply

# What special tokens of known families look like; each of them ends an answer.
_END = re.compile(r"|<\|[^|]*\|>|</s>|<eos>|<end_of_turn>")


@dataclass(frozen=True)
class Step:
    """A token that was written, and what might have been.

    Attributes:
        piece: its text; the end as "".
        top: (symbol, natural log of its probability), of those in `SYMBOLS` only.
    """

    piece: str
    top: tuple[tuple[str, float], ...]


def step(token: str, logp: float, top: Iterable[tuple[str, float]]) -> Step:
    """One step of a list.

    Args:
        token: text of the token that was written.
        logp: its own log probability; not every server repeats it in the list.
        top: (text, log probability) of the likeliest tokens.
    """
    chances: dict[str, float] = {}
    others = {(text, value) for text, value in top if text != token}
    for text, value in ((token, logp), *sorted(others)):
        symbol = "" if _END.fullmatch(text) else text
        if symbol in SYMBOLS:
            # Several tokens end an answer: their probabilities add up.
            chances[symbol] = float(np.logaddexp(chances.get(symbol, -np.inf), value))
    return Step("" if _END.fullmatch(token) else token, tuple(chances.items()))


def recorded(text: str, steps: Sequence[Step]) -> Reply:
    """The reply that a local engine would have given."""
    logp = np.full((len(steps), len(SYMBOLS)), -np.inf, np.float32)
    for row, one in zip(logp, steps, strict=True):
        for symbol, value in one.top:
            row[SYMBOLS.index(symbol)] = value
    return Reply(text, tuple(one.piece for one in steps), SYMBOLS, logp)
