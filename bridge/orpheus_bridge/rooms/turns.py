"""The line of requests in front of one room."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from orpheus_bridge.errors import BridgeError, Busy, Conflict
from orpheus_bridge.rooms.playout import Playout
from orpheus_bridge.rooms.sink import Policy


class Turn:
    """One request, waiting or speaking."""

    def __init__(self, request_id: str, *, predicted_s: float) -> None:
        self.request_id = request_id
        self.playout: Playout | None = None
        """Set when it begins to speak."""
        self._predicted_s = predicted_s
        self._called = asyncio.Event()
        self._ended = asyncio.Event()
        self._error: BridgeError | None = None

    @property
    def is_ended(self) -> bool:
        """Whether somebody ended it."""
        return self._ended.is_set()

    @property
    def played_ms(self) -> float:
        """Speech of it that was played."""
        return self.playout.played_ms if self.playout else 0.0

    @property
    def remaining_s(self) -> float:
        """About how long it will still speak."""
        if self.is_ended:
            return 0.0
        return max(0.0, self._predicted_s - (self.playout.sent_ms / 1000 if self.playout else 0.0))

    def call(self) -> None:
        """It is first in line now."""
        self._called.set()

    def end(self, error: BridgeError | None = None) -> None:
        """Ends it wherever it is; the room falls silent at once if it speaks.

        Args:
            error: what its caller is to be told; without one, how much was played.
        """
        if self.is_ended:
            return
        self._error = error
        self._ended.set()
        self._called.set()
        if self.playout:
            self.playout.stop()

    async def reach(self) -> None:
        """Until it is first in line or ended."""
        await self._called.wait()

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Carries out `work`, at most until the turn is ended; not at all if it is already.

        Raises:
            errors.BridgeError: the turn was ended with it, or `work` raised it.
        """
        if self.is_ended:
            work.close()
        else:
            await self._run(work)
        if self._error:
            raise self._error

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task, ended = asyncio.create_task(work), asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait((task, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            ended.cancel()
            await asyncio.wait((task, ended))
        error = None if task.cancelled() else task.exception()
        if error and not self.is_ended:
            raise error


class Turns:
    """First come, first served, but for the policies.

    Full (more than `max_waiting` requests, or `longest_s` of waiting and speaking) means `Busy`.
    """

    def __init__(self, *, longest_s: float, max_waiting: int) -> None:
        self._longest_s = longest_s
        self._max_waiting = max_waiting
        self._line: list[Turn] = []

    def __len__(self) -> int:
        return len(self._line)

    @property
    def current(self) -> Turn | None:
        """Whose turn it is."""
        return self._line[0] if self._line else None

    def find(self, request_id: str) -> Turn | None:
        """The turn of a request, waiting or speaking."""
        return next((turn for turn in self._line if turn.request_id == request_id and not turn.is_ended), None)

    def end_all(self, error: BridgeError | None = None) -> None:
        """Ends the one that speaks and those that wait."""
        for turn in tuple(self._line):
            turn.end(error)

    @contextmanager
    def enter(self, request_id: str, *, policy: Policy, predicted_s: float) -> Iterator[Turn]:
        """A place in the line, given up on the way out.

        Raises:
            errors.Conflict: somebody speaks, and the policy is `reject`.
            errors.Busy: it would take too long.
        """
        self._admit(policy, predicted_s)
        if policy == "interrupt":
            self.end_all()
        turn = Turn(request_id, predicted_s=predicted_s)
        self._line.append(turn)
        self._call_first()
        try:
            yield turn
        finally:
            self._line.remove(turn)
            self._call_first()

    def _admit(self, policy: Policy, predicted_s: float) -> None:
        live = [turn for turn in self._line if not turn.is_ended]
        if policy == "reject" and live:
            raise Conflict("the room is being spoken into; send policy queue or interrupt, or wait")
        if policy == "interrupt":
            live = []
        wait_s = sum(turn.remaining_s for turn in live)
        if wait_s + predicted_s > self._longest_s or len(live) >= self._max_waiting:
            raise Busy(
                f"{wait_s:.0f} s of speech wait for this room and this one takes about {predicted_s:.0f} s; "
                f"{self._longest_s:.0f} s in all are taken"
            )

    def _call_first(self) -> None:
        if self._line:
            self._line[0].call()
