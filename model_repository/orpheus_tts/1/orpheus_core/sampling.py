"""What the language model is told about sampling."""

import json
import math
from dataclasses import dataclass

from orpheus_core.checkpoint import Checkpoint, Sampling
from orpheus_core.errors import InvalidInput
from orpheus_core.layout import TOKENS_PER_FRAME

RANGES = {"temperature": (0.1, 1.5), "top_p": (0.05, 1.0), "repetition_penalty": (1.0, 2.0)}
"""Outside these Orpheus falls silent, loops or babbles; near-greedy sampling gives loops."""


def checked(field: str, value: float, low: float, high: float) -> float:
    """The value, if it is a number within [low, high].

    Raises:
        InvalidInput: NaN, infinite or outside the range.
    """
    # The inputs are float32: 0.1 arrives as 0.10000000149, 1.1 as 1.10000002384.
    rounded = float(f"{value:.6g}")
    if not (math.isfinite(rounded) and low <= rounded <= high):
        raise InvalidInput(field, rounded, f"send a number from {low:g} to {high:g}")
    return rounded


def checked_sampling(given: dict[str, float], defaults: Sampling) -> Sampling:
    """The checkpoint's sampling with the fields that the caller gave, each within its range."""
    values = {
        field: checked(field, given.get(field, getattr(defaults, field)), low, high)
        for field, (low, high) in RANGES.items()
    }
    return Sampling(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One call of the language model."""

    prompt: str
    max_frames: int
    sampling: Sampling
    seed: int | None

    def sampling_parameters(self, checkpoint: Checkpoint) -> str:
        """vLLM's sampling parameters as JSON: a fixed set of keys, no default of vLLM's relied upon."""
        body: dict[str, object] = {
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "repetition_penalty": self.sampling.repetition_penalty,
            # One more than the frames need, so that a speech that ends right there is seen to end.
            "max_tokens": TOKENS_PER_FRAME * self.max_frames + 1,
            "stop_token_ids": list(checkpoint.stop_token_ids),
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
        }
        if self.seed is not None:
            body["seed"] = self.seed
        return json.dumps(body)
