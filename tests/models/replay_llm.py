"""Triton model `orpheus_llm` that plays a script instead of thinking: `replay_script` says which, the prompt holds it.

| input                      | dtype, shape        | here                                                   |
|----------------------------|---------------------|--------------------------------------------------------|
| `text_input`               | STRING [1]          | the prompt                                             |
| `stream`                   | BOOL [1]            | must be true                                           |
| `sampling_parameters`      | STRING [1]          | JSON; `max_tokens` is kept                             |
| `exclude_input_in_output`  | BOOL [1]            | must be true                                           |
| `return_finish_reason`, `return_num_input_tokens`, `return_num_output_tokens` | BOOL [1] | asks for the output |

| output                     | dtype, shape        | when                                                   |
|----------------------------|---------------------|--------------------------------------------------------|
| `text_output`              | STRING [1]          | every response: the text since the one before          |
| `finish_reason`            | STRING [1]          | if asked for: `None`, at last `stop` or `length`       |
| `num_input_tokens`, `num_output_tokens` | UINT32 [1] | if asked for                                         |

A request with the parameter `cancel` ends the one of the same id, or the one of that id that comes within 30 s.

With the parameter `fetch` every request gets one response with FINAL, the next one by a request with the same id, the
parameter and an empty text; how it ended stands in `finish_reason`, an error as `error:` and its code. With `at_once`
beside it that one does not wait for more.

| parameter        | meaning                                                              | default |
|------------------|----------------------------------------------------------------------|---------|
| `ledger`         | file that gets a JSON line for each event of each stream             | none    |
| `cancel_poll_s`  | how often each stream asks whether it was cancelled; 0 is never      | 0.1     |
"""

import heapq
import json
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

from models.frame_codes import SLOTS
from models.replay_script import Script, read_script, voice_of

REMEMBER_S = 30.0
MAX_REMEMBERED = 1024
FINAL = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL

INPUTS = (
    *("text_input", "stream", "sampling_parameters", "exclude_input_in_output"),
    *("return_finish_reason", "return_num_input_tokens", "return_num_output_tokens"),
)

SECRET = "engine core at 0xdeadbeef"
"""In the text of every error, which no caller may see."""


class TritonPythonModel:
    """One thread for all streams, so that many of them cost little."""

    def initialize(self, args: Mapping[str, str]) -> None:
        config = json.loads(args["model_config"])
        given = {name: entry["string_value"] for name, entry in config["parameters"].items()}
        self._ledger = Ledger(given.get("ledger"), model=config["name"])
        self._poll_s = float(given.get("cancel_poll_s", "0.1"))
        self._cancels = Cancels()
        self._fetched: dict[str, Fetched] = {}
        self._pacer = Pacer()
        self._pacer.start()

    def execute(self, requests: Sequence[Any]) -> None:
        for request in requests:
            sender, request_id = request.get_response_sender(), request.request_id()
            parameters = json.loads(request.parameters() or "{}")
            if parameters.get("cancel"):
                self._pacer.add(CancelCall(request_id, sender, self._cancels, self._ledger))
                continue
            asked = {name: _value(request, name) for name in INPUTS}
            wire: Direct | Fetched = Direct(sender, asked)
            if parameters.get("fetch"):
                if not asked["text_input"]:
                    at_once = bool(parameters.get("at_once"))
                    self._pacer.add(FetchCall(request_id, sender, self._fetched, at_once=at_once))
                    continue
                wire = self._fetched[request_id] = Fetched(sender, asked)
            stream = Stream(request_id, wire, asked, cancels=self._cancels, ledger=self._ledger, poll_s=self._poll_s)
            self._pacer.add(stream)


class Ledger:
    """Events as JSON lines; times are readings of the machine's monotonic clock."""

    def __init__(self, path: str | None, *, model: str) -> None:
        self._path = Path(path) if path else None
        self._model = model

    def note(self, event: str, **facts: object) -> None:
        """One line, written at once."""
        if self._path:
            line = json.dumps({"event": event, "at_s": time.monotonic(), "model": self._model, **facts}) + "\n"
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)


