"""An engine that speaks by script, where there is no server."""

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from orpheus_client._errors import SpeechError
from orpheus_client._options import DEFAULTS, SpeechOptions
from orpheus_client._results import FinishReason, SpeechStats
from orpheus_client._stream import Events, SpeechStream
from orpheus_client._tally import Tally
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.pcm import Pcm

KEPT_REQUESTS = 1000
TONE_HZ = 440
TONE_LEVEL = 8000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FakeSpeech:
    """What is answered to one request."""

    chunks: tuple[Pcm, ...] | None = None
    """None: a tone, a frame of 85 ms for every character of the text."""
    delay_s: float = 0.0
    """Before each chunk, and before the end."""
    error: SpeechError | None = None
    """Instead of the end."""
    finish_reason: FinishReason = "stop"


class FakeEngine:
    """A `SpeechEngine` for tests of what stands on one.

    Args:
        script: an answer for each request in turn; the last one is for all further ones.
    """

    def __init__(self, *script: FakeSpeech) -> None:
        answers = script or (FakeSpeech(),)
        self._script = chain(answers, repeat(answers[-1]))
        self.requests: deque[tuple[str, SpeechOptions]] = deque(maxlen=KEPT_REQUESTS)
        """The latest ones; older ones are forgotten."""
        self.live = 0
        self.most_live = 0
        self.ended = 0
        self.failed = 0
        self.cancelled = 0

    def speak(self, text: str, options: SpeechOptions = DEFAULTS) -> SpeechStream:
        """The next answer of the script."""
        return SpeechStream(self._events(text, options))

    async def _events(self, text: str, options: SpeechOptions) -> Events:
        self.requests.append((text, options))
        speech = next(self._script)
        chunks = _tone(len(text)) if speech.chunks is None else speech.chunks
        tally = Tally()
        self.live += 1
        self.most_live = max(self.most_live, self.live)
        try:
            for samples in chunks:
                await asyncio.sleep(speech.delay_s)
                yield tally.chunk(samples)
            await asyncio.sleep(speech.delay_s)
            if speech.error:
                raise speech.error
        except SpeechError:
            self.failed += 1
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self.live -= 1
        self.ended += 1
        yield tally.result(speech.finish_reason, _stats(chunks))


def _tone(frames: int) -> tuple[Pcm, ...]:
    time_s = np.arange(frames * SAMPLES_PER_FRAME) / SAMPLE_RATE_HZ
    samples = np.rint(TONE_LEVEL * np.sin(2 * math.pi * TONE_HZ * time_s)).astype(np.int16)
    return tuple(samples.reshape(frames, SAMPLES_PER_FRAME))


def _stats(chunks: tuple[Pcm, ...]) -> SpeechStats:
    samples = sum(len(chunk) for chunk in chunks)
    return SpeechStats(
        frames=-(-samples // SAMPLES_PER_FRAME),
        dropped_tokens=0,
        first_audio_ms=0.0 if samples else None,
        first_audible_ms=0.0 if samples else None,
        generated_s=samples / SAMPLE_RATE_HZ,
        decoded_s=samples / SAMPLE_RATE_HZ,
        windows=len(chunks),
    )
