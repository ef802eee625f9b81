"""A Triton model that keeps the contract of `orpheus_tts` and does what the first word of the text says.

`full`, `engine`, `invalid`, `internal`, `cancelled`: that error, after a chunk if the second word is `late`. `hang`: a
chunk, then nothing until it is cancelled. `say N`: N chunks of 2048 samples that count up. The stats carry `told`, the
inputs as they arrived, and as `dropped_tokens` how many streams were cancelled.
"""

import json
import threading
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

INPUTS = (
    *("text", "voice", "language", "temperature", "top_p", "repetition_penalty", "seed", "max_seconds"),
    *("reference_text", "reference_codes", "trim_silence"),
)
ERRORS = {
    "invalid": "INVALID_ARG",
    "full": "UNAVAILABLE",
    "engine": "UNAVAILABLE",
    "internal": "INTERNAL",
    "cancelled": "CANCELLED",
}
CHUNK_SAMPLES = 2048


class TritonPythonModel:
    """One thread per request."""

    def initialize(self, args: dict[str, str]) -> None:
        self._cancelled = 0

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            threading.Thread(target=self._answer, args=(request, request.get_response_sender()), daemon=True).start()

    def _answer(self, request: Any, sender: Any) -> None:
        told = {name: _values(tensor) for name in INPUTS if (tensor := pb.get_input_tensor_by_name(request, name))}
        word, _, rest = told["text"][0].partition(" ")
        if word in ERRORS:
            self._fail(sender, word, late=rest == "late")
        elif word == "hang":
            self._hang(sender)
        else:
            self._say(sender, int(rest or 3), {**told, "parameters": json.loads(request.parameters())})

    def _fail(self, sender: Any, word: str, *, late: bool) -> None:
        if late:
            sender.send(_response(0))
        told = "text: as asked" if word == "invalid" else f"{word}: as asked"
        error = pb.TritonError(told, getattr(pb.TritonError, ERRORS[word]))
        sender.send(pb.InferenceResponse(error=error), flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _hang(self, sender: Any) -> None:
        sender.send(_response(0))
        while not sender.is_cancelled():
            time.sleep(0.02)
        self._cancelled += 1
        error = pb.TritonError("the caller is gone", pb.TritonError.CANCELLED)
        sender.send(pb.InferenceResponse(error=error), flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _say(self, sender: Any, chunks: int, told: dict[str, Any]) -> None:
        for index in range(chunks - 1):
            sender.send(_response(index))
        stats = {
            "frames": chunks,
            "dropped_tokens": self._cancelled,
            "first_audio_ms": 1.5,
            "first_audible_ms": None,
            "generated_s": 1.0,
            "decoded_s": 1.0,
            "windows": 1,
            "told": told,
        }
        sender.send(_response(chunks - 1, stats), flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _response(index: int, stats: dict[str, Any] | None = None) -> Any:
    audio = np.arange(index * CHUNK_SAMPLES, (index + 1) * CHUNK_SAMPLES).astype(np.int16)
    tensors = [pb.Tensor("audio", audio), pb.Tensor("is_final", np.array([stats is not None]))]
    if stats is not None:
        tensors += [_string("finish_reason", "stop"), _string("stats", json.dumps(stats))]
    return pb.InferenceResponse(output_tensors=tensors)


def _string(name: str, text: str) -> Any:
    return pb.Tensor(name, np.array([text.encode()], dtype=object))


def _values(tensor: Any) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value for value in tensor.as_numpy().tolist()]
