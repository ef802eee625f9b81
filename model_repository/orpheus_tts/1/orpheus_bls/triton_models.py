"""The models behind `orpheus_tts`, called inside the same Triton."""

import re
import threading
import uuid
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from orpheus_bls.afterlife import Afterlife
from orpheus_bls.feed import Child, Delta
from orpheus_bls.pile import Pile
from orpheus_bls.slots import Slot
from orpheus_core.errors import EngineUnavailable, InternalFault, SpeechError
from orpheus_core.request import SpeechRequest
from orpheus_core.window import DecodeWindow, Window

CANCEL = "cancel"
FETCH = "fetch"
AT_ONCE = "at_once"
"""Request parameters of the local vLLM backend: ends the request of the same id; wants one response to each request;
wants it now, with whatever there is."""

ERROR = "error:"
"""Before the code, in the finish reason of a fetched answer."""

DOWN = re.compile(r"^engine:|^Stub process .* is not healthy|Server not ready$")
"""Messages of a backend that is down, and of Triton when its process is gone, or when it is ending and takes no more
nested calls: 24.10 loses their codes."""

DOWN_CODES = ("UNAVAILABLE", "NOT_FOUND")


class TritonModels:
    """Nested calls, counted by the threads that they hold."""

    def __init__(self) -> None:
        self._afterlife = Afterlife()

    def speak(self, request: SpeechRequest, slot: Slot) -> Child:
        """A call of the request's language model."""
        if CAN_CANCEL_ITERATOR:
            return StreamedCall(request, slot, self._afterlife)
        return FetchedCall(request, slot, self._afterlife)

    def decoder(self, request: SpeechRequest, slot: Slot) -> DecodeWindow:
        """The request's decoder."""
        return Decoder(request.checkpoint.decoder.model, slot)

    def log(self, event: str) -> None:
        """An event for the operator, in Triton's log."""
        _log(event)


class LanguageModel:
    """What both kinds of calls have in common. The id is the call's own, never the client's, which may come twice."""

    def __init__(self, request: SpeechRequest, slot: Slot, afterlife: Afterlife) -> None:
        self._model = request.checkpoint.model
        self._slot = slot
        self._afterlife = afterlife
        self.ended = False
        self._id = uuid.uuid4().hex
        self._inputs = [
            _text("text_input", request.generation.prompt),
            _text("sampling_parameters", request.generation.sampling_parameters(request.checkpoint)),
            _flag("stream"),
            _flag("exclude_input_in_output"),
            _flag("return_finish_reason"),
        ]
        self._cancelled = False

    def _call(self, inputs: list[Any], **parameters: bool) -> Any:
        """The responses, once the first one is there.

        Raises:
            SpeechError: Triton does not take the call.
        """
        request = pb_utils.InferenceRequest(
            model_name=self._model,
            request_id=self._id,
            inputs=inputs,
            requested_output_names=["text_output", "finish_reason"],
            parameters=parameters,
        )
        try:
            return self._slot.call(partial(request.exec, decoupled=True))
        except pb_utils.TritonModelException:
            _log(f"{self._model} cannot be called")
            raise EngineUnavailable(f"{self._model} cannot be called") from None

    def _read(self, response: Any) -> Delta | None:
        """
        Raises:
            SpeechError: the response is an error.
        """
        if response.has_error():
            error = response.error()
            raise self._failure(is_down=DOWN.search(error.message()) is not None, code=_name_of(error.code()))
        return _delta(response)

    def _failure(self, *, code: str, is_down: bool = False) -> SpeechError:
        """The model's own words stay in its log: they are not written for the caller."""
        if not self._cancelled:
            _log(f"{self._model} failed with {code}")
        if is_down or code in DOWN_CODES:
            return EngineUnavailable(f"{self._model} is not available")
        return InternalFault(f"{self._model} failed")


