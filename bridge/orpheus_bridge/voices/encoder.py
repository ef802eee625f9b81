"""Recordings to codes: the Triton model `snac_encoder`."""

import asyncio
from typing import Any, Protocol

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2, service_pb2_grpc

from orpheus_bridge.errors import Failed, Unavailable
from orpheus_bridge.voices.options import EncoderOptions
from orpheus_core.layout import CODES_PER_SLOT, SAMPLES_PER_FRAME, TOKENS_PER_FRAME
from orpheus_core.pcm import FULL_SCALE, Pcm

Codes = npt.NDArray[np.uint16]
"""[frames, 7], slot order, each 0..4095."""


class Encoder(Protocol):
    """Turns samples into codes."""

    async def encode(self, samples: Pcm) -> Codes:
        """24 kHz mono samples [n], at most 30 s, to codes [ceil(n / 2048), 7]; bounded in time.

        Raises:
            errors.Unavailable: no encoder is loaded, or it does not answer.
            errors.Failed: its answer is not what was agreed.
        """
        ...

    async def close(self) -> None:
        """Gives everything back."""
        ...


class TritonEncoder:
    """An `Encoder` on Triton's gRPC; it connects when it is first used, in the event loop in which that happens."""

    def __init__(self, options: EncoderOptions) -> None:
        self._options = options
        self._channel: grpc.aio.Channel | None = None

    async def encode(self, samples: Pcm) -> Codes:
        """See `Encoder`."""
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._options.url)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        try:
            answer = await stub.ModelInfer(self._request(samples), timeout=self._options.timeout_s)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"{self._options.model} does not answer ({error.code().name.lower()})") from None
        return _codes(answer, frames=-(-len(samples) // SAMPLES_PER_FRAME))

    async def close(self) -> None:
        """Ends what runs."""
        if self._channel is not None:
            async with asyncio.timeout(self._options.timeout_s):
                await self._channel.close()
            self._channel = None

    def _request(self, samples: Pcm) -> Any:
        padded = np.pad(samples, (0, -len(samples) % SAMPLES_PER_FRAME))
        audio = padded.astype("<f4") / np.float32(FULL_SCALE)
        request = service_pb2.ModelInferRequest(model_name=self._options.model)
        request.inputs.add(name="audio", datatype="FP32", shape=[len(audio)])
        request.raw_input_contents.append(audio.tobytes())
        return request


def _codes(answer: Any, *, frames: int) -> Codes:
    """
    Raises:
        errors.Failed: the model has another contract.
    """
    given = {output.name: (output, raw) for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)}
    output, raw = given.get("codes", (None, b""))
    if output is None or output.datatype != "INT64" or list(output.shape) != [frames, TOKENS_PER_FRAME]:
        raise Failed("the encoder's answer has another shape than was agreed")
    codes = np.frombuffer(raw, "<i8").reshape(frames, TOKENS_PER_FRAME)
    if codes.min() < 0 or codes.max() >= CODES_PER_SLOT:
        raise Failed("the encoder's codes are out of range")
    return codes.astype(np.uint16)
