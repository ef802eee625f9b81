"""`/api/tts/synthesize` in its three forms, with its refusals, over real HTTP."""

import asyncio
import base64
import io
import time
import wave
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from orpheus_bridge.api.services import ApiOptions
from orpheus_bridge.fake_engine import FakeEngine
from orpheus_bridge.voices.ports import Upload
from orpheus_client import Busy, EngineDown, FakeSpeech, InternalFault, InvalidInput, SpeechTimeout
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from orpheus_core.pcm import Pcm
from unit.bridge_app import Bridge, client, running, until

pytestmark = pytest.mark.unit

PATH = "/api/tts/synthesize"
TEXT = "Hello there."

HELD_SAMPLES = 120
"""Of a chunk: the joiner of pieces cannot know yet that it is not the last one."""


def ramp(chunks: int) -> tuple[Pcm, ...]:
    samples = (np.arange(chunks * SAMPLES_PER_FRAME) % 20_011 + 1000).astype(np.int16)
    return tuple(samples.reshape(chunks, SAMPLES_PER_FRAME))


CHUNKS = ramp(5)
SPOKEN = np.concatenate(CHUNKS)


def engine(*script: FakeSpeech) -> FakeEngine:
    return FakeEngine(*(script or (FakeSpeech(chunks=CHUNKS),)))


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    with running(Bridge(engine=engine())) as bridge:
        yield bridge


@pytest.fixture
async def http(bridge: Bridge) -> AsyncIterator[httpx.AsyncClient]:
    async with client(bridge) as http:
        yield http


def samples_of(wav: bytes) -> Pcm:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE_HZ, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


async def test_json_holds_the_whole_speech(http: httpx.AsyncClient) -> None:
    answer = await http.post(PATH, json={"text": TEXT})
    assert answer.status_code == 200
    body = answer.json()
    assert np.array_equal(samples_of(base64.b64decode(body["audio_base64"])), SPOKEN)
    assert {name: body[name] for name in ("status", "model", "model_type", "voice", "language", "cached")} == {
        "status": "success",
        "model": "fake",
        "model_type": "orpheus",
        "voice": "tara",
        "language": "en",
        "cached": False,
    }
    assert body["total_time_ms"] > 0
    assert body["duration_s"] == round(len(SPOKEN) / SAMPLE_RATE_HZ, 3)
    assert answer.headers["x-request-id"] == body["request_id"]


