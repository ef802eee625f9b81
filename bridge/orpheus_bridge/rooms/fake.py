"""Rooms without LiveKit: what was spoken is kept, time is the event loop's."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np

from orpheus_bridge.errors import BridgeError
from orpheus_bridge.rooms.options import LiveKitOptions
from orpheus_bridge.rooms.registry import Rooms
from orpheus_bridge.rooms.sink import Delivery, Policy, SinkState
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm, no_samples

QUEUE_S = 0.2


@dataclass(slots=True, eq=False)
class FakeLink:
    """A `Link` that plays in real time of the event loop and keeps what was played.

    Set the fields to make it misbehave.
    """

    present: int = 1
    """Listeners."""
    open_error: BridgeError | None = None
    ready_error: Exception | None = None
    stalls: bool = False
    """It takes nothing any more."""
    pauses: asyncio.Event | None = None
    """The connection is being mended until this is set."""
    openings: int = 0
    closings: int = 0
    _open: bool = False
    _taken: list[Pcm] = field(default_factory=list)
    _plays_until_s: float = 0.0
    """When the queue will be empty."""

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def listeners(self) -> int:
        return self.present if self._open else 0

    @property
    def queued_ms(self) -> float:
        return max(0.0, self._plays_until_s - _now_s()) * 1000

    @property
    def played(self) -> Pcm:
        """Every sample that has left the queue."""
        taken = np.concatenate((no_samples(), *self._taken))
        return taken[: len(taken) - round(self.queued_ms * SAMPLE_RATE_HZ / 1000)]

    async def open(self) -> None:
        if self.open_error:
            raise self.open_error
        if not self._open:
            self._open = True
            self.openings += 1

    async def wait_for_listener(self, timeout_s: float) -> int:
        if not self.present:
            await asyncio.sleep(timeout_s)
        return self.present

    async def ready(self) -> None:
        if self.pauses:
            await self.pauses.wait()
        if self.ready_error:
            raise self.ready_error

    async def capture(self, samples: Pcm) -> None:
        if self.stalls:
            await asyncio.Event().wait()
        self._taken.append(samples)
        self._plays_until_s = max(self._plays_until_s, _now_s()) + len(samples) / SAMPLE_RATE_HZ
        if (over_s := self._plays_until_s - _now_s() - QUEUE_S) > 0:
            await asyncio.sleep(over_s)

    def clear(self) -> None:
        self._taken = [self.played]
        self._plays_until_s = _now_s()

    async def settle(self) -> None:
        self.clear()

    async def close(self) -> None:
        self._open = False
        self.closings += 1


class FakePulse:
    """A `Pulse` that says what it is told to."""

    def __init__(self) -> None:
        self.is_alive = True

    def seen(self) -> None:
        """Known already."""

    async def run(self) -> None:
        """Nobody to ask."""


class FakeRooms:
    """A `RoomSink` with every rule of the real one, over `FakeLink`s."""

    def __init__(self, options: LiveKitOptions | None = None) -> None:
        self.links: dict[str, FakeLink] = {}
        """By room; put one in beforehand to choose how it behaves."""
        self.pulse = FakePulse()
        configured = LiveKitOptions(url="ws://fake", api_key="fake", api_secret="fake")  # noqa: S106  (opens nothing)
        self._rooms = Rooms(options or configured, make_link=self.link, pulse=self.pulse)

    def link(self, room: str) -> FakeLink:
        """The room's link; also one that nobody has spoken into yet."""
        return self.links.setdefault(room, FakeLink())

    async def speak(
        self, room: str, request_id: str, audio: AsyncIterator[Pcm], *, policy: Policy, predicted_s: float
    ) -> Delivery:
        return await self._rooms.speak(room, request_id, audio, policy=policy, predicted_s=predicted_s)

    async def interrupt(self, room: str) -> float:
        return await self._rooms.interrupt(room)

    async def cancel(self, request_id: str) -> float | None:
        return await self._rooms.cancel(request_id)

    async def state(self) -> SinkState:
        return await self._rooms.state()

    async def close(self) -> None:
        await self._rooms.close()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
