"""The seam inside this package: one room as a place to put samples."""

from typing import Protocol

from orpheus_core.pcm import Pcm


class Link(Protocol):
    """One room, joined or not. Times in seconds, samples 24 kHz mono.

    Raises (open, ready, capture):
        errors.Unavailable: LiveKit does not answer, or not any more.
        errors.Conflict: another participant took our identity in the room.
    """

    @property
    def is_open(self) -> bool:
        """Whether we are in the room, be it while the connection is being mended."""
        ...

    @property
    def listeners(self) -> int:
        """Who is there to listen, as far as is known now."""
        ...

    @property
    def queued_ms(self) -> float:
        """Audio that was taken and has not left yet."""
        ...

    async def open(self) -> None:
        """Joins and publishes, unless that was done."""
        ...

    async def wait_for_listener(self, timeout_s: float) -> int:
        """Until somebody hears our track; how many do, 0 when the time is over."""
        ...

    async def ready(self) -> None:
        """Until the connection stands and, where it had to be made anew, somebody hears the track again.

        Raises:
            RoomClosed: the room was closed, or we were shown out.
        """
        ...

    async def capture(self, samples: Pcm) -> None:
        """Queues samples; returns when at most 200 ms are waiting. A part of 10 ms is filled up with silence."""
        ...

    def clear(self) -> None:
        """Drops what is queued."""
        ...

    async def settle(self) -> None:
        """Until nothing is on its way into the queue any more; then drops what is queued."""
        ...

    async def close(self) -> None:
        """Leaves, within a bound. Never raises."""
        ...


class RoomClosed(Exception):
    """There is nobody to speak to any more: not an error of the request."""
