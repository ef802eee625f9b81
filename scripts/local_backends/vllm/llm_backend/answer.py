"""A caller's answer through Triton."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from llm_backend.deltas import Delta
from llm_backend.errors import RequestError
from llm_backend.request import Extras


class TritonAnswer:
    """`jobs.Answer` for a Triton request.

    Triton's sender must not be used after FINAL: it is the server's memory that would be read then.
    """

    def __init__(self, sender: Any) -> None:
        self._sender = sender
        self._is_over = False
        self._prefix = ""
        self._extras = Extras()

    def shape(self, extras: Extras, prefix: str) -> None:
        """What the responses hold beside the text, and what the first one begins with."""
        self._extras = extras
        self._prefix = prefix

    def send(self, delta: Delta, *, is_last: bool = False) -> None:
        tensors = [_strings("text_output", self._prefix + delta.text)]
        tensors += [make(delta) for name, make in EXTRA_TENSORS.items() if getattr(self._extras, name)]
        self._prefix = ""
        self._send(
            pb_utils.InferenceResponse(output_tensors=tensors), is_last=is_last or delta.finish_reason is not None
        )

    def close_with(self, delta: Delta) -> None:
        """One response with FINAL, whatever the delta says."""
        self.send(delta, is_last=True)

    def fail(self, error: RequestError) -> None:
        triton_error = pb_utils.TritonError(str(error), getattr(pb_utils.TritonError, error.code))
        self._send(pb_utils.InferenceResponse(error=triton_error), is_last=True)

    def end(self) -> None:
        if not self._is_over:
            self._sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
            self._is_over = True

    def is_cancelled(self) -> bool:
        return not self._is_over and bool(self._sender.is_cancelled())

    def _send(self, response: Any, *, is_last: bool) -> None:
        if self._is_over:
            return
        self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if is_last else 0)
        # Only now: when the last text cannot be sent, the error that follows is the end.
        self._is_over = is_last


def _strings(name: str, text: str) -> Any:
    return pb_utils.Tensor(name, np.array([text.encode()], dtype=np.object_))


def _logprobs(delta: Delta) -> str:
    """JSON: a list with one object for each token, or null if none were asked for in the sampling parameters."""
    if delta.logprobs is None:
        return "null"
    return json.dumps(
        [
            {
                token_id: {"logprob": entry.logprob, "rank": entry.rank, "decoded_token": entry.decoded_token}
                for token_id, entry in position.items()
            }
            for position in delta.logprobs
        ]
    )


EXTRA_TENSORS: dict[str, Callable[[Delta], Any]] = {
    "finish_reason": lambda delta: _strings("finish_reason", str(delta.finish_reason)),
    "cumulative_logprob": lambda delta: pb_utils.Tensor(
        "cumulative_logprob", np.array([delta.cumulative_logprob], dtype=np.float32)
    ),
    "logprobs": lambda delta: _strings("logprobs", _logprobs(delta)),
    "num_input_tokens": lambda delta: pb_utils.Tensor(
        "num_input_tokens", np.array([delta.prompt_tokens], dtype=np.uint32)
    ),
    "num_output_tokens": lambda delta: pb_utils.Tensor("num_output_tokens", np.array([delta.tokens], dtype=np.uint32)),
}