class Pacer(threading.Thread):
    """Calls `step` of what was added, again at the time that it returns, until that is None."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Any]] = []
        self._added = 0

    def add(self, task: Any, due_s: float = 0.0) -> None:
        """`task.step()` is called in this thread at `due_s`."""
        with self._changed:
            self._added += 1
            heapq.heappush(self._due, (due_s, self._added, task))
            self._changed.notify()

    def run(self) -> None:
        while True:
            task = self._next()
            if (due_s := task.step()) is not None:
                self.add(task, due_s)

    def _next(self) -> Any:
        with self._changed:
            while not self._due or (wait_s := self._due[0][0] - time.monotonic()) > 0:
                self._changed.wait(wait_s if self._due else None)
            return heapq.heappop(self._due)[2]


class Cancels:
    """The streams that can be cancelled by a call, and the calls that came before their stream; for one thread."""

    def __init__(self) -> None:
        self._live: dict[str, Stream] = {}
        self._early: dict[str, float] = {}

    def arrive(self, stream: "Stream") -> None:
        """A stream has begun."""
        self._live = {name: other for name, other in self._live.items() if not other.ended}
        self._live[stream.request_id] = stream
        if self._early.pop(stream.request_id, -math.inf) > time.monotonic() - REMEMBER_S:
            stream.cancel("call")

    def cancel(self, request_id: str) -> int:
        """Cancels the stream of that id, now or when it comes; returns how deaf it is."""
        stream = self._live.get(request_id)
        if stream is None:
            self._early = dict(list(self._early.items())[1 - MAX_REMEMBERED :])
            self._early[request_id] = time.monotonic()
            return 0
        stream.cancel("call")
        return stream.script.deaf


class Direct:
    """Responses of a stream as they are made."""

    def __init__(self, sender: Any, asked: Mapping[str, Any]) -> None:
        self._sender = sender
        self._asked = asked

    def send(self, text: str, tokens: int, reason: str, *, is_final: bool) -> None:
        """Text and reason."""
        self._sender.send(_response(self._asked, text, tokens, reason), flags=FINAL if is_final else 0)

    def end(self, code: str | None, message: str) -> None:
        """An end without text: an error, or FINAL alone."""
        if code is None:
            self._sender.send(flags=FINAL)
        else:
            error = pb.TritonError(message, getattr(pb.TritonError, code))
            self._sender.send(pb.InferenceResponse(error=error), flags=FINAL)

    def is_cancelled(self) -> bool:
        return bool(self._sender.is_cancelled())


class Fetched:
    """The same for a caller that fetches them: each of its requests gets one response. In the pacer's thread."""

    def __init__(self, sender: Any, asked: Mapping[str, Any]) -> None:
        self._waiting: Any = sender
        self._asked = asked
        self._text, self._tokens, self._reason = "", 0, "None"
        self._is_new = False

    def fetch(self, sender: Any, *, at_once: bool) -> None:
        """Answers what was not fetched yet, now or as soon as there is something."""
        self._waiting = sender
        self._is_new |= at_once
        self._serve()

    def send(self, text: str, tokens: int, reason: str, *, is_final: bool) -> None:
        """Text and reason."""
        self._text, self._tokens, self._reason = self._text + text, self._tokens + tokens, reason
        self._is_new = True
        self._serve()

    def end(self, code: str | None, _message: str) -> None:
        """An end without text: an error, or a cancel."""
        self.send("", 0, f"error:{code or 'CANCELLED'}", is_final=True)

    def is_cancelled(self) -> bool:
        return bool(self._waiting and self._waiting.is_cancelled())

    def _serve(self) -> None:
        if self._waiting and self._is_new:
            sender, self._waiting = self._waiting, None
            response = _response(self._asked, self._text, self._tokens, self._reason)
            self._text, self._tokens, self._is_new = "", 0, False
            sender.send(response, flags=FINAL)


class FetchCall:
    """A request for what came since."""

    def __init__(self, request_id: str, sender: Any, fetched: Mapping[str, Fetched], *, at_once: bool) -> None:
        self._request_id = request_id
        self._sender = sender
        self._fetched = fetched
        self._at_once = at_once

    def step(self) -> None:
        self._fetched[self._request_id].fetch(self._sender, at_once=self._at_once)


class CancelCall:
    """A request that ends another one and itself."""

    def __init__(self, request_id: str, sender: Any, cancels: Cancels, ledger: Ledger) -> None:
        self._request_id = request_id
        self._sender = sender
        self._cancels = cancels
        self._ledger = ledger

    def step(self) -> None:
        self._ledger.note("cancel_call", id=self._request_id)
        if self._cancels.cancel(self._request_id) < 2:
            self._sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


