"""A recording in any accepted format to 24 kHz mono samples; run as a script by `recording.py`, in a child.

Limits are counted on what comes out of the decoder: headers say what their writer likes.
"""

import io
import sys
from collections.abc import Iterator
from typing import Any

import av

from orpheus_bridge.voices._child_limits import answer, restricted

SAMPLE_BYTES = 2
SAMPLE_RATES_HZ = (8_000, 192_000)
MAX_CHANNELS = 8
CODECS = {"flac", "vorbis", "opus", "libopus", "mp3", "mp3float", "aac", "alac"}
"""Beside PCM; FFmpeg knows hundreds more, each with its own history of faults."""


class Refused(Exception):
    """The recording cannot be used; `str()` is the reason for the caller."""


def main() -> None:
    """Answers with `refused`, or with `source_s` and the samples."""
    request = restricted()
    try:
        source_s, samples = decode(sys.stdin.buffer.read(), request)
    except Refused as reason:
        answer({"refused": str(reason)})
    except MemoryError:
        answer({"refused": "needs too much memory to decode"})
    except av.FFmpegError as error:
        answer({"refused": f"is damaged or not what it says ({error.strerror})"})
    else:
        answer({"source_s": source_s}, samples)


def decode(data: bytes, request: dict[str, Any]) -> tuple[float, bytes]:
    """Length of the source in seconds, and at most `kept_samples` of it as s16 mono at `rate_hz`."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=request["rate_hz"])
    kept = bytearray()
    kept_bytes = SAMPLE_BYTES * request["kept_samples"]
    source_s = 0.0
    source_samples = 0
    rate_hz = None
    for frame in frames(data):
        rate_hz = rate_hz or checked_rate(frame.sample_rate)
        if frame.sample_rate != rate_hz:
            raise Refused("changes its sample rate on the way")
        source_s += frame.samples / rate_hz
        source_samples += frame.samples * len(frame.layout.channels)
        if source_s > request["max_source_s"]:
            raise Refused(f"is longer than {request['max_source_s']:g} s")
        if source_samples > request["max_source_samples"]:
            raise Refused(f"has more than {request['max_source_samples']} samples")
        if len(kept) < kept_bytes:
            kept += b"".join(map(plane, resampler.resample(frame)))
    if rate_hz is not None:
        kept += b"".join(map(plane, resampler.resample(None)))
    return source_s, bytes(kept[:kept_bytes])


def frames(data: bytes) -> Iterator[av.AudioFrame]:
    """The decoded frames of its first audio stream."""
    with av.open(io.BytesIO(data), mode="r", format=container_format(data)) as container:
        if not container.streams.audio:
            raise Refused("holds no audio")
        stream = container.streams.audio[0]
        codec = stream.codec_context
        if codec.name not in CODECS and not codec.name.startswith("pcm_"):
            raise Refused(f"is coded as {codec.name}, which is not accepted")
        if not 1 <= codec.channels <= MAX_CHANNELS:
            raise Refused(f"has {codec.channels} channels")
        codec.thread_count = 1
        yield from container.decode(stream)


def container_format(data: bytes) -> str:
    """FFmpeg's name of the format, by the first bytes: its own guessing includes playlists that open other files."""
    head = data[:12]
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"OggS":
        return "ogg"
    if head[4:8] == b"ftyp":
        return "mp4"
    # A frame of layer III, perhaps after a tag.
    if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2):
        return "mp3"
    raise Refused("is not WAV, FLAC, OGG, MP3 or M4A")


def checked_rate(rate_hz: int) -> int:
    """The rate, if it is one that sound is recorded at."""
    lowest, highest = SAMPLE_RATES_HZ
    if not lowest <= rate_hz <= highest:
        raise Refused(f"has a sample rate of {rate_hz} Hz")
    return rate_hz


def plane(frame: av.AudioFrame) -> bytes:
    """The samples of a mono frame; its buffer may be longer."""
    return bytes(frame.planes[0])[: SAMPLE_BYTES * frame.samples]


if __name__ == "__main__":
    main()
