"""`orpheus_tts` over gRPC without the client library: every message of a stream, flags included."""

import asyncio
import json
import re
import struct
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2, service_pb2_grpc

from triton.vllm_wire import REAL_STATUS, until

MODEL = "orpheus_tts"
ANSWER_S = 30.0
TYPES = {"INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP32": np.float32, "BOOL": np.bool_}


@dataclass(slots=True)
class RawStream:
    """One request as it was answered."""

    samples: list[npt.NDArray[np.int16]] = field(default_factory=list)
    arrived_s: list[float] = field(default_factory=list)
    """Of each message, from the request on."""
    outputs: list[tuple[str, ...]] = field(default_factory=list)
    """Names in each message."""
    finals: int = 0
    """Messages with `is_final` true."""
    flags: int = 0
    """Messages with Triton's FINAL flag."""
    errors: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    stats: dict[str, Any] = field(default_factory=dict)

    @property
    def audio(self) -> npt.NDArray[np.int16]:
        """All samples."""
        return np.concatenate(self.samples) if self.samples else np.empty(0, np.int16)

    @property
    def ends(self) -> int:
        """How often it was said that it is over."""
        return self.finals + len(self.errors)

    def take(self, message: Any, at_s: float) -> None:
        """One more message."""
        self.arrived_s.append(at_s)
        if message.error_message:
            self.errors.append(message.error_message)
            return
        response = message.infer_response
        values = dict(zip((o.name for o in response.outputs), response.raw_output_contents, strict=True))
        self.outputs.append(tuple(values))
        self.flags += response.parameters["triton_final_response"].bool_param
        if "audio" in values:
            self.samples.append(np.frombuffer(values["audio"], dtype="<i2"))
        if values.get("is_final") == b"\x01":
            self.finals += 1
            self.finish_reason = values["finish_reason"][4:].decode()
            self.stats = json.loads(values["stats"][4:])


def request_of(text: str | bytes | None, *, probe: bool = False, request_id: str = "", **inputs: Any) -> Any:
    """A request with these inputs: numpy arrays as they are, a string as one, None not at all."""
    request = service_pb2.ModelInferRequest(model_name=MODEL, id=request_id)
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    if probe:
        request.parameters["probe"].bool_param = True
    for name, value in {"text": text, **inputs}.items():
        if value is not None:
            _add(request, name, value)
    return request


class Wire:
    """A channel to one server."""

    def __init__(self, url: str) -> None:
        self._channel = grpc.aio.insecure_channel(url, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def read(self, request: Any) -> RawStream:
        """The stream to its end, and what comes after it until the server closes the call."""
        stream, started_s = RawStream(), time.monotonic()
        async with asyncio.timeout(ANSWER_S):
            async for message in self._stub.ModelStreamInfer(iter((request,))):
                stream.take(message, time.monotonic() - started_s)
        return stream

    async def status(self, request: Any) -> tuple[grpc.StatusCode, str, float]:
        """Status, message and seconds of a request that is refused; UNKNOWN where Triton itself does it, which sends a
        message alone."""
        over, started_s = asyncio.Event(), time.monotonic()
        call = self._stub.ModelStreamInfer(until(over, request), metadata=REAL_STATUS)
        try:
            async with asyncio.timeout(ANSWER_S):
                message = await call.read()
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or "", time.monotonic() - started_s
        finally:
            over.set()
        assert message is not grpc.aio.EOF, "neither answered nor refused"
        assert message.error_message, f"not refused: {message}"
        return grpc.StatusCode.UNKNOWN, message.error_message, time.monotonic() - started_s


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A channel, closed at last."""
    opened = Wire(url)
    try:
        yield opened
    finally:
        await opened.close()


Metrics = Mapping[str, float]
"""Values by name with labels, the instance's left out: of several the sum."""


def read_metrics(url: str) -> Metrics:
    """The page, summed over everything but the labels that tell a reason."""
    with urllib.request.urlopen(url, timeout=ANSWER_S) as page:
        text = page.read().decode()
    values: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("orpheus_"):
            name, value = line.rsplit(" ", 1)
            reason = re.search(r'(?:reason|le)="[^"]*"', name)
            key = name.split("{")[0] + (f"{{{reason[0]}}}" if reason else "")
            values[key] = values.get(key, 0.0) + float(value)
    return values


def _add(request: Any, name: str, value: Any) -> None:
    if isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(struct.pack("<I", len(data)) + data)
        return
    datatype = next(known for known, dtype in TYPES.items() if value.dtype == dtype)
    request.inputs.add(name=name, datatype=datatype, shape=list(value.shape))
    request.raw_input_contents.append(value.tobytes())
