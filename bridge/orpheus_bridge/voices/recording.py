"""A recording that somebody sent, as samples that can be spoken from."""

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orpheus_bridge.errors import BadRequest, Busy, Late, TooLarge
from orpheus_bridge.voices.child import Answer, ChildFailed, ChildLimits, run_child
from orpheus_bridge.voices.options import UploadOptions
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.length import MAX_REFERENCE_FRAMES
from orpheus_core.pcm import FULL_SCALE, Pcm

KEPT_SAMPLES = MAX_REFERENCE_FRAMES * SAMPLES_PER_FRAME
"""The longest reference, in whole frames: just below 30 s."""

KEPT_S = KEPT_SAMPLES / SAMPLE_RATE_HZ
BLOCK_SAMPLES = SAMPLE_RATE_HZ // 100
AUDIBLE_LEVEL = 0.003
"""RMS of a block of 10 ms, full scale 1.0; -50 dB, far below quiet speech and above the noise of a muted microphone."""

SCRIPT = Path(__file__).with_name("_decode.py")
FIELD = "file"


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """24 kHz mono, at most `KEPT_S`."""

    samples: Pcm
    source_s: float
    """Length of what was sent."""

    @property
    def is_trimmed(self) -> bool:
        return self.source_s > len(self.samples) / SAMPLE_RATE_HZ + 0.1

    def wav(self) -> bytes:
        """As a file."""
        file = io.BytesIO()
        with wave.open(file, "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(SAMPLE_RATE_HZ)
            wav.writeframes(self.samples.astype("<i2").tobytes())
        return file.getvalue()


class RecordingReader:
    """Decodes recordings in child processes, a few at once; some may wait, more are refused."""

    def __init__(self, options: UploadOptions) -> None:
        self._options = options
        self._processes = asyncio.Semaphore(options.processes)
        self._waiting = 0

    async def read(self, data: bytes) -> Recording:
        """
        Raises:
            errors.TooLarge: more bytes than are taken.
            errors.BadRequest: no usable recording, with the reason.
            errors.Busy: too many wait already.
            errors.Late: the machine is too busy to look at it.
        """
        if len(data) > self._options.max_bytes:
            raise TooLarge(f"{FIELD}: {len(data)} bytes: send at most {self._options.max_bytes}", param=FIELD)
        async with self._turn():
            answer = await self._decoded(data)
        if "refused" in answer.table:
            raise _unusable(str(answer.table["refused"]))
        samples = np.frombuffer(answer.data, "<i2").astype(np.int16)
        self._check_content(samples)
        return Recording(samples, float(answer.table["source_s"]))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._processes.locked() and self._waiting >= self._options.waiting:
            raise Busy("too many recordings are being looked at, try again")
        self._waiting += 1
        try:
            await self._processes.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._processes.release()

    async def _decoded(self, data: bytes) -> Answer:
        given = self._options
        request = {
            "rate_hz": SAMPLE_RATE_HZ,
            "kept_samples": KEPT_SAMPLES,
            "max_source_s": given.max_source_s,
            "max_source_samples": given.max_source_samples,
        }
        limits = ChildLimits(
            wall_s=given.wall_s,
            cpu_s=given.cpu_s,
            memory_bytes=given.memory_bytes,
            max_answer_bytes=2 * KEPT_SAMPLES + 4096,
        )
        try:
            return await run_child(SCRIPT, request, data, limits)
        except ChildFailed:
            raise _unusable("cannot be decoded within the limits of time and memory") from None
        except TimeoutError:
            raise Late("looking at the recording took too long, try again") from None

    def _check_content(self, samples: Pcm) -> None:
        given = self._options
        if len(samples) < given.min_s * SAMPLE_RATE_HZ:
            raise _unusable(f"is {len(samples) / SAMPLE_RATE_HZ:.1f} s long, at least {given.min_s:g} s are needed")
        heard_s = audible_s(samples)
        if heard_s < given.min_audible_s:
            raise _unusable(f"is silent but for {heard_s:.1f} s, at least {given.min_audible_s:g} s must be heard")


def audible_s(samples: Pcm) -> float:
    """Seconds of it that can be heard."""
    blocks = len(samples) // BLOCK_SAMPLES
    audio = samples[: blocks * BLOCK_SAMPLES].astype(np.float32) / np.float32(FULL_SCALE)
    # A constant offset is no sound.
    rms = np.std(audio.reshape(blocks, BLOCK_SAMPLES), axis=1)
    return float(np.count_nonzero(rms >= AUDIBLE_LEVEL) * BLOCK_SAMPLES / SAMPLE_RATE_HZ)


def _unusable(reason: str) -> BadRequest:
    return BadRequest(f"{FIELD}: {reason}", param=FIELD)
