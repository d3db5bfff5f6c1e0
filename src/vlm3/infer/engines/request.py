"""The form of a server's requests, and how it changes when the server refuses something.

Newer models of some vendors take no temperature, or want the limit under another name; others list
no likeliest tokens; models that think first need room for it. Each is learnt from the first refusal
and kept to. Knows no network.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

# Likeliest tokens requested at each step: what OpenAI and vLLM allow, what some others do, none.
_TOP = (20, 5, 0)
ROOM_TO_THINK = 8192
"""Tokens allowed to a model that thinks before it answers."""
_LEAST_ROOM = 1024

_NEVER = re.compile(
    r"unsupported|not (?:supported|allowed|permitted|available|there)|does ?n[o']t support"
    r"|un(?:known|recognized|expected)|extra|leave it out",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(r"token|context|length|too (?:large|long|big)", re.IGNORECASE)


@dataclass(frozen=True)
class Manner:
    """What a request holds beside model and messages.

    Attributes:
        limit_name: of the longest answer, in the request.
        temperature: whether 0 is sent.
        top: likeliest tokens requested; 0 for none.
        room: tokens allowed at least, for a model that thinks first.
        may_widen: whether more room may be tried.
    """

    limit_name: str = "max_tokens"
    temperature: bool = True
    top: int = _TOP[0]
    room: int = 0
    may_widen: bool = True

    def arguments(self, max_new_tokens: int) -> dict[str, Any]:
        """For `chat.completions.create` of the openai package."""
        found: dict[str, Any] = {"extra_body": {self.limit_name: max(max_new_tokens, self.room)}}
        if self.temperature:
            found["temperature"] = 0
        if self.top:
            found |= {"logprobs": True, "top_logprobs": self.top}
        return found

    def widened(self) -> "Manner":
        """With room to think."""
        return replace(self, room=ROOM_TO_THINK)

    def after(self, refusal: str) -> tuple["Manner", str] | None:
        """How to ask after a refusal, and what to tell people; None where nothing helps.

        Every change gives something up, so that a server cannot refuse for ever.
        """
        if self.limit_name == "max_tokens" and (
            "max_completion_tokens" in refusal
            or ("max_tokens" in refusal and _NEVER.search(refusal) and not self.room)
        ):
            return replace(self, limit_name="max_completion_tokens"), ""
        if self.temperature and "temperature" in refusal:
            return (
                replace(self, temperature=False),
                "it takes no temperature: answers may differ from one run to the next",
            )
        if self.top and "logprobs" in refusal:
            fewer = 0 if _NEVER.search(refusal) else _TOP[_TOP.index(self.top) + 1]
            return (
                replace(self, top=fewer),
                "" if fewer else "it lists no likeliest tokens: answers come without intervals",
            )
        if self.room and _TOO_LONG.search(refusal):
            smaller = self.room // 2
            if smaller >= _LEAST_ROOM:
                return replace(self, room=smaller), ""
            return replace(self, room=0, may_widen=False), "it has no room for a model that thinks"
        return None
