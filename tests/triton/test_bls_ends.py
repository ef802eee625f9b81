"""The real `orpheus_tts` on a real Triton when things go wrong: each stream ends once, in time, and frees its slot."""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode

from launcher.profile import Streams
from models.replay_script import Script
from triton.bls_repository import Bench, Served, serving
from triton.bls_wire import RawStream, Wire, request_of, wire

pytestmark = pytest.mark.triton

MAX_STREAMS = 8
FIRST_TOKEN_S, TOKEN_GAP_S, DECODE_S, TOTAL_S = 1.0, 0.8, 0.6, 4.0
DECODER_HANG_S = 1.5
LATE_S = 0.7
"""A deadline is seen to within this on a busy machine."""

ANSWER_LIMIT_S = 0.25
"""Of a refusal, median; 50 ms on a machine with nothing else to do."""

CANCEL_LIMIT_S = 0.2
NO_TRIM = np.array([False])
SECRETS = ("0xdeadbeef", "Conv_17", "replay", "Traceback")
"""Of the texts of the models behind."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = Streams(
        max_streams=MAX_STREAMS,
        first_token_timeout_s=FIRST_TOKEN_S,
        token_gap_timeout_s=TOKEN_GAP_S,
        decode_timeout_s=DECODE_S,
        total_timeout_s=TOTAL_S,
    )
    yield from serving(Bench(streams=limits), tmp_path_factory.mktemp("bls"))


@pytest.fixture
async def raw(served: Served) -> AsyncIterator[Wire]:
    """A channel; whatever a test did, no stream is left by it."""
    async with wire(served.url) as opened:
        yield opened
    await served.wait_until_idle()


def request(script: Script, **inputs: Any) -> Any:
    return request_of(str(script), trim_silence=NO_TRIM, **inputs)


async def timed(answer: Awaitable[RawStream]) -> tuple[RawStream, float]:
    started_s = time.monotonic()
    return await answer, time.monotonic() - started_s


def assert_failed(answer: RawStream, sentence: str) -> None:
    """It ended once, with that error, which tells nothing of the inside."""
    assert (answer.errors, answer.finals) == ([sentence], 0)
    assert not any(secret in sentence for secret in SECRETS)


def assert_prefix(answer: RawStream, script: Script, *, at_least_frames: int = 0) -> None:
    """What was sent before the end is right."""
    assert np.array_equal(answer.audio, script.samples()[: len(answer.audio)])
    assert len(answer.audio) >= 2048 * at_least_frames


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("INTERNAL", StatusCode.INTERNAL, "orpheus_llm failed"),
        ("INVALID_ARG", StatusCode.INTERNAL, "orpheus_llm failed"),
        ("CANCELLED", StatusCode.INTERNAL, "orpheus_llm failed"),
        ("UNAVAILABLE", StatusCode.UNAVAILABLE, "engine: orpheus_llm is not available"),
    ],
)
async def test_a_model_that_fails_ends_the_stream(raw: Wire, code: str, status: StatusCode, sentence: str) -> None:
    script = Script(fault="error", code=code, stream=1)
    assert_failed(await raw.read(request(script)), sentence)
    assert (await raw.status(request(script)))[:2] == (status, sentence)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [("INTERNAL", "orpheus_llm failed"), ("UNAVAILABLE", "engine: orpheus_llm is not available")],
)
async def test_a_model_that_fails_in_the_middle_ends_that_stream_alone(raw: Wire, code: str, sentence: str) -> None:
    failing = [Script(frames=30, rate=250, fault="error", code=code, at=9 + n, stream=2000 + n) for n in range(4)]
    whole = [Script(frames=30, rate=250, stream=2100 + n) for n in range(4)]
    *failed, a, b, c, d = await asyncio.gather(*(raw.read(request(script)) for script in (*failing, *whole)))
    for answer, script in zip(failed, failing, strict=True):
        assert_failed(answer, sentence)
        assert_prefix(answer, script)
    for answer, script in zip((a, b, c, d), whole, strict=True):
        assert np.array_equal(answer.audio, script.samples())


async def test_a_model_that_says_nothing_produced_no_speech(raw: Wire) -> None:
    for script in (Script(frames=0, stream=3), Script(frames=0, tail=6, stream=4), Script(frames=0, last=1, stream=5)):
        assert_failed(await raw.read(request(script)), "the model produced no speech")


@pytest.mark.parametrize("deaf", [0, 1, 2])
async def test_a_model_that_never_answers_is_given_up_in_time(raw: Wire, served: Served, deaf: int) -> None:
    script = Script(fault="stall", deaf=deaf, stream=10 + deaf)
    answer, took_s = await timed(raw.read(request(script)))
    assert_failed(answer, f"engine: stalled, the first token did not come within {FIRST_TOKEN_S:g} s")
    assert FIRST_TOKEN_S <= took_s < FIRST_TOKEN_S + LATE_S
    await served.wait_until(lambda: served.events(script.stream, "cancel_call"))
    speech = Script(frames=6, rate=250, stream=15)
    speeches = await asyncio.gather(*(raw.read(request(speech)) for _ in range(MAX_STREAMS)))
    assert all(np.array_equal(speech.samples(), other.audio) for other in speeches)


async def test_a_model_that_falls_silent_is_given_up_in_time(raw: Wire, served: Served) -> None:
    script = Script(frames=30, fault="stall", at=16, stream=20)
    answer, took_s = await timed(raw.read(request(script)))
    assert_failed(answer, f"engine: stalled, the next token did not come within {TOKEN_GAP_S:g} s")
    assert_prefix(answer, script, at_least_frames=5)
    assert TOKEN_GAP_S <= took_s < TOKEN_GAP_S + LATE_S
    await served.wait_until(lambda: served.events(20, "cancelled"))


async def test_a_speech_that_takes_too_long_is_given_up_in_time(raw: Wire, served: Served) -> None:
    script = Script(frames=60, rate=40, stream=21)
    answer, took_s = await timed(raw.read(request(script)))
    assert_failed(answer, f"engine: stalled, the end of the speech did not come within {TOTAL_S:g} s")
    assert_prefix(answer, script, at_least_frames=10)
    assert TOTAL_S <= took_s < TOTAL_S + LATE_S
    await served.wait_until(lambda: served.events(21, "cancelled"))


async def test_a_decoder_that_fails_ends_its_stream_alone(raw: Wire) -> None:
    script, neighbour = (
        Script(frames=30, fault="decode_error", at=14, stream=30),
        Script(frames=30, rate=125, stream=31),
    )
    broken, whole = await asyncio.gather(raw.read(request(script)), raw.read(request(neighbour)))
    assert_failed(broken, "engine: snac_decoder failed")
    assert_prefix(broken, script)
    assert np.array_equal(whole.audio, neighbour.samples())


async def test_a_decoder_that_hangs_is_given_up_in_time_and_used_again(raw: Wire) -> None:
    script = Script(frames=8, fault="decode_hang", tenths=int(10 * DECODER_HANG_S), stream=32)
    answer, took_s = await timed(raw.read(request(script)))
    assert_failed(answer, f"engine: stalled, decoded audio did not come within {DECODE_S:g} s")
    assert DECODE_S <= took_s < DECODE_S + LATE_S
    await asyncio.sleep(DECODER_HANG_S - took_s)
    speech = Script(frames=8, stream=33)
    assert np.array_equal((await raw.read(request(speech))).audio, speech.samples())


async def cancelled_after(raw: Wire, script: Script, seconds: float) -> float:
    """Begins a stream and cancels it then; returns when, on the machine's clock."""
    reading = asyncio.create_task(raw.read(request(script)))
    await asyncio.sleep(seconds)
    reading.cancel()
    cancelled_s = time.monotonic()
    await asyncio.wait((reading,))
    return cancelled_s


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(Script(frames=60, rate=83), id="speaking"),
        pytest.param(Script(fault="stall"), id="before-the-first-token"),
        pytest.param(Script(frames=60, fault="stall", at=30), id="no-chunk-due"),
    ],
)
async def test_a_cancel_reaches_the_language_model_at_once(raw: Wire, served: Served, script: Script) -> None:
    stream = {"": 40, "stall": 50 + script.at}[script.fault]
    delays_s = []
    for number in range(5):
        own = replace(script, stream=stream + number)
        cancelled_s = await cancelled_after(raw, own, 0.4)
        await served.wait_until(partial(served.events, own.stream, "end"))
        (cancel,) = served.events(own.stream, "cancelled")
        assert cancel["how"] == "call"
        delays_s.append(cancel["at_s"] - cancelled_s)
        assert len(served.events(own.stream, "start")) == len(served.events(own.stream, "cancel_call")) == 1
    assert statistics.median(delays_s) <= CANCEL_LIMIT_S


