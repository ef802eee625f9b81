"""One request on its way, and the seam through which it is answered."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from llm_backend.deltas import Delta
from llm_backend.errors import RequestError
from llm_backend.request import Generation


class Answer(Protocol):
    """How one caller is answered. Every method is called by the courier's thread alone.

    After `fail`, `end` or a delta with a finish reason the answer is over: then nothing is sent any more.
    """

    def send(self, delta: Delta) -> None:
        """The next response, with FINAL if the delta has a finish reason."""

    def fail(self, error: RequestError) -> None:
        """An error with FINAL."""

    def end(self) -> None:
        """FINAL alone."""

    def is_cancelled(self) -> bool:
        """Whether the caller is gone; False once the answer is over."""


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A generation with its caller."""

    request_id: str
    """The caller's; may be empty, or the same as another's."""
    generation: Generation
    answer: Answer
    task: asyncio.Task[None] | None = None
    """Set as long as it may be stopped."""
    stopped_by: RequestError | None = field(default=None)

    def stop(self, reason: RequestError) -> None:
        """Has it end with that; only the first call has an effect."""
        if self.task is not None and self.stopped_by is None:
            self.stopped_by = reason
            self.task.cancel()