class StreamedCall(LanguageModel):
    """One nested call with many responses, as NVIDIA's backend answers it. It needs an iterator that can be cancelled
    (Triton 25.04 and up), and a thread that follows it, because one cannot look into an iterator without waiting."""

    def __init__(self, request: SpeechRequest, slot: Slot, afterlife: Afterlife) -> None:
        super().__init__(request, slot, afterlife)
        self._pile = Pile()
        self._responses: Any = None
        self._begun = False

    def fetch(self, *, at_once: bool) -> Delta:
        """What the model has written.

        Raises:
            SpeechError: it failed, or refused.
        """
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._follow, daemon=True).start()
        return self._pile.take(at_once=at_once)

    def cancel(self) -> None:
        """Stops it; before the first response the following thread does, when that has come."""
        self._cancelled = True
        # Whoever waits need not wait for a model that does not hear it.
        self._pile.end(EngineUnavailable(f"{self._model} was told to stop"))
        if not self.ended and self._responses is not None:
            self._responses.cancel()

    def _follow(self) -> None:
        """To the end of the call, also when nobody listens any more."""
        error: SpeechError | None = None
        try:
            self._responses = self._call(self._inputs)
            if self._cancelled:
                self._responses.cancel()
            for response in self._responses:
                if delta := self._read(response):
                    self._pile.put(delta)
        except SpeechError as failure:
            error = failure
        except Exception as defect:  # its text may hold what was to be spoken
            _log(f"following {self._model} failed: {type(defect).__name__}")
            error = InternalFault(f"{self._model} failed")
        finally:
            self.ended = True
            self._afterlife.keep(self._responses)
            self._pile.end(error)


class FetchedCall(LanguageModel):
    """One generation of the local vLLM backend, fetched piece by piece, each piece by a call with one response.

    Up to Triton 24.10 an error that comes to a nested decoupled call may be read as somebody else's, and in all
    versions so far a process freezes when a second response to one call meets the first to another (`docs/adr`).
    """

    def __init__(self, request: SpeechRequest, slot: Slot, afterlife: Afterlife) -> None:
        super().__init__(request, slot, afterlife)
        self._more = [_text("text_input", "")]

    def fetch(self, *, at_once: bool) -> Delta:
        """What the model has written.

        Raises:
            SpeechError: it failed, or refused.
        """
        try:
            delta = self._fetched(at_once=at_once)
        except BaseException:
            self.ended = True
            raise
        self.ended = delta.finish_reason is not None
        return delta

    def cancel(self) -> None:
        """Stops it by a call of its own, which may come before the one that it ends."""
        if self.ended:
            return
        self._cancelled = True
        responses = self._call([_text("text_input", "")], **{CANCEL: True})
        for _ in responses:
            pass
        self._afterlife.keep(responses)

    def _fetched(self, *, at_once: bool) -> Delta:
        inputs, self._inputs = self._inputs, self._more
        parameters = {FETCH: True, AT_ONCE: True} if at_once else {FETCH: True}
        delta = None
        responses = self._call(inputs, **parameters)
        try:
            for response in responses:
                delta = self._read(response) or delta
        finally:
            self._afterlife.keep(responses)
        if delta is None:
            raise EngineUnavailable(f"{self._model} broke off")
        if delta.finish_reason and delta.finish_reason.startswith(ERROR):
            raise self._failure(code=delta.finish_reason.removeprefix(ERROR))
        return delta


class Decoder:
    """Windows of codes to audio."""

    def __init__(self, model: str, slot: Slot) -> None:
        self._model = model
        self._slot = slot
        # Tensors that stay on a GPU make nested calls deadlock before Triton 26.07.
        self._memory = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU)

    def __call__(self, window: Window) -> npt.NDArray[np.float32]:
        """Blocks until the window [F, 7] is decoded; returns [2048 * F].

        Raises:
            SpeechError: it was not.
        """
        request = pb_utils.InferenceRequest(
            model_name=self._model,
            requested_output_names=["audio"],
            inputs=[pb_utils.Tensor("codes", window.codes[None]), pb_utils.Tensor("valid", window.valid[None])],
            preferred_memory=self._memory,
        )
        try:
            response = self._slot.call(request.exec)
        except pb_utils.TritonModelException:
            _log(f"{self._model} cannot be called")
            raise EngineUnavailable(f"{self._model} cannot be called") from None
        if response.has_error():
            _log(f"{self._model} failed with {_name_of(response.error().code())}")
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


def _name_of(code: Any) -> str:
    known = ("UNAVAILABLE", "NOT_FOUND", "INVALID_ARG", "CANCELLED", "UNSUPPORTED", "ALREADY_EXISTS", "UNKNOWN")
    return next((name for name in known if getattr(pb_utils.TritonError, name) == code), "INTERNAL")


def _can_cancel_iterator() -> bool:
    import c_python_backend_utils  # noqa: PLC0415  (made by the stub; there is no file of that name)

    return hasattr(c_python_backend_utils.ResponseIterator, "cancel")


CAN_CANCEL_ITERATOR = _can_cancel_iterator()
