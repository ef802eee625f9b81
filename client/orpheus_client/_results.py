"""What a caller gets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

from orpheus_client._errors import ProtocolFault
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm

FinishReason = Literal["stop", "length", "loop"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioChunk:
    """A run of samples, contiguous with the chunk before."""

    samples: Pcm
    """[n] int16, 24 kHz mono, n >= 1, read-only."""
    index: int
    """0 for the first chunk."""
    offset_samples: int
    """Position of the first sample in the speech."""

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStats:
    """The server's account of one utterance."""

    frames: int
    """Spoken, 2048 samples each."""
    dropped_tokens: int
    """Of the language model, that were not audio or out of place."""
    first_audio_ms: float | None
    """From the request's arrival; None when no audio was sent before the end."""
    first_audible_ms: float | None
    """The same to the first audible sample; None when all was silent."""
    generated_s: float
    """Length of the speech, before the quiet opening was left out."""
    decoded_s: float
    """Audio that the decoder computed, overlaps included."""
    windows: int
    """Decoder calls."""

    @classmethod
    def from_json(cls, text: str) -> "SpeechStats":
        """The stats from the wire's JSON object; keys of newer servers are ignored.

        Raises:
            ProtocolFault: not an object, or a value is missing or no number.
        """
        try:
            table = json.loads(text)
            values = {field.name: table[field.name] for field in fields(cls)}
        except (ValueError, KeyError, TypeError) as error:
            raise ProtocolFault(f"stats: {error!r} in {text[:40]!r}: the server speaks another contract") from None
        for name, value in values.items():
            _check_number(name, value, optional=name in ("first_audio_ms", "first_audible_ms"))
        return cls(**values)


def _check_number(name: str, value: object, *, optional: bool) -> None:
    if isinstance(value, int | float) or (optional and value is None):
        return
    raise ProtocolFault(f"stats.{name}: {value!r}: the server speaks another contract, a number was expected")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechResult:
    """How a speech ended."""

    finish_reason: FinishReason
    """`stop`: by itself; `length`: cut at the budget; `loop`: cut because it repeated itself."""
    stats: SpeechStats
    first_audio_ms: float | None
    """Measured here, from the call to the first chunk; None when no audio came."""
    duration_s: float
    """Audio received."""


def finish_reason(text: str) -> FinishReason:
    """The wire's finish reason.

    Raises:
        ProtocolFault: an unknown one.
    """
    for known in get_args(FinishReason):
        if text == known:
            return known  # type: ignore[no-any-return]  # get_args forgets that these are the literal's values
    raise ProtocolFault(f"finish_reason: {text[:40]!r}: expected one of {', '.join(get_args(FinishReason))}")


def joined(parts: Sequence[SpeechResult]) -> tuple[FinishReason, SpeechStats]:
    """How the pieces of one speech ended together: `stop` only if all did, the stats' sums, the first one's latencies.

    `parts` is not empty.
    """
    reasons = [part.finish_reason for part in parts]
    stats = [part.stats for part in parts]
    return next((reason for reason in reasons if reason != "stop"), "stop"), SpeechStats(
        frames=sum(s.frames for s in stats),
        dropped_tokens=sum(s.dropped_tokens for s in stats),
        first_audio_ms=stats[0].first_audio_ms,
        first_audible_ms=stats[0].first_audible_ms,
        generated_s=sum(s.generated_s for s in stats),
        decoded_s=sum(s.decoded_s for s in stats),
        windows=sum(s.windows for s in stats),
    )
