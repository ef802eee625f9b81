"""Samples to bytes while they come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer

from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm

WRITE_BYTES = 512
"""FFmpeg hands over bytes in portions of this: larger ones would hold the first sounds back."""


class Encoder(Protocol):
    """A stage: `push` as often as there are samples, `flush` once, then it is over."""

    def push(self, samples: Pcm) -> bytes:
        """Samples [n], 24 kHz mono, to whatever bytes are ready."""
        ...

    def flush(self) -> bytes:
        """The rest."""
        ...


class PcmEncoder:
    """Little-endian int16, as it is."""

    def push(self, samples: Pcm) -> bytes:
        """Samples [n]."""
        return pcm_bytes(samples)

    def flush(self) -> bytes:
        """Nothing is held back."""
        return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A codec of FFmpeg in a container of FFmpeg."""

    container: str
    name: str
    bit_rate: int | None = None
    codec_options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)


class AvEncoder:
    """FFmpeg's encoders, writing into memory that cannot be sought in."""

    def __init__(self, codec: Codec) -> None:
        self._written = _Written()
        self._container = _open(self._written, codec)
        self._stream = _add_stream(self._container, codec)
        self._container.start_encoding()
        self._pushed_samples = 0

    def push(self, samples: Pcm) -> bytes:
        """Samples [n]; encoders hold back less than one of their frames, and their look-ahead."""
        if len(samples):
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HZ
            frame.pts = self._pushed_samples
            frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
            self._pushed_samples += len(samples)
            self._container.mux(self._stream.encode(frame))
        return self._written.take()

    def flush(self) -> bytes:
        """What the encoder held back, and the container's end."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._written.take()


def pcm_bytes(samples: Pcm) -> bytes:
    """Samples [n] as little-endian int16."""
    return samples.astype("<i2", copy=False).tobytes()


class _Written:
    """A file that only takes bytes: without `seek` FFmpeg never goes back to mend a header."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _open(file: _Written, codec: Codec) -> OutputContainer:
    options = {"flush_packets": "1", **codec.container_options}
    return av.open(file, "w", format=codec.container, buffer_size=WRITE_BYTES, options=options)


def _add_stream(container: OutputContainer, codec: Codec) -> AudioStream:
    stream = container.add_stream(codec.name, rate=SAMPLE_RATE_HZ, options=dict(codec.codec_options), layout="mono")
    if not isinstance(stream, AudioStream):
        raise TypeError(f"{codec.name}: not an audio codec")
    if codec.bit_rate is not None:
        stream.bit_rate = codec.bit_rate
    return stream
