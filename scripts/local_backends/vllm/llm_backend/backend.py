"""What Triton calls."""

import contextlib
import gc
import json
import locale
import logging
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from llm_backend import contract
from llm_backend.answer import TritonAnswer
from llm_backend.cores import bound_threads
from llm_backend.courier import Call, Courier
from llm_backend.errors import EngineDown, EngineFault, InvalidInput, RequestError
from llm_backend.fetches import FetchedAnswer, Fetches, refuse
from llm_backend.jobs import Answer, Job
from llm_backend.metrics import Reporter, Statistics
from llm_backend.request import (
    Extras,
    Generation,
    Inputs,
    is_at_once,
    is_cancel,
    is_fetch,
    read_extras,
    read_generation,
)
from llm_backend.streams import Streams

ARGUMENTS_FILE = "model.json"
DEFAULT_RESPONSE_TOKENS = 7
STOP_TIMEOUT_S = 3.0
"""For each of what is stopped; more is only needed when something hangs."""

logger = logging.getLogger(__name__)

INPUT_NAMES = tuple(entry["name"] for entry in contract.INPUTS)


class TritonPythonModel:
    """One engine."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Adds inputs, outputs and the decoupled policy where the configuration leaves them out."""
        return contract.complete(config)

    def initialize(self, args: Mapping[str, str]) -> None:
        """
        Raises:
            TritonModelException: `config.pbtxt` or `model.json` says something that cannot be.
            Exception: the engine did not start.
        """
        # The embedded interpreter's own locale may be ASCII, on which torch fails reading its files.
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
        config = json.loads(args["model_config"])
        arguments = _read_arguments(Path(args["model_repository"]) / args["model_version"] / ARGUMENTS_FILE)
        statistics = Statistics() if _wants_metrics(config) and not arguments.get("disable_log_stats") else None
        self._courier = Courier()
        self._fetches = Fetches()
        self._engine = _start_engine(arguments, statistics)
        self._streams = Streams(self._engine, self._courier, response_tokens=_response_tokens(config))
        self._engine.run(self._streams.watch())
        labels = {"model": args["model_name"], "version": args["model_version"]}
        self._reporter = _reporter(statistics, labels, self._streams) if statistics else None

    def execute(self, requests: Sequence[Any]) -> None:
        """Takes requests over; they are answered from elsewhere."""
        for request in requests:
            answer = TritonAnswer(request.get_response_sender())
            try:
                self._accept(request, answer)
            except Exception as error:  # this request's, whatever it is
                self._courier.post(partial(answer.fail, _told(error)))

    def is_ready(self) -> bool:
        """Asked by newer servers; without it a dead engine shows in the answers alone."""
        return bool(self._engine.is_alive)

    def finalize(self) -> None:
        """Ends everything that was started, within a few seconds."""
        with contextlib.suppress(EngineDown, TimeoutError):
            self._engine.run(self._streams.close()).result(STOP_TIMEOUT_S)
        if self._reporter:
            self._reporter.close(STOP_TIMEOUT_S)
        self._courier.close(STOP_TIMEOUT_S)
        self._engine.stop(STOP_TIMEOUT_S)
        for process in multiprocessing.active_children():
            process.kill()
        # Else the interpreter's end searches torch's objects again and again, for longer than Triton waits.
        gc.freeze()

    def _accept(self, request: Any, answer: TritonAnswer) -> None:
        parameters = request.parameters()
        if is_cancel(parameters):
            self._cancel(request.request_id(), answer)
        elif is_fetch(parameters):
            self._fetch(request, answer)
        else:
            generation = read_generation(_inputs(request), parameters)
            answer.shape(generation.extras, generation.prompt if generation.prompt_first else "")
            self._serve(request.request_id(), generation, answer)

    def _cancel(self, request_id: str, answer: Answer) -> None:
        try:
            self._engine.run(self._streams.cancel(request_id, answer))
        except EngineDown:
            self._courier.post(answer.end)  # it has ended with the engine

    def _fetch(self, request: Any, reply: TritonAnswer) -> None:
        """Whatever is wrong with it, it gets one response and no error."""
        reply.shape(Extras(finish_reason=True), "")
        try:
            self._courier.post(self._fetching(request, reply))
        except Exception as error:  # this request's, whatever it is
            self._courier.post(partial(refuse, reply, _told(error)))

    def _fetching(self, request: Any, reply: TritonAnswer) -> Call:
        """What is to be done for it by the courier; a generation is begun."""
        inputs, request_id = _inputs(request), request.request_id()
        reply.shape(replace(read_extras(inputs), finish_reason=True), "")
        if not request_id:
            raise InvalidInput("request_id: empty: send one of your own, what follows is fetched by it")
        if not inputs.get("text_input"):
            return partial(self._fetches.proceed, request_id, reply, at_once=is_at_once(request.parameters()))
        answer = FetchedAnswer()
        self._serve(request_id, read_generation(inputs, request.parameters()), answer)
        return partial(self._fetches.begin, request_id, answer, reply)

    def _serve(self, request_id: str, generation: Generation, answer: Answer) -> None:
        self._engine.run(self._streams.serve(Job(request_id=request_id, generation=generation, answer=answer)))


def _told(error: Exception) -> RequestError:
    """What the caller is told of it."""
    if isinstance(error, RequestError):
        return error
    logger.error("request_unreadable error=%s", type(error).__name__)
    return EngineFault("engine: the request cannot be read")


def _inputs(request: Any) -> Inputs:
    tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in INPUT_NAMES}
    return {name: tensor.as_numpy().flat[0] for name, tensor in tensors.items() if tensor is not None}


def _start_engine(arguments: Mapping[str, Any], statistics: Statistics | None) -> Any:
    # Imported here, since torch must not come in before the locale is set.
    from vllm.platforms import current_platform  # noqa: PLC0415

    from llm_backend.engine import Engine  # noqa: PLC0415

    if current_platform.is_cpu():
        bound_threads(os.environ, len(os.sched_getaffinity(0)))
    engine = Engine(arguments, [lambda *_: statistics] if statistics else [])
    engine.start()
    return engine


def _read_arguments(path: Path) -> dict[str, Any]:
    try:
        arguments = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise pb_utils.TritonModelException(f"{path}: cannot be read ({error})") from None
    if not isinstance(arguments, dict):
        raise pb_utils.TritonModelException(f"{path}: must be an object of vLLM's engine arguments")
    return arguments


def _response_tokens(config: Mapping[str, Any]) -> int:
    given = _parameter(config, "RESPONSE_TOKENS", str(DEFAULT_RESPONSE_TOKENS))
    if not given.isdecimal() or int(given) < 1:
        raise pb_utils.TritonModelException(f"RESPONSE_TOKENS is {given!r}: give a whole number, 1 or more")
    return int(given)


def _wants_metrics(config: Mapping[str, Any]) -> bool:
    return _parameter(config, "REPORT_CUSTOM_METRICS", "false").lower() == "true"


def _parameter(config: Mapping[str, Any], name: str, default: str) -> str:
    return str(config["parameters"].get(name, {}).get("string_value", default))


def _reporter(statistics: Statistics, labels: Mapping[str, str], streams: Streams) -> Reporter | None:
    try:
        return Reporter(statistics, labels, lambda: streams.live)
    except pb_utils.TritonModelException as error:
        if "metrics not supported" in str(error).lower():
            return None  # the server was started without them
        raise
