"""The local vLLM backend in a real Triton, with a small random checkpoint: its contract as a caller sees it."""

import asyncio
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from launcher.environments import SERVER_CPU, existing_server_environment
from launcher.paths import MODEL_SOURCES, Home
from launcher.ports import Ports
from launcher.server import ServerOptions, TritonServer
from launcher.server_environment import ServerEnvironment
from triton.vllm_wire import FETCH, WAIT_S, Exchange, Reply, Wire, wire

pytestmark = pytest.mark.triton

INVALID = grpc.StatusCode.INVALID_ARGUMENT
SEATS = 2
"""Requests that the engine works on at once."""

LONGEST = 2048
CHECKPOINT = Path(__file__).parents[1] / "server" / "vllm_checkpoint.py"
PARAMETERS = """
parameters { key: "RESPONSE_TOKENS" value { string_value: "7" } }
parameters { key: "REPORT_CUSTOM_METRICS" value { string_value: "true" } }
"""

CALLER = """
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    '''Ends the request of that id as a BLS does; answers with the number of responses to its call.'''

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        request_id = pb.get_input_tensor_by_name(request, "text_input").as_numpy()[0].decode()
        call = pb.InferenceRequest(
            model_name="orpheus_llm",
            request_id=request_id,
            requested_output_names=["text_output"],
            inputs=[pb.Tensor("text_input", np.array([b""], dtype=np.object_))],
            parameters={"cancel": True},
        )
        responses = [response for response in call.exec(decoupled=True)]
        assert not any(response.has_error() for response in responses)
        count = str(sum(bool(response.output_tensors()) for response in responses)).encode()
        return pb.InferenceResponse([pb.Tensor("text_output", np.array([count], dtype=np.object_))])
"""

CALLER_CONFIG = """
backend: "python"
max_batch_size: 0
input [{ name: "text_input" data_type: TYPE_STRING dims: [1] }]
output [{ name: "text_output" data_type: TYPE_STRING dims: [1] }]
instance_group [{ kind: KIND_CPU count: 1 }]
"""


@pytest.fixture(scope="module")
def environment() -> ServerEnvironment:
    root = existing_server_environment(Home.from_environment(os.environ), SERVER_CPU, os.environ)
    if root is None:
        pytest.skip("the server's environment is not made yet: scripts/test makes it")
    return ServerEnvironment.at(root)


