"""The end of the process: what runs is heard out, within a window."""

import asyncio
import signal
import time

import numpy as np
import pytest

from orpheus_bridge.fake_engine import FakeEngine
from orpheus_client import FakeSpeech
from unit.bridge_app import Bridge, client, running, until

pytestmark = pytest.mark.unit

PATH = "/api/tts/synthesize"
CHUNK = np.full(2048, 900, np.int16)
CHUNKS = 8


def bridge(delay_s: float, *, drain_s: float = 10.0) -> Bridge:
    return Bridge(engine=FakeEngine(FakeSpeech(chunks=(CHUNK,) * CHUNKS, delay_s=delay_s)), drain_s=drain_s)


def signalled(bridge: Bridge) -> None:
    assert bridge.server is not None
    bridge.server.handle_exit(signal.SIGTERM, None)


async def until_down(bridge: Bridge) -> None:
    await until(lambda: bridge.thread is not None and not bridge.thread.is_alive())


async def test_running_speech_ends_and_new_requests_are_refused() -> None:
    with running(bridge(0.2)) as down:
        async with client(down) as http:
            stream = asyncio.create_task(http.post(PATH, json={"text": "Hi.", "stream": True}))
            room = asyncio.create_task(http.post(PATH, json={"text": "Hi.", "room_name": "lobby"}))
            await until(lambda: down.engine.live == 2)
            signalled(down)
            await until(lambda: down.desk is not None and down.desk.draining)
            refused = await http.post(PATH, json={"text": "Hi."})
            unready = await http.get("/health/ready")
            answers = await asyncio.gather(stream, room)
        await until_down(down)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert (unready.status_code, unready.json()) == (503, {"status": "draining"})
    assert len(answers[0].content) == 44 + 2 * CHUNKS * len(CHUNK)
    assert answers[1].json()["interrupted"] is False
    assert (down.engine.ended, down.engine.cancelled) == (2, 0)


async def test_an_idle_service_ends_at_once() -> None:
    with running(bridge(0)) as down:
        signalled(down)
        began_s = time.monotonic()
        await until_down(down)
        assert time.monotonic() - began_s < 3


@pytest.mark.parametrize("again", [False, True])
async def test_after_the_window_or_a_second_signal_what_runs_is_ended(*, again: bool) -> None:
    with running(bridge(60, drain_s=30 if again else 0.3)) as down:
        async with client(down) as http:
            asking = asyncio.create_task(http.post(PATH, json={"text": "Hi.", "stream": True}))
            await until(lambda: down.engine.live == 1)
            signalled(down)
            if again:
                await until(lambda: down.desk is not None and down.desk.draining)
                signalled(down)
            answer = await asking
        await until_down(down)
    assert (answer.status_code, answer.json()["detail"]) == (503, "the service went down")
    assert (down.engine.live, down.engine.cancelled) == (0, 1)
