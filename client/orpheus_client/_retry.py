"""When a request that failed before its first audio is made again."""

import math
import random
from dataclasses import dataclass, field

from orpheus_client._errors import InvalidInput, SpeechError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and after how long."""

    max_attempts: int = 2
    """With the first one; 1 switches retries off."""
    backoff_s: float = 0.1
    """Before the second attempt; doubled before each further one."""
    max_backoff_s: float = 1.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise InvalidInput(f"max_attempts: {self.max_attempts}: give 1 or more")

    def pause_s(self, failures: int, *, chance: float) -> float:
        """Seconds to wait after `failures` failed attempts; `chance` in [0, 1) spreads callers over half of it."""
        longest_s: float = min(self.backoff_s * 2 ** (failures - 1), self.max_backoff_s)
        return longest_s * (0.5 + 0.5 * chance)


@dataclass(slots=True, kw_only=True)
class RetryBudget:
    """Keeps retries a small share of the requests, so that they cannot double the load of a server in trouble.

    Every request earns `ratio` of a retry; `reserve` of them are there from the start and at most so many are saved up.
    """

    ratio: float = 0.1
    reserve: float = 10.0
    _saved: float = field(init=False, repr=False, default=0.0)

    def __post_init__(self) -> None:
        if not (0 <= self.ratio <= 1 and math.isfinite(self.reserve) and self.reserve >= 0):
            raise InvalidInput(f"retry budget: ratio {self.ratio}, reserve {self.reserve}: give 0 to 1, and 0 or more")
        self._saved = self.reserve

    def earn(self) -> None:
        """A new request was made."""
        self._saved = min(self.reserve, self._saved + self.ratio)

    def spend(self) -> bool:
        """Takes one retry, if there is one."""
        # Ten tenths do not add up to one in binary.
        if self._saved < 1 - 1e-9:
            return False
        self._saved -= 1
        return True


class Retries:
    """The attempts of one utterance."""

    def __init__(self, policy: RetryPolicy, budget: RetryBudget) -> None:
        self._policy = policy
        self._budget = budget
        self._failures = 0
        budget.earn()

    def pause_s(self, error: SpeechError, *, left_s: float) -> float | None:
        """Seconds to wait before the next attempt, or None when `error` stands.

        Args:
            left_s: time that is left for the first audio.
        """
        self._failures += 1
        if not error.retryable or self._failures >= self._policy.max_attempts:
            return None
        pause_s = self._policy.pause_s(self._failures, chance=random.random())  # noqa: S311  (jitter, not a secret)
        return pause_s if pause_s < left_s and self._budget.spend() else None
