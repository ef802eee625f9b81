"""`SpeechClient.speak` against a scripted peer: a whole stream, every way to fail, cancellation at every wait."""

import asyncio
import gc
import socket
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from orpheus_client import (
    Busy,
    Cancelled,
    ChunkTimeout,
    ConnectionFailed,
    ConnectTimeout,
    EngineDown,
    FirstAudioTimeout,
    InternalFault,
    InvalidInput,
    ProtocolFault,
    Reference,
    RetryBudget,
    RetryPolicy,
    SpeechClient,
    SpeechError,
    SpeechOptions,
    SpeechStats,
    Timeouts,
    TotalTimeout,
    Unavailable,
)
from unit.client_scripted_triton import SPOKEN, STATS, add_output, fails, hangs, message, ramp, running, says

pytestmark = pytest.mark.unit

Status = grpc.StatusCode
ONCE = RetryPolicy(max_attempts=1)
QUICK = RetryPolicy(max_attempts=2, backoff_s=0.001)
WAIT_S = 10.0
"""For what must happen; never reached where it does."""


async def speak(url: str, *, retry: RetryPolicy = ONCE, timeouts: Timeouts | None = None) -> list[int]:
    """Reads a whole speech and gives its samples."""
    async with SpeechClient(url, retry=retry, timeouts=timeouts) as client, client.speak("hello") as stream:
        return [int(sample) async for chunk in stream for sample in chunk.samples]


async def test_chunks_are_contiguous_and_the_result_is_typed() -> None:
    async with running(SPOKEN) as triton, SpeechClient(triton.url) as client:
        stream = client.speak("hello")
        with pytest.raises(RuntimeError, match="read to its end"):
            _ = stream.result
        chunks = [chunk async for chunk in stream]
        assert [(c.index, c.offset_samples, len(c.samples)) for c in chunks] == [(0, 0, 100), (1, 100, 50), (2, 150, 7)]
        assert np.array_equal(np.concatenate([c.samples for c in chunks]), ramp(157))
        assert chunks[0].samples.dtype == np.int16
        assert stream.result.stats == SpeechStats(**STATS)
        assert stream.result.finish_reason == "stop"
        assert stream.result.duration_s == 157 / 24000
        assert stream.result.first_audio_ms is not None
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@pytest.mark.parametrize(
    ("version", "asked"),
    [("2.68.0", True), ("3.0.0-dev", True), ("2.67.1", False), ("2.51.0", False), ("nightly", False)],
)
async def test_real_statuses_are_asked_of_a_server_that_survives_them(version: str, asked: bool) -> None:
    async with running(SPOKEN) as triton, SpeechClient(triton.url) as client:
        triton.version = version
        await _drain(client.speak("hello"))
        await _drain(client.speak("hello"))
    assert [metadata.get("triton_grpc_error") for metadata in triton.metadata] == ["true" if asked else None] * 2


async def test_only_set_options_are_sent() -> None:
    async with running(SPOKEN) as triton, SpeechClient(triton.url) as client:
        await _drain(client.speak("hello"))
        await _drain(
            client.speak("hello", SpeechOptions(voice="leo", top_p=0.5, seed=7, trim_silence=False, probe=True))
        )
        codes = np.arange(14)
        await _drain(client.speak("hello", SpeechOptions(reference=Reference(text="hi", codes=codes))))
    bare, chosen, cloned = triton.requests
    assert [tensor.name for tensor in bare.inputs] == ["text"]
    assert "probe" not in bare.parameters
    assert [(t.name, t.datatype, list(t.shape)) for t in chosen.inputs] == [
        ("text", "BYTES", [1]),
        ("voice", "BYTES", [1]),
        ("top_p", "FP32", [1]),
        ("seed", "INT64", [1]),
        ("trim_silence", "BOOL", [1]),
    ]
    assert chosen.raw_input_contents[4] == b"\x00"
    assert chosen.parameters["probe"].bool_param
    assert [(t.name, t.datatype, list(t.shape)) for t in cloned.inputs][1:] == [
        ("reference_text", "BYTES", [1]),
        ("reference_codes", "INT32", [14]),
    ]
    assert np.array_equal(np.frombuffer(cloned.raw_input_contents[2], "<i4"), codes)
    assert len({request.id for request in triton.requests}) == 3
    assert triton.live_requests == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (SpeechOptions(seed=2**63), "seed"),
        (SpeechOptions(seed=2**70), "seed"),
        (SpeechOptions(voice="\ud800"), "voice"),
        (SpeechOptions(reference=Reference(text="hi", codes=np.array([2**32] * 7))), "reference_codes"),
    ],
)
async def test_a_value_that_would_arrive_as_another_is_refused_here(options: SpeechOptions, field: str) -> None:
    async with running(SPOKEN) as triton, SpeechClient(triton.url) as client:
        with pytest.raises(InvalidInput, match=f"^{field}: "):
            await _drain(client.speak("hello", options))
    assert not triton.requests


