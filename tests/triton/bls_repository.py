"""A model repository with the real `orpheus_tts` between a replayed language model and a counting decoder."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from launcher.artefacts import Artefacts
from launcher.checkpoints import LLM_MODEL
from launcher.environments import SERVER_CPU, existing_server_environment
from launcher.paths import MODEL_SOURCES, Home
from launcher.ports import Ports
from launcher.profile import CheckpointChoice, Engine, Profile, Streams
from launcher.render import Content, flags, parse_config, plan, write
from launcher.server import ServerOptions, TritonServer
from launcher.server_environment import ServerEnvironment
from orpheus_core.checkpoint import Budget
from orpheus_core.layout import END_OF_SPEECH, END_OF_TURN, SNAC_RECEPTIVE_FIELD_SAMPLES
from triton.bls_wire import Metrics, read_metrics

MODELS = Path(__file__).parents[1] / "models"
SHARED_PARTS = ("frame_codes.py", "replay_script.py")
PATIENCE_S = 20.0
STOP_IDS = {END_OF_SPEECH: 258, END_OF_TURN: 9}
ROOM_FOR_ANY_SCRIPT = Budget(base_s=60.0, per_char_s=0.0, per_tag_s=0.0)

ENGLISH = CheckpointChoice(name="english", source="tiny", budget=ROOM_FOR_ANY_SCRIPT)

LLM_CONFIG = """
backend: "python"
max_batch_size: 0
model_transaction_policy { decoupled: true }
input [
  { name: "text_input" data_type: TYPE_STRING dims: [1] },
  { name: "stream" data_type: TYPE_BOOL dims: [1] optional: true },
  { name: "sampling_parameters" data_type: TYPE_STRING dims: [1] optional: true },
  { name: "exclude_input_in_output" data_type: TYPE_BOOL dims: [1] optional: true },
  { name: "return_finish_reason" data_type: TYPE_BOOL dims: [1] optional: true },
  { name: "return_num_input_tokens" data_type: TYPE_BOOL dims: [1] optional: true },
  { name: "return_num_output_tokens" data_type: TYPE_BOOL dims: [1] optional: true }
]
output [
  { name: "text_output" data_type: TYPE_STRING dims: [-1] },
  { name: "finish_reason" data_type: TYPE_STRING dims: [-1] },
  { name: "num_input_tokens" data_type: TYPE_UINT32 dims: [1] },
  { name: "num_output_tokens" data_type: TYPE_UINT32 dims: [-1] }
]
instance_group [{ kind: KIND_CPU count: 1 }]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is served."""

    streams: Streams
    checkpoints: tuple[CheckpointChoice, ...] = (ENGLISH,)
    reach_samples: int = SNAC_RECEPTIVE_FIELD_SAMPLES
    """Of the decoder; what `orpheus_tts` is told is always SNAC's."""
    decoder_frame_ms: float = 0.0
    cancel_poll_s: float = 0.1
    ledger: Path | None = None
    """File that the language model writes its events to."""


def server_environment(home: Home, environ: Mapping[str, str]) -> ServerEnvironment | None:
    """The one that Triton runs with, if it is made already."""
    root = existing_server_environment(home, SERVER_CPU, environ)
    return ServerEnvironment.at(root) if root else None


def serve(bench: Bench, environment: ServerEnvironment, folder: Path) -> TritonServer:
    """A server of that, not started yet; everything lies under `folder`."""
    repository = folder / "repository"
    profile = Profile(description="replayed", checkpoints=_with_context(bench.checkpoints), streams=bench.streams)
    write(_files(bench, profile, folder / "artefacts"), repository)
    options = ServerOptions(
        repository=repository,
        environment=environment,
        home=Home(folder / "home"),
        ports=Ports.free(),
        flags=flags(profile),
    )
    return TritonServer(options)


