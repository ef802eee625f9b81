"""Who is in the room: the bridge as it is seen, listeners that come and go, connections that break."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from aiohttp import web
from livekit import api, rtc

from launcher.livekit import LiveKitPorts, LiveKitServer, LiveKitServerOptions
from models.room_bench import LIMITS, OpenRooms, administering, opened, participants, room_options, until_present
from models.room_listener import Speech, listener_token, listening, tone
from orpheus_bridge.errors import Conflict, Unavailable
from orpheus_bridge.rooms.options import LiveKitOptions
from orpheus_bridge.rooms.sink import RoomSink
from orpheus_bridge.rooms.tickets import KeyTickets

pytestmark = pytest.mark.livekit


async def test_the_bridge_is_an_agent_that_only_publishes(open_sink: OpenRooms, livekit_server: LiveKitServer) -> None:
    async with open_sink(identity="assistant", room="kept") as sink:
        (bridge,) = await until_present(livekit_server, "kept", count=1)
        assert bridge.identity == "assistant"
        assert bridge.kind == api.ParticipantInfo.Kind.AGENT
        assert not bridge.permission.can_subscribe
        assert not bridge.permission.can_publish_data
        async with asyncio.timeout(5):
            while not (state := await sink.state()).rooms:  # noqa: ASYNC110  (published after it is present)
                await asyncio.sleep(0.02)
        assert (state.configured, state.connected, state.rooms) == (True, True, 1)
    await until_present(livekit_server, "kept", count=0)


async def test_without_a_fixed_identity_it_cannot_be_guessed(
    sink: RoomSink, livekit_server: LiveKitServer, room: str
) -> None:
    async with listening(livekit_server.variables, room):
        await sink.speak(room, "1", Speech(tone(440, 0.1)), policy="queue", predicted_s=1)
        identities = {participant.identity for participant in await participants(livekit_server, room)}
    (bridge,) = identities - {"listener"}
    assert bridge.startswith("orpheus-")
    assert len(bridge) > len("orpheus-") + 8


async def test_an_idle_room_is_left(open_sink: OpenRooms, livekit_server: LiveKitServer, room: str) -> None:
    async with open_sink(idle_timeout_s=0.5) as sink, listening(livekit_server.variables, room):
        await sink.speak(room, "1", Speech(tone(440, 0.1)), policy="queue", predicted_s=1)
        await until_present(livekit_server, room, count=1)
        assert (await sink.state()).rooms == 0


async def present(server: LiveKitServer, names: list[str]) -> int:
    return sum(map(len, await asyncio.gather(*(participants(server, name) for name in names))))


async def test_a_caller_that_goes_while_the_room_is_joined_leaves_nobody_behind(
    sink: RoomSink, livekit_server: LiveKitServer, room: str
) -> None:
    names = [f"{room}-{number}" for number in range(12)]
    for number, name in enumerate(names):
        speech = Speech(tone(440, 1.0))
        speaking = asyncio.create_task(sink.speak(name, "1", speech, policy="queue", predicted_s=1))
        await asyncio.sleep(number * 0.015)
        speaking.cancel()
        await asyncio.wait({speaking})
        assert speaking.cancelled()
        assert number == 0 or speech.is_closed
    async with asyncio.timeout(15):
        # A room whose join was quicker than its caller stays joined, and the sink knows of it.
        while await present(livekit_server, names) != (await sink.state()).rooms:  # noqa: ASYNC110  (both tell when asked)
            await asyncio.sleep(0.1)
    async with listening(livekit_server.variables, names[1]):
        assert (await sink.speak(names[1], "2", Speech(tone(440, 0.2)), policy="queue", predicted_s=1)).sent_ms == 200


async def test_nobody_listens(sink: RoomSink, room: str) -> None:
    speech = Speech(tone(440, 1.0))
    delivery = await sink.speak(room, "1", speech, policy="queue", predicted_s=1)
    assert (delivery.listeners, delivery.sent_ms, delivery.interrupted) == (0, 0, False)
    assert speech.given_samples == 0
    assert speech.is_closed


async def test_a_listener_that_comes_in_time_hears_the_first_word(
    sink: RoomSink, livekit_server: LiveKitServer, room: str
) -> None:
    speaking = asyncio.create_task(sink.speak(room, "1", Speech(tone(440, 1.0)), policy="queue", predicted_s=1))
    await until_present(livekit_server, room, count=1)
    async with listening(livekit_server.variables, room) as listener:
        assert (await speaking).listeners == 1
        await listener.until_recorded(0.9)
        await asyncio.sleep(0.3)
        (heard,) = listener.heard()
    assert heard.seconds == pytest.approx(1.0, abs=0.08)


async def test_the_last_listener_leaves_and_another_comes(
    sink: RoomSink, livekit_server: LiveKitServer, room: str
) -> None:
    speech = Speech(tone(440, 60.0), pace=1.3)
    async with listening(livekit_server.variables, room) as listener:
        speaking = asyncio.create_task(sink.speak(room, "1", speech, policy="queue", predicted_s=60))
        await listener.until_recorded(0.5)
    delivery = await asyncio.wait_for(speaking, 20)
    assert (delivery.interrupted, delivery.listeners) == (True, 0)
    assert delivery.played_ms < 15_000
    assert speech.is_closed
    async with listening(livekit_server.variables, room, "another") as listener:
        again = await sink.speak(room, "2", Speech(tone(660, 0.5)), policy="queue", predicted_s=1)
        assert (again.listeners, again.sent_ms) == (1, 500)
        await listener.until_recorded(0.45)
        await asyncio.sleep(0.3)
        assert listener.heard()[-1].hz == pytest.approx(660, abs=4)


async def test_another_with_our_identity_ends_the_speech(
    open_sink: OpenRooms, livekit_server: LiveKitServer, room: str
) -> None:
    variables = livekit_server.variables
    async with open_sink(identity="assistant") as sink, listening(variables, room) as listener:
        speaking = asyncio.create_task(sink.speak(room, "1", Speech(tone(440, 20.0)), policy="queue", predicted_s=20))
        await listener.until_recorded(0.5)
        impostor = rtc.Room()
        await impostor.connect(variables["LIVEKIT_URL"], listener_token(variables, room, "assistant"))
        with pytest.raises(Conflict, match="identity"):
            await asyncio.wait_for(speaking, 10)
        await impostor.disconnect()


async def test_being_shown_out_ends_the_speech_and_the_next_one_joins_again(
    open_sink: OpenRooms, livekit_server: LiveKitServer, room: str
) -> None:
    variables = livekit_server.variables
    async with open_sink(identity="assistant") as sink, listening(variables, room) as listener:
        speaking = asyncio.create_task(sink.speak(room, "1", Speech(tone(440, 20.0)), policy="queue", predicted_s=20))
        await listener.until_recorded(0.5)
        async with administering(livekit_server) as livekit:
            await livekit.room.remove_participant(api.RoomParticipantIdentity(room=room, identity="assistant"))
        assert (await asyncio.wait_for(speaking, 10)).interrupted
        assert (await sink.speak(room, "2", Speech(tone(660, 0.5)), policy="queue", predicted_s=1)).sent_ms == 500


async def test_the_orchestrator_opens_the_door(livekit_server: LiveKitServer, room: str) -> None:
    variables = livekit_server.variables
    asked = []

    async def give(request: web.Request) -> web.Response:
        question = await request.json()
        asked.append(question)
        ours = KeyTickets(variables["LIVEKIT_URL"], variables["LIVEKIT_API_KEY"], variables["LIVEKIT_API_SECRET"])
        ticket = await ours.ticket(question["roomName"], question["participantName"])
        return web.json_response({"token": ticket.token, "livekitUrl": ticket.url})

    application = web.Application()
    application.router.add_post("/token", give)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    options = LiveKitOptions(orchestrator_url=f"http://127.0.0.1:{runner.addresses[0][1]}/", limits=LIMITS)
    try:
        async with opened(options) as sink, listening(variables, room):
            delivery = await sink.speak(room, "1", Speech(tone(440, 0.2)), policy="queue", predicted_s=1)
            assert delivery.sent_ms == 200
            assert (await sink.state()).connected
    finally:
        await runner.cleanup()
    assert [question["roomName"] for question in asked] == [room]
    assert asked[0]["participantName"].startswith("orpheus-")


async def test_a_server_that_restarts_hears_nothing_twice(livekit_options: LiveKitServerOptions, room: str) -> None:
    own = replace(livekit_options, ports=LiveKitPorts.free())
    pitches = [400.0 + 150 * step for step in range(8)]
    words = np.concatenate([np.append(tone(hz, 0.5), np.zeros(1200, np.int16)) for hz in pitches])
    server = LiveKitServer(own)
    with server:
        variables = server.variables
        async with opened(room_options(server)) as sink, listening(variables, room) as listener:
            speech = Speech(words)
            speaking = asyncio.create_task(sink.speak(room, "1", speech, policy="queue", predicted_s=5))
            await listener.until_recorded(1.0)
            await asyncio.to_thread(server.stop, grace=False)
            second = LiveKitServer(own)
            await asyncio.to_thread(second.__enter__)
            try:
                delivery = await asyncio.wait_for(speaking, 40)
                await asyncio.sleep(1.0)
                heard = [stretch for stretch in listener.heard() if stretch.seconds > 0.1]
            finally:
                await asyncio.to_thread(second.stop)
    assert delivery.sent_ms == len(words) / 24
    assert not delivery.interrupted
    found = [min(pitches, key=lambda hz: abs(hz - stretch.hz)) for stretch in heard]
    assert found == sorted(found)
    assert set(found) == set(pitches)
    total_s = sum(stretch.seconds for stretch in heard)
    assert 4.0 - 0.7 < total_s < 4.0 + 0.3


async def test_a_server_that_is_away_is_told(open_sink: OpenRooms, room: str) -> None:
    speech = Speech(tone(440, 0.2))
    nowhere = f"ws://127.0.0.1:{LiveKitPorts.free().http}"
    async with open_sink(url=nowhere) as sink:
        with pytest.raises(Unavailable, match="LiveKit does not answer"):
            await sink.speak(room, "1", speech, policy="queue", predicted_s=1)
        assert not (await sink.state()).connected
    assert speech.is_closed
