"""From an HTTP request to the ears of a room."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from launcher.livekit import LiveKitServer
from models.room_bench import room_options
from models.room_listener import Stretch, listening, tone
from orpheus_bridge.fake_engine import FakeEngine
from orpheus_client import FakeSpeech, SpeechOptions, SpeechStream
from orpheus_core.pcm import Pcm
from unit.bridge_app import Bridge, client, running, until

pytestmark = pytest.mark.livekit

PATH = "/api/tts/synthesize"
LOW_HZ, HIGH_HZ = 400.0, 700.0
SPOKEN_S = 1.0
TONES_HZ = {"tara": LOW_HZ, "leo": HIGH_HZ}
NO_OPTIONS = SpeechOptions()


def speech(hz: float, seconds: float = SPOKEN_S, *, delay_s: float = 0.0) -> FakeSpeech:
    samples: Pcm = np.append(tone(hz, seconds), np.zeros(2400, np.int16))
    return FakeSpeech(chunks=tuple(np.array_split(samples, 12)), delay_s=delay_s)


class ToneByVoice(FakeEngine):
    """Each voice is a tone."""

    def speak_long(self, text: str, options: SpeechOptions = NO_OPTIONS, **_how: Any) -> SpeechStream:
        return FakeEngine(speech(TONES_HZ[str(options.voice)])).speak_long(text, options)


@pytest.fixture
def bridge(livekit_server: LiveKitServer) -> Iterator[Bridge]:
    engine = FakeEngine(speech(LOW_HZ), speech(HIGH_HZ), speech(LOW_HZ, 20.0))
    with running(Bridge(engine=engine, livekit=room_options(livekit_server))) as bridge:
        yield bridge


async def test_two_requests_are_heard_in_turn_and_a_caller_that_goes_is_not(
    bridge: Bridge, livekit_server: LiveKitServer, room: str
) -> None:
    latencies_ms: list[int] = []
    wish = {"text": "Hello there.", "room_name": room}
    async with listening(livekit_server.variables, room) as listener, client(bridge) as http:
        for number in range(1, 3):
            listener.first_audible_s = None
            asked_s = asyncio.get_running_loop().time()
            answer = await http.post(PATH, json=wish)
            assert (answer.status_code, answer.json()["status"], answer.json()["listeners"]) == (200, "success", 1)
            assert answer.json()["sent_ms"] == pytest.approx(1000 * (SPOKEN_S + 0.1), abs=1)
            await listener.until_recorded(number * SPOKEN_S - 0.1)
            assert listener.first_audible_s is not None
            latencies_ms.append(round(1000 * (listener.first_audible_s - asked_s)))
            await asyncio.sleep(0.4)
        low, high = listener.heard()
        leaving = asyncio.create_task(http.post(PATH, json=wish))
        await until(lambda: bridge.engine.ended == 3)
        await asyncio.sleep(1.0)
        leaving.cancel()
        await until(lambda: bridge.desk is not None and bridge.desk.open_requests == 0)
        await asyncio.sleep(0.5)
        recorded = len(listener.record)
        await asyncio.sleep(1.0)
        later = listener.record[recorded:]
    print("first audible sample at the listener, ms after the request:", latencies_ms)
    assert low.hz == pytest.approx(LOW_HZ, abs=3)
    assert high.hz == pytest.approx(HIGH_HZ, abs=3)
    assert low.seconds == pytest.approx(SPOKEN_S, abs=0.1)
    assert high.seconds == pytest.approx(SPOKEN_S, abs=0.1)
    # It was twenty seconds long; whatever still comes is silence.
    assert not len(later) or np.abs(later).max() < 100


async def test_voices_in_turn_in_one_room_and_at_once_in_two_never_mix(
    livekit_server: LiveKitServer, room: str
) -> None:
    rooms = {f"{room}-a": ("tara", "leo", "tara"), f"{room}-b": ("leo", "tara", "leo")}

    async def converse(spoken: Bridge, name: str, voices: tuple[str, ...]) -> list[Stretch]:
        async with listening(livekit_server.variables, name) as listener, client(spoken) as http:
            for number, voice in enumerate(voices, start=1):
                wish = {"text": "Hello there.", "room_name": name, "voice_id": voice}
                answer = await http.post(PATH, json=wish)
                assert (answer.status_code, answer.json()["status"]) == (200, "success"), answer.text
                await listener.until_recorded(number * SPOKEN_S - 0.1)
                await asyncio.sleep(0.4)
            return listener.heard()

    with running(Bridge(engine=ToneByVoice(), livekit=room_options(livekit_server))) as spoken:
        heard = await asyncio.gather(*(converse(spoken, name, voices) for name, voices in rooms.items()))
    for stretches, voices in zip(heard, rooms.values(), strict=True):
        assert [stretch.hz for stretch in stretches] == pytest.approx([TONES_HZ[voice] for voice in voices], abs=3)
        assert [stretch.seconds for stretch in stretches] == pytest.approx([SPOKEN_S] * 3, abs=0.1)
