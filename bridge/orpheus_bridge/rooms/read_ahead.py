"""Speech between the server that makes it and the room that takes it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

import numpy as np

from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm, no_samples
from orpheus_core.silence import BLOCK_SAMPLES

CLOSE_TIMEOUT_S = 2.0


class ReadAhead:
    """Reads an utterance as fast as it comes, hands it out as it is asked for.

    Holds at most `buffered_s` of it; then the reading waits. Leaving the context ends the reading, but does not close
    the iterator.
    """

    def __init__(self, audio: AsyncIterator[Pcm], *, buffered_s: float) -> None:
        self._audio = audio
        self._most_samples = round(buffered_s * SAMPLE_RATE_HZ)
        self._chunks: deque[Pcm] = deque()
        self._samples = 0
        self._is_read = False
        self._moved = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "ReadAhead":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.cancel()
            await asyncio.wait({self._reader}, timeout=CLOSE_TIMEOUT_S)

    def start(self) -> None:
        """Begins to read; `take` does it too."""
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
            # An error that nobody comes to take is not to be complained about at the end of the process.
            self._reader.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def take(self, most_samples: int) -> Pcm:
        """The next samples in whole blocks of 10 ms as soon as there is one; the last may be shorter. Empty at the end.

        Raises:
            errors.BridgeError: the iterator failed; what it gave before was taken first.
        """
        self.start()
        assert self._reader is not None  # noqa: S101  (just started)
        while self._samples < BLOCK_SAMPLES and not self._is_read:
            await self._wait_for_move()
        if not self._samples:
            await self._reader
            return no_samples()
        count = min(most_samples, self._samples)
        return self._pop(count if self._is_read else count - count % BLOCK_SAMPLES)

    async def _read(self) -> None:
        try:
            async for chunk in self._audio:
                while self._samples and self._samples + len(chunk) > self._most_samples:
                    await self._wait_for_move()
                self._chunks.append(chunk)
                self._samples += len(chunk)
                self._moved.set()
        finally:
            self._is_read = True
            self._moved.set()

    async def _wait_for_move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _pop(self, count: int) -> Pcm:
        parts: list[Pcm] = []
        self._samples -= count
        while count:
            head = self._chunks.popleft()
            parts.append(head[:count])
            count -= len(parts[-1])
            if len(rest := head[len(parts[-1]) :]):
                self._chunks.appendleft(rest)
        self._moved.set()
        return np.concatenate(parts)


@contextlib.asynccontextmanager
async def closing(audio: AsyncIterator[Pcm]) -> AsyncIterator[None]:
    """Closes `audio` on the way out, whatever it is: within a bound, and without hiding what happened inside."""
    try:
        yield
    finally:
        close: Any = getattr(audio, "aclose", None)
        if close is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await close()
