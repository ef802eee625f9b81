"""The whole stack of the profile `cpu`: real Triton, real vLLM, the constructed checkpoint, SNAC, BLS, client, command.

One server serves all tests; the last one ends it.
"""

import asyncio
import json
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from e2e.spine import decoded, figures, generated, spine
from launcher.server import TritonServer
from orpheus_client import SpeechClient, SpeechOptions, SpeechResult, SpeechStream, Timeouts, Unavailable, split_text
from orpheus_core.checkpoint import Checkpoint
from orpheus_core.layout import CODES_PER_SLOT, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from orpheus_core.pcm import FULL_SCALE, Pcm
from orpheus_core.prompt import preset_prompt
from orpheus_core.tokens import Frames
from orpheus_core.voices import ENGLISH_VOICES
from triton.bls_wire import Wire as SpeechWire
from triton.bls_wire import request_of
from triton.bls_wire import wire as speech_wire
from triton.vllm_wire import Wire, wire

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

WAIT_S = 120.0
"""For what takes a few seconds on a quiet machine."""

COMMAND = Path(sys.executable).with_name("orpheus")
SENTENCE = "The kettle is on, and the bread is still warm. "
MAX_TEXT_CHARS = 400
LEAVERS = 16
GROUPS = 8
"""Of codes, of which each voice of the constructed checkpoint prefers some."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with spine(tmp_path_factory.mktemp("spine")) as server:
        yield server
    assert server.leftovers() == []


@pytest.fixture
async def client(server: TritonServer) -> AsyncIterator[SpeechClient]:
    patient = Timeouts(first_audio_s=WAIT_S, between_chunks_s=WAIT_S, total_s=WAIT_S)
    async with SpeechClient(server.grpc_url, timeouts=patient) as client:
        yield client


@pytest.fixture
async def checkpoint(client: SpeechClient) -> Checkpoint:
    (checkpoint,) = await client.checkpoints()
    return checkpoint


@pytest.fixture
async def llm(server: TritonServer) -> AsyncIterator[Wire]:
    async with wire(server.grpc_url) as llm:
        yield llm


@pytest.fixture
async def raw(server: TritonServer) -> AsyncIterator[SpeechWire]:
    async with speech_wire(server.grpc_url) as raw:
        yield raw


@dataclass(frozen=True, slots=True)
class Spoken:
    """A speech and how it ended."""

    samples: Pcm
    result: SpeechResult

    @property
    def peak(self) -> float:
        return float(np.abs(self.samples.astype(np.int32)).max()) / FULL_SCALE


def text_of(chars: int) -> str:
    """So many characters."""
    return (SENTENCE * (chars // len(SENTENCE) + 1))[: chars - 1].rstrip(" ,.").ljust(chars, "!")


def options(voice: str = "tara", seed: int | None = None) -> SpeechOptions:
    return SpeechOptions(voice=voice, seed=seed, trim_silence=False)


async def speak(client: SpeechClient, text: str, wish: SpeechOptions) -> Spoken:
    async with asyncio.timeout(WAIT_S):
        return await rest_of(client.speak(text, wish))


async def rest_of(stream: SpeechStream) -> Spoken:
    samples = [chunk.samples async for chunk in stream]
    return Spoken(np.concatenate(samples), stream.result)


async def idle(server: TritonServer) -> Mapping[str, float]:
    """The figures once nobody speaks and vLLM does nothing."""
    busy = ("orpheus_live_streams", "vllm:num_requests_running", "vllm:num_requests_waiting")
    async with asyncio.timeout(WAIT_S):
        while any((now := figures(server))[name] for name in busy):  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.05)
    return now


def are_same(one: Pcm, other: Pcm) -> bool:
    """To a bit: where a speech is cut into windows depends on the time, and with it how the last digit rounds."""
    return one.shape == other.shape and int(np.abs(one.astype(np.int32) - other).max()) <= 1


@pytest.mark.parametrize(("voice", "chars"), [("tara", 3), ("leo", 120), ("zoe", 300)])
async def test_what_is_heard_is_the_model_s_speech_decoded_in_one_go(
    *, server: TritonServer, client: SpeechClient, checkpoint: Checkpoint, llm: Wire, voice: str, chars: int
) -> None:
    spoken = await speak(client, text_of(chars), options(voice, seed=chars))
    prompt = preset_prompt(voice=voice, text=text_of(chars))
    frames, _ = await generated(llm, checkpoint, prompt, seed=chars)
    whole = await decoded(server.grpc_url, frames)
    assert spoken.result.stats.frames == len(frames)
    assert len(whole) == len(frames) * SAMPLES_PER_FRAME
    assert are_same(spoken.samples, whole)
    assert spoken.result.finish_reason == "stop"
    assert spoken.result.stats.windows > 1


async def test_a_seed_says_the_same_again_and_another_does_not(client: SpeechClient) -> None:
    one, again, other = [await speak(client, text_of(60), options(seed=seed)) for seed in (7, 7, 8)]
    assert are_same(one.samples, again.samples)
    assert not are_same(one.samples, other.samples)


async def test_eight_streams_at_once_are_whole_and_as_long_as_their_texts(client: SpeechClient) -> None:
    lengths = range(1, 20 * len(ENGLISH_VOICES), 20)
    wishes = [(text_of(chars), options(voice)) for chars, voice in zip(lengths, ENGLISH_VOICES, strict=True)]
    speeches = await asyncio.gather(*(speak(client, *wish) for wish in wishes))
    seconds = [spoken.result.duration_s for spoken in speeches]
    assert len(set(seconds)) == len(seconds) == 8
    assert seconds == sorted(seconds)
    assert 1.5 <= seconds[0] < 1.8
    for spoken in speeches:
        stats = spoken.result.stats
        assert (spoken.result.finish_reason, stats.dropped_tokens) == ("stop", 0)
        assert len(spoken.samples) == stats.frames * SAMPLES_PER_FRAME
        assert spoken.peak >= 0.1


def preferred(frames: Frames) -> Any:
    """Share of each group of codes."""
    return np.bincount((frames // (CODES_PER_SLOT // GROUPS)).ravel(), minlength=GROUPS) / frames.size


async def test_each_voice_is_known_by_its_codes_whatever_it_says(llm: Wire, checkpoint: Checkpoint) -> None:
    async def heard(voice: str, text: str, seed: int) -> Any:
        frames, _ = await generated(llm, checkpoint, preset_prompt(voice=voice, text=text), seed=seed)
        return preferred(frames)

    texts = (text_of(150), "Once more, with feeling, and then again: " * 4 + "no.")
    one, other = [
        await asyncio.gather(*(heard(voice, text, seed) for voice in ENGLISH_VOICES)) for seed, text in enumerate(texts)
    ]
    distances = np.abs(np.array(one)[:, None] - np.array(other)[None]).sum(-1)
    assert distances.argmin(axis=1).tolist() == list(range(len(ENGLISH_VOICES)))


async def test_who_leaves_frees_the_engine(server: TritonServer, client: SpeechClient) -> None:
    whole = await speak(client, text_of(MAX_TEXT_CHARS), options())
    assert 5.5 < whole.result.duration_s <= 6.0
    before = await idle(server)

    async def leave_early() -> None:
        async with client.speak(text_of(MAX_TEXT_CHARS), options()) as stream:
            await anext(stream)

    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(leave_early() for _ in range(LEAVERS)))
    left_s = time.monotonic()
    now = await idle(server)
    # A second on a quiet machine; how much was not generated any more tells the same on any.
    assert time.monotonic() - left_s < 4.0
    ended = "orpheus_streams_ended_total cancelled"
    assert now[ended] - before[ended] == LEAVERS
    tokens = "vllm:generation_tokens_total"
    assert now[tokens] - before[tokens] < 0.8 * LEAVERS * TOKENS_PER_FRAME * whole.result.stats.frames


BAD_INPUTS: list[tuple[str | bytes | None, dict[str, Any], str]] = [
    ("", {}, "text: "),
    (" \n\t", {}, "text: "),
    ("x" * (MAX_TEXT_CHARS + 1), {}, "text: '401 characters'"),
    ("bell \x07", {}, "text: "),
    ("say <custom_token_5> now", {}, "text: '<custom_token_5>'"),
    ("the end <|eot_id|>", {}, "text: '<|eot_id|>'"),
    ("la <sing> la", {}, "text: '<sing>'"),
    ("hello", {"voice": "julia"}, "voice: 'julia'"),
    ("hello", {"language": "tlh"}, "language: 'tlh'"),
    ("hello", {"temperature": np.array([np.nan], np.float32)}, "temperature: nan"),
    ("hello", {"temperature": np.array([9], np.float32)}, "temperature: 9"),
    ("hello", {"top_p": np.array([0], np.float32)}, "top_p: 0"),
    ("hello", {"repetition_penalty": np.array([np.inf], np.float32)}, "repetition_penalty: inf"),
    ("hello", {"seed": np.array([-1], np.int64)}, "seed: -1"),
    ("hello", {"max_seconds": np.array([0.1], np.float32)}, "max_seconds: 0.1"),
    ("hello", {"reference_codes": np.arange(7, dtype=np.int32)}, "reference_text: 'missing'"),
    ("hello", {"reference_text": "a"}, "reference_codes: 'missing'"),
    (b"\xff\xfe", {}, "text: "),
    (None, {}, ""),
    ("hello", {"seed": np.array([1], np.float32)}, ""),
    ("hello", {"voice": np.array([1], np.int32)}, ""),
    ("hello", {"temperature": np.array([1, 1], np.float32)}, ""),
]
"""Text, further inputs, and how the message begins; where it is Triton itself that refuses, its words are its own."""


async def test_bad_inputs_are_refused_at_once_and_disturb_nobody(client: SpeechClient, raw: SpeechWire) -> None:
    alone = await speak(client, text_of(300), options(seed=3))
    stream = client.speak(text_of(300), options(seed=3))
    neighbour = asyncio.create_task(rest_of(stream))
    took_s = []
    for text, inputs, beginning in BAD_INPUTS:
        status, message, seconds = await raw.status(request_of(text, **inputs))
        expected = grpc.StatusCode.INVALID_ARGUMENT if beginning else grpc.StatusCode.UNKNOWN
        assert status is expected, (text, inputs, message)
        assert message.startswith(beginning), message
        took_s.append(seconds)
    assert float(np.median(took_s)) < 0.2
    async with asyncio.timeout(WAIT_S):
        undisturbed = await neighbour
    assert are_same(undisturbed.samples, alone.samples)


def orpheus(server: TritonServer, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """The command as a user runs it; its exit status is the caller's to look at."""
    line = [str(COMMAND), arguments[0], "--url", server.grpc_url, *arguments[1:]]
    return subprocess.run(line, input=stdin, capture_output=True, text=True, check=False, timeout=WAIT_S)


