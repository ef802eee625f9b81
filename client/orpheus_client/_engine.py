"""The seam between whoever wants speech and whatever speaks."""

from typing import Protocol

from orpheus_client._options import SpeechOptions
from orpheus_client._stream import SpeechStream


class SpeechEngine(Protocol):
    """Speaks one piece of text: `SpeechClient`, or `FakeEngine` where there is no server."""

    def speak(self, text: str, options: SpeechOptions = ...) -> SpeechStream:
        """The speech, asked for when the stream is first read."""
        ...
