"""The formats that speech is sent in, by the names of OpenAI's API."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from orpheus_bridge.audio.encoder import AvEncoder, Codec, Encoder, PcmEncoder
from orpheus_bridge.audio.wav import WavStreamEncoder
from orpheus_bridge.errors import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    """One format; all are mono."""

    name: str
    media_type: str
    codec: Codec | None = None
    """None for what needs no codec."""

    def encoder(self) -> Encoder:
        """A new encoder, for one speech."""
        if self.codec is not None:
            return AvEncoder(self.codec)
        return WavStreamEncoder() if self.name == "wav" else PcmEncoder()


# The frames that mp3, aac and opus are made of are shorter than the first chunk of a speech; flac's would be longer.
_MP3 = Codec(container="mp3", name="libmp3lame", bit_rate=64_000)
_OPUS = Codec(container="ogg", name="libopus", bit_rate=32_000, container_options={"page_duration": "20000"})
_AAC = Codec(container="adts", name="aac", bit_rate=64_000)
_FLAC = Codec(container="flac", name="flac", codec_options={"frame_size": "1024"})

FORMATS: Mapping[str, AudioFormat] = MappingProxyType(
    {
        known.name: known
        for known in (
            AudioFormat(name="mp3", media_type="audio/mpeg", codec=_MP3),
            AudioFormat(name="opus", media_type="audio/ogg", codec=_OPUS),
            AudioFormat(name="aac", media_type="audio/aac", codec=_AAC),
            AudioFormat(name="flac", media_type="audio/flac", codec=_FLAC),
            AudioFormat(name="wav", media_type="audio/wav"),
            AudioFormat(name="pcm", media_type="audio/pcm"),
        )
    }
)
"""`pcm` is 24 kHz little-endian int16 without a header."""


def audio_format(name: str) -> AudioFormat:
    """
    Raises:
        BadRequest: there is no such format.
    """
    if name not in FORMATS:
        raise BadRequest(f"response_format: {name[:40]!r}: send one of {', '.join(FORMATS)}", param="response_format")
    return FORMATS[name]
