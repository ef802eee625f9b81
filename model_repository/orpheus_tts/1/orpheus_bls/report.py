"""What a stream tells of itself."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

FinishReason = Literal["stop", "length", "loop"]
"""By itself; cut at its budget; cut because it repeated itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The `stats` output, and what the metrics are fed with."""

    frames: int
    """Generated, 2048 samples each."""
    dropped_tokens: int
    """Tokens that were not audio or out of place."""
    first_audio_ms: float | None
    """From the request's arrival to the first samples sent; None if none were sent before the final response."""
    first_audible_ms: float | None
    """From the request's arrival to the samples in which speech becomes audible; None if it never does."""
    generated_s: float
    """Length of the speech, the quiet opening included."""
    decoded_s: float
    """Real audio that the decoder computed, overlaps included."""
    padded_s: float
    """The same with the windows' padding."""
    windows: int
    """Decoder calls."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), separators=(",", ":"))
