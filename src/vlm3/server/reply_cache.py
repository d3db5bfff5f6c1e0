"""Answers kept for the next time the same question is put about the same pictures."""

from collections import OrderedDict

from vlm3.infer.engines.base import Reply
from vlm3.server.jobs import Key


class ReplyCache:
    """Answers by question; those that were used least recently go first. Not for several threads.

    Args:
        most_bytes: what they take together, about.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._replies: OrderedDict[tuple[Key, str], Reply] = OrderedDict()
        self._held_bytes = 0

    def get(self, key: Key, question: str) -> Reply | None:
        """The answer, where it is kept."""
        known = self._replies.get((key, question))
        if known is not None:
            self._replies.move_to_end((key, question))
        return known

    def put(self, key: Key, question: str, reply: Reply) -> None:
        """Keeps an answer, and lets go of others where all would be too much."""
        if (key, question) not in self._replies:
            self._replies[key, question] = reply
            self._held_bytes += _bytes(question, reply)
        while self._held_bytes > self._most_bytes:
            (_, old), forgotten = self._replies.popitem(last=False)
            self._held_bytes -= _bytes(old, forgotten)


def _bytes(question: str, reply: Reply) -> int:
    """About what a remembered answer takes."""
    logp = 0 if reply.logp is None else reply.logp.nbytes
    return 1000 + len(question) + len(reply.text) + 60 * len(reply.pieces) + logp
