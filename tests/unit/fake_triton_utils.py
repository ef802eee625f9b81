"""Triton's module for Python models, as much of it as nested calls use, with a model that the test plays."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

WAIT_S = 10.0


class Tensor:
    """A name and an array."""

    def __init__(self, name: str, array: npt.NDArray[Any]) -> None:
        self.name = name
        self._array = array

    def as_numpy(self) -> npt.NDArray[Any]:
        return self._array


class TritonModelException(Exception):
    """A call that cannot be made."""


@dataclass(frozen=True)
class TritonError:
    """An error with its code."""

    text: str
    number: str = "INTERNAL"

    UNAVAILABLE = "UNAVAILABLE"
    NOT_FOUND = "NOT_FOUND"
    INVALID_ARG = "INVALID_ARG"
    CANCELLED = "CANCELLED"
    UNSUPPORTED = "UNSUPPORTED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    UNKNOWN = "UNKNOWN"

    def message(self) -> str:
        return self.text

    def code(self) -> str:
        return self.number


class Response:
    """Outputs, or an error."""

    def __init__(self, *tensors: Tensor, error: TritonError | None = None) -> None:
        self.tensors = tensors
        self._error = error

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error

    def output_tensors(self) -> list[Tensor]:
        return list(self.tensors)


def written(text: str, reason: str = "None") -> Response:
    """What vLLM's backend answers."""
    names = {"text_output": text, "finish_reason": reason}
    return Response(*(Tensor(name, np.array([value.encode()], dtype=object)) for name, value in names.items()))


class Responses:
    """An iterator over what the test puts, to a None; it can be cancelled."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Response | None] = queue.Queue()
        self.cancelled = threading.Event()

    def put(self, *responses: Response | None) -> "Responses":
        for response in responses:
            self._waiting.put(response)
        return self

    def __iter__(self) -> Iterator[Response]:
        while (response := self._waiting.get(timeout=WAIT_S)) is not None:
            yield response

    def cancel(self) -> None:
        self.cancelled.set()
        self.put(None)


@dataclass
class Call:
    """One request that was made."""

    model: str
    request_id: str
    inputs: dict[str, Any]
    parameters: dict[str, Any]


@dataclass
class Triton:
    """What is called, and what it answers: `answer` makes the responses of each call."""

    answer: Callable[[Call], Any] = field(default=lambda _call: Responses().put(None))
    calls: list[Call] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)

    def module(self) -> ModuleType:
        """To stand in the place of `triton_python_backend_utils`."""
        triton = self

        class InferenceRequest:
            def __init__(
                self, *, model_name: str, inputs: list[Tensor], requested_output_names: list[str],
                request_id: str = "", parameters: dict[str, Any] | None = None, preferred_memory: Any = None,
            ) -> None:  # fmt: skip
                given = {tensor.name: tensor.as_numpy().reshape(-1)[0] for tensor in inputs}
                self._call = Call(model_name, request_id, given, parameters or {})

            def exec(self, *, decoupled: bool = False) -> Any:
                triton.calls.append(self._call)
                return triton.answer(self._call)

        module = ModuleType("triton_python_backend_utils")
        vars(module).update(
            Tensor=Tensor,
            TritonError=TritonError,
            TritonModelException=TritonModelException,
            InferenceRequest=InferenceRequest,
            InferenceResponse=Response,
            PreferredMemory=lambda kind: kind,
            TRITONSERVER_MEMORY_CPU="cpu",
            Logger=type("Logger", (), {"log_error": staticmethod(self.logged.append)}),
            get_output_tensor_by_name=_output,
        )
        return module


def stub_module(*, can_cancel: bool) -> ModuleType:
    """To stand in the place of `c_python_backend_utils`, of a Triton whose iterators can be cancelled, or cannot."""
    module = ModuleType("c_python_backend_utils")
    methods = {"cancel": lambda _self: None} if can_cancel else {}
    vars(module).update(ResponseIterator=type("ResponseIterator", (), methods))
    return module


def _output(response: Response, name: str) -> Tensor | None:
    return next((tensor for tensor in response.tensors if tensor.name == name), None)