async def test_a_stream_is_the_same_speech_in_a_wav_of_unknown_length(http: httpx.AsyncClient) -> None:
    answer = await http.post(PATH, json={"text": TEXT, "stream": True, "room_name": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.content[4:8] == answer.content[40:44] == b"\xff" * 4
    assert np.array_equal(samples_of(answer.content), SPOKEN)


async def test_a_room_wins_over_stream_and_hears_the_speech(http: httpx.AsyncClient, bridge: Bridge) -> None:
    answer = await http.post(PATH, json={"text": TEXT, "stream": True, "room_name": "lobby"})
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "success"
    assert body["room_name"] == "lobby"
    assert body["sent_ms"] == pytest.approx(1000 * len(SPOKEN) / SAMPLE_RATE_HZ, abs=1)
    assert "audio_base64" not in body
    assert bridge.rooms is not None
    link = bridge.rooms.link("lobby")
    # The answer comes when the last sample was taken, which is a little before it is heard.
    await until(lambda: len(link.played) >= len(SPOKEN))
    assert np.array_equal(link.played[: len(SPOKEN)], SPOKEN)


async def test_what_is_asked_for_reaches_the_engine(http: httpx.AsyncClient, bridge: Bridge) -> None:
    wish = {"text": TEXT, "voice_id": "leo", "temperature": 0.8, "repetition_penalty": 1.3, "speed": 1.0}
    ignored = {"exaggeration": 0.7, "cfg_weight": 0.3, "anything": [1]}
    assert (await http.post(PATH, json={**wish, **ignored})).status_code == 200
    text, options = bridge.engine.requests[-1]
    assert text == TEXT
    assert (options.voice, options.language) == ("leo", "en")
    assert (options.temperature, options.repetition_penalty) == (0.8, 1.3)


@pytest.mark.parametrize("language", ["zh-cn", "zh", "ZH-CN", "zh_TW"])
async def test_names_of_a_language(http: httpx.AsyncClient, language: str) -> None:
    body = (await http.post(PATH, json={"text": "你好", "language": language})).json()
    assert (body["language"], body["voice"]) == ("zh", "长乐")


async def test_long_text_is_spoken_whole(http: httpx.AsyncClient, bridge: Bridge) -> None:
    bridge.engine.requests.clear()
    text = " ".join(f"This is sentence number {number} of a long text." for number in range(22))[:1000]
    assert (await http.post(PATH, json={"text": text})).status_code == 200
    pieces = [piece for piece, _ in bridge.engine.requests]
    assert len(pieces) > 2
    assert " ".join(pieces) == text


async def test_speed_shortens_the_speech(http: httpx.AsyncClient) -> None:
    body = (await http.post(PATH, json={"text": TEXT, "speed": 2.0})).json()
    assert body["duration_s"] == pytest.approx(len(SPOKEN) / SAMPLE_RATE_HZ / 2, rel=0.1)


@pytest.mark.parametrize(
    ("fields", "status", "param", "message"),
    [
        ({"text": ""}, 400, "text", "text: nothing to say: send"),
        ({"text": " \n"}, 400, "text", "text: nothing to say: send"),
        ({"text": "a" * 1001}, 400, "text", "text: 1001 characters: send 1 to 1000"),
        ({"text": None}, 400, "text", "text: as sent: input should be"),
        ({"speed": 0.4}, 400, "speed", "speed: 0.4: input should be greater than or equal to 0.5"),
        ({"speed": 2.1}, 400, "speed", "speed: 2.1: input should be less"),
        ({"temperature": 9}, 400, "temperature", "temperature: 9: input"),
        ({"language": "pt"}, 400, "language", "language: 'pt': send one of en, zh"),
        ({"voice_id": "nobody"}, 404, "voice_id", "voice_id: 'nobody': send one of tara"),
        ({"voice_id": "leo", "language": "zh"}, 400, "voice_id", "voice_id: 'leo': send one of 长乐"),
        ({"voice_id": "a\x00b"}, 400, "voice_id", r"voice_id: 'a\x00b': string"),
        ({"policy": "shout", "room_name": "x"}, 400, "policy", "policy: 'shout': input should be 'queue'"),
    ],
)
async def test_a_wrong_field_is_named_with_value_and_fix(
    *, http: httpx.AsyncClient, bridge: Bridge, fields: dict[str, Any], status: int, param: str, message: str
) -> None:
    asked = len(bridge.engine.requests)
    answer = await http.post(PATH, json={"text": TEXT, **fields})
    assert answer.status_code == status
    body = answer.json()
    assert body["status"] == "error"
    assert body["param"] == param
    assert body["detail"].startswith(message)
    assert len(bridge.engine.requests) == asked


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b'{"text": "\\ud800"}', b"\xff\xfe", b"[" * 100_000])
async def test_a_body_that_is_none_is_the_callers_fault(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await http.post(PATH, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text


async def test_the_text_is_in_no_error(http: httpx.AsyncClient) -> None:
    secret = "the account number is seven"
    answers = [
        await http.post(PATH, json={"text": secret * 100}),
        await http.post(PATH, json={"text": [secret]}),
        await http.post("/v1/audio/speech", json={"model": "orpheus", "voice": "tara", "input": [secret]}),
    ]
    assert all(answer.status_code == 400 and "account" not in answer.text for answer in answers)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Busy("full: 64 streams"), 429, "busy"),
        (EngineDown("engine: stalled, secret detail"), 503, "unavailable"),
        (InternalFault("secret detail"), 500, "failed"),
        (SpeechTimeout("no audio, secret detail"), 504, "late"),
        (InvalidInput("temperature: 9: send a number"), 400, "bad_request"),
    ],
)
@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"room_name": "lobby"}])
async def test_what_the_server_refuses_has_its_status(
    error: Exception, status: int, code: str, fields: dict[str, Any]
) -> None:
    script = FakeSpeech(chunks=(), error=error)  # type: ignore[arg-type]  # every one of them is a SpeechError
    with running(Bridge(engine=engine(script))) as bridge:
        async with client(bridge) as http:
            answer = await http.post(PATH, json={"text": TEXT, **fields})
    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status in (429, 503))


