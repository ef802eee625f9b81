"""Speech for rooms without sound: samples that can be recognised, at a set pace."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from orpheus_bridge.errors import BridgeError
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm

CHUNK_SAMPLES = 2048


class Speech:
    """`seconds` of the value `level`, as an asynchronous iterator that knows what became of it."""

    def __init__(
        self, seconds: float, *, level: int = 1000, pace: float = 0.0, error: BridgeError | None = None
    ) -> None:
        self.samples = np.full(round(seconds * SAMPLE_RATE_HZ), level, dtype=np.int16)
        self.given_samples = 0
        self.begun_s: float | None = None
        self.closed_s: float | None = None
        self._pace = pace
        """Times real time; 0 for as fast as it is read."""
        self._error = error

    def __aiter__(self) -> AsyncIterator[Pcm]:
        return self

    async def __anext__(self) -> Pcm:
        loop = asyncio.get_running_loop()
        self.begun_s = loop.time() if self.begun_s is None else self.begun_s
        chunk: Pcm = self.samples[self.given_samples : self.given_samples + CHUNK_SAMPLES]
        await asyncio.sleep(len(chunk) / SAMPLE_RATE_HZ / self._pace if self._pace else 0)
        if not len(chunk):
            if self._error:
                raise self._error
            raise StopAsyncIteration
        self.given_samples += len(chunk)
        return chunk

    async def aclose(self) -> None:
        self.closed_s = asyncio.get_running_loop().time()
