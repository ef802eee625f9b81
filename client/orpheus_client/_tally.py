"""What one speech has given so far."""

import asyncio

from orpheus_client._results import AudioChunk, FinishReason, SpeechResult, SpeechStats
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm


class Tally:
    """Numbers the chunks of one speech and notes when the first one came; the clock starts when this is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._first_audio_ms: float | None = None
        self._samples = 0
        self.chunks = 0

    def chunk(self, samples: Pcm) -> AudioChunk:
        """The next chunk; `samples` is not empty."""
        if self._first_audio_ms is None:
            self._first_audio_ms = (self._loop.time() - self._started_at) * 1000
        chunk = AudioChunk(samples=samples, index=self.chunks, offset_samples=self._samples)
        self.chunks += 1
        self._samples += len(samples)
        return chunk

    def result(self, reason: FinishReason, stats: SpeechStats) -> SpeechResult:
        """The end of the speech."""
        return SpeechResult(
            finish_reason=reason,
            stats=stats,
            first_audio_ms=self._first_audio_ms,
            duration_s=self._samples / SAMPLE_RATE_HZ,
        )
