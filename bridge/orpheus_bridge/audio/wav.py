"""WAV: a whole file, and a stream whose length is not known when it begins."""

import struct

from orpheus_bridge.audio.encoder import pcm_bytes
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm

UNKNOWN_BYTES = 0xFFFFFFFF
"""In a size field: read until the stream ends."""

HEADER_BYTES = 44
_BYTES_PER_SAMPLE = 2
_FORMAT_PCM = 1


class WavStreamEncoder:
    """Samples to WAV whose sizes are unknown: nothing is written after the data."""

    def __init__(self) -> None:
        self._header = wav_header(None)

    def push(self, samples: Pcm) -> bytes:
        """Samples [n]; the header comes with the first."""
        header, self._header = self._header, b""
        return header + pcm_bytes(samples)

    def flush(self) -> bytes:
        """The header, if nothing else was written."""
        header, self._header = self._header, b""
        return header


def wav_header(samples: int | None) -> bytes:
    """44 bytes for 24 kHz mono int16; None: how many there will be is not known."""
    data_bytes = UNKNOWN_BYTES if samples is None else samples * _BYTES_PER_SAMPLE
    riff_bytes = UNKNOWN_BYTES if samples is None else data_bytes + HEADER_BYTES - 8
    byte_rate = SAMPLE_RATE_HZ * _BYTES_PER_SAMPLE
    form = (_FORMAT_PCM, 1, SAMPLE_RATE_HZ, byte_rate, _BYTES_PER_SAMPLE, 8 * _BYTES_PER_SAMPLE)
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16, *form, b"data", data_bytes)


def wav_file(samples: Pcm) -> bytes:
    """Samples [n] as a whole file."""
    return wav_header(len(samples)) + pcm_bytes(samples)
