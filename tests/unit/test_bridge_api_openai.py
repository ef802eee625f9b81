"""OpenAI's API: the stock SDK, the stock LiveKit plugin, and what they need on the wire."""

import asyncio
import base64
import io
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import av
import httpx
import numpy as np
import openai
import pytest
from livekit.agents import APIStatusError
from livekit.plugins import openai as livekit_openai

from orpheus_bridge.api.openai_names import MODEL_ALIASES, VOICE_ALIASES
from orpheus_bridge.api.services import ApiOptions
from orpheus_bridge.audio.formats import FORMATS
from orpheus_bridge.fake_engine import FakeEngine
from orpheus_client import Busy, FakeSpeech, InternalFault
from orpheus_core.layout import SAMPLE_RATE_HZ
from orpheus_core.pcm import Pcm
from unit.bridge_app import Bridge, client, running, until

pytestmark = pytest.mark.unit

PATH = "/v1/audio/speech"
TEXT = "Twelve chars"
SPOKEN_S = 12 * 2048 / SAMPLE_RATE_HZ
"""The fake speaks a frame for each character: a tone of 440 Hz."""
WISH = {"model": "tts-1", "voice": "tara", "input": TEXT}

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    with running(Bridge()) as bridge:
        yield bridge


@pytest.fixture
async def http(bridge: Bridge) -> AsyncIterator[httpx.AsyncClient]:
    async with client(bridge) as http:
        yield http


@pytest.fixture
async def sdk(bridge: Bridge) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{bridge.url}/v1", api_key="none", max_retries=0) as sdk:
        yield sdk


def heard(data: bytes, name: str) -> tuple[Pcm, int]:
    """Samples and rate of a file."""
    if name == "pcm":
        return np.frombuffer(data, "<i2"), SAMPLE_RATE_HZ
    resampler = av.AudioResampler(format="s16", layout="mono")
    with av.open(io.BytesIO(data), "r") as file:
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].sample_rate


def peak_hz(samples: Pcm, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * rate_hz / len(samples)


def events_of(body: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in body.split("\n\n") if line]


@pytest.mark.parametrize("name", FORMATS)
async def test_the_sdk_gets_every_format(sdk: openai.AsyncOpenAI, name: Format) -> None:
    answer = await sdk.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format=name)
    assert answer.response.headers["content-type"] == FORMATS[name].media_type
    samples, rate_hz = heard(answer.content, name)
    assert len(samples) / rate_hz == pytest.approx(SPOKEN_S, abs=0.1)
    assert peak_hz(samples, rate_hz) == pytest.approx(440, abs=2)


async def test_the_sdk_streams_while_it_is_spoken() -> None:
    with running(Bridge(engine=FakeEngine(FakeSpeech(delay_s=0.1)))) as slow:
        async with openai.AsyncOpenAI(base_url=f"{slow.url}/v1", api_key="none") as sdk:
            asked_s = time.monotonic()
            async with sdk.audio.speech.with_streaming_response.create(
                model="gpt-4o-mini-tts", voice="tara", input=TEXT, response_format="mp3"
            ) as answer:
                arrived = [time.monotonic() - asked_s async for _ in answer.iter_bytes(64)]
    # Thirteen pauses of 0.1 s: the first bytes come after the first of them.
    assert arrived[0] < 0.8
    assert arrived[-1] > 1.2