class Stream:
    """One generation; everything here happens in the pacer's thread."""

    def __init__(
        self, request_id: str, wire: Direct | Fetched, asked: Mapping[str, Any], *,
        cancels: Cancels, ledger: Ledger, poll_s: float,
    ) -> None:  # fmt: skip
        self.request_id = request_id
        self.ended = False
        self.script = Script()
        self._wire = wire
        self._asked = asked
        self._cancels = cancels
        self._ledger = ledger
        self._poll_s = poll_s
        self._deltas: list[tuple[str, int]] | None = None
        self._reason = ""
        self._sent = self._sent_tokens = 0
        self._started_s = self._polled_s = time.monotonic()

    def cancel(self, how: str) -> None:
        """The stream ends at once, unless it is deaf."""
        if not self.script.deaf and not self.ended:
            self._note("cancelled", how=how)
            self._end("cancelled")

    def step(self) -> float | None:
        """Does what is due; returns the time of the next step, None after the end."""
        try:
            return self._step()
        except Exception as error:  # the caller must not wait for ever for what a test got wrong
            self._end("defect", "INTERNAL", f"replay: {error!r}")
            return None

    def _step(self) -> float | None:
        if self._deltas is None:
            self._begin()
        self._poll()
        if self.ended:
            return None
        if self.script.fault and self._sent_tokens >= SLOTS * self.script.at:
            return self._fail()
        return self._send_next()

    def _begin(self) -> None:
        asked = self._asked
        self.script = read_script(asked["text_input"])
        sampling = json.loads(asked["sampling_parameters"])
        if not (asked["stream"] and asked["exclude_input_in_output"]):
            raise ValueError("stream and exclude_input_in_output must be true")
        self._deltas, self._reason = self.script.deltas(sampling["max_tokens"])
        voice = voice_of(asked["text_input"])
        self._note("start", voice=voice, sampling=sampling, prompt_chars=len(asked["text_input"]))
        self._cancels.arrive(self)

    def _poll(self) -> None:
        now_s = time.monotonic()
        if not self._poll_s or self.ended or now_s - self._polled_s < self._poll_s:
            return
        self._polled_s = now_s
        if self._wire.is_cancelled():
            self.cancel("is_cancelled")

    def _send_next(self) -> float | None:
        deltas = self._deltas or []
        text, tokens = deltas[self._sent]
        due_s = self._due_s(self._sent_tokens + tokens)
        now_s = time.monotonic()
        if due_s > now_s:
            return min(due_s, now_s + self._poll_s) if self._poll_s else due_s
        self._sent += 1
        self._sent_tokens += tokens
        is_last = self._sent == len(deltas)
        reason = self._reason if is_last and not self.script.last else "None"
        if self._sent == 1:
            self._note("first")
        self._respond(text, tokens, reason, is_final=reason != "None")
        if is_last and self.script.last:
            self._respond("", 0, self._reason, is_final=True)
        return None if self.ended else self._due_s(self._sent_tokens)

    def _respond(self, text: str, tokens: int, reason: str, *, is_final: bool) -> None:
        if is_final:
            self.ended = True
            self._note("end", reason=reason)
        self._wire.send(text, tokens, reason, is_final=is_final)

    def _due_s(self, tokens: int) -> float:
        return self._started_s + (tokens / self.script.rate if self.script.rate else 0.0)

    def _fail(self) -> float | None:
        match self.script.fault:
            case "stall":
                return time.monotonic() + (self._poll_s or 0.1)
            case "error":
                told = f"engine: {SECRET}" if self.script.code == "UNAVAILABLE" else SECRET
                self._end("error", self.script.code, told)
                return None
            case "die":
                os._exit(1)
            case _:
                return self._send_next()

    def _end(self, reason: str, code: str | None = None, message: str = "") -> None:
        if self.ended:
            return
        self.ended = True
        self._note("end", reason=reason)
        self._wire.end(code, message)

    def _note(self, event: str, **facts: object) -> None:
        facts = {"stream": self.script.stream, "tokens": self._sent_tokens, **facts}
        self._ledger.note(event, id=self.request_id, **facts)


def _response(asked: Mapping[str, Any], text: str, tokens: int, reason: str) -> Any:
    tensors = [_string("text_output", text)]
    if asked["return_finish_reason"]:
        tensors.append(_string("finish_reason", reason))
    if asked["return_num_input_tokens"]:
        tensors.append(pb.Tensor("num_input_tokens", np.array([1], dtype=np.uint32)))
    if asked["return_num_output_tokens"]:
        tensors.append(pb.Tensor("num_output_tokens", np.array([tokens], dtype=np.uint32)))
    return pb.InferenceResponse(tensors)


def _value(request: Any, name: str) -> Any:
    tensor = pb.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    value = tensor.as_numpy().reshape(-1)[0]
    return value.decode() if isinstance(value, bytes) else value


def _string(name: str, text: str) -> Any:
    return pb.Tensor(name, np.array([text.encode()], dtype=object))
