"""Long speech: pieces in order, pauses to the sample, the next one asked for in time, cancelled and failed once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_client import (
    Busy,
    Cancelled,
    EngineDown,
    FakeEngine,
    FakeSpeech,
    InvalidInput,
    SpeechClient,
    SpeechOptions,
    SpeechStream,
    speak_pieces,
)
from orpheus_client._joiner import RAMP_SAMPLES, PieceJoiner
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm
from unit.client_scripted_triton import message, ramp, running, says
from unit.client_virtual_time import run

pytestmark = pytest.mark.unit

PAUSE_SAMPLES = SAMPLE_RATE_HZ // 5
SECOND = SAMPLE_RATE_HZ


def loud(samples: int) -> Pcm:
    return np.full(samples, 10_000, dtype=np.int16)


async def heard(stream: SpeechStream) -> Pcm:
    chunks = [chunk async for chunk in stream]
    edges = np.cumsum([0, *(len(chunk.samples) for chunk in chunks)])
    assert [chunk.offset_samples for chunk in chunks] == list(edges[:-1])
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    return np.concatenate([chunk.samples for chunk in chunks])


def test_one_piece_comes_out_as_it_went_in() -> None:
    engine = FakeEngine(FakeSpeech(chunks=(ramp(1000), ramp(30, 1000), ramp(500, 1030))))
    assert np.array_equal(run(heard(speak_pieces(engine, ["one"]))), ramp(1530))


def test_pieces_are_in_order_with_exactly_the_pause_between() -> None:
    speeches = [FakeSpeech(chunks=(np.full(3000, level, dtype=np.int16),)) for level in (100, 200, 300)]
    whole = run(heard(speak_pieces(FakeEngine(*speeches), ["a", "b", "c"])))
    assert len(whole) == 3 * 3000 + 2 * PAUSE_SAMPLES
    for index, level in enumerate((100, 200, 300)):
        start = index * (3000 + PAUSE_SAMPLES)
        middle = whole[start + RAMP_SAMPLES : start + 3000 - RAMP_SAMPLES]
        assert np.all(middle == level)
        assert not np.any(whole[start + 3000 : start + 3000 + PAUSE_SAMPLES])


def test_no_seam_clicks() -> None:
    engine = FakeEngine(FakeSpeech(chunks=(loud(5000), loud(50))))
    whole = run(heard(speak_pieces(engine, ["a", "b", "c"]))).astype(int)
    assert np.abs(np.diff(whole)).max() <= 10_000 / (RAMP_SAMPLES - 1) + 1


@given(st.lists(st.lists(st.integers(0, 400), max_size=5), min_size=1, max_size=4), st.integers(0, 300))
def test_joining_does_not_depend_on_the_chunks(pieces: list[list[int]], pause_ms: int) -> None:
    def joined(*, whole: bool) -> Pcm:
        joiner = PieceJoiner(pause_ms=pause_ms)
        out = []
        for lengths in pieces:
            out.append(joiner.begin_piece())
            out += [joiner.push(loud(n)) for n in ([sum(lengths)] if whole else lengths)]
        return np.concatenate([*out, joiner.flush()])

    assert np.array_equal(joined(whole=True), joined(whole=False))
    samples = sum(sum(lengths) for lengths in pieces) + (len(pieces) - 1) * round(pause_ms * 24)
    assert len(joined(whole=True)) == samples


def test_the_next_piece_is_asked_for_while_the_present_one_plays() -> None:
    """Each piece takes 1 s to come and 4 s to play: the second is there long before the first has been heard."""

    async def listen() -> tuple[list[float], int]:
        engine = FakeEngine(FakeSpeech(chunks=(loud(2 * SECOND),) * 2, delay_s=1 / 3))
        loop = asyncio.get_running_loop()
        late_s = []
        due_s = 0.0
        async for chunk in speak_pieces(engine, ["a", "b", "c", "d"]):
            due_s = due_s or loop.time()
            late_s.append(loop.time() - due_s)
            due_s += chunk.duration_s
            await asyncio.sleep(due_s - loop.time())
        return late_s, engine.most_live

    late_s, most_live = run(listen())
    assert max(late_s) < 1e-9
    assert most_live == 1


def test_no_more_than_one_piece_is_read_ahead_of_the_listener() -> None:
    async def listen() -> list[int]:
        engine = FakeEngine(FakeSpeech(chunks=(loud(SECOND),), delay_s=0.1))
        asked = []
        async with speak_pieces(engine, [str(n) for n in range(5)]) as stream:
            async for chunk in stream:
                if np.any(chunk.samples):
                    await asyncio.sleep(100)
                    asked.append(len(engine.requests))
        return asked

    # A piece is heard as two chunks here: its last 5 ms wait for what follows it.
    assert run(listen()) == [2, 3, 3, 4, 4, 5, 5, 5, 5, 5]


def test_a_later_piece_that_fails_does_so_once_after_the_audio_before_it() -> None:
    async def listen() -> None:
        failing = FakeSpeech(chunks=(), error=EngineDown("engine: died"))
        engine = FakeEngine(FakeSpeech(chunks=(loud(1000),)), failing)
        stream = speak_pieces(engine, ["a", "b", "c"])
        samples = len((await anext(stream)).samples) + len((await anext(stream)).samples)
        assert samples == 1000 + PAUSE_SAMPLES
        with pytest.raises(EngineDown):
            await anext(stream)
        assert [text for text, _ in engine.requests] == ["a", "b"]
        assert engine.live == 0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(listen())


@pytest.mark.parametrize("at_s", [0.0, 0.05, 0.1, 0.35, 0.4, 0.75, 1.0, 5.0])
@pytest.mark.parametrize("how", ["close", "cancel"])
def test_ending_it_early_ends_the_piece_that_is_read(at_s: float, how: str) -> None:
    async def listen() -> FakeEngine:
        engine = FakeEngine(FakeSpeech(chunks=(loud(SECOND),) * 3, delay_s=0.1))
        stream = speak_pieces(engine, ["a", "b", "c"])
        reader = asyncio.create_task(_play(stream))
        await asyncio.sleep(at_s)
        if how == "cancel":
            reader.cancel()
        else:
            await stream.aclose()
        with pytest.raises((asyncio.CancelledError, Cancelled)):
            await reader
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        return engine

    engine = run(listen())
    assert engine.live == 0
    assert engine.cancelled + engine.ended == len(engine.requests)


async def _play(stream: SpeechStream) -> None:
    async with stream:
        async for chunk in stream:
            await asyncio.sleep(chunk.duration_s)


def test_the_result_speaks_for_all_pieces() -> None:
    async def listen() -> Any:
        cut = FakeSpeech(chunks=(loud(2048),) * 2, delay_s=1, finish_reason="length")
        engine = FakeEngine(FakeSpeech(chunks=(loud(2048),), delay_s=1), cut, FakeSpeech(chunks=(loud(2048),)))
        stream = speak_pieces(engine, ["a", "b", "c"])
        await heard(stream)
        return stream.result

    result = run(listen())
    assert result.finish_reason == "length"
    assert result.stats.frames == 4
    assert result.first_audio_ms == 1000
    assert result.duration_s == (4 * 2048 + 2 * PAUSE_SAMPLES) / SAMPLE_RATE_HZ


@pytest.mark.parametrize("pause_ms", [-1, 10_001, float("nan")])
def test_a_pause_that_cannot_be_is_refused(pause_ms: float) -> None:
    with pytest.raises(InvalidInput, match=r"pause_ms: .* give 0 to 10000"):
        speak_pieces(FakeEngine(), ["a"], pause_ms=pause_ms)


def test_no_pieces_is_bad_input() -> None:
    with pytest.raises(InvalidInput, match="no pieces"):
        run(heard(speak_pieces(FakeEngine(), [])))


def test_a_fault_of_whoever_writes_the_text_is_passed_on() -> None:
    async def written() -> AsyncIterator[str]:
        yield "a"
        raise ValueError("the writer is out of ink")

    with pytest.raises(ValueError, match="out of ink"):
        run(heard(speak_pieces(FakeEngine(), written())))


def test_the_fake_counts_and_follows_its_script() -> None:
    async def use() -> FakeEngine:
        engine = FakeEngine(FakeSpeech(), FakeSpeech(error=Busy("full: no")))
        tone = await heard(engine.speak("abc", SpeechOptions(voice="leo")))
        assert len(tone) == 3 * 2048
        assert np.abs(tone).max() > 7000
        for _ in range(2):
            with pytest.raises(Busy):
                await heard(engine.speak("abc"))
        return engine

    engine = run(use())
    assert (engine.ended, engine.failed, engine.cancelled, engine.live) == (1, 2, 0, 0)
    assert [options.voice for _, options in engine.requests] == ["leo", None, None]


TEXT = "This is the first sentence. " + "Here the second one follows it. " * 3


@pytest.mark.parametrize("deltas", [1, 7, 1000])
async def test_the_client_splits_by_the_servers_cap(deltas: int) -> None:
    async def written() -> AsyncIterator[str]:
        for start in range(0, len(TEXT), deltas):
            yield TEXT[start : start + deltas]

    async with running(says(message(ramp(1000), final=True))) as triton, SpeechClient(triton.url) as client:
        whole = await heard(client.speak_long(written(), SpeechOptions(voice="leo"), pause_ms=100))
        assert triton.texts() == [
            "This is the first sentence.",
            "Here the second one follows it.",
            "Here the second one follows it.",
            "Here the second one follows it.",
        ]
        assert len(whole) == 4 * 1000 + 3 * 2400
        triton.requests.clear()
        await heard(client.speak_long(TEXT, enable_text_splitting=False))
        assert len(triton.texts()) == 3
    assert triton.config_requests == 1


async def test_nothing_to_say_is_refused_by_the_server() -> None:
    async with running(says(message(ramp(10), final=True))) as triton, SpeechClient(triton.url) as client:
        await heard(client.speak_long("  "))
        assert triton.texts() == ["  "]


async def test_a_voice_that_is_not_loaded_is_refused_before_anything_is_spoken() -> None:
    async with running(says(message(ramp(10), final=True))) as triton, SpeechClient(triton.url) as client:
        with pytest.raises(InvalidInput, match="voice: 'nobody': send one of tara, leo"):
            await heard(client.speak_long(TEXT, SpeechOptions(voice="nobody")))
    assert not triton.requests
