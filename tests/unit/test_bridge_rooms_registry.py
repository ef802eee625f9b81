"""Rooms as a whole, in virtual time: joined when needed, left when idle, owned by one bridge."""

import asyncio
from dataclasses import replace

import pytest

from orpheus_bridge.errors import Busy, Conflict, Unavailable
from orpheus_bridge.rooms.fake import FakeLink, FakePulse
from orpheus_bridge.rooms.opening import open_rooms
from orpheus_bridge.rooms.options import LiveKitOptions
from orpheus_bridge.rooms.pulse import HttpPulse
from orpheus_bridge.rooms.registry import Rooms
from orpheus_bridge.rooms.sink import Delivery
from unit.bridge_rooms_speech import Speech
from unit.client_virtual_time import run

pytestmark = pytest.mark.unit

OPTIONS = LiveKitOptions(url="ws://livekit", api_key="key", api_secret="secret")  # noqa: S106  (opens nothing)


class OwnedRooms:
    """A `Lease` that can be taken away."""

    def __init__(self) -> None:
        self.elsewhere: set[str] = set()
        self.held: set[str] = set()
        self.assumes_one_bridge = False

    async def acquire(self, room: str) -> None:
        if room in self.elsewhere:
            raise Conflict("another bridge speaks in this room")
        self.held.add(room)

    async def renew(self) -> frozenset[str]:
        lost = frozenset(self.held & self.elsewhere)
        self.held -= lost
        return lost

    async def release(self, room: str) -> None:
        self.held.discard(room)


class Scene:
    """Rooms, their links and their lease."""

    def __init__(self, options: LiveKitOptions = OPTIONS) -> None:
        self.links: dict[str, FakeLink] = {}
        self.lease = OwnedRooms()
        self.pulse = FakePulse()
        self.rooms = Rooms(options, make_link=self.link, pulse=self.pulse, lease=self.lease)

    def link(self, room: str) -> FakeLink:
        return self.links.setdefault(room, FakeLink())

    async def speak(self, room: str, seconds: float = 1.0) -> Delivery:
        return await self.rooms.speak(room, room, Speech(seconds), policy="queue", predicted_s=seconds)


def test_a_room_stays_joined_between_requests_and_is_left_when_idle() -> None:
    async def story() -> None:
        scene = Scene(replace(OPTIONS, idle_timeout_s=60))
        await scene.rooms.start()
        for _ in range(3):
            await scene.speak("a")
            await asyncio.sleep(50)
        assert (scene.link("a").openings, scene.link("a").closings) == (1, 0)
        await asyncio.sleep(15)
        assert scene.link("a").closings == 1
        assert (await scene.rooms.state()).rooms == 0
        assert scene.lease.held == set()
        await scene.speak("a")
        assert scene.link("a").openings == 2
        await scene.rooms.close()

    run(story())


def test_a_long_speech_is_not_idleness() -> None:
    async def story() -> None:
        scene = Scene(replace(OPTIONS, idle_timeout_s=5))
        await scene.rooms.start()
        assert (await scene.speak("a", 30.0)).sent_ms == 30_000
        assert scene.link("a").closings == 0
        await scene.rooms.close()

    run(story())


def test_the_kept_room_is_joined_at_the_start_and_again_after_losses() -> None:
    async def story() -> None:
        scene = Scene(replace(OPTIONS, room="kept", idle_timeout_s=5))
        link = scene.link("kept")
        link.open_error = Unavailable("LiveKit does not answer")
        await scene.rooms.start()
        await asyncio.sleep(3)
        link.open_error = None
        await asyncio.sleep(30)
        assert (link.openings, link.closings) == (1, 0)
        await link.close()
        await asyncio.sleep(3)
        assert link.openings == 2
        await scene.rooms.close()
        assert not link.is_open

    run(story())


def test_the_room_idle_longest_makes_place() -> None:
    async def story() -> None:
        scene = Scene(replace(OPTIONS, max_rooms=2))
        await scene.speak("a")
        await scene.speak("b")
        await scene.speak("a")
        await scene.speak("c")
        assert [scene.link(room).is_open for room in "abc"] == [True, False, True]
        busy = [asyncio.create_task(scene.speak(room, 5.0)) for room in "ac"]
        await asyncio.sleep(1)
        with pytest.raises(Busy, match="2 rooms"):
            await scene.speak("d")
        await asyncio.gather(*busy)

    run(story())


def test_a_room_of_another_bridge_is_refused_and_left_when_it_is_lost() -> None:
    async def story() -> None:
        scene = Scene()
        scene.lease.elsewhere = {"b"}
        await scene.rooms.start()
        with pytest.raises(Conflict):
            await scene.speak("b")
        assert "b" not in scene.links
        speaking = asyncio.create_task(scene.speak("a", 60.0))
        await asyncio.sleep(1)
        scene.lease.elsewhere = {"a"}
        with pytest.raises(Conflict, match="another bridge"):
            await speaking
        assert asyncio.get_running_loop().time() < 7
        assert not scene.link("a").is_open
        await scene.rooms.close()

    run(story())


def test_closing_ends_what_speaks_and_leaves_every_room() -> None:
    async def story() -> None:
        scene = Scene()
        await scene.rooms.start()
        speaking = [asyncio.create_task(scene.speak(room, 60.0)) for room in "ab"]
        await asyncio.sleep(1)
        await scene.rooms.close()
        results = await asyncio.gather(*speaking, return_exceptions=True)
        assert [str(result) for result in results] == ["the bridge is shutting down"] * 2
        assert all(isinstance(result, Unavailable) for result in results)
        assert not any(link.is_open for link in scene.links.values())
        assert asyncio.get_running_loop().time() == pytest.approx(1.0, abs=0.1)
        with pytest.raises(Unavailable, match="shutting down"):
            await scene.speak("c")
        assert len(asyncio.all_tasks()) == 1

    run(story())


def test_an_answer_of_livekit_counts_for_thirty_seconds() -> None:
    async def story() -> None:
        pulse = HttpPulse(lambda: None)
        assert not pulse.is_alive
        pulse.seen()
        await asyncio.sleep(29)
        assert pulse.is_alive
        await asyncio.sleep(2)
        assert not pulse.is_alive

    run(story())


def test_without_livekit_nothing_is_spoken_and_the_reason_is_told() -> None:
    async def story() -> None:
        rooms = await open_rooms(LiveKitOptions())
        speech = Speech(1.0)
        with pytest.raises(Unavailable, match="LIVEKIT_URL"):
            await rooms.speak("a", "1", speech, policy="queue", predicted_s=1)
        assert speech.begun_s is None
        assert speech.closed_s is not None
        state = await rooms.state()
        assert (state.configured, state.connected) == (False, False)
        assert await rooms.interrupt("a") == 0
        assert await rooms.cancel("1") is None
        await rooms.close()

    run(story())


@pytest.mark.parametrize(
    ("identity", "asks_nobody", "assumed"), [("a", True, True), ("a", False, False), (None, True, False)]
)
def test_one_bridge_is_assumed_where_all_join_as_the_same_and_nobody_is_asked(
    identity: str | None, *, asks_nobody: bool, assumed: bool
) -> None:
    async def story() -> None:
        scene = Scene(replace(OPTIONS, identity=identity))
        scene.lease.assumes_one_bridge = asks_nobody
        assert (await scene.rooms.state()).one_bridge_assumed == assumed

    run(story())