@pytest.mark.parametrize(
    ("status", "details", "expected"),
    [
        (Status.INVALID_ARGUMENT, "voice: 'x': send one of tara, leo", InvalidInput),
        (Status.UNAVAILABLE, "full: 64 streams speak", Busy),
        (Status.RESOURCE_EXHAUSTED, "the proxy's queue is full", Busy),
        (Status.UNAVAILABLE, "engine: stalled", EngineDown),
        (Status.UNAVAILABLE, "Request for unknown model", Unavailable),
        (Status.CANCELLED, "cancelled", Cancelled),
        (Status.INTERNAL, "the model produced no speech", InternalFault),
        (Status.NOT_FOUND, "no such model", ProtocolFault),
        (Status.PERMISSION_DENIED, "no", InternalFault),
    ],
)
async def test_a_status_becomes_its_error_with_the_servers_words(
    status: grpc.StatusCode, details: str, expected: type[SpeechError]
) -> None:
    async with running(fails(status, details)) as triton:
        with pytest.raises(expected) as caught:
            await speak(triton.url)
    assert type(caught.value) is expected
    assert details in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("full: no", Busy),
        ("engine: dead", EngineDown),
        ("seed: -1: send 0 or more", InvalidInput),
        ("seeds: none", InternalFault),
        ("something else", InternalFault),
    ],
)
async def test_a_message_without_status_is_folded_into_the_same_tree(text: str, expected: type[SpeechError]) -> None:
    async with running(says(service_pb2.ModelStreamInferResponse(error_message=text))) as triton:
        with pytest.raises(expected, match=text):
            await speak(triton.url)


async def test_an_error_after_audio_is_raised_once_and_never_retried() -> None:
    script = fails(Status.UNAVAILABLE, "engine: died", message(ramp(100)))
    async with running(script, SPOKEN) as triton, SpeechClient(triton.url, retry=QUICK) as client:
        stream = client.speak("hello")
        assert len((await anext(stream)).samples) == 100
        with pytest.raises(EngineDown):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        with pytest.raises(RuntimeError):
            _ = stream.result
    assert len(triton.requests) == 1


@pytest.mark.parametrize("details", ["full: busy", "engine: gone", "connection lost"])
async def test_an_error_before_audio_is_retried(details: str) -> None:
    async with running(fails(Status.UNAVAILABLE, details), SPOKEN) as triton:
        assert await speak(triton.url, retry=QUICK) == list(range(157))
    assert len(triton.requests) == 2


async def test_a_retry_waits_first() -> None:
    async with running(fails(Status.UNAVAILABLE, "full: busy"), SPOKEN) as triton:
        started_s = asyncio.get_running_loop().time()
        await speak(triton.url, retry=RetryPolicy(backoff_s=0.2))
        assert asyncio.get_running_loop().time() - started_s >= 0.1


async def test_what_no_retry_mends_is_not_retried() -> None:
    async with running(fails(Status.INVALID_ARGUMENT, "text: no"), SPOKEN) as triton:
        with pytest.raises(InvalidInput):
            await speak(triton.url, retry=QUICK)
    assert len(triton.requests) == 1


async def test_retries_stop_with_the_budget() -> None:
    async with (
        running(fails(Status.UNAVAILABLE, "full: busy")) as triton,
        SpeechClient(triton.url, retry=QUICK, retry_budget=RetryBudget(reserve=3, ratio=0.1)) as client,
    ):
        for _ in range(10):
            with pytest.raises(Busy):
                await _drain(client.speak("hello"))
    assert len(triton.requests) == 10 + 3


@pytest.mark.parametrize("sent", [0, 1, 2])
async def test_a_closed_connection_fails_the_stream(sent: int) -> None:
    messages = [message(ramp(100)), message(ramp(50, 100))][:sent]
    async with running(says(*messages)) as triton:
        with pytest.raises(ProtocolFault, match="without a final response"):
            await speak(triton.url)