@pytest.fixture(scope="module")
def server(environment: ServerEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("vllm")
    command = [str(environment.python), "-W", "ignore", str(CHECKPOINT), str(folder / "checkpoint")]
    subprocess.run(command, env=environment.variables(os.environ), check=True, capture_output=True)
    options = ServerOptions(
        repository=repository(folder),
        environment=environment,
        home=Home(folder / "home"),
        ports=Ports.free(),
        ready_timeout_s=600.0,
    )
    with TritonServer(options) as server:
        yield server
    assert (server.exit_code(), server.leftovers()) == (0, [])
    assert "Segfault" not in server.log_path.read_text(errors="replace")


@pytest.fixture
async def llm(server: TritonServer) -> AsyncIterator[Wire]:
    async with wire(server.grpc_url) as llm:
        yield llm


def repository(folder: Path) -> Path:
    """The shipped model with the checkpoint that was made, and the BLS beside it."""
    llm, caller = folder / "repository" / "orpheus_llm", folder / "repository" / "caller"
    shutil.copytree(MODEL_SOURCES / "orpheus_llm", llm)
    with (llm / "config.pbtxt").open("a") as config:
        config.write(PARAMETERS)
    arguments = {
        "model": str(folder / "checkpoint"),
        "dtype": "float32",
        "max_model_len": LONGEST,
        "max_num_seqs": SEATS,
        "enforce_eager": True,
        "kv_cache_memory_bytes": 64 << 20,
    }
    shipped = json.loads((llm / "1" / "model.json").read_text())
    (llm / "1" / "model.json").write_text(json.dumps({**shipped, **arguments}))
    (caller / "1").mkdir(parents=True)
    (caller / "config.pbtxt").write_text(CALLER_CONFIG)
    (caller / "1" / "model.py").write_text(CALLER)
    return folder / "repository"


def sampling(tokens: int, seed: int = 1, **more: object) -> dict[str, object]:
    return {"max_tokens": tokens, "seed": seed, "ignore_eos": True, "skip_special_tokens": False, **more}


def endless(llm: Wire, request_id: str = "") -> Exchange:
    """A stream that does not end by itself within a test."""
    return llm.start("go on", stream=True, sampling=sampling(LONGEST), request_id=request_id)


def told(reply: Reply) -> tuple[str, str]:
    """Text and finish reason of a fetch, which gets one response with FINAL whatever becomes of it."""
    assert (reply.code, len(reply.texts), reply.finals) == (None, 1, 1)
    (reason,) = reply.finish_reasons
    return reply.text, reason


async def seated(llm: Wire) -> list[Exchange]:
    """As many endless streams as the engine works on at once, all of them begun."""
    streams = [endless(llm, f"seated {number}") for number in range(SEATS)]
    for stream in streams:
        await stream.first()
    return streams


def figures(server: TritonServer) -> dict[str, float]:
    """The sum of each of vLLM's metrics."""
    with urllib.request.urlopen(server.metrics_url, timeout=10) as page:
        lines = [line for line in page.read().decode().splitlines() if line.startswith("vllm:")]
    return {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines if "_bucket" not in line}


async def until(is_so: Callable[[], bool]) -> None:
    """Returns once something outside this process is so."""
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.1)


async def settled_figures(server: TritonServer) -> dict[str, float]:
    """The metrics once nothing is on its way to them any more."""
    async with asyncio.timeout(WAIT_S):
        before = figures(server)
        while True:
            await asyncio.sleep(1.5)
            if before == (before := figures(server)):
                return before


async def test_a_stream_is_the_whole_text_in_groups(llm: Wire) -> None:
    flags = dict.fromkeys(("return_finish_reason", "return_num_input_tokens", "return_num_output_tokens"), True)
    whole = await llm.ask("hello", exclude_input_in_output=True, sampling=sampling(50), **flags)
    parts = await llm.ask("hello", exclude_input_in_output=True, sampling=sampling(50), stream=True, **flags)
    assert parts.text == whole.text
    assert (whole.tokens, whole.finish_reasons, whole.finals) == ([50], ["length"], 1)
    assert sum(parts.tokens) == 50
    assert all(tokens >= 7 for tokens in parts.tokens[:-1])
    assert parts.finish_reasons == ["None"] * (len(parts.texts) - 1) + ["length"]
    assert parts.finals == 1
    assert parts.prompt_tokens == whole.prompt_tokens == 1 + len("hello")


async def test_the_prompt_comes_first_unless_it_is_excluded(llm: Wire) -> None:
    bare = await llm.ask("hello", exclude_input_in_output=True, sampling=sampling(5))
    with_prompt = await llm.ask("hello", sampling=sampling(5))
    assert with_prompt.texts == ["hello" + bare.text]
    refused = await llm.ask("hello", exclude_input_in_output=False, stream=True, sampling=sampling(5))
    assert refused.code is INVALID
    assert refused.details.startswith("exclude_input_in_output: False: ")


async def test_log_probabilities(llm: Wire) -> None:
    flags = {"return_logprobs": True, "return_cumulative_logprob": True}
    asked = await llm.ask("hello", stream=True, sampling=sampling(20, logprobs=1), **flags)
    positions = [position for response in asked.logprobs for position in response]
    assert len(positions) == 20
    assert all({"logprob", "rank", "decoded_token"} == set(entry) for p in positions for entry in p.values())
    chosen = sum(next(iter(position.values()))["logprob"] for position in positions)
    assert asked.cumulative_logprob == pytest.approx(chosen, abs=1e-3)
    assert (await llm.ask("hello", sampling=sampling(3), return_logprobs=True)).logprobs == [None]


