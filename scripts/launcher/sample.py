"""The sentence that shows that a server speaks: through the public contract, into a WAV file."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from launcher.errors import LaunchError
from orpheus_client import SpeechClient, SpeechError, SpeechOptions, write_wav
from orpheus_core.layout import SAMPLE_RATE_HZ

TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What came of a sentence."""

    path: Path | None
    first_audio_ms: float
    """From sending the request to its first audio."""
    audio_s: float
    wall_s: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for a second of audio; below 1 is faster than real time."""
        return self.wall_s / self.audio_s


def speak(url: str, text: str, *, voice: str | None, out: Path | None) -> Sample:
    """Speaks `text` on the server at `url` (`host:port`) and writes it to `out`, if given.

    Raises:
        LaunchError: the server refused, failed, or took longer than `TIMEOUT_S`.
    """
    try:
        return asyncio.run(asyncio.wait_for(_speak(url, text, voice=voice, out=out), TIMEOUT_S))
    except TimeoutError:
        raise LaunchError(f"no speech within {TIMEOUT_S:.0f} s") from None
    except SpeechError as error:
        raise LaunchError(f"the server did not speak: {error}") from None


async def _speak(url: str, text: str, *, voice: str | None, out: Path | None) -> Sample:
    pieces: list[np.ndarray] = []
    first_audio_s = 0.0
    async with SpeechClient(url) as client:
        started = time.monotonic()
        async for chunk in client.speak(text, SpeechOptions(voice=voice)):
            if not pieces:
                first_audio_s = time.monotonic() - started
            pieces.append(chunk.samples)
        wall_s = time.monotonic() - started
    samples = np.concatenate(pieces)
    if out:
        write_wav(out, samples)
    return Sample(path=out, first_audio_ms=first_audio_s * 1000, audio_s=len(samples) / SAMPLE_RATE_HZ, wall_s=wall_s)
