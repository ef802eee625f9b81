"""Text to samples: the speech server, the splitter and the stretch behind one call."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Protocol

from orpheus_bridge.audio.stretch import Stretch
from orpheus_bridge.errors import from_speech
from orpheus_client import Reference, SpeechError, SpeechOptions, SpeechResult, SpeechStream
from orpheus_core.checkpoint import Checkpoint
from orpheus_core.pcm import Pcm

SLICE_SAMPLES = 8192
"""A chunk of the server can be seconds long: stretching and encoding it at once would hold every other stream up."""

SECONDS_PER_CHAR = 0.07
"""Read English takes 0.063 to 0.067 s a character on the released checkpoint; a little more on the safe side."""

BASE_SECONDS = 0.5


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


class Speech:
    """The `SpokenAudio` of one order, for one reader."""

    def __init__(self, engine: Engine, order: SpeechOrder) -> None:
        self._stream = engine.speak_long(
            order.text, options_of(order), enable_text_splitting=order.enable_text_splitting
        )
        self._samples = self._read(Stretch(order.speed))

    @property
    def result(self) -> SpeechResult:
        """How the speech ended at the server.

        Raises:
            RuntimeError: it has not, or it failed.
        """
        return self._stream.result

    def __aiter__(self) -> AsyncIterator[Pcm]:
        return self._samples

    def samples(self) -> AsyncGenerator[Pcm, None]:
        """The same, as something that can be closed by its reader."""
        return self._samples

    async def aclose(self) -> None:
        """Ends it, also from another task than the reader's, which gets `errors.Unavailable`."""
        await self._stream.aclose()

    async def _read(self, stretch: Stretch) -> AsyncGenerator[Pcm, None]:
        try:
            async with self._stream as stream:
                async for chunk in stream:
                    for part in _slices(chunk.samples):
                        if len(stretched := stretch.push(part)):
                            yield stretched
                        await asyncio.sleep(0)
        except SpeechError as error:
            raise from_speech(error) from None
        if len(rest := stretch.flush()):
            yield rest


def options_of(order: SpeechOrder) -> SpeechOptions:
    """What of an order is the server's business."""
    return SpeechOptions(
        voice=order.voice,
        language=order.language,
        temperature=order.temperature,
        repetition_penalty=order.repetition_penalty,
        reference=order.reference,
    )


def predicted_s(order: SpeechOrder) -> float:
    """About how long the speech will be."""
    return (BASE_SECONDS + SECONDS_PER_CHAR * len(order.text)) / order.speed


def _slices(samples: Pcm) -> Iterator[Pcm]:
    for start in range(0, len(samples), SLICE_SAMPLES):
        yield samples[start : start + SLICE_SAMPLES]