@pytest.mark.parametrize(
    ("sampling_parameters", "message"),
    [
        ("{", "sampling_parameters: '{': send a JSON object"),
        ('{"voice": "tara"}', "sampling_parameters: 'voice': no such key; there are allowed_token_ids, bad_words"),
        ('{"temperature": NaN}', "sampling_parameters.temperature: nan: send a number from 0 to 2"),
        ('{"top_k": 99999999999}', "sampling_parameters.top_k: 99999999999: send a whole number"),
        ('{"stop_token_ids": [70000]}', "sampling_parameters.stop_token_ids: 70000: this model's tokens are 0 to"),
        ('{"min_tokens": 9, "max_tokens": 4}', "sampling_parameters: min_tokens must be"),
        ('{"lora_name": "singer"}', "sampling_parameters.lora_name: 'singer': adapters are not served here"),
    ],
)
async def test_bad_sampling_is_told(llm: Wire, sampling_parameters: str, message: str) -> None:
    reply = await llm.ask("hello", stream=True, sampling=sampling_parameters)
    assert reply.code is INVALID
    assert reply.details.startswith(message)


@pytest.mark.parametrize(
    ("text", "inputs", "message"),
    [
        ("x" * LONGEST, {}, f"text_input: {LONGEST + 1} tokens: this model takes at most {LONGEST - 1}"),
        (b"\xff", {}, "text_input: not UTF-8 at byte 0"),
        ("hello", {"image": "aGk="}, "image: b'aGk=': this backend serves text only"),
        ("hello", {"embedding_request": "{}"}, "embedding_request: b'{}': this backend generates only"),
        ("", {"parameters": {"cancel": True}}, "request_id: empty: send the id"),
        ("", {"parameters": {"cancel": "yes"}}, "parameter cancel: 'yes': send true"),
        ("hello", {"parameters": {"fetch": "yes"}}, "parameter fetch: 'yes': send true"),
    ],
)
async def test_bad_requests_are_told_and_disturb_nobody(
    llm: Wire, text: str | bytes, inputs: dict[str, str], message: str
) -> None:
    neighbour = llm.start("hello", stream=True, exclude_input_in_output=True, sampling=sampling(60))
    reply = await llm.ask(text, stream=True, **inputs)
    assert reply.code is INVALID
    assert reply.details.startswith(message)
    assert (await neighbour.rest()).finals == 1


async def test_requests_with_one_id_are_not_mixed_up(llm: Wire) -> None:
    alone = [await llm.ask("hello", exclude_input_in_output=True, sampling=sampling(30, seed)) for seed in (1, 2, 3)]
    assert len({reply.text for reply in alone}) == 3
    for request_id in ("", "same"):
        together = await asyncio.gather(
            *(llm.ask("hello", stream=True, sampling=sampling(30, seed), request_id=request_id) for seed in (1, 2, 3))
        )
        assert [reply.finals for reply in together] == [1, 1, 1]
        assert len({reply.text for reply in together}) == 3


@pytest.mark.parametrize("how", ["leave", "call", "nested call"])
async def test_a_cancelled_stream_leaves_the_engine(server: TritonServer, llm: Wire, how: str) -> None:
    victim = endless(llm, "victim")
    await victim.first()
    if how == "leave":
        victim.call.cancel()
    elif how == "call":
        answer = await llm.ask("", request_id="victim", parameters={"cancel": True})
        assert (answer.code, answer.texts, answer.finals) == (None, [], 1)
    else:
        answer = await llm.ask("victim", model="caller")
        assert answer.texts == ["0"]
    if how != "leave":
        assert (await victim.rest()).code is grpc.StatusCode.CANCELLED
        assert victim.reply.details == "the caller cancelled the request"
    await until(lambda: figures(server)["vllm:num_requests_running"] == 0)


