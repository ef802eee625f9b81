"""The real `orpheus_tts` as processes: several instances, a pool that could run dry, a model that dies."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from launcher.profile import CheckpointChoice, Streams
from models.replay_script import Script
from triton.bls_repository import ROOM_FOR_ANY_SCRIPT, Bench, Served, serving
from triton.bls_wire import RawStream, Wire, request_of, wire

pytestmark = pytest.mark.triton

POOL_THREADS = 32
RESERVED_THREADS = 8
NO_TRIM = np.array([False])


def request(script: Script, **inputs: Any) -> Any:
    return request_of(str(script), trim_silence=NO_TRIM, **inputs)


@pytest.fixture(scope="module")
def two_instances(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two instances of `orpheus_tts`, two checkpoints."""
    checkpoints = tuple(
        CheckpointChoice(name=name, source="tiny", languages=languages, budget=ROOM_FOR_ANY_SCRIPT)
        for name, languages in (("english", ("en",)), ("southern", ("es", "it")))
    )
    bench = Bench(streams=Streams(max_streams=8, bls_instances=2), checkpoints=checkpoints)
    yield from serving(bench, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def small_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """As on a Triton that was started without our flags, with a cap that its pool cannot serve."""
    streams = Streams(max_streams=64, thread_pool_size=POOL_THREADS, first_token_timeout_s=3.0, token_gap_timeout_s=1.0)
    yield from serving(Bench(streams=streams), tmp_path_factory.mktemp("pool"))


@pytest.fixture
async def raw(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    served = request.getfixturevalue("two_instances" if "instances" in request.node.name else "small_pool")
    async with wire(served.url) as opened:
        yield opened


async def test_instances_share_their_gauges(raw: Wire, two_instances: Served) -> None:
    scripts = [Script(frames=24, rate=83, stream=number) for number in range(8)]
    speeches = [asyncio.create_task(raw.read(request(script))) for script in scripts]
    await two_instances.wait_until(lambda: two_instances.metrics()["orpheus_live_streams"] == 8)
    assert two_instances.metrics()["orpheus_rated_streams"] == 16
    for answer, script in zip(await asyncio.gather(*speeches), scripts, strict=True):
        assert np.array_equal(answer.audio, script.samples())
    await two_instances.wait_until_idle()
    assert two_instances.metrics()['orpheus_streams_ended_total{reason="stop"}'] == 8


async def test_the_checkpoint_is_chosen_by_language_then_voice_on_all_instances(
    raw: Wire, two_instances: Served
) -> None:
    wishes = {
        20: ({}, "orpheus_llm", "tara"),
        21: ({"language": "en-GB", "voice": "leo"}, "orpheus_llm", "leo"),
        22: ({"language": "it"}, "orpheus_llm_southern", "pietro"),
        23: ({"language": "es-MX"}, "orpheus_llm_southern", "javi"),
        24: ({"voice": "giulia"}, "orpheus_llm_southern", "giulia"),
    }
    for stream, (inputs, model, voice) in wishes.items():
        script = Script(frames=6, stream=stream)
        assert np.array_equal((await raw.read(request(script, **inputs))).audio, script.samples())
        (start,) = two_instances.events(stream, "start")
        assert (start["model"], start["voice"]) == (model, voice)
    mixed = await raw.read(request(Script(stream=25), language="it", voice="tara"))
    assert mixed.errors == ["voice: 'tara': send one of pietro, giulia, carlo"]


async def test_no_stream_is_let_in_that_could_dry_the_pool_up(raw: Wire, small_pool: Served) -> None:
    silent = Script(fault="stall", stream=30)
    waiting = [asyncio.create_task(raw.read(request(silent))) for _ in range(POOL_THREADS - RESERVED_THREADS)]
    await small_pool.wait_until(lambda: len(small_pool.events(30, "start")) >= (POOL_THREADS - RESERVED_THREADS) // 2)
    refused = await raw.read(request(Script(stream=31)))
    assert refused.errors == ["engine: stalled, too many calls wait for an answer"]
    answers = await asyncio.gather(*waiting)
    assert all("engine: stalled" in answer.errors[0] for answer in answers)
    await small_pool.wait_until(lambda: len(small_pool.events(30, "end")) == len(small_pool.events(30, "start")))
    script = Script(frames=6, stream=32)
    assert np.array_equal((await raw.read(request(script))).audio, script.samples())


async def test_a_language_model_that_dies_ends_its_streams(raw: Wire, small_pool: Served) -> None:
    neighbours = [Script(frames=60, rate=83, stream=40 + number) for number in range(3)]
    started_s = time.monotonic()
    dying = Script(frames=60, rate=83, fault="die", at=8, stream=50)
    answers: list[RawStream] = await asyncio.gather(*(raw.read(request(script)) for script in (*neighbours, dying)))
    for answer, script in zip(answers, (*neighbours, dying), strict=True):
        assert (answer.ends, answer.finals) == (1, 0)
        assert answer.errors[0].startswith("engine:")
        assert np.array_equal(answer.audio, script.samples()[: len(answer.audio)])
        assert len(answer.audio) > 0
    assert time.monotonic() - started_s < 6
    await small_pool.wait_until_idle()
    for _ in range(2):
        (error,) = (await raw.read(request(Script(stream=51)))).errors
        assert error.startswith("engine:")