async def test_a_failure_in_the_middle_cuts_the_stream() -> None:
    script = FakeSpeech(chunks=CHUNKS, error=InternalFault("no"))
    with running(Bridge(engine=engine(script))) as bridge:
        async with client(bridge) as http:
            with pytest.raises(httpx.RemoteProtocolError):
                await http.post(PATH, json={"text": TEXT, "stream": True})
            stats = (await http.get("/stats")).json()
    assert stats["requests"] == {"total": 1, "failed": 1}


async def test_the_first_bytes_come_with_the_first_chunk() -> None:
    with running(Bridge(engine=engine(FakeSpeech(chunks=CHUNKS, delay_s=0.3)))) as bridge:
        async with client(bridge) as http, http.stream("POST", PATH, json={"text": TEXT, "stream": True}) as answer:
            started_s = time.monotonic()
            arrived = [(time.monotonic() - started_s, len(part)) async for part in answer.aiter_raw()]
    assert arrived[0][1] == 44 + 2 * (SAMPLES_PER_FRAME - HELD_SAMPLES)
    # Four more chunks, each 0.3 s later: the first one did not wait for them.
    assert len(arrived) >= len(CHUNKS)
    assert arrived[-1][0] - arrived[0][0] > 4 * 0.3 - 0.1


@pytest.mark.parametrize("fields", [{"stream": True}, {}, {"room_name": "lobby"}])
async def test_a_client_that_goes_away_ends_the_speech_while_no_chunk_is_due(fields: dict[str, Any]) -> None:
    speech = FakeSpeech(chunks=CHUNKS, delay_s=60)
    with running(Bridge(engine=engine(speech))) as bridge:
        async with client(bridge) as http:
            asking = asyncio.create_task(http.post(PATH, json={"text": TEXT, **fields}))
            await until(lambda: bridge.engine.live == 1)
            left_s = time.monotonic()
            asking.cancel()
            await until(lambda: bridge.engine.live == 0)
            assert time.monotonic() - left_s < 0.1
            assert bridge.engine.cancelled == 1
            await until(lambda: bridge.desk is not None and bridge.desk.open_requests == 0)
            stats = (await http.get("/stats")).json()
    assert stats["requests"]["cancelled"] == 1


async def test_beyond_streams_and_queue_it_is_429_at_once() -> None:
    speech = FakeSpeech(chunks=CHUNKS[:1], delay_s=0.4)
    with running(Bridge(engine=engine(speech), streams=2, queued=1, wait_s=30)) as bridge:
        async with client(bridge) as http:
            await http.get("/health/live")
            asking = [asyncio.create_task(http.post(PATH, json={"text": TEXT})) for _ in range(3)]
            await until(lambda: bridge.desk is not None and bridge.desk.queued_streams == 1)
            asked_s = time.monotonic()
            refused = await http.post(PATH, json={"text": TEXT})
            took_s = time.monotonic() - asked_s
            answers = await asyncio.gather(*asking)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert took_s < 0.05
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert bridge.engine.most_live == 2


