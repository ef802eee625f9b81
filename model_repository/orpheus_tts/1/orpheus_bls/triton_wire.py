"""A request of `orpheus_tts` as Triton hands it over, and the responses to it."""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from orpheus_bls.report import FinishReason, Stats
from orpheus_bls.service import Arrived
from orpheus_core.errors import SpeechError
from orpheus_core.pcm import Pcm
from orpheus_core.request import INPUTS

PROBE = "probe"
"""Request parameter: a health check."""


def read(request: Any) -> Arrived:
    """The inputs that were sent; types and shapes were checked by Triton."""
    tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in INPUTS}
    given = {name: tensor.as_numpy() for name, tensor in tensors.items() if tensor is not None}
    parameters = json.loads(request.parameters() or "{}")
    return Arrived(given, probe=parameters.get(PROBE) is True)


class TritonWire:
    """The response sender of one request."""

    def __init__(self, request: Any) -> None:
        self._sender = request.get_response_sender()
        self._more = _is_final(is_final=False)

    def audio(self, samples: Pcm) -> None:
        """A response with samples."""
        self._sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("audio", samples), self._more]))

    def final(self, samples: Pcm, reason: FinishReason, stats: Stats) -> None:
        """The last samples, with the FINAL flag."""
        outputs = [
            pb_utils.Tensor("audio", samples),
            _is_final(is_final=True),
            _text("finish_reason", reason),
            _text("stats", stats.to_json()),
        ]
        self._sender.send(pb_utils.InferenceResponse(outputs), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def error(self, error: SpeechError) -> None:
        """The error, with the FINAL flag."""
        told = pb_utils.TritonError(str(error), getattr(pb_utils.TritonError, error.code))
        response = pb_utils.InferenceResponse(error=told)
        self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def is_cancelled(self) -> bool:
        """Whether the caller has cancelled; a round trip to the server."""
        return bool(self._sender.is_cancelled())


def _is_final(*, is_final: bool) -> Any:
    return pb_utils.Tensor("is_final", np.array([is_final]))


def _text(name: str, text: str) -> Any:
    return pb_utils.Tensor(name, np.array([text.encode()], dtype=object))