async def test_a_model_that_hears_no_cancel_holds_no_slot(raw: Wire, served: Served) -> None:
    script = Script(frames=40, rate=83, deaf=1, stream=90)
    cancelled_s = await cancelled_after(raw, script, 0.5)
    await served.wait_until_idle()
    assert time.monotonic() - cancelled_s < LATE_S
    await served.wait_until(lambda: served.events(90, "end"))
    assert served.events(90, "end")[0]["reason"] == "stop"


async def test_a_hundred_cancels_at_any_moment_leave_nothing_and_harm_nobody(raw: Wire, served: Served) -> None:
    chance = random.Random(0)
    before = served.metrics()
    neighbours = [Script(frames=30, rate=125, stream=650 + number) for number in range(2)]
    speeches = [asyncio.create_task(raw.read(request(script))) for script in neighbours]

    async def cancels(worker: int) -> None:
        for number in range(20):
            script = Script(frames=50, rate=chance.choice([83, 250]), group=chance.choice([1, 7]), stream=600 + number)
            await cancelled_after(raw, script, chance.uniform(0.0, 0.25))

    await asyncio.gather(*(cancels(worker) for worker in range(5)))
    for whole, script in zip(await asyncio.gather(*speeches), neighbours, strict=True):
        assert np.array_equal(whole.audio, script.samples())
    await served.wait_until_idle()
    after = served.metrics()
    ended = {name: after[name] - before[name] for name in after if name.startswith("orpheus_streams_ended")}
    assert sum(ended.values()) <= 100 + len(neighbours)
    assert ended['orpheus_streams_ended_total{reason="cancelled"}'] >= 50
    assert ended['orpheus_streams_ended_total{reason="internal"}'] == 0
    speech = Script(frames=6, rate=250, stream=700)
    answers = await asyncio.gather(*(raw.read(request(speech)) for _ in range(MAX_STREAMS)))
    assert all(np.array_equal(answer.audio, speech.samples()) for answer in answers)
