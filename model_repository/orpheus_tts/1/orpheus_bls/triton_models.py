"""The models behind `orpheus_tts`, called inside the same Triton."""

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from orpheus_bls.reader import Child, Delta
from orpheus_bls.slots import Slots
from orpheus_core.errors import EngineUnavailable, InternalFault, SpeechError
from orpheus_core.request import SpeechRequest
from orpheus_core.window import DecodeWindow, Window

CANCEL = "cancel"
"""Request parameter of the local vLLM backend: ends the request of the same id."""


class TritonModels:
    """Nested calls, counted by the threads that they hold."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def speak(self, request: SpeechRequest) -> Child:
        """A call of the request's language model."""
        return LanguageModelCall(request, self._slots)

    def decoder(self, request: SpeechRequest) -> DecodeWindow:
        """The request's decoder."""
        return Decoder(request.checkpoint.decoder.model, self._slots)

    def log(self, event: str) -> None:
        """An event for the operator, in Triton's log."""
        pb_utils.Logger.log_error(f"orpheus_tts: {event}")


class LanguageModelCall:
    """One call of vLLM. Its id is its own, never the client's, which may come twice."""

    def __init__(self, request: SpeechRequest, slots: Slots) -> None:
        self._model = request.checkpoint.model
        self._slots = slots
        self._id = uuid.uuid4().hex
        self._inputs = [
            _text("text_input", request.generation.prompt),
            _text("sampling_parameters", request.generation.sampling_parameters(request.checkpoint)),
            _flag("stream"),
            _flag("exclude_input_in_output"),
            _flag("return_finish_reason"),
        ]
        self._responses: Any = None
        self._cancelled = False
        self._ended = False

    def deltas(self) -> Iterator[Delta]:
        """What the model writes.

        Raises:
            SpeechError: it failed, or refused.
        """
        try:
            with self._slots.call():
                self._responses = self._request(self._inputs, ["text_output", "finish_reason"]).exec(decoupled=True)
            if self._cancelled:
                self._cancel_iterator()
            for response in self._responses:
                if response.has_error():
                    raise self._failure(response.error())
                if delta := _delta(response):
                    yield delta
        except pb_utils.TritonModelException:
            _log(f"{self._model} cannot be called")
            raise EngineUnavailable(f"{self._model} cannot be called") from None
        finally:
            self._ended = True

    def cancel(self) -> None:
        """Stops it, by the iterator where that can be done (Triton 25.04 and up), else by a call."""
        if self._ended:
            return
        self._cancelled = True
        if CAN_CANCEL_ITERATOR:
            self._cancel_iterator()
            return
        request = self._request([_text("text_input", "")], ["text_output"], parameters={CANCEL: True})
        for _ in request.exec(decoupled=True):
            pass

    def _cancel_iterator(self) -> None:
        # Before the first response there is none yet: the reader looks again when it has one.
        if CAN_CANCEL_ITERATOR and self._responses is not None:
            self._responses.cancel()

    def _request(self, inputs: list[Any], outputs: list[str], parameters: dict[str, bool] | None = None) -> Any:
        return pb_utils.InferenceRequest(
            model_name=self._model, request_id=self._id, inputs=inputs, requested_output_names=outputs,
            parameters=parameters or {},
        )  # fmt: skip

    def _failure(self, error: Any) -> SpeechError:
        """Its message stays in that model's own log: it is not written for the caller."""
        if not self._cancelled:
            _log(f"{self._model} failed with code {error.code()}")
        if error.code() in (pb_utils.TritonError.UNAVAILABLE, pb_utils.TritonError.NOT_FOUND):
            return EngineUnavailable(f"{self._model} is not available")
        return InternalFault(f"{self._model} failed")


class Decoder:
    """Windows of codes to audio."""

    def __init__(self, model: str, slots: Slots) -> None:
        self._model = model
        self._slots = slots

    def __call__(self, window: Window) -> npt.NDArray[np.float32]:
        """Blocks until the window [F, 7] is decoded; returns [2048 * F].

        Raises:
            SpeechError: it was not.
        """
        request = pb_utils.InferenceRequest(
            model_name=self._model,
            requested_output_names=["audio"],
            inputs=[pb_utils.Tensor("codes", window.codes[None]), pb_utils.Tensor("valid", window.valid[None])],
            # Tensors that stay on a GPU make nested calls deadlock before Triton 26.07.
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),
        )
        try:
            with self._slots.call():
                response = request.exec()
        except pb_utils.TritonModelException:
            _log(f"{self._model} cannot be called")
            raise EngineUnavailable(f"{self._model} cannot be called") from None
        if response.has_error():
            _log(f"{self._model} failed with code {response.error().code()}")
            raise EngineUnavailable(f"{self._model} failed")
        audio: npt.NDArray[np.float32] = pb_utils.get_output_tensor_by_name(response, "audio").as_numpy()[0]
        return audio


def _delta(response: Any) -> Delta | None:
    """The last response of a call may have no outputs."""
    if not response.output_tensors():
        return None
    text, reason = (pb_utils.get_output_tensor_by_name(response, name) for name in ("text_output", "finish_reason"))
    reasons = [] if reason is None else [value.decode() for value in reason.as_numpy()]
    # vLLM's backend writes Python's `None` as text while the model goes on.
    finish_reason = next((value for value in reasons if value not in ("", "None")), None)
    return Delta(b"".join(text.as_numpy()).decode(), finish_reason)


def _text(name: str, text: str) -> Any:
    return pb_utils.Tensor(name, np.array([text.encode()], dtype=object))


def _flag(name: str) -> Any:
    return pb_utils.Tensor(name, np.array([True]))


def _log(event: str) -> None:
    pb_utils.Logger.log_error(f"orpheus_tts: {event}")


def _can_cancel_iterator() -> bool:
    import c_python_backend_utils  # noqa: PLC0415  (made by the stub; there is no file of that name)

    return hasattr(c_python_backend_utils.ResponseIterator, "cancel")


CAN_CANCEL_ITERATOR = _can_cancel_iterator()