def _wrong(name: str, datatype: str, raw: bytes, length: int) -> Any:
    answer = service_pb2.ModelStreamInferResponse()
    for output in ("audio", "is_final", "finish_reason", "stats"):
        if output == name:
            add_output(answer, name, datatype, raw, length)
        else:
            whole = message(ramp(1), final=True).infer_response
            at = [o.name for o in whole.outputs].index(output)
            answer.infer_response.outputs.append(whole.outputs[at])
            answer.infer_response.raw_output_contents.append(whole.raw_output_contents[at])
    return answer


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (_wrong("audio", "FP32", bytes(4), 1), "audio: FP32: expected INT16"),
        (_wrong("audio", "INT16", bytes(3), 1), "audio: shape"),
        (_wrong("is_final", "BOOL", bytes(2), 2), "is_final: 2 values"),
        (_wrong("finish_reason", "BYTES", b"\x09\x00\x00\x00stop", 1), "finish_reason: shape"),
        (_wrong("other", "BYTES", b"", 1), "nothing is wrong"),
        (message(ramp(1), final=True, reason="bored"), "finish_reason: 'bored'"),
        (message(ramp(1), final=True, stats={"frames": 1}), "stats: "),
        (message(ramp(1), final=True, stats={**STATS, "windows": "three"}), "stats.windows: 'three'"),
        (service_pb2.ModelStreamInferResponse(), "audio: missing"),
    ],
)
async def test_a_response_against_the_contract_is_a_protocol_fault(broken: Any, said: str) -> None:
    async with running(says(broken)) as triton:
        if said == "nothing is wrong":
            assert await speak(triton.url) == [0]
            return
        with pytest.raises(ProtocolFault) as caught:
            await speak(triton.url)
    assert said in str(caught.value)


async def test_anything_after_the_final_response_is_a_protocol_fault() -> None:
    async with running(says(message(ramp(5), final=True), message(ramp(5)))) as triton:
        with pytest.raises(ProtocolFault, match="after the final"):
            await speak(triton.url)


async def test_a_speech_of_nothing_but_silence_has_a_result_and_no_chunk() -> None:
    quiet = {**STATS, "first_audio_ms": None, "first_audible_ms": None}
    async with running(says(message(ramp(0), final=True, stats=quiet))) as triton, SpeechClient(triton.url) as client:
        stream = client.speak("hello")
        assert [chunk async for chunk in stream] == []
        assert stream.result.first_audio_ms is None


@pytest.mark.parametrize(
    ("timeouts", "sent", "expected"),
    [
        (Timeouts(first_audio_s=1), 0, FirstAudioTimeout),
        (Timeouts(between_chunks_s=0.1), 1, ChunkTimeout),
        (Timeouts(total_s=1), 1, TotalTimeout),
    ],
)
async def test_silence_is_bounded_and_the_server_is_told(
    timeouts: Timeouts, sent: int, expected: type[SpeechError]
) -> None:
    async with (
        running(hangs(*[message(ramp(100))] * sent)) as triton,
        SpeechClient(triton.url, timeouts=timeouts, retry=QUICK) as client,
    ):
        await client.health()
        with pytest.raises(expected):
            await _drain(client.speak("hello"))
        await asyncio.wait_for(triton.cancelled.wait(), WAIT_S)
    assert len(triton.requests) == 1


async def test_nobody_listening_is_told_at_once(unused_tcp_port: int) -> None:
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{unused_tcp_port}: no connection"):
        await asyncio.wait_for(speak(f"127.0.0.1:{unused_tcp_port}"), WAIT_S)


async def test_a_peer_that_accepts_and_says_nothing_is_a_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(ConnectTimeout):
            await speak(f"127.0.0.1:{port}", timeouts=Timeouts(connect_s=0.3))


async def test_a_server_that_comes_back_is_found_again() -> None:
    async with running(SPOKEN) as triton:
        port = triton.port
    async with SpeechClient(f"127.0.0.1:{port}", retry=ONCE) as client:
        with pytest.raises(ConnectionFailed):
            await _drain(client.speak("hello"))
        async with running(SPOKEN, port=port):
            await asyncio.wait_for(_until_it_speaks(client), WAIT_S)