@dataclass(frozen=True, slots=True)
class Served:
    """A running server with what can be seen of it from outside."""

    server: TritonServer
    ledger: Path

    @property
    def url(self) -> str:
        return self.server.grpc_url

    def metrics(self) -> Metrics:
        return read_metrics(self.server.metrics_url)

    def events(self, stream: int, event: str | None = None) -> list[dict[str, Any]]:
        """What the language model wrote of a stream, of one kind or of all."""
        lines = [json.loads(line) for line in self.ledger.read_text(encoding="utf-8").splitlines()]
        ids = {line["id"] for line in lines if line.get("stream") == stream}
        return [line for line in lines if line["id"] in ids and event in (None, line["event"])]

    async def wait_until_idle(self) -> None:
        """Returns when no stream is live."""
        await self.wait_until(lambda: self.metrics()["orpheus_live_streams"] == 0)

    async def wait_until(self, is_so: Callable[[], object]) -> None:
        """Returns when it is so; fails when that takes too long."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():  # noqa: ASYNC110  (what is waited for happens in another process)
                await asyncio.sleep(0.02)


def serving(bench: Bench, folder: Path) -> Iterator[Served]:
    """For a fixture: a server of that, ended at last, with nothing left of it."""
    environment = server_environment(Home.from_environment(os.environ), os.environ)
    if environment is None:
        pytest.skip("the server's environment is not made yet: scripts/test makes it")
    ledger = folder / "ledger"
    ledger.touch()
    with serve(replace(bench, ledger=ledger), environment, folder) as server:
        yield Served(server, ledger)
    assert server.leftovers() == []


def _with_context(checkpoints: tuple[CheckpointChoice, ...]) -> tuple[CheckpointChoice, ...]:
    """A model length that holds a minute of speech beside text and reference."""
    return tuple(replace(choice, engine=Engine(max_model_len=16_384)) for choice in checkpoints)


def _files(bench: Bench, profile: Profile, folder: Path) -> dict[str, Content]:
    files = plan(profile, _artefacts(profile, folder), _sources(folder))
    kept = {name: content for name, content in files.items() if name.startswith("orpheus_tts/")}
    for name, content in files.items():
        if name.startswith(LLM_MODEL) and isinstance(content, bytes) and name.endswith("config.pbtxt"):
            kept |= _model("replay_llm.py", _llm_config(content, bench))
    return kept | _model("counting_snac.py", _decoder_config(bench))


def _model(source: str, config: model_config_pb2.ModelConfig) -> dict[str, Content]:
    parts: dict[str, Content] = {f"{config.name}/1/models/{part}": MODELS / part for part in SHARED_PARTS}
    return parts | {
        f"{config.name}/config.pbtxt": text_format.MessageToString(config).encode(),
        f"{config.name}/1/model.py": MODELS / source,
    }


def _llm_config(rendered: bytes, bench: Bench) -> model_config_pb2.ModelConfig:
    config = text_format.Parse(rendered, model_config_pb2.ModelConfig())
    config.parameters["cancel_poll_s"].string_value = str(bench.cancel_poll_s)
    if bench.ledger:
        config.parameters["ledger"].string_value = str(bench.ledger)
    return config


def _decoder_config(bench: Bench) -> model_config_pb2.ModelConfig:
    """The real one, of another backend."""
    config = parse_config(MODEL_SOURCES / "snac_decoder" / "config.pbtxt")
    config.backend = "python"
    config.default_model_filename = ""
    config.parameters["reach_samples"].string_value = str(bench.reach_samples)
    config.parameters["frame_ms"].string_value = str(bench.decoder_frame_ms)
    return config


def _artefacts(profile: Profile, folder: Path) -> Artefacts:
    """As much of them as the renderer looks at."""
    folder.mkdir(parents=True)
    tokens = [{"content": content, "id": number} for content, number in STOP_IDS.items()]
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {}}, "added_tokens": tokens}))
    return Artefacts(
        checkpoints={choice.name: folder for choice in profile.checkpoints},
        decoder=folder / "decoder.onnx",
        encoder=folder / "encoder.onnx",
    )


def _sources(folder: Path) -> Path:
    """The checkout's models, with a language model of another backend in the place of vLLM."""
    sources = folder / "sources"
    (sources / LLM_MODEL / "1").mkdir(parents=True)
    (sources / LLM_MODEL / "config.pbtxt").write_text(LLM_CONFIG)
    (sources / LLM_MODEL / "1" / "model.json").write_text("{}")
    for name in ("orpheus_tts", "snac_decoder", "snac_encoder"):
        (sources / name).symlink_to(MODEL_SOURCES / name)
    return sources
