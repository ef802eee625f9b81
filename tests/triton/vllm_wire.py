"""`orpheus_llm` over gRPC: requests and their answers, message by message."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

MODEL = "orpheus_llm"
WAIT_S = 60.0
REAL_STATUS = (("triton_grpc_error", "true"),)
FETCH = {"fetch": True}


@dataclass(slots=True)
class Reply:
    """How one request was answered."""

    texts: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    """Of each response, if they were asked for."""
    prompt_tokens: int | None = None
    finish_reasons: list[str] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    cumulative_logprob: float | None = None
    finals: int = 0
    """FINAL flags that arrived; an error ends the call instead."""
    code: grpc.StatusCode | None = None
    details: str = ""

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def take(self, response: Any) -> None:
        """One more message."""
        self.finals += response.parameters["triton_final_response"].bool_param
        values = {o.name: raw for o, raw in zip(response.outputs, response.raw_output_contents, strict=True)}
        if "text_output" in values:
            self.texts.append(_string(values["text_output"]))
        if "finish_reason" in values:
            self.finish_reasons.append(_string(values["finish_reason"]))
        if "num_output_tokens" in values:
            self.tokens.append(int(np.frombuffer(values["num_output_tokens"], "<u4")[0]))
        if "num_input_tokens" in values:
            self.prompt_tokens = int(np.frombuffer(values["num_input_tokens"], "<u4")[0])
        if "logprobs" in values:
            self.logprobs.append(json.loads(_string(values["logprobs"])))
        if "cumulative_logprob" in values:
            self.cumulative_logprob = float(np.frombuffer(values["cumulative_logprob"], "<f4")[0])


@dataclass(slots=True)
class Exchange:
    """A request under way."""

    call: Any
    over: asyncio.Event
    """Set once the answer is over, which ends the request's side; errors that come later may crash Triton 24.10."""
    reply: Reply = field(default_factory=Reply)

    async def first(self) -> None:
        """Returns with the first response."""
        async with asyncio.timeout(WAIT_S):
            message = await self.call.read()
        assert message is not grpc.aio.EOF
        self.reply.take(message.infer_response)

    async def rest(self) -> Reply:
        """Returns once Triton says that the request is over."""
        try:
            async with asyncio.timeout(WAIT_S):
                while (message := await self.call.read()) is not grpc.aio.EOF:
                    self.reply.take(message.infer_response)
                    if self.reply.finals:
                        self.over.set()
        except grpc.aio.AioRpcError as error:
            self.reply.code, self.reply.details = error.code(), error.details() or ""
        finally:
            self.over.set()
        return self.reply


class Wire:
    """A channel to one server."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def start(self, text: str | bytes | None, **options: Any) -> Exchange:
        """Sends a request; the options are those of `request_of`."""
        over = asyncio.Event()
        requests = until(over, request_of(text, **options))
        return Exchange(self._stub.ModelStreamInfer(requests, metadata=REAL_STATUS), over)

    async def ask(self, text: str | bytes | None, **options: Any) -> Reply:
        """A request and its whole answer."""
        return await self.start(text, **options).rest()

    async def fetch(self, text: str | bytes, request_id: str, **options: Any) -> Reply:
        """One piece: the first with a text, what came since with none."""
        return await self.ask(text, request_id=request_id, parameters=FETCH, **options)


async def until(over: asyncio.Event, request: Any) -> AsyncIterator[Any]:
    """One request; the side that sends stays open until then."""
    yield request
    await over.wait()


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    async with grpc.aio.insecure_channel(url, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield Wire(channel)


def request_of(
    text: str | bytes | None,
    *,
    model: str = MODEL,
    request_id: str = "",
    sampling: dict[str, Any] | str | None = None,
    parameters: dict[str, bool | str] | None = None,
    **inputs: bool | str,
) -> Any:
    """A `ModelInferRequest`; None leaves the text out."""
    request = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in (parameters or {}).items():
        kind = "bool_param" if isinstance(value, bool) else "string_param"
        setattr(request.parameters[name], kind, value)
    given = {"text_input": text, **inputs}
    given["sampling_parameters"] = json.dumps(sampling) if isinstance(sampling, dict) else sampling
    for name, tensor in given.items():
        if tensor is not None:
            _add(request, name, tensor)
    return request


def _add(request: Any, name: str, value: bool | str | bytes) -> None:
    datatype = "BOOL" if isinstance(value, bool) else "BYTES"
    request.inputs.add(name=name, datatype=datatype, shape=[1])
    raw = value.encode() if isinstance(value, str) else value
    content = bytes([raw]) if isinstance(raw, bool) else struct.pack("<I", len(raw)) + raw
    request.raw_input_contents.append(content)


def _string(raw: bytes) -> str:
    return raw[4:].decode()
