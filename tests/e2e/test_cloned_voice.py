"""A voice from its recording to its speech: the bridge as a process, real Triton, real vLLM, the real encoder.

The constructed checkpoint hums whoever speaks; what is asserted is that the recording's codes were in the prompt.
"""

import asyncio
import base64
import io
import wave
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from e2e.bridge_process import BridgeProcess
from e2e.spine import decoded, figures, generated, profile_of, spine
from launcher.profile import Profile
from launcher.server import TritonServer
from orpheus_bridge.audio.wav import wav_file
from orpheus_bridge.voices.embedded import EmbeddedPostgres
from orpheus_bridge.voices.opened import opened_store
from orpheus_bridge.voices.options import EmbeddedOptions
from orpheus_bridge.voices.store import StoredReference
from orpheus_client import Reference, SpeechClient, SpeechOptions, Timeouts
from orpheus_core.layout import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from orpheus_core.pcm import Pcm
from orpheus_core.prompt import cloning_prompt, preset_prompt
from orpheus_core.voices import ENGLISH_VOICES
from triton.vllm_wire import wire

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PATH = "/api/tts/synthesize"
WAIT_S = 120.0
TEXT = "The kettle is on."
TRANSCRIPT = "Good morning, this is how I speak."
RECORDED_FRAMES = 30
PROMPT_TOKENS = "vllm:prompt_tokens_total"
FALLBACKS = "orpheus_bridge_voice_fallbacks_total"


def cloning() -> Profile:
    """The profile `cpu`, whose checkpoint is said to clone and keeps its preset voices."""
    profile = profile_of("cpu")
    (choice,) = profile.checkpoints
    engine = replace(choice.engine, max_model_len=8192)
    choice = replace(choice, can_clone=True, voices={"en": tuple(ENGLISH_VOICES)}, engine=engine)
    return replace(profile, checkpoints=(choice,))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with spine(tmp_path_factory.mktemp("cloning"), cloning()) as server:
        yield server
    assert server.leftovers() == []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def bridge(server: TritonServer, home: Path) -> Iterator[BridgeProcess]:
    with BridgeProcess(triton_url=server.grpc_url, home=home) as bridge:
        yield bridge


@pytest.fixture
async def http(bridge: BridgeProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=bridge.url, timeout=WAIT_S) as http:
        yield http


def recording() -> bytes:
    """A voice that slides and swells, in whole frames."""
    times_s = np.arange(RECORDED_FRAMES * SAMPLES_PER_FRAME) / SAMPLE_RATE_HZ
    slide = np.sin(2 * np.pi * (150 + 60 * np.sin(5 * times_s)) * times_s)
    return wav_file((8000 * slide * (0.6 + 0.4 * np.sin(9 * times_s))).astype(np.int16))


async def clone(http: httpx.AsyncClient, voice_id: str, **fields: str) -> dict[str, Any]:
    form = {"voice_id": voice_id, "voice_name": voice_id.title(), **fields}
    made = await http.post("/api/voices/clone", data=form, files={"file": ("voice.wav", recording())})
    assert made.status_code == 200, made.text
    told: dict[str, Any] = made.json()
    return told


async def stored(home: Path, voice_id: str) -> StoredReference:
    """What the bridge's database keeps to speak from."""
    database = EmbeddedPostgres(EmbeddedOptions(folder=home / "postgres")).database
    async with opened_store(database) as (store, _):
        reference = await store.reference(voice_id)
    assert reference is not None
    return reference


