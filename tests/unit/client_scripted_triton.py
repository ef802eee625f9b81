"""A gRPC server in this process that speaks Triton's protocol and answers by script."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from orpheus_core.checkpoint import PARAMETER, Checkpoint, dump_checkpoints
from orpheus_core.pcm import Pcm

FINAL = "triton_final_response"

STATS: dict[str, Any] = {
    "frames": 12,
    "dropped_tokens": 1,
    "first_audio_ms": 80.5,
    "first_audible_ms": 90.0,
    "generated_s": 1.024,
    "decoded_s": 1.4,
    "windows": 3,
}

CHECKPOINT = Checkpoint(
    name="english",
    model="orpheus_llm",
    stop_token_ids=(2,),
    languages=("en",),
    voices={"en": ("tara", "leo")},
    default_voice="tara",
    tags={"en": ("laugh",)},
    max_text_chars=60,
)

Answer = Callable[[Any, Any], AsyncIterator[Any]]
"""Request and context to the messages of a stream."""


def ramp(samples: int, start: int = 0) -> Pcm:
    """Samples that tell their position: [samples], start, start + 1, ..."""
    return np.arange(start, start + samples).astype(np.int16)


def message(samples: Pcm, *, final: bool = False, reason: str = "stop", stats: Any = STATS) -> Any:
    """A response as `orpheus_tts` sends it."""
    answer = service_pb2.ModelStreamInferResponse()
    add_output(answer, "audio", "INT16", samples.astype("<i2").tobytes(), len(samples))
    add_output(answer, "is_final", "BOOL", bytes([final]), 1)
    answer.infer_response.parameters[FINAL].bool_param = final
    if final:
        add_output(answer, "finish_reason", "BYTES", string(reason), 1)
        add_output(answer, "stats", "BYTES", string(json.dumps(stats)), 1)
    return answer


def string(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


def add_output(answer: Any, name: str, datatype: str, raw: bytes, length: int) -> None:
    answer.infer_response.outputs.add(name=name, datatype=datatype, shape=[length])
    answer.infer_response.raw_output_contents.append(raw)


def says(*messages: Any) -> Answer:
    """Sends these and ends the stream."""

    async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
        for item in messages:
            yield item

    return answer


def fails(status: grpc.StatusCode, details: str, *messages: Any) -> Answer:
    """Sends these and ends the stream with a status."""

    async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
        for item in messages:
            yield item
        await context.abort(status, details)

    return answer


def hangs(*messages: Any) -> Answer:
    """Sends these, then nothing for ever."""

    async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
        for item in messages:
            yield item
        await asyncio.Event().wait()

    return answer


SPOKEN = says(message(ramp(100)), message(ramp(50, 100)), message(ramp(7, 150), final=True))


class ScriptedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # untyped package
    """Each stream is answered by the next of `script`, the last one over and over."""

    def __init__(self, *script: Answer) -> None:
        self.script = list(script)
        self.checkpoints: Sequence[Checkpoint] = (CHECKPOINT,)
        self.parameters = {PARAMETER: dump_checkpoints((CHECKPOINT,))}
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.config_requests = 0
        self.live_requests = 0
        self.ready = True
        self.version = "2.68.0"
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def texts(self) -> list[str]:
        return [request.raw_input_contents[0][4:].decode() for request in self.requests]

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.metadata.append(dict(context.invocation_metadata()))
        try:
            self.requests.append(request := await anext(requests))
            answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            self.began.set()
            is_final = False
            async for item in answer(request, context):
                is_final = is_final or item.infer_response.parameters[FINAL].bool_param
                yield item
            if is_final:
                # Triton ends a stream that went well when its client has ended it.
                assert await anext(requests, None) is None
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.live_requests += 1
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.live_requests += 1
        return service_pb2.ServerMetadataResponse(name="triton", version=self.version)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=self.ready)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=self.ready and request.name == "orpheus_tts")

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.config_requests += 1
        answer = service_pb2.ModelConfigResponse()
        for name, text in self.parameters.items():
            answer.config.parameters[name].string_value = text
        return answer


@asynccontextmanager
async def running(*script: Answer, port: int = 0) -> AsyncIterator[ScriptedTriton]:
    """The server on a free port of the loopback interface."""
    triton = ScriptedTriton(*script)
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    triton.port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield triton
    finally:
        await server.stop(grace=None)
