"""What a listener would hear: a pure model of playing a stream as it arrives."""

from dataclasses import dataclass

from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm
from orpheus_core.silence import first_audible_sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One speech as the listener had it."""

    first_audible_s: float | None
    """When the first audible sample arrived; None if all was silent."""
    stalls: int
    """How often the audio ran out before its end."""
    stalled_s: float
    """How long it was out, together."""


class Listener:
    """Plays in real time from `buffer_ms` after the first audible sample arrived, and waits where audio is late.

    Time is what the caller says it is, in seconds from any start. The quiet opening is not played: it would count as a
    buffer that a real listener does not have.
    """

    def __init__(self, *, buffer_ms: float) -> None:
        self._buffer_s = buffer_ms / 1000
        self._first_audible_s: float | None = None
        self._played_until_s = 0.0
        """When everything that has arrived will have been played."""
        self._stalls = 0
        self._stalled_s = 0.0

    def push(self, samples: Pcm, *, at_s: float) -> None:
        """Samples [n] that arrived at `at_s`."""
        if self._first_audible_s is None:
            onset = first_audible_sample(samples)
            if onset is None:
                return
            samples = samples[onset:]
            self._first_audible_s = at_s
            self._played_until_s = at_s + self._buffer_s
        elif at_s > self._played_until_s:
            self._stalls += 1
            self._stalled_s += at_s - self._played_until_s
            self._played_until_s = at_s
        self._played_until_s += len(samples) / SAMPLE_RATE_HZ

    def flush(self) -> Heard:
        """What was heard."""
        return Heard(first_audible_s=self._first_audible_s, stalls=self._stalls, stalled_s=self._stalled_s)
