"""Two bridges, processes both, that join as the same participant: one PostgreSQL says which has a room."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from e2e.bridge_process import BridgeProcess
from launcher.livekit import LiveKitServer
from models.room_bench import participants
from models.room_listener import Listener, Stretch, listening, tone
from orpheus_bridge.rooms.lease import LEASE_S
from orpheus_bridge.voices.embedded import EmbeddedPostgres
from orpheus_bridge.voices.options import DatabaseOptions, EmbeddedOptions
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.pcm import Pcm
from unit.client_scripted_triton import message, running

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240)]

IDENTITY = "assistant"
WAIT_S = 90.0
"""For one answer; a speech is waited for, and here they are short."""

SHORTEST_S = 0.1
"""What is shorter is the noise of a stream that breaks off."""


@dataclass(frozen=True, slots=True)
class Sound:
    """What the speech server makes of a text."""

    text: str
    hz: float
    seconds: float

    def samples(self) -> Pcm:
        return np.append(tone(self.hz, self.seconds), np.zeros(SAMPLE_RATE_HZ // 10, np.int16))


LOW = Sound("Say it low.", 400.0, 4.0)
HIGH = Sound("Say it high.", 1000.0, 2.0)
LONG = Sound("Say it low and for long.", 400.0, 40.0)
SOUNDS = {sound.text: sound for sound in (LOW, HIGH, LONG)}


async def hum(request: Any, _context: Any) -> AsyncIterator[Any]:
    """The sound of the text that is asked for, as `orpheus_tts` would send it."""
    samples = SOUNDS[request.raw_input_contents[0][4:].decode()].samples()
    chunks = np.array_split(samples, len(samples) // SAMPLES_PER_FRAME)
    for chunk in chunks[:-1]:
        yield message(chunk)
    yield message(chunks[-1], final=True)


@dataclass(frozen=True, slots=True)
class Pair:
    """The two bridges."""

    first: BridgeProcess
    second: BridgeProcess
    http: httpx.AsyncClient

    async def asked(self, bridge: BridgeProcess, sound: Sound, room: str) -> httpx.Response:
        """The answer of one of them, once the sound was sent."""
        wish = {"text": sound.text, "room_name": room}
        return await self.http.post(f"{bridge.url}/api/tts/synthesize", json=wish)


@pytest.fixture
async def pair(livekit_server: LiveKitServer, tmp_path: Path) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        embedded = EmbeddedOptions(folder=tmp_path / "postgres")
        database = (await stack.enter_async_context(EmbeddedPostgres(embedded))).database
        triton = await stack.enter_async_context(running(hum))
        settings = {**livekit_server.variables, **reaching(database), "LIVEKIT_IDENTITY": IDENTITY}
        bridges = [BridgeProcess(triton_url=triton.url, home=tmp_path / name, settings=settings) for name in "ab"]
        first, second = [await stack.enter_async_context(started(bridge)) for bridge in bridges]
        yield Pair(first, second, await stack.enter_async_context(httpx.AsyncClient(timeout=WAIT_S)))


def reaching(database: DatabaseOptions) -> dict[str, str]:
    """The settings that lead a bridge to a database."""
    return {
        "DB_HOST": database.host,
        "DB_PORT": str(database.port),
        "DB_NAME": database.name,
        "DB_USER": database.user,
    }


@asynccontextmanager
async def started(bridge: BridgeProcess) -> AsyncIterator[BridgeProcess]:
    """The speech server lives in this event loop, and the bridge may ask it something before it is up."""
    await asyncio.to_thread(bridge.__enter__)
    try:
        yield bridge
    finally:
        await asyncio.to_thread(bridge.__exit__, None, None, None)


def share_of(hz: float, record: Pcm) -> float:
    """The loudest line near a frequency, as a share of the loudest of all."""
    spectrum = np.abs(np.fft.rfft(record.astype(np.float64)))
    middle = round(hz * len(record) / SAMPLE_RATE_HZ)
    return float(spectrum[middle - 20 : middle + 20].max() / spectrum.max())


def assert_heard(stretches: list[Stretch], sound: Sound) -> None:
    """The whole sound and nothing else; where a machine is too busy to send in time, it may have broken up."""
    assert stretches, "nothing was heard"
    assert [round(stretch.hz, -1) for stretch in stretches] == [sound.hz] * len(stretches), stretches
    assert sum(stretch.seconds for stretch in stretches) == pytest.approx(sound.seconds, rel=0.15), stretches


async def all_of(listener: Listener, seconds: float) -> list[Stretch]:
    """What was heard once about so much has arrived and the room is quiet again, without clicks."""
    await listener.until_recorded(0.85 * seconds, timeout_s=WAIT_S)
    await asyncio.sleep(1.0)
    return [stretch for stretch in listener.heard() if stretch.seconds > SHORTEST_S]


async def asked_until_taken(pair: Pair, room: str) -> tuple[httpx.Response, float]:
    """The second bridge's first answer that is not 409, and when it was asked for."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(LEASE_S + WAIT_S):
        while True:
            asked_s = loop.time()
            answer = await pair.asked(pair.second, HIGH, room)
            if answer.status_code != 409:
                return answer, asked_s
            await asyncio.sleep(1.0)