async def test_the_queue_is_left_after_its_time() -> None:
    speech = FakeSpeech(chunks=CHUNKS[:1], delay_s=0.5)
    with running(Bridge(engine=engine(speech), streams=1, queued=1, wait_s=0.2)) as bridge:
        async with client(bridge) as http:
            first = asyncio.create_task(http.post(PATH, json={"text": TEXT}))
            await until(lambda: bridge.engine.live == 1)
            second = await http.post(PATH, json={"text": TEXT})
            assert second.status_code == 429
            assert "within 0.2 s" in second.json()["detail"]
            assert (await first).status_code == 200


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"room_name": "lobby"}])
async def test_a_request_is_cancelled_by_its_id(fields: dict[str, Any]) -> None:
    with running(Bridge(engine=engine(FakeSpeech(chunks=CHUNKS, delay_s=60)))) as bridge:
        async with client(bridge) as http:
            mine = {"X-Request-Id": "mine-1"}
            asking = asyncio.create_task(http.post(PATH, json={"text": TEXT, **fields}, headers=mine))
            await until(lambda: bridge.engine.live == 1)
            again = await http.post(PATH, json={"text": TEXT}, headers=mine)
            assert again.status_code == 409
            ended = await http.delete("/api/tts/requests/mine-1")
            assert ended.status_code == 200
            assert ended.json()["status"] == "cancelled"
            assert ended.json()["played_ms"] == 0
            answer = await asking
            assert answer.headers["x-request-id"] == "mine-1"
            if "room_name" in fields:
                assert (answer.status_code, answer.json()["interrupted"]) == (200, True)
            else:
                assert answer.status_code == 409
            assert (await http.delete("/api/tts/requests/mine-1")).status_code == 404
            assert bridge.engine.live == 0


async def test_an_interrupted_room_says_how_much_was_played() -> None:
    speech = FakeSpeech(chunks=ramp(60))
    with running(Bridge(engine=engine(speech))) as bridge:
        async with client(bridge) as http:
            asking = asyncio.create_task(http.post(PATH, json={"text": TEXT, "room_name": "lobby"}))
            await until(lambda: bridge.rooms is not None and len(bridge.rooms.link("lobby").played) > 0)
            ended = await http.post("/api/rooms/lobby/interrupt")
            answer = await asking
    assert ended.status_code == answer.status_code == 200
    assert ended.json()["played_ms"] > 0
    assert answer.json()["interrupted"] is True
    assert answer.json()["played_ms"] < 60 * 85


async def test_a_voice_that_cannot_be_itself(http: httpx.AsyncClient, bridge: Bridge) -> None:
    bridge.voices.fallback = None
    await bridge.voices.register(Upload(voice_id="mum", name="Mum", data=b"x"))
    refused = await http.post(PATH, json={"text": TEXT, "voice_id": "mum"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unspeakable")
    bridge.voices.fallback = "长乐"
    spoken = await http.post(PATH, json={"text": TEXT, "voice_id": "mum"})
    assert (spoken.status_code, spoken.json()["voice"]) == (200, "长乐")
    assert spoken.headers["x-voice-fallback"] == "%E9%95%BF%E4%B9%90"
    assert b"orpheus_bridge_voice_fallbacks_total 1.0" in (await http.get("/metrics")).content


async def test_a_service_that_goes_down_takes_nothing_new() -> None:
    with running(Bridge()) as bridge:
        async with client(bridge) as http:
            assert bridge.desk is not None
            bridge.desk.drain()
            answer = await http.post(PATH, json={"text": TEXT})
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert (await http.get("/health/ready")).status_code == 503
            assert (await http.get("/health/live")).status_code == 200


async def test_the_caps_are_settings() -> None:
    with running(Bridge(options=ApiOptions(max_text_chars=5, max_input_chars=3))) as bridge:
        async with client(bridge) as http:
            short = await http.post(PATH, json={"text": "12345"})
            long = await http.post(PATH, json={"text": "123456"})
            openai = await http.post("/v1/audio/speech", json={"model": "orpheus", "voice": "leo", "input": "1234"})
    assert (short.status_code, long.status_code, openai.status_code) == (200, 400, 400)


async def test_what_the_server_refuses_of_a_stored_voice_is_told_as_the_voices_fault() -> None:
    error = InvalidInput("reference_text: 401 characters: send at most 400 at once, longer text in pieces")
    with running(Bridge(engine=FakeEngine(FakeSpeech(chunks=(), error=error)))) as bridge:
        async with client(bridge) as http:
            answer = await http.post(PATH, json={"text": TEXT})
    body = answer.json()
    assert (answer.status_code, body["code"], body["param"]) == (400, "bad_request", "voice_id")
    assert body["detail"] == f"voice_id: what is stored of it is refused: {error}"