async def test_the_sdk_gets_errors_it_understands(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        await sdk.audio.speech.create(model="tts-1", voice="tara", input=" ")
    assert (bad.value.param, bad.value.code, bad.value.type) == ("input", "bad_request", "invalid_request_error")
    assert bad.value.request_id
    with pytest.raises(openai.NotFoundError) as missing:
        await sdk.audio.speech.create(model="tts-9", voice="tara", input="x")
    assert (missing.value.param, missing.value.code) == ("model", "model_not_found")
    with pytest.raises(openai.NotFoundError) as nobody:
        await sdk.audio.speech.create(model="tts-1", voice="nobody", input="x")
    assert nobody.value.param == "voice"
    with pytest.raises(openai.BadRequestError):
        await sdk.audio.speech.create(model="tts-1", voice="tara", input="x", speed=5)


async def test_a_full_server_is_a_rate_limit() -> None:
    engine = FakeEngine(FakeSpeech(chunks=(), error=Busy("full: 64")))
    with running(Bridge(engine=engine)) as bridge:
        async with openai.AsyncOpenAI(base_url=f"{bridge.url}/v1", api_key="none", max_retries=0) as sdk:
            with pytest.raises(openai.RateLimitError) as caught:
                await sdk.audio.speech.create(model="tts-1", voice="tara", input="x")
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "1"


async def test_the_sdk_lists_models(sdk: openai.AsyncOpenAI) -> None:
    names = [model.id async for model in sdk.models.list()]
    assert names == ["orpheus", "fake", *MODEL_ALIASES]
    assert (await sdk.models.retrieve("orpheus")).id == "orpheus"
    with pytest.raises(openai.NotFoundError):
        await sdk.models.retrieve("gpt-9")


async def test_events_carry_the_same_bytes_and_the_usage(http: httpx.AsyncClient) -> None:
    wish = {**WISH, "response_format": "pcm", "instructions": "cheerfully"}
    plain = await http.post(PATH, json=wish)
    answer = await http.post(PATH, json={**wish, "stream_format": "sse"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *deltas, done = events_of(answer.text)
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == plain.content
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 3, "output_tokens": 84, "total_tokens": 87},
    }


async def test_a_failure_in_the_middle_is_an_event() -> None:
    engine = FakeEngine(FakeSpeech(chunks=(np.full(4096, 99, np.int16),), error=InternalFault("secret")))
    with running(Bridge(engine=engine)) as bridge:
        async with client(bridge) as http:
            answer = await http.post(PATH, json={**WISH, "response_format": "pcm", "stream_format": "sse"})
    *_, last = events_of(answer.text)
    assert last["type"] == "error"
    assert last["error"] == {
        "message": "the speech server failed",
        "type": "server_error",
        "param": None,
        "code": "failed",
    }


async def test_a_voice_may_be_an_object_and_speech_may_be_slow(http: httpx.AsyncClient, bridge: Bridge) -> None:
    wish = {**WISH, "voice": {"id": "leo"}, "response_format": "pcm", "speed": 0.25}
    answer = await http.post(PATH, json=wish)
    assert len(answer.content) / 2 / SAMPLE_RATE_HZ == pytest.approx(4 * SPOKEN_S, rel=0.05)
    assert bridge.engine.requests[-1][1].voice == "leo"


async def test_aliases_are_listed_with_what_they_mean(http: httpx.AsyncClient) -> None:
    voices = {voice["id"]: voice for voice in (await http.get("/v1/audio/voices")).json()["voices"]}
    assert set(VOICE_ALIASES) < set(voices)
    assert voices["alloy"]["alias_of"] == "tara"
    # Zoe is not loaded.
    assert voices["shimmer"]["alias_of"] == "default"


async def test_aliases_can_be_switched_off() -> None:
    with running(Bridge(options=ApiOptions(openai_aliases=False))) as bridge:
        async with client(bridge) as http:
            model = await http.post(PATH, json=WISH)
            voice = await http.post(PATH, json={**WISH, "model": "orpheus", "voice": "alloy"})
            voices = (await http.get("/v1/audio/voices")).json()["voices"]
            models = (await http.get("/v1/models")).json()["data"]
    assert (model.status_code, voice.status_code) == (404, 404)
    assert not set(VOICE_ALIASES) & {voice["id"] for voice in voices}
    assert [model["id"] for model in models] == ["orpheus", "fake"]


@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"])
@pytest.mark.parametrize("name", ["mp3", "opus", "wav", "pcm", "flac", "aac"])
async def test_the_livekit_plugin_speaks(bridge: Bridge, model: str, name: str) -> None:
    plugin = livekit_openai.TTS(
        model=model, voice="ash", base_url=f"{bridge.url}/v1", api_key="none", response_format=name
    )
    try:
        async with plugin.synthesize(TEXT) as stream:
            audio = [event.frame async for event in stream]
    finally:
        await plugin.aclose()
    samples = np.concatenate([np.frombuffer(frame.data, np.int16) for frame in audio])
    assert {frame.sample_rate for frame in audio} == {SAMPLE_RATE_HZ}
    assert len(samples) / SAMPLE_RATE_HZ == pytest.approx(SPOKEN_S, abs=0.12)
    assert peak_hz(samples, SAMPLE_RATE_HZ) == pytest.approx(440, abs=2)
    assert bridge.engine.requests[-1][1].voice == "leo"


async def test_the_livekit_plugin_gets_a_status_it_understands(bridge: Bridge) -> None:
    plugin = livekit_openai.TTS(model="tts-1", voice="nobody", base_url=f"{bridge.url}/v1", api_key="none")
    stream = plugin.synthesize(TEXT)
    with pytest.raises(APIStatusError) as caught:
        await anext(stream)
    await stream.aclose()
    await plugin.aclose()
    assert caught.value.status_code == 404


async def test_the_livekit_plugin_ends_the_speech_when_it_is_closed() -> None:
    engine = FakeEngine(FakeSpeech(chunks=(np.full(4096, 99, np.int16),) * 3, delay_s=0.5))
    with running(Bridge(engine=engine)) as bridge:
        plugin = livekit_openai.TTS(
            model="tts-1", voice="tara", base_url=f"{bridge.url}/v1", api_key="none", response_format="pcm"
        )
        stream = plugin.synthesize(TEXT)
        reading = asyncio.create_task(anext(stream))
        await until(lambda: engine.live == 1)
        reading.cancel()
        await stream.aclose()
        await until(lambda: engine.live == 0, timeout_s=0.4)
        await plugin.aclose()
    assert engine.cancelled == 1
