"""The seam to the rooms."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from orpheus_core.pcm import Pcm

Policy = Literal["queue", "interrupt", "reject"]
"""What a request does when its room is speaking already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of one request in its room."""

    sent_ms: float
    """Speech that was handed to the room's queue."""
    played_ms: float
    """Speech that has left it; less than `sent_ms` after an interruption."""
    interrupted: bool
    listeners: int
    first_audible_ms: float | None = None
    """From the request to the first audible sample handed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkState:
    """For `/health` and metrics."""

    configured: bool
    connected: bool
    """LiveKit answered within the last 30 s."""
    rooms: int = 0
    one_bridge_assumed: bool = False
    """Every bridge would join as the same participant, and nobody keeps two out of one room."""


class RoomSink(Protocol):
    """Speaks into rooms, one request at a time in each."""

    async def speak(
        self, room: str, request_id: str, audio: AsyncIterator[Pcm], *, policy: Policy, predicted_s: float
    ) -> Delivery:
        """Reads `audio` (24 kHz mono chunks) to its end and returns when the last frame was accepted.

        The iterator is closed on every way out, which cancels the speech at its source. It is first read when it is
        this request's turn.

        Args:
            predicted_s: how long the speech may become, for the bound of the queue.

        Raises:
            errors.Unavailable: no LiveKit is configured, or it does not answer.
            errors.Conflict: the room speaks already and the policy is `reject`, or another bridge owns it.
            errors.Busy: waiting and speaking would take longer than the caller waits.
        """
        ...

    async def interrupt(self, room: str) -> float:
        """Ends what the room hears and what waits for it; returns how many ms of the current speech were played."""
        ...

    async def cancel(self, request_id: str) -> float | None:
        """Ends one request wherever it is; ms played, or None if there is no such request."""
        ...

    async def state(self) -> SinkState:
        """Never raises."""
        ...

    async def close(self) -> None:
        """Leaves every room, within a bound."""
        ...
