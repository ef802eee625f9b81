"""Interruptions, refusals and cancellations, as the listener hears them."""

import asyncio

import pytest

from launcher.livekit import LiveKitServer
from models.room_listener import Speech, listening, tone
from orpheus_bridge.errors import Conflict
from orpheus_bridge.rooms.sink import RoomSink

pytestmark = pytest.mark.livekit

HEARD_LATE_S = 0.35
"""After `clear_queue` the listener still hears what is on the wire and in its own buffer."""


async def test_an_interruption_is_heard_and_told(sink: RoomSink, livekit_server: LiveKitServer, room: str) -> None:
    speech = Speech(tone(440, 6.0))
    async with listening(livekit_server.variables, room) as listener:
        speaking = asyncio.create_task(sink.speak(room, "1", speech, policy="queue", predicted_s=6))
        waiting = asyncio.create_task(sink.speak(room, "2", Speech(tone(1000, 1.0)), policy="queue", predicted_s=1))
        await listener.until_recorded(1.0)
        played_ms = await sink.interrupt(room)
        delivery, behind = await speaking, await waiting
        await asyncio.sleep(0.6)
        (heard,) = listener.heard()
    assert delivery.interrupted
    assert delivery.played_ms == played_ms
    assert delivery.sent_ms >= played_ms
    assert heard.seconds * 1000 == pytest.approx(played_ms, abs=120)
    assert 1000 < played_ms < 3500
    assert speech.is_closed
    assert (behind.interrupted, behind.sent_ms) == (True, 0)


async def test_a_speech_that_interrupts_is_heard_alone(
    sink: RoomSink, livekit_server: LiveKitServer, room: str
) -> None:
    async with listening(livekit_server.variables, room) as listener:
        speaking = asyncio.create_task(sink.speak(room, "1", Speech(tone(440, 6.0)), policy="queue", predicted_s=6))
        await listener.until_recorded(0.5)
        with pytest.raises(Conflict):
            await sink.speak(room, "2", Speech(tone(700, 1.0)), policy="reject", predicted_s=1)
        delivery = await sink.speak(room, "3", Speech(tone(1000, 1.0)), policy="interrupt", predicted_s=1)
        first = await speaking
        await asyncio.sleep(0.6)
        record = listener.record
        start = round(first.played_ms * 24)
        loudest = [stretch.hz for stretch in listener.heard()]
    assert first.interrupted
    assert not delivery.interrupted
    assert len(record) > start
    assert loudest[-1] == pytest.approx(1000, abs=3) or len(loudest) == 1
    total_s = sum(stretch.seconds for stretch in listener.heard())
    assert total_s == pytest.approx(first.played_ms / 1000 + 1.0, abs=0.2)


async def test_one_request_is_cancelled_where_it_is(sink: RoomSink, livekit_server: LiveKitServer, room: str) -> None:
    never_read = Speech(tone(1000, 1.0))
    async with listening(livekit_server.variables, room) as listener:
        speaking = asyncio.create_task(sink.speak(room, "first", Speech(tone(440, 1.5)), policy="queue", predicted_s=2))
        waiting = asyncio.create_task(sink.speak(room, "second", never_read, policy="queue", predicted_s=1))
        await listener.until_recorded(0.3)
        assert await sink.cancel("second") == 0
        assert (await waiting).sent_ms == 0
        played_ms = await sink.cancel("first")
        assert played_ms is not None
        assert (await speaking).played_ms == played_ms
        assert await sink.cancel("first") is None
    assert never_read.given_samples == 0
    assert never_read.is_closed


async def test_a_caller_that_goes_silences_its_speech(sink: RoomSink, livekit_server: LiveKitServer, room: str) -> None:
    speech = Speech(tone(440, 6.0))
    async with listening(livekit_server.variables, room) as listener:
        speaking = asyncio.create_task(sink.speak(room, "1", speech, policy="queue", predicted_s=6))
        await listener.until_recorded(0.5)
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking
        before_s = listener.heard()[-1].seconds
        await asyncio.sleep(0.8)
        assert listener.heard()[-1].seconds < before_s + HEARD_LATE_S
        await sink.speak(room, "2", Speech(tone(1000, 0.5)), policy="reject", predicted_s=1)
        await asyncio.sleep(0.6)
        assert listener.heard()[-1].hz == pytest.approx(1000, abs=4)
    assert speech.is_closed
