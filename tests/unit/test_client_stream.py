"""`SpeechStream` by itself: its ends, in every order of events."""

import asyncio

import numpy as np
import pytest

from orpheus_client import AudioChunk, Cancelled, FakeEngine, FakeSpeech, SpeechResult, SpeechStats, SpeechStream
from orpheus_client._stream import Events
from unit.client_virtual_time import run

pytestmark = pytest.mark.unit

CHUNK = AudioChunk(samples=np.ones(10, dtype=np.int16), index=0, offset_samples=0)
STATS = SpeechStats(
    frames=1, dropped_tokens=0, first_audio_ms=0, first_audible_ms=0, generated_s=1, decoded_s=1, windows=1
)
RESULT = SpeechResult(finish_reason="stop", stats=STATS, first_audio_ms=0, duration_s=1)


class Source:
    """Events by hand; knows whether it was left."""

    def __init__(self) -> None:
        self.next: asyncio.Future[AudioChunk | SpeechResult] = asyncio.get_running_loop().create_future()
        self.left = False

    async def events(self) -> Events:
        try:
            while True:
                yield await self.next
                self.next = asyncio.get_running_loop().create_future()
        finally:
            self.left = True


def test_the_source_is_left_with_the_result() -> None:
    async def use() -> None:
        source = Source()
        source.next.set_result(RESULT)
        stream = SpeechStream(source.events())
        assert [chunk async for chunk in stream] == []
        assert source.left
        assert stream.result is RESULT
        await stream.aclose()

    run(use())


def test_a_chunk_that_was_on_its_way_when_the_stream_was_closed_is_the_last() -> None:
    async def use() -> None:
        source = Source()
        stream = SpeechStream(source.events())
        reader = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        source.next.set_result(CHUNK)
        await stream.aclose()
        assert await reader is CHUNK
        with pytest.raises(Cancelled):
            await anext(stream)
        assert source.left
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(use())


def test_a_stream_closed_before_it_was_read_asks_for_nothing() -> None:
    async def use() -> None:
        engine = FakeEngine()
        async with engine.speak("hello") as stream:
            pass
        with pytest.raises(Cancelled):
            await anext(stream)
        assert not engine.requests

    run(use())


def test_a_fault_of_the_source_is_no_cancellation() -> None:
    async def events() -> Events:
        raise TimeoutError("mine")
        yield CHUNK

    with pytest.raises(TimeoutError, match="mine"):
        run(anext(SpeechStream(events())))


@pytest.mark.parametrize("steps", range(12))
def test_a_cancelled_reader_is_cancelled_and_not_told_otherwise(steps: int) -> None:
    async def use() -> None:
        engine = FakeEngine(FakeSpeech(chunks=(CHUNK.samples,) * 2))
        stream = engine.speak("hello")
        reader = asyncio.create_task(_read(stream))
        for _ in range(steps):
            await asyncio.sleep(0)
        reader.cancel()
        try:
            await reader
        except asyncio.CancelledError:
            assert reader.cancelled()
        else:
            assert engine.ended == 1
        await stream.aclose()
        assert engine.live == 0

    run(use())


async def _read(stream: SpeechStream) -> None:
    async for _ in stream:
        await asyncio.sleep(0)