def samples_of(wav: bytes) -> Pcm:
    with wave.open(io.BytesIO(wav)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def assert_audible(samples: Pcm) -> None:
    assert 1.4 < len(samples) / SAMPLE_RATE_HZ < 3.0
    assert np.abs(samples.astype(np.int32)).max() > 0.05 * np.iinfo(np.int16).max


async def prompted(server: TritonServer, before: float, tokens: int) -> None:
    """Returns once so many more tokens of prompts are counted; more, or fewer for long, are a failure."""
    async with asyncio.timeout(WAIT_S):
        while (now := figures(server)[PROMPT_TOKENS] - before) < tokens:  # noqa: ASYNC110  (the page is written at times)
            await asyncio.sleep(0.1)
    assert now == tokens


async def test_the_recording_s_codes_are_in_the_prompt_of_both_apis(
    server: TritonServer, http: httpx.AsyncClient, home: Path
) -> None:
    made = await clone(http, "mum", transcript=TRANSCRIPT)
    assert (made["encoded"], made["speakable"], made["reason"]) == (True, True, None)
    reference = await stored(home, "mum")
    assert (reference.transcript, reference.codes.shape) == (TRANSCRIPT, (RECORDED_FRAMES, TOKENS_PER_FRAME))
    async with SpeechClient(server.grpc_url) as client, wire(server.grpc_url) as llm:
        (checkpoint,) = await client.checkpoints()
        spoken_from = cloning_prompt(
            reference_text=TRANSCRIPT, reference_frames=reference.codes.astype(np.int64), text=TEXT
        )
        _, cloned_tokens = await generated(llm, checkpoint, spoken_from, seed=1)
        _, preset_tokens = await generated(llm, checkpoint, preset_prompt(voice="leo", text=TEXT), seed=1)
    assert cloned_tokens > preset_tokens + TOKENS_PER_FRAME * RECORDED_FRAMES // 2
    before = figures(server)[PROMPT_TOKENS]
    for voice_id, tokens in (("leo", preset_tokens), ("mum", cloned_tokens)):
        own = await http.post(PATH, json={"text": TEXT, "voice_id": voice_id})
        assert (own.status_code, own.json()["voice"]) == (200, voice_id), own.text
        assert_audible(samples_of(base64.b64decode(own.json()["audio_base64"])))
        await prompted(server, before, tokens)
        wish = {"model": "orpheus", "input": TEXT, "voice": {"id": voice_id}, "response_format": "pcm"}
        openai = await http.post("/v1/audio/speech", json=wish)
        assert openai.status_code == 200, openai.text
        assert_audible(np.frombuffer(openai.content, "<i2"))
        await prompted(server, before, 2 * tokens)
        before += 2 * tokens
    assert (await http.delete("/api/voices/mum")).status_code == 200


async def test_what_is_heard_is_what_the_model_says_after_the_example(
    server: TritonServer, http: httpx.AsyncClient, home: Path
) -> None:
    await clone(http, "dad", transcript=TRANSCRIPT)
    codes = (await stored(home, "dad")).codes
    patient = Timeouts(first_audio_s=WAIT_S, between_chunks_s=WAIT_S, total_s=WAIT_S)
    wish = SpeechOptions(reference=Reference(text=TRANSCRIPT, codes=codes.reshape(-1)), seed=7, trim_silence=False)
    async with SpeechClient(server.grpc_url, timeouts=patient) as client, wire(server.grpc_url) as llm:
        (checkpoint,) = await client.checkpoints()
        cloned = np.concatenate([chunk.samples async for chunk in client.speak(TEXT, wish)])
        prompt = cloning_prompt(reference_text=TRANSCRIPT, reference_frames=codes.astype(np.int64), text=TEXT)
        frames, _ = await generated(llm, checkpoint, prompt, seed=7)
        other_frames, _ = await generated(llm, checkpoint, preset_prompt(voice="tara", text=TEXT), seed=7)
    whole = await decoded(server.grpc_url, frames)
    assert cloned.shape == whole.shape
    assert np.abs(cloned.astype(np.int32) - whole).max() <= 1
    assert not np.array_equal(frames, other_frames)
    assert (await http.delete("/api/voices/dad")).status_code == 200


async def test_without_a_transcript_it_is_refused_until_it_has_one(http: httpx.AsyncClient) -> None:
    made = await clone(http, "gran")
    assert (made["encoded"], made["speakable"]) == (True, False)
    assert "no transcript" in made["message"]
    refused = await http.post(PATH, json={"text": TEXT, "voice_id": "gran"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unspeakable")
    assert "it has no transcript" in refused.json()["detail"]
    told = await http.put("/api/voices/gran/transcript", json={"transcript": TRANSCRIPT})
    assert (told.status_code, told.json()["speakable"]) == (200, True)
    spoken = await http.post(PATH, json={"text": TEXT, "voice_id": "gran"})
    assert (spoken.status_code, spoken.json()["voice"]) == (200, "gran"), spoken.text
    assert "X-Voice-Fallback" not in spoken.headers
    assert (await http.delete("/api/voices/gran")).status_code == 200


async def test_with_a_fallback_another_speaks_for_it_and_says_so(server: TritonServer, tmp_path: Path) -> None:
    bridge = BridgeProcess(triton_url=server.grpc_url, home=tmp_path, settings={"VOICE_FALLBACK": "leo"})
    with bridge:
        async with httpx.AsyncClient(base_url=bridge.url, timeout=WAIT_S) as http:
            await clone(http, "gran")
            spoken = await http.post(PATH, json={"text": TEXT, "voice_id": "gran"})
            wish = {"model": "orpheus", "input": TEXT, "voice": {"id": "gran"}, "response_format": "pcm"}
            openai = await http.post("/v1/audio/speech", json=wish)
            await http.put("/api/voices/gran/transcript", json={"transcript": TRANSCRIPT})
            itself = await http.post(PATH, json={"text": TEXT, "voice_id": "gran"})
            unknown = await http.post(PATH, json={"text": TEXT, "voice_id": "nobody"})
            counted = [line for line in (await http.get("/metrics")).text.splitlines() if line.startswith(FALLBACKS)]
    assert (spoken.status_code, spoken.json()["voice"]) == (200, "leo"), spoken.text
    assert spoken.headers["X-Voice-Fallback"] == openai.headers["X-Voice-Fallback"] == "leo"
    assert_audible(samples_of(base64.b64decode(spoken.json()["audio_base64"])))
    assert_audible(np.frombuffer(openai.content, "<i2"))
    assert (itself.status_code, itself.json()["voice"]) == (200, "gran")
    assert "X-Voice-Fallback" not in itself.headers
    assert unknown.status_code == 404
    assert counted == [f"{FALLBACKS} 2.0"]
