"""What a second participant hears is what was sent: order, length, pitch, level."""

import asyncio

import numpy as np
import pytest

from launcher.livekit import LiveKitServer
from models.room_listener import Listener, Speech, Stretch, listening, tone
from orpheus_bridge.rooms.sink import RoomSink

pytestmark = pytest.mark.livekit

LEVEL = 10_000
LENGTH_TOLERANCE_S = 0.08
"""Opus smears an edge, and a receiver stretches its first packets."""


def assert_heard(stretch: Stretch, *, hz: float, seconds: float) -> None:
    assert stretch.hz == pytest.approx(hz, abs=3)
    assert stretch.seconds == pytest.approx(seconds, abs=LENGTH_TOLERANCE_S)
    assert stretch.level == pytest.approx(LEVEL, rel=0.15)


async def heard(listener: Listener, seconds: float) -> list[Stretch]:
    """What was heard, once so much has arrived and the room is quiet again."""
    await listener.until_recorded(seconds - LENGTH_TOLERANCE_S)
    await asyncio.sleep(0.4)
    return listener.heard()


async def test_everything_arrives_once_and_in_order(sink: RoomSink, livekit_server: LiveKitServer, room: str) -> None:
    pitches = (440.0, 660.0, 550.0)
    async with listening(livekit_server.variables, room) as listener:
        # Each ends with 100 ms of silence, so that they can be told apart though they follow without a gap.
        speeches = [Speech(np.append(tone(hz, 1.0), np.zeros(2400, np.int16)), pace=1.3) for hz in pitches]
        deliveries = await asyncio.gather(
            *(
                sink.speak(room, str(number), speech, policy="queue", predicted_s=1)
                for number, speech in enumerate(speeches)
            )
        )
        stretches = await heard(listener, 3.0)
    assert [delivery.sent_ms for delivery in deliveries] == [1100.0] * 3
    assert not any(delivery.interrupted for delivery in deliveries)
    assert {delivery.listeners for delivery in deliveries} == {1}
    assert len(stretches) == 3
    for stretch, hz in zip(stretches, pitches, strict=True):
        assert_heard(stretch, hz=hz, seconds=1.0)
    assert all(speech.is_closed for speech in speeches)
    assert listener.tracks == 1


async def test_two_rooms_at_once_never_mix(sink: RoomSink, livekit_server: LiveKitServer, room: str) -> None:
    low, high = f"{room}-low", f"{room}-high"
    async with listening(livekit_server.variables, low) as left, listening(livekit_server.variables, high) as right:
        await asyncio.gather(
            sink.speak(low, "1", Speech(tone(400, 2.0)), policy="queue", predicted_s=2),
            sink.speak(high, "2", Speech(tone(1000, 2.0)), policy="queue", predicted_s=2),
        )
        (in_low,), (in_high,) = await heard(left, 2.0), await heard(right, 2.0)
        assert (await sink.state()).rooms == 2
    assert_heard(in_low, hz=400, seconds=2.0)
    assert_heard(in_high, hz=1000, seconds=2.0)
    for record, foreign_hz in ((left.record, 1000), (right.record, 400)):
        spectrum = np.abs(np.fft.rfft(record.astype(np.float64)))
        at_hz = round(foreign_hz * len(record) / 24_000)
        assert spectrum[at_hz - 20 : at_hz + 20].max() < spectrum.max() / 100


async def test_the_first_sound_is_there_at_once(sink: RoomSink, livekit_server: LiveKitServer, room: str) -> None:
    latencies_ms: list[float] = []
    async with listening(livekit_server.variables, room) as listener:
        for number in range(4):
            listener.first_audible_s = None
            asked_s = asyncio.get_running_loop().time()
            delivery = await sink.speak(room, str(number), Speech(tone(440, 0.3)), policy="queue", predicted_s=1)
            await listener.until_recorded(0.3 * (number + 1) - LENGTH_TOLERANCE_S)
            assert listener.first_audible_s is not None
            latencies_ms.append((listener.first_audible_s - asked_s) * 1000)
            assert delivery.first_audible_ms is not None
            await asyncio.sleep(0.4)
    print("first audible sample at the listener, ms after speak():", [round(ms) for ms in latencies_ms])
    # The first one joins, publishes and waits for the subscription.
    assert min(latencies_ms[1:]) < 250
    assert latencies_ms[0] < 3000


async def test_a_last_part_of_ten_milliseconds_is_not_kept_for_the_next_speech(
    sink: RoomSink, livekit_server: LiveKitServer, room: str
) -> None:
    ends_within_a_block = tone(440, 0.5)[:-100]
    async with listening(livekit_server.variables, room) as listener:
        delivery = await sink.speak(room, "1", Speech(ends_within_a_block), policy="queue", predicted_s=1)
        assert delivery.sent_ms == len(ends_within_a_block) / 24
        first = await heard(listener, 0.5)
        await sink.speak(room, "2", Speech(np.zeros(9600, np.int16)), policy="queue", predicted_s=1)
        await asyncio.sleep(0.6)
        assert listener.heard() == first
