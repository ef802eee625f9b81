"""One real LiveKit server for the group."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from launcher.livekit import LiveKitPorts, LiveKitServer, LiveKitServerOptions, find_livekit
from launcher.paths import Home
from models.room_bench import OpenRooms, opened, room_options
from orpheus_bridge.rooms.opening import settle_at_exit
from orpheus_bridge.rooms.sink import RoomSink


@pytest.fixture(scope="session")
def livekit_options(tmp_path_factory: pytest.TempPathFactory) -> LiveKitServerOptions:
    program = find_livekit(os.environ)
    if program is None:
        pytest.skip("no livekit-server: put one on PATH, or name it in LIVEKIT_SERVER")
    home = Home(tmp_path_factory.mktemp("livekit"))
    return LiveKitServerOptions(program=program, home=home, ports=LiveKitPorts.free())


@pytest.fixture(scope="session")
def livekit_server(livekit_options: LiveKitServerOptions) -> Iterator[LiveKitServer]:
    settle_at_exit()
    with LiveKitServer(livekit_options) as server:
        yield server


@pytest.fixture
def open_sink(livekit_server: LiveKitServer) -> OpenRooms:
    """Opens a sink with other options than usual."""
    return lambda **changes: opened(replace(room_options(livekit_server), **changes))


@pytest.fixture
async def sink(livekit_server: LiveKitServer) -> AsyncIterator[RoomSink]:
    async with opened(room_options(livekit_server)) as given:
        yield given


@pytest.fixture
def room() -> str:
    """A room that no other test uses."""
    return f"room-{secrets.token_hex(4)}"
