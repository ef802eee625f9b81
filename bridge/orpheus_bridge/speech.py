"""Text to samples: the speech server, the splitter and the stretch behind one call."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from orpheus_client import Reference, SpeechOptions, SpeechStream
from orpheus_core.checkpoint import Checkpoint
from orpheus_core.pcm import Pcm


class Engine(Protocol):
    """The speech server: `orpheus_client.SpeechClient`, or a fake."""

    def speak(self, text: str, options: SpeechOptions = ...) -> SpeechStream:
        """One piece of text."""
        ...

    def speak_long(
        self, text: str, options: SpeechOptions = ..., *, pause_ms: float = ..., enable_text_splitting: bool = ...
    ) -> SpeechStream:
        """Text of any length."""
        ...

    async def checkpoints(self) -> tuple[Checkpoint, ...]:
        """What is loaded."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOrder:
    """One request for speech, checked."""

    text: str
    voice: str | None
    """A preset of a loaded checkpoint; None with a reference."""
    reference: Reference | None = None
    language: str | None = None
    temperature: float | None = None
    repetition_penalty: float | None = None
    speed: float = 1.0
    enable_text_splitting: bool = True


class SpokenAudio(Protocol):
    """The samples of one order, asked for when first read; closing it cancels the speech at the server.

    Raises, while iterating:
        errors.BridgeError: once.
    """

    def __aiter__(self) -> AsyncIterator[Pcm]: ...

    async def aclose(self) -> None:
        """Ends it."""
        ...
