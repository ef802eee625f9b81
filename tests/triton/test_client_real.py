"""The client against a real Triton, with a model that keeps the contract of `orpheus_tts` and fails on demand."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from launcher.environments import SERVER_CPU, existing_server_environment
from launcher.paths import Home
from launcher.ports import Ports
from launcher.server import ServerOptions, TritonServer
from launcher.server_environment import ServerEnvironment
from orpheus_client import (
    Busy,
    Cancelled,
    ChunkTimeout,
    EngineDown,
    InternalFault,
    InvalidInput,
    Reference,
    RetryPolicy,
    SpeechClient,
    SpeechError,
    SpeechOptions,
    SpeechResult,
    SpeechStats,
    Timeouts,
)
from orpheus_core.checkpoint import Checkpoint, dump_checkpoints

pytestmark = pytest.mark.triton

WAIT_S = 30.0
MODEL = Path(__file__).parents[1] / "models" / "speaker_on_demand.py"
ONCE = RetryPolicy(max_attempts=1)

CHECKPOINT = Checkpoint(
    name="english",
    model="orpheus_llm",
    stop_token_ids=(2,),
    languages=("en",),
    voices={"en": ("tara", "leo")},
    default_voice="tara",
)

CONFIG = """
backend: "python"
max_batch_size: 0
model_transaction_policy { decoupled: true }
input [
  { name: "text" data_type: TYPE_STRING dims: [1] },
  { name: "voice" data_type: TYPE_STRING dims: [1] optional: true },
  { name: "language" data_type: TYPE_STRING dims: [1] optional: true },
  { name: "temperature" data_type: TYPE_FP32 dims: [1] optional: true },
  { name: "top_p" data_type: TYPE_FP32 dims: [1] optional: true },
  { name: "repetition_penalty" data_type: TYPE_FP32 dims: [1] optional: true },
  { name: "seed" data_type: TYPE_INT64 dims: [1] optional: true },
  { name: "max_seconds" data_type: TYPE_FP32 dims: [1] optional: true },
  { name: "reference_text" data_type: TYPE_STRING dims: [1] optional: true },
  { name: "reference_codes" data_type: TYPE_INT32 dims: [-1] optional: true },
  { name: "trim_silence" data_type: TYPE_BOOL dims: [1] optional: true }
]
output [
  { name: "audio" data_type: TYPE_INT16 dims: [-1] },
  { name: "is_final" data_type: TYPE_BOOL dims: [1] },
  { name: "finish_reason" data_type: TYPE_STRING dims: [1] },
  { name: "stats" data_type: TYPE_STRING dims: [1] }
]
instance_group [{ kind: KIND_CPU count: 1 }]
parameters { key: "checkpoints" value { string_value: %s } }
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Triton that serves the model."""
    root = existing_server_environment(Home.from_environment(os.environ), SERVER_CPU, os.environ)
    if root is None:
        pytest.skip("the server's environment is not made yet: scripts/test makes it")
    repository = tmp_path_factory.mktemp("repository")
    folder = repository / "orpheus_tts"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG % json.dumps(dump_checkpoints((CHECKPOINT,))))
    shutil.copy(MODEL, folder / "1" / "model.py")
    options = ServerOptions(
        repository=repository,
        environment=ServerEnvironment.at(root),
        home=Home(tmp_path_factory.mktemp("home")),
        ports=Ports.free(),
    )
    with TritonServer(options) as server:
        yield server.grpc_url


@pytest.fixture
async def client(url: str) -> AsyncIterator[SpeechClient]:
    async with SpeechClient(url, retry=ONCE) as client:
        yield client


async def spoken(client: SpeechClient, text: str, options: SpeechOptions | None = None) -> SpeechResult:
    """The result of a whole speech, its samples checked on the way."""
    stream = client.speak(text, options or SpeechOptions())
    chunks = [chunk.samples async for chunk in stream]
    samples = np.concatenate(chunks)
    assert np.array_equal(samples, np.arange(len(samples)).astype(np.int16))
    assert stream.result.duration_s == len(samples) / 24000
    return stream.result


async def test_a_stream_arrives_whole(client: SpeechClient) -> None:
    result = await spoken(client, "say 40")
    assert result.stats.frames == 40
    assert result.duration_s == 40 * 2048 / 24000
    assert result.stats.first_audible_ms is None


async def test_every_input_arrives_as_it_was_set(client: SpeechClient, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    read = SpeechStats.from_json

    def from_json(text: str) -> SpeechStats:
        told.append(json.loads(text)["told"])
        return read(text)

    monkeypatch.setattr(SpeechStats, "from_json", from_json)
    everything = SpeechOptions(
        voice="लियो",
        language="de-CH",
        temperature=0.5,
        top_p=0.75,
        repetition_penalty=1.5,
        seed=2**62,
        max_seconds=2.5,
        reference=Reference(text="as I said", codes=np.arange(14)),
        trim_silence=False,
        probe=True,
    )
    await spoken(client, "say 1")
    await spoken(client, "say 1", everything)
    bare, full = told
    assert bare == {"text": ["say 1"], "parameters": {}}
    assert full == {
        "text": ["say 1"],
        "voice": ["लियो"],
        "language": ["de-CH"],
        "temperature": [0.5],
        "top_p": [0.75],
        "repetition_penalty": [1.5],
        "seed": [2**62],
        "max_seconds": [2.5],
        "reference_text": ["as I said"],
        "reference_codes": list(range(14)),
        "trim_silence": [False],
        "parameters": {"probe": True},
    }


@pytest.mark.parametrize("late", ["", " late"])
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("invalid", InvalidInput),
        ("full", Busy),
        ("engine", EngineDown),
        ("internal", InternalFault),
        ("cancelled", Cancelled),
    ],
)
async def test_errors_are_told_apart(client: SpeechClient, word: str, expected: type[SpeechError], late: str) -> None:
    with pytest.raises(expected) as caught:
        await spoken(client, word + late)
    assert type(caught.value) is expected
    assert str(caught.value) == ("text: as asked" if word == "invalid" else f"{word}: as asked")


@pytest.mark.parametrize("how", ["leave", "cancel", "close", "time-out"])
async def test_an_end_before_the_end_reaches_the_model(url: str, how: str) -> None:
    limits = Timeouts(between_chunks_s=0.2) if how == "time-out" else Timeouts()
    async with SpeechClient(url, retry=ONCE, timeouts=limits) as client:
        before = (await spoken(client, "say 1")).stats.dropped_tokens
        stream = client.speak("hang")
        await anext(stream)
        if how == "leave":
            await stream.aclose()
        elif how == "time-out":
            with pytest.raises(ChunkTimeout):
                await anext(stream)
        else:
            reader = asyncio.create_task(anext(stream))
            await asyncio.sleep(0.05)
            if how == "cancel":
                reader.cancel()
            else:
                await stream.aclose()
            with pytest.raises((asyncio.CancelledError, Cancelled)):
                await reader
        async with asyncio.timeout(WAIT_S):
            while (await spoken(client, "say 1")).stats.dropped_tokens == before:
                pass


async def test_many_streams_share_a_connection(client: SpeechClient) -> None:
    results = await asyncio.gather(*(spoken(client, "say 20") for _ in range(32)))
    assert all(result.stats.frames == 20 for result in results)


async def test_checkpoints_voices_and_health(client: SpeechClient) -> None:
    assert await client.checkpoints() == (CHECKPOINT,)
    assert [voice.name for voice in await client.voices()] == ["tara", "leo"]
    state = await client.health()
    assert (state.live, state.ready, state.speaks) == (True, True, True)
