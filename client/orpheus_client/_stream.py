"""The audio of one speech, as it comes."""

import asyncio
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self

from orpheus_client._errors import Cancelled
from orpheus_client._results import AudioChunk, SpeechResult

Events = AsyncGenerator[AudioChunk | SpeechResult, None]
"""Chunks and, as the last, the result; closing it cancels the speech at its source."""


class SpeechStream:
    """An asynchronous iterator over the chunks of one speech, for one reader.

    Nothing is asked of the server before the first chunk is. The speech is cancelled at the server when the stream is
    closed (`async with` does that), when the reading task is cancelled, and when it fails.

    Raises, while iterating:
        SpeechError: once; the stream is over then.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._waiting: asyncio.Timeout | None = None
        self._closed = False
        self._over = False
        self._result: SpeechResult | None = None

    @property
    def result(self) -> SpeechResult:
        """How the speech ended.

        Raises:
            RuntimeError: it has not, or it failed.
        """
        if self._result is None:
            raise RuntimeError("result: there is none before the stream has been read to its end")
        return self._result

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioChunk:
        if self._over:
            raise StopAsyncIteration
        event = await self._next()
        if isinstance(event, AudioChunk):
            return event
        self._over, self._result = True, event
        await self._events.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the speech; a reader that waits in another task gets `Cancelled`. Does nothing after the end."""
        if self._waiting is None:
            self._closed = True
            await self._events.aclose()
        elif not self._closed:
            self._closed = True
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _next(self) -> AudioChunk | SpeechResult:
        if self._closed:
            self._over = True
            # The close may have come while a chunk was on its way to the reader.
            await self._events.aclose()
            raise Cancelled("the stream was closed before its end")
        # A time-out without a time: the one way to interrupt another task's wait that cannot be taken for a
        # cancellation of that task.
        self._waiting = waiting = asyncio.timeout(None)
        try:
            async with waiting:
                return await anext(self._events)
        except BaseException as error:
            self._over = True
            if isinstance(error, TimeoutError) and waiting.expired():
                raise Cancelled("the stream was closed before its end") from None
            raise
        finally:
            self._waiting = None
