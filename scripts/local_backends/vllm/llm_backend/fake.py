"""A caller that writes down how it is answered."""

import threading

from llm_backend.deltas import Delta
from llm_backend.errors import RequestError


class RecordedAnswer:
    """`jobs.Answer` without Triton."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self.errors: list[RequestError] = []
        self.ends = 0
        """How often it was said that it is over, which must be once."""
        self.is_gone = False
        """Set to have the caller leave."""
        self.over = threading.Event()

    @property
    def text(self) -> str:
        """All that came."""
        return "".join(delta.text for delta in self.deltas)

    def send(self, delta: Delta) -> None:
        self.deltas.append(delta)
        if delta.finish_reason is not None:
            self.end()

    def fail(self, error: RequestError) -> None:
        self.errors.append(error)
        self.end()

    def end(self) -> None:
        self.ends += 1
        self.over.set()

    def is_cancelled(self) -> bool:
        return self.is_gone and not self.over.is_set()
