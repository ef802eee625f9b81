"""The Python backend `onnxruntime` on a real Triton, with the real configurations and graphs of SNAC."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from launcher.artefacts import Artefacts, Workshop
from launcher.errors import LaunchError
from launcher.paths import MODEL_SOURCES, Home
from launcher.ports import Ports
from launcher.profile import Profile
from launcher.server import ServerOptions, TritonServer
from launcher.server_environment import ServerEnvironment
from triton.bls_repository import server_environment

pytestmark = pytest.mark.triton

BUCKET_FRAMES = (8, 16, 32, 64)
ANSWER_S = 60.0
SAMPLES_PER_FRAME = 2048
TOLERANCE = 1e-6
"""Another batch size takes other sums in another order."""

DTYPES = {"INT64": np.int64, "INT32": np.int32, "FP32": np.float32}

DIRECT = """
import sys
import numpy as np, onnxruntime
feed = dict(np.load(sys.argv[2]))
(output,) = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"]).run(None, feed)
np.save(sys.argv[3], output)
"""

DEFECTS = {
    "wrong_type": ("TYPE_INT64\n    dims: [ -1, 7 ]", "TYPE_INT32\n    dims: [ -1, 7 ]"),
    "wrong_name": ('name: "valid"', 'name: "real"'),
    "no_file": ('"model.onnx"', '"another.onnx"'),
    "on_a_gpu": ("kind: KIND_CPU", "kind: KIND_GPU gpus: [ 0 ]"),
    "threads": (
        "dynamic_batching",
        'parameters { key: "intra_op_thread_count" value { string_value: "many" } }\n\ndynamic_batching',
    ),
}
"""What is changed in the decoder's configuration."""


Tensor = npt.NDArray[Any]


@dataclass(slots=True)
class Codec:
    """Both models over gRPC."""

    stub: Any

    async def infer(self, model: str, **inputs: Tensor) -> Tensor:
        """The one output of one request."""
        request = service_pb2.ModelInferRequest(model_name=model)
        for name, value in inputs.items():
            datatype = next(known for known, dtype in DTYPES.items() if value.dtype == dtype)
            request.inputs.add(name=name, datatype=datatype, shape=list(value.shape))
            request.raw_input_contents.append(value.tobytes())
        answer = await self.stub.ModelInfer(request, timeout=ANSWER_S)
        (output,) = answer.outputs
        return np.frombuffer(answer.raw_output_contents[0], DTYPES[output.datatype]).reshape(list(output.shape))

    async def decode(self, codes: Tensor, valid: tuple[int, int]) -> Tensor:
        """One window [F, 7] to [2048 * F]."""
        audio = await self.infer("snac_decoder", codes=codes[None], valid=np.array([valid], np.int32))
        return np.asarray(audio[0])

    async def executions(self) -> tuple[int, int]:
        """Requests that the decoder answered, and runs that it took."""
        answer = await self.stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name="snac_decoder"))
        return answer.model_stats[0].inference_count, answer.model_stats[0].execution_count


@pytest.fixture(scope="module")
def environment() -> ServerEnvironment:
    found = server_environment(Home.from_environment(os.environ), os.environ)
    if found is None:
        pytest.skip("the server's environment is not made yet: scripts/test makes it")
    return found


@pytest.fixture(scope="module")
def artefacts(environment: ServerEnvironment) -> Artefacts:
    """SNAC with random weights, made once for all tests."""
    workshop = Workshop(Home.from_environment(os.environ), environment)
    return workshop.prepare(Profile(description="a codec", checkpoints=()))


@pytest.fixture(scope="module")
def url(
    environment: ServerEnvironment, artefacts: Artefacts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("codec")
    for name, file in (("snac_decoder", artefacts.decoder), ("snac_encoder", artefacts.encoder)):
        _put_model(folder / "repository" / name, (MODEL_SOURCES / name / "config.pbtxt").read_text(), file)
    with _server(folder, environment) as server:
        yield server.grpc_url


@pytest.fixture
async def codec(url: str) -> AsyncIterator[Codec]:
    async with grpc.aio.insecure_channel(url, options=[("grpc.max_receive_message_length", 1 << 26)]) as channel:
        yield Codec(service_pb2_grpc.GRPCInferenceServiceStub(channel))


def _put_model(folder: Path, config: str, onnx: Path) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config)
    shutil.copy(onnx, folder / "1" / "model.onnx")


def _server(folder: Path, environment: ServerEnvironment) -> TritonServer:
    home = Home(folder / "home")
    return TritonServer(
        ServerOptions(repository=folder / "repository", environment=environment, home=home, ports=Ports.free())
    )


def _codes(frames: int, *, seed: int = 0) -> Tensor:
    return np.random.default_rng(seed).integers(0, 4096, (frames, 7))


def _directly(environment: ServerEnvironment, onnx: Path, folder: Path, **feed: Tensor) -> Tensor:
    """What ONNX Runtime gives without Triton, in the server's environment."""
    np.savez(folder / "feed.npz", **feed)  # type: ignore[arg-type]  # numpy's stub takes a keyword for an option
    command: list[str | Path] = [environment.python, "-c", DIRECT, onnx, folder / "feed.npz", folder / "output.npy"]
    subprocess.run(command, check=True, timeout=120, env=environment.variables(os.environ))
    return np.asarray(np.load(folder / "output.npy"))


