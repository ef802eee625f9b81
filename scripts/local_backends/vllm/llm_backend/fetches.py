"""Answers that are fetched piece by piece, each by a request of its own.

A Python model of Triton up to 26.07 cannot safely follow a nested decoupled call: its process can freeze between two
responses of one call and the start of another, and up to 24.10 an error that comes to such a call may be read as
somebody else's. A call that gets exactly one response, and never an error, has neither fault. So a request with the
parameter `fetch` gets one response with everything so far, and the next request with the same id, the parameter and an
empty `text_input` gets what came since. How it ended stands in `finish_reason`: `stop`, `length`, or `error:` and the
name of Triton's code.
"""

import time
from collections.abc import Callable
from typing import Protocol

from llm_backend.deltas import Delta
from llm_backend.errors import RequestError

ABANDONED_S = 10.0
"""Nobody has fetched for so long: the caller is gone."""

MAX_KEPT = 4096
"""Ended answers beyond it are dropped, the oldest first."""

ERROR = "error:"
UNKNOWN = f"{ERROR}NOT_FOUND"


class Reply(Protocol):
    """The one response to a request."""

    def close_with(self, delta: Delta) -> None:
        """Text and finish reason, with FINAL."""

    def is_cancelled(self) -> bool:
        """Whether the caller is gone; False once it was sent."""


class FetchedAnswer:
    """`jobs.Answer` that waits to be fetched. Everything is called by the courier's thread alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reply: Reply | None = None
        self._waiting: Delta | None = None
        self._fetched_s = clock()
        self.is_over = False
        """Whether the last piece was fetched."""

    def fetch(self, reply: Reply) -> None:
        """Answers as soon as there is something that was not fetched yet."""
        self._fetched_s = self._clock()
        self._reply = reply
        self._serve()

    def send(self, delta: Delta) -> None:
        self._waiting = self._waiting + delta if self._waiting else delta
        self._serve()

    def fail(self, error: RequestError) -> None:
        self._end(f"{ERROR}{error.code}")

    def end(self) -> None:
        self._end(f"{ERROR}CANCELLED")

    def is_cancelled(self) -> bool:
        if self._reply:
            return self._reply.is_cancelled()
        return self._clock() - self._fetched_s > ABANDONED_S

    def _end(self, reason: str) -> None:
        if self._waiting is None or self._waiting.finish_reason is None:
            self.send(Delta(finish_reason=reason))

    def _serve(self) -> None:
        if self._reply and self._waiting:
            reply, self._reply = self._reply, None
            delta, self._waiting = self._waiting, None
            self._fetched_s = self._clock()
            self.is_over = delta.finish_reason is not None
            reply.close_with(delta)


class Fetches:
    """The answers that are being fetched, by the callers' ids. For the courier's thread."""

    def __init__(self) -> None:
        self._answers: dict[str, FetchedAnswer] = {}

    def begin(self, request_id: str, answer: FetchedAnswer, reply: Reply) -> None:
        """A new generation; one of the same id is not fetched from any more."""
        self._answers = {name: other for name, other in self._answers.items() if not other.is_over}
        while len(self._answers) >= MAX_KEPT:
            self._answers.pop(next(iter(self._answers)))
        self._answers[request_id] = answer
        answer.fetch(reply)

    def proceed(self, request_id: str, reply: Reply) -> None:
        """What came since."""
        answer = self._answers.get(request_id)
        if answer is None or answer.is_over:
            reply.close_with(Delta(finish_reason=UNKNOWN))
        else:
            answer.fetch(reply)
