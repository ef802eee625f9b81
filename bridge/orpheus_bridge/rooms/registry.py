"""Every room that is spoken into: joined when needed, left when idle."""

import asyncio
from collections.abc import AsyncIterator, Callable

from orpheus_bridge.errors import BridgeError, Busy, Conflict, Unavailable
from orpheus_bridge.rooms.lease import RENEW_INTERVAL_S, EveryRoom, Lease
from orpheus_bridge.rooms.link import Link
from orpheus_bridge.rooms.options import LiveKitOptions
from orpheus_bridge.rooms.pulse import Pulse
from orpheus_bridge.rooms.read_ahead import closing
from orpheus_bridge.rooms.session import RoomSession
from orpheus_bridge.rooms.sink import Delivery, Policy, SinkState
from orpheus_bridge.telemetry.log import logger
from orpheus_core.pcm import Pcm

KEEPER_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Between attempts to join the room that is kept; the last one is repeated."""

SWEEP_INTERVAL_S = 1.0
CLOSE_TIMEOUT_S = 5.0


class Rooms:
    """A `RoomSink` over links of any kind."""

    def __init__(
        self,
        options: LiveKitOptions,
        *,
        make_link: Callable[[str], Link],
        pulse: Pulse,
        lease: Lease | None = None,
    ) -> None:
        self._options = options
        self._make_link = make_link
        self._pulse = pulse
        self._lease = lease or EveryRoom()
        self._sessions: dict[str, RoomSession] = {}
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._is_closed = False

    async def start(self) -> None:
        """Begins to watch LiveKit and to keep the configured room; waits for neither."""
        chores = [self._pulse.run(), self._sweep(), self._renew()]
        if self._options.room:
            chores.append(self._keep(self._options.room))
        self._tasks = tuple(asyncio.create_task(chore) for chore in chores)

    async def speak(
        self, room: str, request_id: str, audio: AsyncIterator[Pcm], *, policy: Policy, predicted_s: float
    ) -> Delivery:
        async with closing(audio):
            session = await self._session(room)
            delivery = await session.speak(request_id, audio, policy=policy, predicted_s=predicted_s)
            if session.is_open:
                self._pulse.seen()
            return delivery

    async def interrupt(self, room: str) -> float:
        session = self._sessions.get(room)
        return session.interrupt() if session else 0.0

    async def cancel(self, request_id: str) -> float | None:
        played_ms = (session.cancel(request_id) for session in tuple(self._sessions.values()))
        return next((ms for ms in played_ms if ms is not None), None)

    async def state(self) -> SinkState:
        joined = sum(session.is_open for session in self._sessions.values())
        return SinkState(
            configured=self._options.is_configured,
            connected=self._pulse.is_alive,
            rooms=joined,
            one_bridge_assumed=self._options.identity is not None and self._lease.assumes_one_bridge,
        )

    async def close(self) -> None:
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        error = Unavailable("the bridge is shutting down")
        leaving = [asyncio.create_task(self._leave(*entry, error)) for entry in tuple(self._sessions.items())]
        if pending := {*self._tasks, *leaving}:
            await asyncio.wait(pending, timeout=CLOSE_TIMEOUT_S)

    async def _session(self, room: str) -> RoomSession:
        """The room's session, made if need be.

        Raises:
            errors.BridgeError: the room may not be entered.
        """
        await self._lease.acquire(room)
        if self._is_closed:
            raise Unavailable("the bridge is shutting down")
        if room not in self._sessions:
            await self._make_place()
            # Another request may have made it meanwhile.
            self._sessions.setdefault(room, RoomSession(self._make_link(room), self._options.limits))
        return self._sessions[room]

    async def _make_place(self) -> None:
        if len(self._sessions) < self._options.max_rooms:
            return
        idle = [room for room, session in self._sessions.items() if session.is_idle and room != self._options.room]
        if not idle:
            raise Busy(f"{len(self._sessions)} rooms are spoken into, as many as are taken at once")
        longest = min(idle, key=lambda room: self._sessions[room].idle_since_s)
        await self._leave(longest, self._sessions[longest], Unavailable("the room was left"))

    async def _leave(self, room: str, session: RoomSession, error: BridgeError) -> None:
        if self._sessions.get(room) is not session:
            return
        del self._sessions[room]
        await session.close(error)
        # Somebody may have asked for the room again meanwhile.
        if room not in self._sessions:
            await self._lease.release(room)

    async def _sweep(self) -> None:
        """Leaves rooms that were idle too long."""
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            deadline_s = asyncio.get_running_loop().time() - self._options.idle_timeout_s
            for room, session in tuple(self._sessions.items()):
                if session.is_idle and session.idle_since_s < deadline_s and room != self._options.room:
                    await self._leave(room, session, Unavailable("the room was left"))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S)
            lost = await self._lease.renew()
            for room, session in tuple(self._sessions.items()):
                if room in lost:
                    logger().warning("livekit_room_lease_lost")
                    await self._leave(room, session, Conflict("another bridge speaks in this room"))

    async def _keep(self, room: str) -> None:
        """In that room from the start on, and again whenever the connection is gone."""
        failures = 0
        while True:
            try:
                session = await self._session(room)
                await session.open()
                self._pulse.seen()
                failures = 0
            except BridgeError as error:
                failures += 1
                logger().warning("livekit_kept_room_not_joined", code=error.code, failures=failures)
            await asyncio.sleep(KEEPER_PAUSES_S[min(failures, len(KEEPER_PAUSES_S) - 1)])