async def _until_it_speaks(client: SpeechClient) -> None:
    while True:
        try:
            return await _drain(client.speak("hello"))
        except ConnectionFailed:
            await asyncio.sleep(0.02)


async def test_leaving_a_stream_cancels_at_the_server() -> None:
    async with running(hangs(message(ramp(100)))) as triton, SpeechClient(triton.url) as client:
        async with client.speak("hello") as stream:
            await anext(stream)
        await asyncio.wait_for(triton.cancelled.wait(), WAIT_S)
        with pytest.raises(Cancelled):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_forgotten_stream_cancels_at_the_server() -> None:
    async with running(hangs(message(ramp(100)))) as triton, SpeechClient(triton.url) as client:
        async for _ in client.speak("hello"):
            break
        gc.collect()
        await asyncio.wait_for(triton.cancelled.wait(), WAIT_S)


@pytest.mark.parametrize("sent", [0, 1])
async def test_cancelling_the_reader_cancels_at_the_server(sent: int) -> None:
    async with running(hangs(*[message(ramp(100))] * sent)) as triton, SpeechClient(triton.url) as client:
        reader = asyncio.create_task(_drain(client.speak("hello")))
        await asyncio.wait_for(triton.began.wait(), WAIT_S)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await asyncio.wait_for(triton.cancelled.wait(), WAIT_S)


@pytest.mark.parametrize("sent", [0, 1])
async def test_closing_from_another_task_wakes_the_reader(sent: int) -> None:
    async with running(hangs(*[message(ramp(100))] * sent)) as triton, SpeechClient(triton.url) as client:
        stream = client.speak("hello")
        reader = asyncio.create_task(_drain(stream))
        await asyncio.wait_for(triton.began.wait(), WAIT_S)
        await asyncio.gather(stream.aclose(), stream.aclose())
        await stream.aclose()
        with pytest.raises(Cancelled):
            await reader
        await asyncio.wait_for(triton.cancelled.wait(), WAIT_S)


async def test_leaving_the_client_ends_its_streams() -> None:
    async with running(hangs(message(ramp(100)))) as triton:
        async with SpeechClient(triton.url) as client:
            reader = asyncio.create_task(_drain(client.speak("hello")))
            await asyncio.wait_for(triton.began.wait(), WAIT_S)
        with pytest.raises(Cancelled):
            await asyncio.wait_for(reader, WAIT_S)
        await asyncio.wait_for(triton.cancelled.wait(), WAIT_S)


async def test_cancel_after_any_number_of_steps_leaves_nothing_behind() -> None:
    """Steps of the event loop stand for every await there is: connecting, retrying, reading."""
    async with running(SPOKEN) as triton:
        for steps in range(60):
            triton.script = [fails(Status.UNAVAILABLE, "full: busy"), SPOKEN]
            async with SpeechClient(triton.url, retry=QUICK, retry_budget=RetryBudget(reserve=100)) as client:
                before = asyncio.all_tasks()
                reader = asyncio.create_task(_drain(client.speak("hello")))
                for _ in range(steps):
                    await asyncio.sleep(0)
                reader.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reader
                assert reader.cancelled()
                await _drain(client.speak("again"))
                assert not {task for task in asyncio.all_tasks() - before if not task.done() and _is_ours(task)}


def _is_ours(task: "asyncio.Task[Any]") -> bool:
    return "orpheus_client" in repr(task.get_coro())


async def test_streams_of_one_client_run_at_once() -> None:
    together = asyncio.Barrier(8)

    async def answer(request: Any, context: Any) -> Any:
        await together.wait()
        yield message(ramp(10), final=True)

    async with running(answer) as triton, SpeechClient(triton.url) as client:
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*(_drain(client.speak("hello")) for _ in range(8)))


async def test_a_minute_in_one_message_passes() -> None:
    minute = np.zeros(60 * 24000, dtype=np.int16)
    async with running(says(message(minute, final=True))) as triton:
        assert len(await speak(triton.url)) == len(minute)


@pytest.mark.parametrize("url", ["localhost", "http://localhost:8001", ":8001", "localhost:grpc", ""])
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="send host:port"):
        await speak(url)


async def test_a_client_outside_its_context_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await _drain(SpeechClient("127.0.0.1:1").speak("hello"))


async def _drain(stream: Any) -> None:
    async for _ in stream:
        pass