async def test_each_speaks_into_a_room_of_its_own_and_is_kept_out_of_the_other_s(
    pair: Pair, livekit_server: LiveKitServer, room: str
) -> None:
    low, high = f"{room}-low", f"{room}-high"
    variables = livekit_server.variables
    async with listening(variables, low) as in_low, listening(variables, high) as in_high:
        speaking = asyncio.create_task(pair.asked(pair.first, LOW, low))
        await in_low.until_recorded(0.3, timeout_s=WAIT_S)
        refused = await pair.asked(pair.second, HIGH, low)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert "another bridge speaks in this room" in refused.json()["detail"]
        spoken = await pair.asked(pair.second, HIGH, high)
        answers = [spoken, await speaking]
        assert (await pair.asked(pair.first, LOW, high)).status_code == 409
        lows, highs = await all_of(in_low, LOW.seconds), await all_of(in_high, HIGH.seconds)
        present = {name: await participants(livekit_server, name) for name in (low, high)}
    for answer in answers:
        assert (answer.status_code, answer.json()["listeners"]) == (200, 1), answer.text
    assert_heard(lows, LOW)
    assert_heard(highs, HIGH)
    assert share_of(HIGH.hz, in_low.record) < 0.01
    assert share_of(LOW.hz, in_high.record) < 0.01
    for name in (low, high):
        assert sorted(participant.identity for participant in present[name]) == [IDENTITY, "listener"]


async def test_one_that_is_killed_is_succeeded_when_its_lease_is_over(
    pair: Pair, livekit_server: LiveKitServer, room: str
) -> None:
    loop = asyncio.get_running_loop()
    async with listening(livekit_server.variables, room) as listener:
        speaking = asyncio.create_task(pair.asked(pair.first, LONG, room))
        await listener.until_recorded(1.0, timeout_s=WAIT_S)
        await asyncio.to_thread(pair.first.kill)
        killed_s = loop.time()
        with pytest.raises(httpx.TransportError):
            await speaking
        # What is renewed every five seconds cannot be over yet.
        assert (await pair.asked(pair.second, HIGH, room)).status_code == 409
        answer, asked_s = await asked_until_taken(pair, room)
        heard = await all_of(listener, HIGH.seconds + 1.0)
        (bridge,) = [one for one in await participants(livekit_server, room) if one.identity != "listener"]
    assert (answer.status_code, answer.json()["listeners"]) == (200, 1), answer.text
    # It was asked once a second; what was renewed just before the end is over a lease later.
    assert asked_s - killed_s < LEASE_S + 2
    assert bridge.identity == IDENTITY
    begun = next(number for number, stretch in enumerate(heard) if round(stretch.hz, -1) == HIGH.hz)
    before, after = heard[:begun], heard[begun:]
    assert_heard(after, HIGH)
    assert {round(stretch.hz, -1) for stretch in before} == {LONG.hz}
    assert sum(stretch.seconds for stretch in before) < LONG.seconds / 2
    start = round(after[0].start_s * SAMPLE_RATE_HZ)
    assert share_of(LONG.hz, listener.record[start:]) < 0.01
