"""The bridge's application over fakes, on a real uvicorn in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import httpx

from orpheus_bridge.admission import Admission
from orpheus_bridge.api.fake_voices import FakeVoices
from orpheus_bridge.api.services import ApiOptions, Services
from orpheus_bridge.app import create_app
from orpheus_bridge.desk import Desk
from orpheus_bridge.fake_engine import FakeEngine
from orpheus_bridge.keys import KeyRing
from orpheus_bridge.readiness import Readiness
from orpheus_bridge.rooms.fake import FakeRooms
from orpheus_bridge.rooms.opening import open_rooms
from orpheus_bridge.rooms.options import LiveKitOptions
from orpheus_bridge.server import DrainingServer, server
from orpheus_bridge.telemetry.metrics import Metrics
from orpheus_bridge.telemetry.triton import TritonMetrics

WAIT_S = 20.0


@dataclass(kw_only=True)
class Bridge:
    """The parts, and, while it runs, where it listens."""

    engine: FakeEngine = field(default_factory=FakeEngine)
    voices: FakeVoices = field(default_factory=FakeVoices)
    rooms: FakeRooms | None = None
    livekit: LiveKitOptions | None = None
    """Real rooms instead of `rooms`."""
    options: ApiOptions = field(default_factory=ApiOptions)
    keys: tuple[str, ...] = ()
    streams: int = 8
    queued: int = 4
    wait_s: float = 2.0
    drain_s: float = 10.0
    desk: Desk | None = None
    server: DrainingServer | None = None
    thread: threading.Thread | None = None
    url: str = ""

    @asynccontextmanager
    async def services(self) -> AsyncIterator[Services]:
        """Opened in the application's own event loop."""
        metrics, readiness = Metrics(), Readiness(self.engine)
        admission = Admission(streams=self.streams, queued=self.queued, wait_s=self.wait_s)
        self.desk = Desk(self.engine, admission=admission, readiness=readiness, metrics=metrics)
        self.rooms = FakeRooms()
        rooms = await open_rooms(self.livekit) if self.livekit else self.rooms
        yield Services(
            options=self.options,
            engine=self.engine,
            desk=self.desk,
            voices=self.voices,
            rooms=rooms,
            keys=KeyRing(self.keys, may_be_open=True),
            readiness=readiness,
            metrics=metrics,
            triton=TritonMetrics(None),
        )
        await rooms.close()


@contextmanager
def running(bridge: Bridge) -> Iterator[Bridge]:
    """Serves until it is left."""
    serving = bridge.server = server(create_app(bridge.services), host="127.0.0.1", port=0, drain_s=bridge.drain_s)
    thread = bridge.thread = threading.Thread(target=lambda: asyncio.run(serving.serve()))
    thread.start()
    try:
        _wait_started(serving, thread)
        bridge.url = f"http://127.0.0.1:{serving.port}"
        yield bridge
    finally:
        serving.should_exit = True
        thread.join(WAIT_S)
        assert not thread.is_alive()


def client(bridge: Bridge, **headers: str) -> httpx.AsyncClient:
    """An HTTP client for it."""
    return httpx.AsyncClient(base_url=bridge.url, timeout=WAIT_S, headers=headers)


async def until(condition: Callable[[], bool], *, timeout_s: float = WAIT_S) -> None:
    """Waits for `condition()` to hold."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  (it is another thread's state)
            await asyncio.sleep(0.005)


def _wait_started(serving: DrainingServer, thread: threading.Thread) -> None:
    waiting = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        if serving.started or not thread.is_alive():
            break
        waiting.wait(0.02)
    assert serving.started
