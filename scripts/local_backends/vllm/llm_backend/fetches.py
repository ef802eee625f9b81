"""Answers that are fetched piece by piece, each by a request of its own.

A Python model of Triton up to 26.07 cannot safely follow a nested decoupled call: its process can freeze between two
responses of one call and the start of another, and up to 24.10 an error that comes to such a call may be read as
somebody else's. A call that gets exactly one response, and never an error, has neither fault. So a request with the
parameter `fetch` and an id of its own gets one response with everything so far, and the next request with the same id,
the parameter and an empty `text_input` gets what came since; it waits for it if there is nothing yet, unless it has the
parameter `at_once` too. The prompt is never repeated. How it ended stands in `finish_reason`: `stop`, `length`, or
`error:` and the name of Triton's code:

| finish reason          | meaning                                                                        |
|------------------------|--------------------------------------------------------------------------------|
| `error:INVALID_ARG`    | the request says something that cannot be                                      |
| `error:NOT_FOUND`      | nothing of that id: never begun, fetched to its end, or forgotten              |
| `error:ALREADY_EXISTS` | another fetch of that id still waits                                           |
| `error:CANCELLED`      | it was cancelled, left alone for 30 s, or another one began under its id       |
| `error:UNAVAILABLE`    | the engine is dead, full, or being unloaded                                    |
| `error:INTERNAL`       | the engine failed at this request                                              |
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from llm_backend.deltas import Delta
from llm_backend.errors import RequestError

ABANDONED_S = 30.0
"""Nobody has fetched for so long: the caller is gone. Longer than one decode may take (`decode_timeout_s`), in which a
stream does not fetch."""

MAX_KEPT = 1024
"""Ended answers that were not fetched to their end; beyond it the oldest are dropped. `Streams` bounds live ones."""

ERROR = "error:"
UNKNOWN = f"{ERROR}NOT_FOUND"
BUSY = f"{ERROR}ALREADY_EXISTS"


class Reply(Protocol):
    """The one response to a request."""

    def close_with(self, delta: Delta) -> None:
        """Text and finish reason, with FINAL."""

    def is_cancelled(self) -> bool:
        """Whether the caller is gone; False once it was sent."""


def refuse(reply: Reply, error: RequestError) -> None:
    """Answers with the error's code; a fetch gets no error of Triton's."""
    reply.close_with(Delta(finish_reason=_reason(error)))


class FetchedAnswer:
    """`jobs.Answer` that waits to be fetched. Everything is called by the courier's thread alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reply: Reply | None = None
        self._waiting: Delta | None = None
        self._fetched_s = clock()
        self._is_dropped = False
        self.has_ended = False
        """Whether the last piece is here."""
        self.is_over = False
        """Whether the last piece was fetched."""

    def fetch(self, reply: Reply, *, at_once: bool = False) -> None:
        """Answers as soon as there is something that was not fetched yet, or at once."""
        if self._reply:
            reply.close_with(Delta(finish_reason=BUSY))
            return
        self._fetched_s = self._clock()
        self._reply = reply
        if at_once and not self._waiting:
            self._waiting = Delta()
        self._serve()

    def drop(self) -> None:
        """Has it end: nobody can fetch from it any more."""
        self._is_dropped = True

    def send(self, delta: Delta) -> None:
        if self.has_ended:
            return
        self._waiting = self._waiting + delta if self._waiting else delta
        self.has_ended = delta.finish_reason is not None
        self._serve()

    def fail(self, error: RequestError) -> None:
        self._end(_reason(error))

    def end(self) -> None:
        self._end(f"{ERROR}CANCELLED")

    def is_cancelled(self) -> bool:
        if self.has_ended:
            return False
        return self.is_forsaken or (self._reply is not None and self._reply.is_cancelled())

    @property
    def is_forsaken(self) -> bool:
        """Whether nobody will fetch from it again."""
        if self.is_over or self._is_dropped:
            return True
        return self._reply is None and self._clock() - self._fetched_s > ABANDONED_S

    def _end(self, reason: str) -> None:
        if not self.has_ended:
            self._waiting = replace(self._waiting or Delta(), finish_reason=reason)
            self.has_ended = True
            self._serve()

    def _serve(self) -> None:
        if self._reply and self._waiting:
            reply, self._reply = self._reply, None
            delta, self._waiting = self._waiting, None
            self._fetched_s = self._clock()
            self.is_over = self.has_ended
            reply.close_with(delta)


class Fetches:
    """The answers that are being fetched, by the callers' ids. For the courier's thread."""

    def __init__(self) -> None:
        self._answers: dict[str, FetchedAnswer] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def begin(self, request_id: str, answer: FetchedAnswer, reply: Reply) -> None:
        """A new generation; one of the same id ends."""
        if replaced := self._answers.pop(request_id, None):
            replaced.drop()
        self._forget()
        self._answers[request_id] = answer
        answer.fetch(reply)

    def proceed(self, request_id: str, reply: Reply, *, at_once: bool = False) -> None:
        """What came since; `at_once` does not wait for more."""
        answer = self._answers.get(request_id)
        if answer is None or answer.is_over:
            reply.close_with(Delta(finish_reason=UNKNOWN))
        else:
            answer.fetch(reply, at_once=at_once)

    def _forget(self) -> None:
        self._answers = {name: answer for name, answer in self._answers.items() if not answer.is_forsaken}
        ended = [name for name, answer in self._answers.items() if answer.has_ended]
        for name in ended[: max(0, len(ended) - MAX_KEPT)]:
            del self._answers[name]


def _reason(error: RequestError) -> str:
    return f"{ERROR}{error.code}"