@pytest.mark.parametrize("frames", BUCKET_FRAMES)
async def test_the_decoder_gives_what_onnxruntime_gives(
    codec: Codec, environment: ServerEnvironment, artefacts: Artefacts, tmp_path: Path, frames: int
) -> None:
    codes, valid = _codes(frames), (0, frames - 3)
    audio = await codec.decode(codes, valid)
    direct = _directly(environment, artefacts.decoder, tmp_path, codes=codes[None], valid=np.array([valid], np.int32))
    assert audio.shape == (SAMPLES_PER_FRAME * frames,)
    assert np.abs(audio - direct[0]).max() <= TOLERANCE
    assert np.abs(audio[: SAMPLES_PER_FRAME * valid[1]]).max() > 0.001
    assert not audio[SAMPLES_PER_FRAME * valid[1] :].any()


async def test_the_encoder_gives_what_onnxruntime_gives(
    codec: Codec, environment: ServerEnvironment, artefacts: Artefacts, tmp_path: Path
) -> None:
    audio = np.random.default_rng(1).uniform(-0.5, 0.5, 6 * SAMPLES_PER_FRAME).astype(np.float32)
    codes = await codec.infer("snac_encoder", audio=audio)
    assert codes.shape == (6, 7)
    assert codes.max() > codes.min()
    assert np.array_equal(codes, _directly(environment, artefacts.encoder, tmp_path, audio=audio))


async def test_requests_of_one_length_are_merged_and_get_their_own(codec: Codec) -> None:
    windows = [_codes(8, seed=seed) for seed in range(8)]
    alone = [await codec.decode(codes, (0, 8)) for codes in windows]
    requests, runs = await codec.executions()
    together = await asyncio.gather(*(codec.decode(codes, (0, 8)) for codes in windows))
    requests_after, runs_after = await codec.executions()
    assert requests_after - requests == len(windows)
    assert runs_after - runs <= len(windows) // 2
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one - other).max() <= TOLERANCE
    assert np.abs(alone[0] - alone[1]).max() > 0.001


async def test_a_bad_request_fails_alone_and_harms_no_other(codec: Codec) -> None:
    good = [_codes(8, seed=seed) for seed in range(8)]
    alone = [await codec.decode(codes, (0, 8)) for codes in good]
    bad = np.full((8, 7), 5000, np.int64)
    answers = await asyncio.gather(
        *(codec.decode(codes, (0, 8)) for codes in (*good[:4], bad, *good[4:])), return_exceptions=True
    )
    failure = answers.pop(4)
    assert isinstance(failure, grpc.aio.AioRpcError)
    assert failure.code() is grpc.StatusCode.INTERNAL
    for one, other in zip(alone, answers, strict=True):
        assert isinstance(other, np.ndarray)
        assert np.abs(one - other).max() <= TOLERANCE


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (
            np.zeros((1, 8, 7), np.int32),
            "inference input 'codes' data-type is 'INT32', but model 'snac_decoder' expects 'INT64'",
        ),
        (np.zeros((1, 8, 6), np.int64), r"unexpected shape for input 'codes' .* Expected \[-1,-1,7\], got \[1,8,6\]"),
        (np.zeros((9, 8, 7), np.int64), "batch-size must be <= 8"),
    ],
)
async def test_a_wrong_type_or_shape_is_refused_with_a_reason(codec: Codec, codes: Tensor, sentence: str) -> None:
    valid = np.tile(np.array([0, 8], np.int32), (len(codes), 1))
    with pytest.raises(grpc.aio.AioRpcError, match=sentence) as caught:
        await codec.infer("snac_decoder", codes=codes, valid=valid)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_configuration_that_does_not_fit_is_told_in_the_log(
    environment: ServerEnvironment, artefacts: Artefacts, tmp_path: Path
) -> None:
    config = (MODEL_SOURCES / "snac_decoder" / "config.pbtxt").read_text()
    for name, (old, new) in DEFECTS.items():
        assert old in config
        changed = config.replace(old, new).replace('"snac_decoder"', f'"{name}"')
        _put_model(tmp_path / "repository" / name, changed, artefacts.decoder)
    server = _server(tmp_path, environment)
    with pytest.raises(LaunchError, match="before it was ready"):
        server.__enter__()
    log = server.log_path.read_text()
    for sentence in (
        "wrong_type: config.pbtxt has input {'codes': 'TYPE_INT32', 'valid': 'TYPE_INT32'}, the file has "
        "{'codes': 'TYPE_INT64', 'valid': 'TYPE_INT32'}",
        "wrong_name: config.pbtxt has input {'codes': 'TYPE_INT64', 'real': 'TYPE_INT32'}",
        "another.onnx cannot be loaded",
        "threads: intra_op_thread_count is 'many': give a whole number, 0 for the default",
    ):
        assert sentence in log
    assert server.leftovers() == []