async def test_a_queued_request_can_be_cancelled_and_the_others_go_on(server: TritonServer, llm: Wire) -> None:
    streams = await seated(llm)
    queued = endless(llm, "queued")
    await until(lambda: figures(server)["vllm:num_requests_waiting"] == 1)
    await llm.ask("", request_id="queued", parameters={"cancel": True})
    reply = await queued.rest()
    assert (reply.code, reply.texts) == (grpc.StatusCode.CANCELLED, [])
    await until(lambda: figures(server)["vllm:num_requests_waiting"] == 0)
    for stream in streams:
        await stream.first()
        stream.call.cancel()


async def test_a_cancel_that_comes_first_ends_one_request(llm: Wire) -> None:
    early = await llm.ask("", request_id="later", parameters={"cancel": True})
    assert (early.code, early.finals) == (None, 1)
    started = time.monotonic()
    assert (await endless(llm, "later").rest()).code is grpc.StatusCode.CANCELLED
    assert time.monotonic() - started < 5
    assert (await llm.ask("hello", stream=True, sampling=sampling(3), request_id="later")).finals == 1


async def test_fetched_text_is_the_streamed_one(llm: Wire) -> None:
    options = {"stream": True, "sampling": sampling(200, seed=7), "return_num_output_tokens": True}
    streamed = await llm.ask("hello", return_finish_reason=True, **options)
    pieces = [await llm.fetch("hello", "fetched", **options)]
    while told(pieces[-1])[1] == "None":
        pieces.append(await llm.fetch("", "fetched", return_num_output_tokens=True))
    assert "".join(told(each)[0] for each in pieces) == streamed.text
    assert told(pieces[-1])[1] == streamed.finish_reasons[-1] == "length"
    assert sum(each.tokens[0] for each in pieces) == 200
    assert len(pieces) > 1
    assert told(await llm.fetch("", "fetched")) == ("", "error:NOT_FOUND")


async def test_fetches_side_by_side_are_not_mixed_up(llm: Wire) -> None:
    async def fetched(seed: int) -> str:
        text, reason = told(await llm.fetch("hello", f"side {seed}", stream=True, sampling=sampling(60, seed)))
        while reason == "None":
            more, reason = told(await llm.fetch("", f"side {seed}"))
            text += more
        return text

    alone = [(await llm.ask("hello", stream=True, sampling=sampling(60, seed))).text for seed in (1, 2, 3)]
    together = await asyncio.gather(*(fetched(seed) for seed in (1, 2, 3)))
    # Batches of another size may round otherwise, so a token may be another one; the neighbour's text would be.
    assert [text[:20] for text in together] == [text[:20] for text in alone]
    assert len(set(together)) == 3


async def test_a_cancel_call_ends_a_fetched_stream(server: TritonServer, llm: Wire) -> None:
    assert told(await llm.fetch("go on", "victim", stream=True, sampling=sampling(LONGEST)))[1] == "None"
    answer = await llm.ask("", request_id="victim", parameters={"cancel": True})
    assert (answer.code, answer.texts, answer.finals) == (None, [], 1)
    assert told(await llm.fetch("", "victim"))[1] == "error:CANCELLED"
    assert told(await llm.fetch("", "victim")) == ("", "error:NOT_FOUND")
    await until(lambda: figures(server)["vllm:num_requests_running"] == 0)


@pytest.mark.parametrize("how", ["call", "leave"])
async def test_a_fetch_that_waits_can_be_cancelled(server: TritonServer, llm: Wire, how: str) -> None:
    streams = await seated(llm)
    waiting = llm.start("go on", stream=True, sampling=sampling(LONGEST), request_id="waiting", parameters=FETCH)
    await until(lambda: figures(server)["vllm:num_requests_waiting"] == 1)
    assert told(await llm.fetch("", "waiting")) == ("", "error:ALREADY_EXISTS")
    if how == "call":
        await llm.ask("", request_id="waiting", parameters={"cancel": True})
        assert told(await waiting.rest()) == ("", "error:CANCELLED")
    else:
        waiting.call.cancel()
    await until(lambda: figures(server)["vllm:num_requests_waiting"] == 0)
    for stream in streams:
        stream.call.cancel()


