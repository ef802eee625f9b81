"""The rooms as the settings want them."""

import atexit
import functools
import secrets
import time

from orpheus_bridge.rooms.lease import Lease
from orpheus_bridge.rooms.livekit_link import LiveKitLink
from orpheus_bridge.rooms.options import LiveKitOptions
from orpheus_bridge.rooms.pulse import HttpPulse
from orpheus_bridge.rooms.registry import Rooms
from orpheus_bridge.rooms.sink import RoomSink
from orpheus_bridge.rooms.tickets import ticket_office

EXIT_SETTLE_S = 0.3
"""LiveKit's threads call back into Python for a moment after they were told to end; when Python is gone by then, they
abort the process."""


@functools.cache
def settle_at_exit() -> None:
    """Gives LiveKit's threads that moment when the process ends. To be called before LiveKit is first used: the
    library registers its own end then, and what was registered later is run earlier.
    """
    atexit.register(time.sleep, EXIT_SETTLE_S)


async def open_rooms(options: LiveKitOptions, *, lease: Lease | None = None) -> RoomSink:
    """A started sink, to be closed by the caller. LiveKit need not answer yet, nor be configured.

    Args:
        lease: who owns a room; needed where `identity` is set and more than one bridge runs.
    """
    settle_at_exit()
    tickets = ticket_office(options)
    # Not to be guessed, and not the same in two bridges: the second in a room would throw out the first.
    identity = options.identity or f"orpheus-{secrets.token_hex(6)}"

    def make_link(room: str) -> LiveKitLink:
        return LiveKitLink(room, identity=identity, tickets=tickets, limits=options.limits)

    rooms = Rooms(options, make_link=make_link, pulse=HttpPulse(lambda: tickets.url), lease=lease)
    await rooms.start()
    return rooms
