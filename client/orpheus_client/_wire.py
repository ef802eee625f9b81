"""`orpheus_tts` on the wire: a request as Triton's protobuf message, a response as samples and end.

Inputs   text, voice, language, reference_text  BYTES [1] · temperature, top_p, repetition_penalty, max_seconds FP32 [1]
         seed INT64 [1] · reference_codes INT32 [-1] · trim_silence BOOL [1] · request parameter `probe`
Outputs  audio INT16 [-1], is_final BOOL [1] always · finish_reason, stats BYTES [1] with the last response
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from orpheus_client._errors import InvalidInput, ProtocolFault
from orpheus_client._options import SpeechOptions
from orpheus_client._results import FinishReason, SpeechStats, finish_reason
from orpheus_core.errors import shown
from orpheus_core.pcm import Pcm

MODEL = "orpheus_tts"

_LENGTH_BYTES = 4
"""A string tensor is, for each string, its length (little endian) and its bytes."""

_NUMPY_TYPES = {"INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP32": "<f4", "BOOL": "?"}


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """What the last response says besides its audio."""

    finish_reason: FinishReason
    stats: SpeechStats


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """One message of the stream."""

    samples: Pcm
    end: End | None


def encode_request(text: str, options: SpeechOptions, *, request_id: str) -> Any:
    """The `ModelInferRequest` for one utterance.

    Raises:
        InvalidInput: a value that does not fit its wire type.
    """
    request = service_pb2.ModelInferRequest(model_name=MODEL, id=request_id)
    for name, datatype, values in _inputs(text, options):
        length = len(values) if isinstance(values, np.ndarray) else 1
        request.inputs.add(name=name, datatype=datatype, shape=[length])
        request.raw_input_contents.append(_raw_bytes(name, datatype, values))
    if options.probe:
        request.parameters["probe"].bool_param = True
    return request


def decode_response(response: Any) -> Response:
    """A `ModelInferResponse` as samples and, if it is the last, the end.

    Raises:
        ProtocolFault: an output is missing, or has another type or shape than the contract says.
    """
    outputs = {
        output.name: (output, raw) for output, raw in zip(response.outputs, response.raw_output_contents, strict=False)
    }
    samples = _numbers(outputs, "audio", "INT16")
    if not _single(_numbers(outputs, "is_final", "BOOL"), "is_final"):
        return Response(samples, None)
    reason = finish_reason(_string(outputs, "finish_reason"))
    return Response(samples, End(reason, SpeechStats.from_json(_string(outputs, "stats"))))


def _inputs(text: str, options: SpeechOptions) -> Iterator[tuple[str, str, Any]]:
    reference = options.reference
    wanted = (
        ("text", "BYTES", text),
        ("voice", "BYTES", options.voice),
        ("language", "BYTES", options.language),
        ("temperature", "FP32", options.temperature),
        ("top_p", "FP32", options.top_p),
        ("repetition_penalty", "FP32", options.repetition_penalty),
        ("seed", "INT64", options.seed),
        ("max_seconds", "FP32", options.max_seconds),
        ("reference_text", "BYTES", reference and reference.text),
        ("reference_codes", "INT32", reference and np.ravel(reference.codes)),
        ("trim_silence", "BOOL", options.trim_silence),
    )
    return ((name, datatype, value) for name, datatype, value in wanted if value is not None)


def _raw_bytes(name: str, datatype: str, value: Any) -> bytes:
    try:
        if datatype == "BYTES":
            data: bytes = value.encode()
            return struct.pack("<I", len(data)) + data
        with np.errstate(over="ignore"):
            sent = np.asarray(value).astype(_NUMPY_TYPES[datatype])
    except (UnicodeEncodeError, OverflowError) as error:
        raise InvalidInput(f"{name}: {shown(value)}: {error}") from None
    # An integer that wraps would arrive as another, valid one.
    if datatype.startswith("INT") and not np.array_equal(sent, value):
        raise InvalidInput(f"{name}: {shown(value)}: send whole numbers that fit {datatype}")
    return sent.tobytes()


def _raw(outputs: dict[str, Any], name: str, datatype: str) -> tuple[list[int], bytes]:
    if name not in outputs:
        raise ProtocolFault(f"{name}: missing in a response that has {', '.join(outputs) or 'no outputs'}")
    output, raw = outputs[name]
    if output.datatype != datatype:
        raise ProtocolFault(f"{name}: {output.datatype}: expected {datatype}")
    return list(output.shape), raw


def _numbers(outputs: dict[str, Any], name: str, datatype: str) -> npt.NDArray[Any]:
    shape, raw = _raw(outputs, name, datatype)
    dtype = np.dtype(_NUMPY_TYPES[datatype])
    if len(shape) != 1 or shape[0] * dtype.itemsize != len(raw):
        raise ProtocolFault(f"{name}: shape {shape} with {len(raw)} bytes: expected one axis of {datatype}")
    return np.frombuffer(raw, dtype=dtype)


def _single(values: npt.NDArray[Any], name: str) -> Any:
    if len(values) != 1:
        raise ProtocolFault(f"{name}: {len(values)} values: expected one")
    return values[0]


def _string(outputs: dict[str, Any], name: str) -> str:
    shape, raw = _raw(outputs, name, "BYTES")
    if shape != [1] or len(raw) < _LENGTH_BYTES or struct.unpack_from("<I", raw)[0] != len(raw) - _LENGTH_BYTES:
        raise ProtocolFault(f"{name}: shape {shape} with {len(raw)} bytes: expected one string")
    return raw[_LENGTH_BYTES:].decode(errors="replace")
