"""Whether LiveKit answers."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import aiohttp

ANSWER_AGE_S = 30.0
"""An older answer says nothing about now."""

INTERVAL_S = 10.0
TIMEOUT_S = 5.0
SERVER_FAULT = 500


class Pulse(Protocol):
    """Knows whether the room server answered lately."""

    @property
    def is_alive(self) -> bool:
        """It answered within the last 30 s."""
        ...

    def seen(self) -> None:
        """It answered just now, in some other business."""
        ...

    async def run(self) -> None:
        """Asks at intervals, until cancelled."""
        ...


class HttpPulse:
    """Asks LiveKit's HTTP side, which every server has at the address of its WebSocket.

    Args:
        find_url: the address, as far as it is known; only the orchestrator may know it at first.
    """

    def __init__(self, find_url: Callable[[], str | None]) -> None:
        self._find_url = find_url
        self._answered_s: float | None = None

    @property
    def is_alive(self) -> bool:
        return self._answered_s is not None and _now_s() - self._answered_s <= ANSWER_AGE_S

    def seen(self) -> None:
        self._answered_s = _now_s()

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            while True:
                if url := self._find_url():
                    await self._ask(session, "http" + url.removeprefix("ws").removeprefix("http"))
                await asyncio.sleep(INTERVAL_S)

    async def _ask(self, session: aiohttp.ClientSession, url: str) -> None:
        try:
            async with session.get(url) as response:
                if response.status < SERVER_FAULT:
                    self.seen()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return


def _now_s() -> float:
    return asyncio.get_running_loop().time()
