"""One room: who speaks into it, in which order, and for whom."""

import asyncio
from collections.abc import AsyncIterator

from orpheus_bridge.errors import BridgeError
from orpheus_bridge.rooms.link import Link, RoomClosed
from orpheus_bridge.rooms.options import RoomLimits
from orpheus_bridge.rooms.playout import Playout
from orpheus_bridge.rooms.read_ahead import ReadAhead
from orpheus_bridge.rooms.sink import Delivery, Policy
from orpheus_bridge.rooms.turns import Turn, Turns
from orpheus_core.pcm import Pcm

WATCH_INTERVAL_S = 0.25


class RoomSession:
    """Requests of one room, one at a time."""

    def __init__(self, link: Link, limits: RoomLimits) -> None:
        self._link = link
        self._limits = limits
        self._turns = Turns(longest_s=limits.longest_s, max_waiting=limits.max_waiting)
        self._last_playout: Playout | None = None
        self.idle_since_s = _now_s()

    @property
    def is_idle(self) -> bool:
        """Whether nobody speaks or waits."""
        return not len(self._turns)

    @property
    def is_open(self) -> bool:
        """Whether we are in the room."""
        return self._link.is_open

    async def open(self) -> None:
        """Joins before anybody speaks.

        Raises:
            errors.BridgeError: it cannot be joined.
        """
        await self._link.open()

    async def speak(
        self, request_id: str, audio: AsyncIterator[Pcm], *, policy: Policy, predicted_s: float
    ) -> Delivery:
        """As `RoomSink.speak`, but that the caller closes `audio`."""
        asked_s = _now_s()
        with self._turns.enter(request_id, policy=policy, predicted_s=predicted_s) as turn:
            if policy == "interrupt":
                self._silence_tail()
            try:
                await turn.reach()
                await turn.run(self._deliver(turn, audio))
            finally:
                self.idle_since_s = _now_s()
                await self._fall_silent(turn)
            return self._delivery(turn, asked_s)

    def interrupt(self) -> float:
        """Ends everything; ms of the current speech that were played."""
        if (current := self._turns.current) is None:
            return self._silence_tail()
        self._turns.end_all()
        return current.played_ms

    def cancel(self, request_id: str) -> float | None:
        """Ends one; ms played, or None if it is not here."""
        if (turn := self._turns.find(request_id)) is None:
            return None
        turn.end()
        return turn.played_ms

    async def close(self, error: BridgeError) -> None:
        """Ends everything with `error` and leaves."""
        self._turns.end_all(error)
        await self._link.close()

    async def _deliver(self, turn: Turn, audio: AsyncIterator[Pcm]) -> None:
        await self._link.open()
        async with ReadAhead(audio, buffered_s=self._limits.buffered_s) as speech:
            if self._link.listeners:
                # They are about to subscribe; the speech is made meanwhile.
                speech.start()
            if not await self._link.wait_for_listener(self._limits.listener_wait_s):
                return
            turn.playout = self._last_playout = Playout(self._link, stall_s=self._limits.stall_s)
            await self._play(turn, turn.playout, speech)

    async def _play(self, turn: Turn, playout: Playout, speech: ReadAhead) -> None:
        watch = asyncio.create_task(self._end_when_deserted(turn))
        try:
            await playout.run(speech)
        except RoomClosed:
            turn.end()
        finally:
            watch.cancel()
            await asyncio.wait({watch})

    async def _end_when_deserted(self, turn: Turn) -> None:
        heard_s = _now_s()
        while _now_s() - heard_s < self._limits.deserted_s:
            await asyncio.sleep(WATCH_INTERVAL_S)
            if self._link.listeners:
                heard_s = _now_s()
        turn.end()

    async def _fall_silent(self, turn: Turn) -> None:
        """After an end before the end: a frame that was on its way must not be heard in front of the next speech."""
        if turn.playout and not turn.playout.is_complete:
            turn.playout.stop()
            await self._link.settle()

    def _silence_tail(self) -> float:
        """The last 200 ms of a speech are still to be heard when its request has been answered."""
        if self._last_playout is None or not self._link.queued_ms:
            return 0.0
        self._last_playout.stop()
        return self._last_playout.played_ms

    def _delivery(self, turn: Turn, asked_s: float) -> Delivery:
        playout = turn.playout
        audible_s = playout.first_audible_s if playout else None
        return Delivery(
            sent_ms=playout.sent_ms if playout else 0.0,
            played_ms=self._played_ms(turn),
            interrupted=turn.is_ended,
            listeners=self._link.listeners if playout else 0,
            first_audible_ms=None if audible_s is None else (audible_s - asked_s) * 1000,
        )

    def _played_ms(self, turn: Turn) -> float:
        """What is still queued after a speech's own end will be played."""
        if turn.playout and not turn.is_ended:
            return turn.playout.sent_ms
        return turn.played_ms


def _now_s() -> float:
    return asyncio.get_running_loop().time()
