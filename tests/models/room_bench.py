"""The bridge's rooms as the tests against a real LiveKit open them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from livekit import api

from launcher.livekit import LiveKitServer
from orpheus_bridge.rooms.opening import open_rooms
from orpheus_bridge.rooms.options import LiveKitOptions, RoomLimits
from orpheus_bridge.rooms.sink import RoomSink

OpenRooms = Callable[..., "contextlib.AbstractAsyncContextManager[RoomSink]"]
LIMITS = RoomLimits(listener_wait_s=3.0, deserted_s=1.0)
"""Shorter than in service: the rules are the same."""


def room_options(server: LiveKitServer, limits: RoomLimits = LIMITS) -> LiveKitOptions:
    """The bridge's options for a server."""
    variables = server.variables
    return LiveKitOptions(
        url=variables["LIVEKIT_URL"],
        api_key=variables["LIVEKIT_API_KEY"],
        api_secret=variables["LIVEKIT_API_SECRET"],
        limits=limits,
    )


@contextlib.asynccontextmanager
async def opened(options: LiveKitOptions) -> AsyncIterator[RoomSink]:
    """Rooms for the time of the context."""
    sink = await open_rooms(options)
    try:
        yield sink
    finally:
        await sink.close()


@contextlib.asynccontextmanager
async def administering(server: LiveKitServer) -> AsyncIterator[api.LiveKitAPI]:
    """LiveKit's own view of its rooms."""
    variables = server.variables
    async with api.LiveKitAPI(
        variables["LIVEKIT_URL"], variables["LIVEKIT_API_KEY"], variables["LIVEKIT_API_SECRET"]
    ) as livekit:
        yield livekit


async def participants(server: LiveKitServer, room: str) -> list[api.ParticipantInfo]:
    """Who is in a room; nobody in one that is not there."""
    async with administering(server) as livekit:
        try:
            answer = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
        except api.TwirpError:
            return []
        return list(answer.participants)


async def until_present(server: LiveKitServer, room: str, *, count: int) -> list[api.ParticipantInfo]:
    """Once so many are in the room."""
    async with asyncio.timeout(15):
        while len(found := await participants(server, room)) != count:  # noqa: ASYNC110  (the server tells when asked)
            await asyncio.sleep(0.1)
    return found
