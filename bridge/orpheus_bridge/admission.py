"""How many speeches there may be at once, and how many may wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orpheus_bridge.errors import Busy


class Admission:
    """Slots for speech. Beyond the queue requests are refused at once; in it they wait a bounded time, in order.

    Args:
        streams: at once.
        queued: waiting for a slot.
        wait_s: at most so long.
    """

    def __init__(self, *, streams: int, queued: int, wait_s: float) -> None:
        self._streams = streams
        self._queued = queued
        self._wait_s = wait_s
        self._slots = asyncio.Semaphore(streams)
        self.live = 0
        self.waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A slot for as long as this is open.

        Raises:
            Busy: there is none.
        """
        await self._acquire()
        self.live += 1
        try:
            yield
        finally:
            self.live -= 1
            self._slots.release()

    async def _acquire(self) -> None:
        if self._slots.locked() and self.waiting >= self._queued:
            raise Busy(f"{self._streams} streams are taken and {self.waiting} wait, try again")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._slots.acquire()
        except TimeoutError:
            raise Busy(f"no stream became free within {self._wait_s:g} s, try again") from None
        finally:
            self.waiting -= 1