@pytest.mark.parametrize(
    ("text", "request_id", "options", "code"),
    [
        ("hello", "bad", {"sampling": '{"voice": "tara"}'}, "INVALID_ARG"),
        ("hello", "bad", {"sampling": '{"stop_token_ids": [70000]}'}, "INVALID_ARG"),
        ("hello", "bad", {"image": "aGk="}, "INVALID_ARG"),
        (b"\xff", "bad", {}, "INVALID_ARG"),
        ("x" * LONGEST, "bad", {}, "INVALID_ARG"),
        ("hello", "", {}, "INVALID_ARG"),
        ("", "", {}, "INVALID_ARG"),
        ("", "never begun", {}, "NOT_FOUND"),
    ],
)
async def test_no_error_is_sent_to_a_fetch(
    llm: Wire, text: str | bytes, request_id: str, options: dict[str, str], code: str
) -> None:
    assert told(await llm.fetch(text, request_id, stream=True, **options)) == ("", f"error:{code}")


async def test_an_id_that_is_used_again_means_the_new_generation(server: TritonServer, llm: Wire) -> None:
    await llm.fetch("go on", "again", stream=True, sampling=sampling(LONGEST))
    whole = await llm.fetch("hello", "again", exclude_input_in_output=True, sampling=sampling(5))
    assert told(whole)[1] == "length"
    await until(lambda: figures(server)["vllm:num_requests_running"] == 0)


async def test_the_figures_add_up(server: TritonServer, llm: Wire) -> None:
    before = await settled_figures(server)
    await asyncio.gather(*(llm.ask("hello", stream=True, sampling=sampling(20)) for _ in range(5)))

    def grown(name: str) -> float:
        return figures(server)[name] - before[name]

    await until(lambda: grown("vllm:e2e_request_latency_seconds_count") == 5)
    assert grown("vllm:generation_tokens_total") == 100
    assert grown("vllm:prompt_tokens_total") == 30
    for name in ("time_to_first_token_seconds", "time_per_output_token_seconds", "request_params_n"):
        assert grown(f"vllm:{name}_count") == 5
    assert grown("vllm:request_generation_tokens_sum") == 100


async def test_neither_prompt_nor_text_is_logged(server: TritonServer, llm: Wire) -> None:
    assert (await llm.ask("a secret prompt", stream=True, sampling=sampling(3))).finals == 1
    assert (await llm.ask("a secret prompt", sampling={"temperature": "secret"})).code is INVALID
    assert "secret" not in server.log_path.read_text(errors="replace")


async def test_a_dead_engine_ends_every_request_and_triton_lives(server: TritonServer, llm: Wire) -> None:
    streams = await seated(llm)
    streams.append(endless(llm))
    waiting = llm.start("go on", stream=True, request_id="waiting", parameters=FETCH)
    await until(lambda: figures(server)["vllm:num_requests_waiting"] == 2)
    next(process for process in engine_processes() if "EngineCore" in process.name()).kill()
    replies = await asyncio.gather(*(stream.rest() for stream in streams))
    assert [reply.code for reply in replies] == [grpc.StatusCode.UNAVAILABLE] * (SEATS + 1)
    assert told(await waiting.rest()) == ("", "error:UNAVAILABLE")
    started = time.monotonic()
    assert told(await llm.fetch("hello", "late", stream=True)) == ("", "error:UNAVAILABLE")
    late = await llm.ask("hello", stream=True, sampling=sampling(3))
    assert (late.code, late.details) == (grpc.StatusCode.UNAVAILABLE, "engine: the language model's engine is dead")
    assert time.monotonic() - started < 1
    assert server.exit_code() is None


def engine_processes() -> list[psutil.Process]:
    """vLLM's processes below this one."""
    return [process for process in psutil.Process().children(recursive=True) if "VLLM" in process.name()]
