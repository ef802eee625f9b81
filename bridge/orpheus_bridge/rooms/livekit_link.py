"""One LiveKit room, joined as an agent that only publishes."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
from livekit import rtc

from orpheus_bridge.errors import Conflict, Unavailable
from orpheus_bridge.rooms.audience import Audience
from orpheus_bridge.rooms.link import RoomClosed
from orpheus_bridge.rooms.options import RoomLimits
from orpheus_bridge.rooms.tickets import Ticket, TicketOffice
from orpheus_bridge.telemetry.log import logger
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm
from orpheus_core.silence import BLOCK_SAMPLES

QUEUE_MS = 200
"""What LiveKit holds of us: enough against jitter, short enough to be cleared unheard."""

TRACK_NAME = "speech"
SETTLE_TIMEOUT_S = 1.0
SUBSCRIPTION_SETTLE_S = 0.25
"""LiveKit tells of a subscription before the listener's side has answered: what is sent at once loses its start. Only
a track that nobody had yet waits for it."""

EMPTY_SETTLE_S = 0.25
"""A listener that leaves and one that comes are told in one batch, in any order."""

REJOIN_PAUSES_S = (0.2, 0.5, 1.0, 2.0)

CLOSED_REASONS = frozenset(
    {
        rtc.DisconnectReason.PARTICIPANT_REMOVED,
        rtc.DisconnectReason.ROOM_DELETED,
        rtc.DisconnectReason.ROOM_CLOSED,
    }
)
"""Somebody meant it: coming back at once would be rude."""


class LiveKitLink:
    """A `Link`. The audio source outlives connections: what was queued before a loss is never queued again."""

    def __init__(self, room_name: str, *, identity: str, tickets: TicketOffice, limits: RoomLimits) -> None:
        self._room_name = room_name
        self._identity = identity
        self._tickets = tickets
        self._limits = limits
        self._room: rtc.Room | None = None
        self._source: rtc.AudioSource | None = None
        self._track: rtc.LocalAudioTrack | None = None
        self._publication: rtc.LocalTrackPublication | None = None
        self._publications = 0
        self._awaited_publication = 0
        """The last one that somebody's hearing was waited for, in vain or not: once is enough."""
        self._audience = Audience()
        self._lost_for: rtc.DisconnectReason.ValueType | None = None
        """LiveKit's reason why we are out of the room, once we were in."""
        self._changed = asyncio.Event()
        self._capturing: asyncio.Task[None] | None = None
        self._republishing: asyncio.Task[None] | None = None
        self._joining = asyncio.Lock()
        self._goodbyes: set[asyncio.Task[None]] = set()
        """Connections that were given up before they stood: LiveKit's library ends the process over one that stands
        and has nobody who reads its events."""

    @property
    def is_open(self) -> bool:
        return self._room is not None and self._room.isconnected() and self._publication is not None

    @property
    def listeners(self) -> int:
        return self._audience.listeners(_now_s()) if self.is_open else 0

    @property
    def queued_ms(self) -> float:
        return self._source.queued_duration * 1000 if self._source else 0.0

    async def open(self) -> None:
        async with self._joining:
            if not self.is_open:
                await self._join()

    async def wait_for_listener(self, timeout_s: float) -> int:
        await self._until(self._is_heard, timeout_s)
        return self.listeners if self._is_heard() else 0

    async def ready(self) -> None:
        if self._stands():
            return
        if not await self._until(
            lambda: self._is_connected() or self._lost_for is not None, self._limits.rejoin_timeout_s
        ):
            raise Unavailable("the connection to LiveKit was lost and did not come back")
        if not self._is_connected():
            await self._come_back()
        self._awaited_publication = self._publications
        await self._until(self._is_heard, self._limits.listener_wait_s)

    async def capture(self, samples: Pcm) -> None:
        # LiveKit takes 10 ms at a time: a shorter rest would stay in its queue and be heard before the next speech.
        padded = np.pad(samples, (0, -len(samples) % BLOCK_SAMPLES))
        frame = rtc.AudioFrame(padded.tobytes(), SAMPLE_RATE_HZ, 1, len(padded))
        assert self._source is not None  # noqa: S101  (made by open)
        self._capturing = asyncio.create_task(self._source.capture_frame(frame))
        try:
            # Cancelled, it would still be queued, later than a `clear` that follows.
            await asyncio.shield(self._capturing)
        except Exception:
            # The library tells it no more precisely.
            raise Unavailable("LiveKit takes no audio") from None

    def clear(self) -> None:
        if self._source:
            self._source.clear_queue()

    async def settle(self) -> None:
        if self._capturing:
            await asyncio.wait({self._capturing}, timeout=SETTLE_TIMEOUT_S)
        self.clear()

    async def close(self) -> None:
        if self._republishing:
            self._republishing.cancel()
        await self._leave()
        if self._goodbyes:
            await asyncio.wait(self._goodbyes, timeout=self._limits.join_timeout_s)
        if self._source:
            await self._source.aclose()
            self._source = self._track = None

    def _is_connected(self) -> bool:
        return self._room is not None and self._room.connection_state == rtc.ConnectionState.CONN_CONNECTED

    def _is_heard(self) -> bool:
        return self._is_connected() and self._audience.is_subscribed and self.listeners > 0

    def _stands(self) -> bool:
        """Connected, and nobody is to be waited for."""
        was_awaited = self._awaited_publication == self._publications
        return self._is_connected() and (self._audience.is_subscribed or not self.listeners or was_awaited)

    async def _join(self) -> None:
        await self._leave()
        ticket = await self._tickets.ticket(self._room_name, self._identity)
        try:
            async with asyncio.timeout(self._limits.join_timeout_s):
                self._room = await self._connected(ticket)
                self._lost_for = None
                for participant in self._room.remote_participants.values():
                    self._on_arrival(participant)
                await self._publish()
        except (TimeoutError, rtc.ConnectError, rtc.participant.PublishTrackError) as error:
            logger().warning("livekit_join_failed", error=type(error).__name__)
            await self._leave()
            raise Unavailable("LiveKit does not answer") from None
        except asyncio.CancelledError:
            # The caller went while the track was being published: nobody else would leave this room.
            if (room := self._room) is not None:
                self._room = None
                self._audience.clear()
                self._say_goodbye(_disconnect(room, self._limits.leave_timeout_s))
            raise

    async def _connected(self, ticket: Ticket) -> rtc.Room:
        room = rtc.Room()
        self._listen_to(room)
        options = rtc.RoomOptions(auto_subscribe=False, connect_timeout=self._limits.join_timeout_s / 2)
        connecting = asyncio.create_task(room.connect(ticket.url, ticket.token, options))
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # The native side goes on connecting whatever becomes of this task.
            self._say_goodbye(self._leave_when_joined(room, connecting))
            raise
        return room

    async def _publish(self) -> None:
        if self._source is None or self._track is None:
            self._source = rtc.AudioSource(SAMPLE_RATE_HZ, 1, queue_size_ms=QUEUE_MS)
            self._track = rtc.LocalAudioTrack.create_audio_track(TRACK_NAME, self._source)
        assert self._room is not None  # noqa: S101  (joined)
        self._expect_subscription()
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        self._publication = await self._room.local_participant.publish_track(self._track, options)

    def _expect_subscription(self) -> None:
        self._publications += 1
        self._audience.publish()

    async def _leave(self) -> None:
        room, self._room, self._publication = self._room, None, None
        self._audience.clear()
        if room is not None:
            await _disconnect(room, self._limits.leave_timeout_s)

    async def _come_back(self) -> None:
        """Joins again with a new ticket after a loss that nobody meant."""
        if self._lost_for == rtc.DisconnectReason.DUPLICATE_IDENTITY:
            raise Conflict("another participant took this bridge's identity in the room")
        if self._lost_for in CLOSED_REASONS:
            raise RoomClosed
        try:
            async with asyncio.timeout(self._limits.rejoin_timeout_s):
                await self._rejoin()
        except TimeoutError:
            raise Unavailable("the connection to LiveKit was lost and did not come back") from None

    async def _rejoin(self) -> None:
        for pause_s in REJOIN_PAUSES_S:
            with contextlib.suppress(Unavailable):
                return await self.open()
            await asyncio.sleep(pause_s)
        return await self.open()

    async def _leave_when_joined(self, room: rtc.Room, connecting: "asyncio.Task[None]") -> None:
        await asyncio.wait({connecting})
        if not connecting.exception():
            await _disconnect(room, self._limits.leave_timeout_s)

    def _say_goodbye(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    async def _until(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not is_so():
                    self._changed.clear()
                    await self._changed.wait()
        return is_so()

    def _listen_to(self, room: rtc.Room) -> None:
        room.on("participant_connected", self._on_arrival)
        room.on("participant_disconnected", self._on_departure)
        room.on("local_track_subscribed", self._on_subscription)
        room.on("local_track_republished", self._on_republication)
        room.on("connection_state_changed", lambda _state: self._changed.set())
        room.on("disconnected", lambda reason: self._on_loss(room, reason))

    def _on_arrival(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind != rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self._audience.join(participant.identity)
            self._changed.set()

    def _on_departure(self, participant: rtc.RemoteParticipant) -> None:
        self._audience.leave(participant.identity)
        self._changed.set()
        if not self.listeners and (self._republishing is None or self._republishing.done()):
            self._republishing = asyncio.create_task(self._republish_when_empty())

    def _on_subscription(self, _track: rtc.LocalTrack) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(SUBSCRIPTION_SETTLE_S, self._on_settled_subscription, self._publications)

    def _on_settled_subscription(self, publication: int) -> None:
        if publication == self._publications:
            self._audience.subscribe(_now_s())
            self._changed.set()

    def _on_republication(self, *_details: object) -> None:
        self._expect_subscription()
        self._changed.set()

    def _on_loss(self, room: rtc.Room, reason: rtc.DisconnectReason.ValueType) -> None:
        if room is self._room:
            self._lost_for = reason
            self._audience.clear()
            self._changed.set()
            logger().info("livekit_room_lost", reason=rtc.DisconnectReason.Name(reason))

    async def _republish_when_empty(self) -> None:
        """LiveKit tells a track's first subscription only: a new track tells at once when somebody listens again."""
        await asyncio.sleep(EMPTY_SETTLE_S)
        async with self._joining:
            if self.listeners or not self._is_connected() or self._publication is None or self._room is None:
                return
            try:
                async with asyncio.timeout(self._limits.join_timeout_s):
                    await self._room.local_participant.unpublish_track(self._publication.sid)
                    await self._publish()
            except (TimeoutError, rtc.participant.UnpublishTrackError, rtc.participant.PublishTrackError) as error:
                # Without a track nobody would hear us: the next speech joins anew.
                logger().warning("livekit_republish_failed", error=type(error).__name__)
                await self._leave()


async def _disconnect(room: rtc.Room, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await room.disconnect()
    except TimeoutError:
        logger().warning("livekit_leave_timed_out")


def _now_s() -> float:
    return asyncio.get_running_loop().time()
