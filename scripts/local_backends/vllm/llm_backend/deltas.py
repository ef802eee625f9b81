"""Pieces of a generation, and how they are gathered into responses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TokenLogprobs = dict[int, Any]
"""For one position: token id → vLLM's `Logprob`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What came since the delta before."""

    text: str = ""
    tokens: int = 0
    prompt_tokens: int = 0
    finish_reason: str | None = None
    """Set in the last one: `stop` or `length`."""
    logprobs: Sequence[TokenLogprobs] | None = None
    cumulative_logprob: float | None = None
    """Of everything so far."""

    def __add__(self, later: "Delta") -> "Delta":
        joined = None if later.logprobs is None else [*(self.logprobs or ()), *later.logprobs]
        return Delta(
            text=self.text + later.text,
            tokens=self.tokens + later.tokens,
            prompt_tokens=later.prompt_tokens,
            finish_reason=later.finish_reason,
            logprobs=joined if joined is not None else self.logprobs,
            cumulative_logprob=later.cumulative_logprob,
        )


class Groups:
    """Gathers deltas until they hold enough tokens.

    `push` returns a group once it is full, or when the delta is the last one; nothing is left over after that.

    Args:
        tokens: of a group, at least; None gathers everything.
    """

    def __init__(self, tokens: int | None) -> None:
        self._tokens = tokens
        self._waiting: Delta | None = None

    def push(self, delta: Delta) -> Delta | None:
        group = self._waiting + delta if self._waiting else delta
        is_full = self._tokens is not None and group.tokens >= self._tokens
        if is_full or group.finish_reason is not None:
            self._waiting = None
            return group
        self._waiting = group
        return None
