"""How long each step of a speech may take."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields

from orpheus_client._errors import (
    ChunkTimeout,
    ConnectTimeout,
    FirstAudioTimeout,
    InvalidInput,
    SpeechTimeout,
    TotalTimeout,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Bounds of one utterance, in seconds; each is positive and finite.

    Raises:
        InvalidInput: a bound that is not.
    """

    connect_s: float = 5.0
    """To reach the server, at each attempt; also for each question about server and voices."""
    first_audio_s: float = 15.0
    """From the call to the first audio, all attempts together."""
    between_chunks_s: float = 25.0
    """From one response to the next. More than the server's own deadlines there one after the other, 5 s for the next
    token and 15 s for its decoding: so it is the server that says what is wrong. Where a profile has other ones
    (`token_gap_timeout_s`, `decode_timeout_s`), set this accordingly."""
    total_s: float = 180.0
    """From the call to the end."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise InvalidInput(f"{field.name}: {value!r}: give a number of seconds above 0")


_Due = tuple[float, SpeechTimeout]
"""A time on the loop's clock, and what to raise then."""


class Deadlines:
    """The bounds of one utterance on the running loop's clock; it starts when this is made."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._total_at = self._loop.time() + timeouts.total_s
        self._first_audio_at: float | None = self._loop.time() + timeouts.first_audio_s

    def heard(self) -> None:
        """A response has come: from now on `between_chunks_s` counts."""
        self._first_audio_at = None

    @property
    def left_s(self) -> float:
        """Until the next response is due, asked for now."""
        return self._due()[0] - self._loop.time()

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """Bounds what is done inside.

        Raises:
            ConnectTimeout, FirstAudioTimeout, TotalTimeout: the bound that is due first.
        """
        limit_s = self._timeouts.connect_s
        connect = (self._loop.time() + limit_s, ConnectTimeout(f"no connection within {limit_s:g} s"))
        async with _until(*min(connect, self._due(), key=_when)):
            yield

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """Bounds what is done inside; the time that a reader takes between two of these does not count as silence.

        Raises:
            FirstAudioTimeout, ChunkTimeout, TotalTimeout: the bound that is due first.
        """
        async with _until(*self._due()):
            yield

    def _due(self) -> _Due:
        limits = self._timeouts
        response: _Due
        if self._first_audio_at is None:
            gap = ChunkTimeout(f"no more audio for {limits.between_chunks_s:g} s")
            response = (self._loop.time() + limits.between_chunks_s, gap)
        else:
            response = (self._first_audio_at, FirstAudioTimeout(f"no audio within {limits.first_audio_s:g} s"))
        total = (self._total_at, TotalTimeout(f"the speech did not end within {limits.total_s:g} s"))
        return min(response, total, key=_when)


def _when(due: _Due) -> float:
    return due[0]


@asynccontextmanager
async def _until(due_at: float, error: SpeechTimeout) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(due_at):
            yield
    except TimeoutError:
        raise error from None