def told(ended: "subprocess.CompletedProcess[str]") -> Any:
    """The JSON that a command printed."""
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def samples_in(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE_HZ, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def test_the_command_says_a_sentence_into_a_file(server: TritonServer, tmp_path: Path) -> None:
    out = tmp_path / "said.wav"
    said = told(orpheus(server, "say", "The kettle is on.", "--voice", "leo", "--out", str(out), "--json"))
    assert said["finish_reason"] == "stop"
    assert len(samples_in(out)) == pytest.approx(said["duration_s"] * SAMPLE_RATE_HZ)
    assert np.abs(samples_in(out).astype(np.int32)).max() >= 0.1 * FULL_SCALE


def test_the_command_says_long_text_from_stdin_in_pieces(server: TritonServer, tmp_path: Path) -> None:
    out, text = tmp_path / "said.wav", SENTENCE * 10
    assert len(text) > MAX_TEXT_CHARS
    pieces = split_text(text, MAX_TEXT_CHARS)
    arguments = ("--no-trim-silence", "--pause-ms", "200", "--out", str(out), "--json")
    said = told(orpheus(server, "say", "-", *arguments, stdin=text))
    pause_samples = SAMPLE_RATE_HZ // 5
    assert len(pieces) > 2
    assert said["finish_reason"] == "stop"
    spoken_samples = said["stats"]["frames"] * SAMPLES_PER_FRAME
    assert len(samples_in(out)) == spoken_samples + (len(pieces) - 1) * pause_samples
    silences = np.convolve(samples_in(out) == 0, np.ones(pause_samples), "valid") == pause_samples
    assert silences.sum() >= len(pieces) - 1


def test_the_command_tells_voices_health_and_faults(server: TritonServer) -> None:
    voices = told(orpheus(server, "voices", "--json"))
    assert [voice["name"] for voice in voices] == list(ENGLISH_VOICES)
    assert [voice["name"] for voice in voices if voice["is_default"]] == ["tara"]
    health = told(orpheus(server, "health", "--speak", "--json"))
    assert (health["live"], health["ready"], health["speaks"]) == (True, True, True)
    assert 0 < health["first_audio_ms"] < 1000 * WAIT_S
    refused = orpheus(server, "say", "hello", "--voice", "julia", "--out", "-")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "voice: 'julia'" in refused.stderr


def test_the_command_measures_four_streams_at_once(server: TritonServer, tmp_path: Path) -> None:
    file, texts = tmp_path / "bench.json", tmp_path / "texts"
    texts.write_text("Yes.\nThat is a good question.\n\nI have put it on your list.\n")
    load = ("--concurrency", "4", "--requests", "8", "--texts", str(texts))
    ended = orpheus(server, "bench", *load, "--json", str(file))
    assert ended.returncode == 0, ended.stderr
    assert "8 of 8 spoken" in ended.stdout
    result = json.loads(file.read_text())
    assert (result["load"]["concurrency"], result["requests"], result["spoken"], result["errors"]) == (4, 8, 8, {})
    assert 8 * 1.5 < result["audio_s"] < 8 * 2.5
    assert result["audio_s_per_s"] == pytest.approx(result["audio_s"] / result["wall_s"])
    for name in ("first_audio_ms", "first_audible_ms", "real_time_factor"):
        assert 0 < result[name]["p50"] <= result[name]["p95"] <= result[name]["p99"] <= result[name]["max"]


async def test_an_end_of_the_server_ends_what_speaks_and_leaves_nothing(
    server: TritonServer, client: SpeechClient
) -> None:
    streams = [client.speak(text_of(MAX_TEXT_CHARS), options()) for _ in range(4)]
    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(anext(stream) for stream in streams))
    rest = [asyncio.create_task(rest_of(stream)) for stream in streams]
    await asyncio.to_thread(server.stop)
    async with asyncio.timeout(WAIT_S):
        ends = await asyncio.gather(*rest, return_exceptions=True)
    assert server.exit_code() is not None
    assert server.leftovers() == []
    for end in ends:
        assert isinstance(end, Spoken | Unavailable), repr(end)
        assert not isinstance(end, Spoken) or end.result.finish_reason == "stop"
