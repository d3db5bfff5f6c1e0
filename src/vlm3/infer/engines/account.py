"""Account of a server's use: requests, tokens, money."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Account:
    """What a run took.

    Attributes:
        requests: that were answered.
        retries: that had to be sent again.
        from_cache: questions that were not sent, because an earlier run had their answers.
        prompt_tokens: as the server counts them.
        cached_tokens: of them, those it had in its cache.
        completion_tokens: as the server counts them.
    """

    requests: int = 0
    retries: int = 0
    from_cache: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, **more: int) -> "Account":
        """With more of something."""
        return replace(self, **{name: getattr(self, name) + n for name, n in more.items()})

    def cost(self, *, prompt: float, completion: float, cached: float | None = None) -> float:
        """The price, from prices of a million tokens; cached ones cost as others if not given."""
        plain = self.prompt_tokens - self.cached_tokens
        held = self.cached_tokens * (prompt if cached is None else cached)
        return (plain * prompt + held + self.completion_tokens * completion) / 1e6
