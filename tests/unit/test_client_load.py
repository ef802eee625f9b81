"""Load of the bench, in virtual time, and its figures."""

import asyncio

import numpy as np
import pytest

from orpheus_client import Busy, FakeEngine, FakeSpeech, SpeechOptions
from orpheus_client.cli import _load
from orpheus_client.cli._figures import figures
from orpheus_client.cli._load import Outcome, closed_loop, measured, open_loop
from orpheus_core.layout import SAMPLE_RATE_HZ
from unit.client_virtual_time import run

pytestmark = pytest.mark.unit

SECOND = np.full(SAMPLE_RATE_HZ, 5000, dtype=np.int16)


def test_a_closed_loop_keeps_as_many_running_as_asked() -> None:
    async def load() -> tuple[int, int, float]:
        engine = FakeEngine(FakeSpeech(chunks=(SECOND,), delay_s=0.5))

        async def request(text: str) -> None:
            await measured(engine, text, SpeechOptions(), buffer_ms=60)

        await closed_loop(request, (str(n) for n in range(10)), concurrency=4)
        return engine.ended, engine.most_live, asyncio.get_running_loop().time()

    assert run(load()) == (10, 4, 3.0)


def test_an_open_loop_arrives_by_chance_at_the_rate_asked_and_the_same_again() -> None:
    async def arrivals() -> list[float]:
        times: list[float] = []

        async def request(text: str) -> None:
            times.append(asyncio.get_running_loop().time())
            await asyncio.sleep(100)

        await open_loop(request, ["x"] * 2000, arrivals_hz=20, seed=1, refused=pytest.fail)
        return times

    times = run(arrivals())
    gaps_s = np.diff(times)
    assert np.mean(gaps_s) == pytest.approx(1 / 20, rel=0.1)
    assert np.std(gaps_s) == pytest.approx(1 / 20, rel=0.1)
    assert times == run(arrivals())


def test_an_open_loop_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_load, "MAX_IN_FLIGHT", 3)

    async def load() -> tuple[int, int]:
        made, refused = [], []

        async def request(text: str) -> None:
            made.append(text)
            await asyncio.sleep(1000)

        await open_loop(request, ["x"] * 10, arrivals_hz=100, seed=0, refused=lambda: refused.append(1))
        return len(made), len(refused)

    assert run(load()) == (3, 7)


def test_a_stream_is_measured_as_its_listener_had_it() -> None:
    async def measure() -> Outcome:
        quiet = np.zeros_like(SECOND)
        engine = FakeEngine(FakeSpeech(chunks=(quiet, SECOND, SECOND), delay_s=1.5))
        return await measured(engine, "x", SpeechOptions(), buffer_ms=100)

    outcome = run(measure())
    assert outcome.first_audio_ms == 1500
    assert outcome.first_audible_ms == 3000
    assert outcome.audio_s == 3
    assert outcome.wall_s == 6
    assert outcome.stalls == 1
    assert outcome.stalled_ms == pytest.approx(400)


def test_a_failure_is_an_outcome() -> None:
    engine = FakeEngine(FakeSpeech(chunks=(), error=Busy("full: no")))
    assert run(measured(engine, "x", SpeechOptions(), buffer_ms=60)).error == "busy"


def test_figures_are_of_the_spoken_streams_only() -> None:
    spoken = [
        Outcome(first_audio_ms=n, first_audible_ms=n + 10, audio_s=2, wall_s=1, stalls=n % 2, stalled_ms=n % 2 * 30)
        for n in range(1, 102)
    ]
    failed = [Outcome(failure=Busy("full: no"), wall_s=9), Outcome(refused=True)]
    result = figures(spoken + failed, wall_s=50)
    assert (result.requests, result.spoken, result.errors) == (103, 101, {"busy": 1, "client_full": 1})
    assert (result.first_audio_ms.p50, result.first_audio_ms.p95, result.first_audio_ms.p99) == (51, 96, 100)
    assert result.first_audible_ms.max == 111
    assert result.real_time_factor.p50 == 0.5
    assert result.audio_s_per_s == 202 / 50
    assert (result.stalls, result.streams_with_stalls) == (51, 51)
    assert result.each_first_audio_ms == (*range(1, 102), None, None)


def test_figures_of_nothing() -> None:
    result = figures([], wall_s=0)
    assert (result.spoken, result.first_audio_ms.p50, result.audio_s_per_s) == (0, None, 0)
