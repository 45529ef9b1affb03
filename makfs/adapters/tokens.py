"""How many tokens a program used. By itself: every run has a place for it, few have an adapter."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens."""

    input_tokens: int = 0  # sent, those read from a cache too
    output_tokens: int = 0  # received
    cached_tokens: int = 0  # of those sent, read from a cache
    cost_usd: float = 0.0  # as the program says; 0 where it says nothing

    @property
    def tokens(self) -> int:
        """Return what a budget of tokens counts."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cost_usd + other.cost_usd,
        )
