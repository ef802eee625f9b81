"""Where spoken samples go: each sink is a context manager that takes `Take`, an asynchronous function of samples."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from orpheus_client._wav import WavWriter
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm

STDOUT = "-"
BLOCK_SAMPLES = SAMPLE_RATE_HZ // 10
"""The loudspeaker takes 100 ms at a time, so that an interrupt is heard at once."""

Take = Callable[[Pcm], Awaitable[None]]
"""Takes samples [n] and returns when more are welcome."""


def sink(out: str | None) -> AbstractContextManager[Take]:
    """A WAV file, raw samples on stdout for `-`, the loudspeaker for None.

    Raises, when entered:
        OSError: the file cannot be made, or there is no loudspeaker or nothing to drive it with.
    """
    if out is None:
        return _loudspeaker()
    return _stdout() if out == STDOUT else _wav_file(out)


@contextmanager
def _wav_file(path: str) -> Iterator[Take]:
    with WavWriter(path) as wav:

        async def take(samples: Pcm) -> None:
            wav.write(samples)

        yield take


@contextmanager
def _stdout() -> Iterator[Take]:
    async def take(samples: Pcm) -> None:
        sys.stdout.buffer.write(samples.astype("<i2").tobytes())
        sys.stdout.buffer.flush()

    yield take


@contextmanager
def _loudspeaker() -> Iterator[Take]:
    try:
        import sounddevice  # noqa: PLC0415  (an extra, and its library is loaded at import)
    except (ImportError, OSError) as error:
        raise OSError(f"no way to play ({error}): install orpheus-triton[play], or write a file with -o") from None
    try:
        stream = sounddevice.RawOutputStream(samplerate=SAMPLE_RATE_HZ, channels=1, dtype="int16")
    except sounddevice.PortAudioError as error:
        raise OSError(f"no loudspeaker ({error}): write a file with -o") from None

    async def take(samples: Pcm) -> None:
        for start in range(0, len(samples), BLOCK_SAMPLES):
            await asyncio.to_thread(stream.write, samples[start : start + BLOCK_SAMPLES].tobytes())

    with stream:
        yield take
